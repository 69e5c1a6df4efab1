//! What `xpc-runtime-sys` declares of C, against Apple's own headers and lists of symbols, which zig ships.
//!
//! Rust links by name alone: a declaration with another type than C's builds, links, and is undefined behaviour. So each
//! one is written in C's words, and clang compares it with the header's.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::process::Command;

use camino::Utf8PathBuf;
use integration_tests::{checkout, must, text, venv};
use quote::ToTokens;
use syn::{FnArg, ForeignItem, Item, ReturnType, Type};

use crate::headers::{clang, declared_in};

/// zig's names of the architectures, with those of its lists of symbols that serve it.
const TARGETS: [(&str, &[&str]); 2] = [("x86_64", &["x86_64-macos"]), ("aarch64", &["arm64-macos", "arm64e-macos"])];
/// The oldest system that the runtime promises.
pub const OLDEST: &str = "11.0";

const BLOCK: &str = "block_t";

/// The headers, and the modules of `xpc-runtime-sys` that are named after them.
const HEADERS: [&str; 9] =
    ["xpc", "activity", "connection", "debug", "endpoint", "listener", "peer_requirement", "rich_error", "session"];
/// Modules for what is not XPC's own.
const OTHERS: [&str; 3] = ["block", "dispatch", "types"];

/// The type of C's that each of Rust's stands for.
const NAMED: &[(&str, &str)] = &[
    ("bool", "bool"),
    ("c_char", "char"),
    ("c_int", "int"),
    ("c_long", "long"),
    ("c_uchar", "unsigned char"),
    ("c_void", "void"),
    ("f64", "double"),
    ("i64", "int64_t"),
    ("u8", "uint8_t"),
    ("u32", "uint32_t"),
    ("u64", "uint64_t"),
    ("usize", "size_t"),
    // Without Objective-C, an object is a `void *`.
    ("xpc_object_s", "void"),
    ("xpc_object_t", "xpc_object_t"),
    ("xpc_connection_t", "xpc_connection_t"),
    ("xpc_endpoint_t", "xpc_endpoint_t"),
    ("xpc_rich_error_t", "xpc_rich_error_t"),
    ("xpc_activity_t", "xpc_activity_t"),
    ("xpc_session_t", "xpc_session_t"),
    ("xpc_listener_t", "xpc_listener_t"),
    ("xpc_peer_requirement_t", "xpc_peer_requirement_t"),
    ("xpc_type_s", "struct _xpc_type_s"),
    ("xpc_type_t", "xpc_type_t"),
    ("xpc_bool_s", "struct _xpc_bool_s"),
    ("xpc_dictionary_s", "struct _xpc_dictionary_s"),
    ("dispatch_data_s", "struct dispatch_data_s"),
    ("dispatch_data_t", "dispatch_data_t"),
    ("dispatch_function_t", "dispatch_function_t"),
    ("dispatch_queue_attr_s", "struct dispatch_queue_attr_s"),
    ("dispatch_queue_attr_t", "dispatch_queue_attr_t"),
    ("dispatch_queue_s", "struct dispatch_queue_s"),
    ("dispatch_queue_t", "dispatch_queue_t"),
    ("dispatch_time_t", "dispatch_time_t"),
    ("xpc_connection_handler_t", "xpc_connection_handler_t"),
    ("xpc_finalizer_t", "xpc_finalizer_t"),
    ("xpc_session_create_flags_t", "xpc_session_create_flags_t"),
    ("xpc_listener_create_flags_t", "xpc_listener_create_flags_t"),
    ("xpc_activity_state_t", "xpc_activity_state_t"),
    ("pid_t", "pid_t"),
    ("uid_t", "uid_t"),
    ("gid_t", "gid_t"),
    ("au_asid_t", "au_asid_t"),
    ("mach_port_t", "mach_port_t"),
    ("va_list", "va_list"),
];

/// Aliases that are wider than C's: a value of C's type converts to them.
const WIDER: &[&str] = &[
    "xpc_connection_t",
    "xpc_endpoint_t",
    "xpc_rich_error_t",
    "xpc_activity_t",
    "xpc_session_t",
    "xpc_listener_t",
    "xpc_peer_requirement_t",
    "va_list",
];

/// Which block each parameter is that Rust declares as a `block_t`.
const BLOCKS: &[(&str, &str, &str)] = &[
    // Any block.
    ("_Block_copy", "block", "void const *"),
    ("_Block_release", "block", "void const *"),
    ("xpc_activity_register", "handler", "xpc_activity_handler_t"),
    ("xpc_array_apply", "applier", "xpc_array_applier_t"),
    ("xpc_connection_send_barrier", "barrier", "dispatch_block_t"),
    ("xpc_connection_send_message_with_reply", "handler", "xpc_handler_t"),
    ("xpc_connection_set_event_handler", "handler", "xpc_handler_t"),
    ("xpc_dictionary_apply", "applier", "xpc_dictionary_applier_t"),
    ("xpc_listener_create", "incoming_session_handler", "xpc_listener_incoming_session_handler_t"),
    ("xpc_session_send_message_with_reply_async", "reply_handler", "xpc_session_reply_handler_t"),
    ("xpc_session_set_cancel_handler", "cancel_handler", "xpc_session_cancel_handler_t"),
    ("xpc_session_set_incoming_message_handler", "handler", "xpc_session_incoming_message_handler_t"),
    ("xpc_set_event_stream_handler", "handler", "xpc_handler_t"),
];

/// The functions of `block.rs` that make blocks, and what they make.
const MAKERS: &[(&str, &str)] = &[
    ("handler", "xpc_handler_t"),
    ("plain", "dispatch_block_t"),
    ("reply", "xpc_session_reply_handler_t"),
    ("with_applier", "xpc_dictionary_applier_t"),
];

/// A file in C that compiles if what Rust declares is what the headers declare.
#[derive(Default)]
struct Check {
    code: String,
    /// What has to be exported.
    symbols: Vec<String>,
    /// What is looked up at run time.
    weak: BTreeSet<String>,
    /// The version of macOS that each symbol's documentation names.
    versions: BTreeMap<String, Option<String>>,
    /// What could not be said in C.
    unclear: Vec<String>,
}

impl Check {
    /// Everything that a source like `raw.rs` declares.
    fn declarations(source: &str) -> Self {
        let mut check = Self::default();
        for item in syn::parse_file(source).expect("Rust").items {
            match item {
                // These are needed for the types alone, and those are known by name.
                Item::Use(_) => {}
                Item::Macro(call) if ["macro_rules", "opaque"].iter().any(|name| call.mac.path.is_ident(name)) => {}
                Item::Macro(call) if call.mac.path.is_ident("weak") => {
                    let Weak(items) = call.mac.parse_body().expect("functions and data, as in an `extern` block");
                    // Newer than the oldest system, which is the point: no other complaint of clang's is left out.
                    check.code.push_str("#pragma clang diagnostic push\n");
                    check.code.push_str("#pragma clang diagnostic ignored \"-Wunguarded-availability\"\n");
                    check.code.push_str("#pragma clang diagnostic ignored \"-Wunguarded-availability-new\"\n");
                    let before = check.symbols.len();
                    items.iter().for_each(|item| check.foreign(item));
                    check.weak.extend(check.symbols[before..].iter().cloned());
                    check.code.push_str("#pragma clang diagnostic pop\n");
                }
                Item::Const(constant) => check.constant(&constant),
                Item::Type(alias) => check.alias(&alias),
                Item::ForeignMod(block) => {
                    if block.abi.name.as_ref().is_none_or(|name| name.value() != "C") {
                        check.unclear.push(format!("`{}` is not C's ABI", words(&block.abi)));
                    }
                    block.items.iter().for_each(|item| check.foreign(item));
                }
                other => check.unclear.push(format!("`{}` is not looked at: extend the test", words(&other))),
            }
        }
        check
    }

    /// The functions that C calls through a block, in a source like `block.rs`: each is named `invoke` and stands inside
    /// the function that makes the block.
    fn invocations(source: &str) -> Self {
        let mut check = Self::default();
        let mut found = BTreeSet::new();
        for item in syn::parse_file(source).expect("Rust").items {
            let functions = match item {
                Item::Fn(function) => vec![(function.sig.ident.to_string(), *function.block)],
                Item::Impl(block) => block
                    .items
                    .into_iter()
                    .filter_map(|item| match item {
                        syn::ImplItem::Fn(function) => Some((function.sig.ident.to_string(), function.block)),
                        _ => None,
                    })
                    .collect(),
                _ => Vec::new(),
            };
            for (maker, body) in functions {
                for statement in body.stmts {
                    if let syn::Stmt::Item(Item::Fn(function)) = statement
                        && function.sig.ident == "invoke"
                    {
                        check.invocation(&maker, &function.sig);
                        found.insert(maker.clone());
                    }
                }
            }
        }
        for (maker, _) in MAKERS.iter().filter(|(maker, _)| !found.contains(*maker)) {
            check.unclear.push(format!("`{maker}` has no `invoke` inside"));
        }
        check
    }

    /// One line of C, with the name that errors in it are to carry.
    fn line(&mut self, name: &str, code: &str) {
        writeln!(self.code, "#line 1 \"{name}\"\n{code}").expect("a string takes all");
    }

    fn alias(&mut self, alias: &syn::ItemType) {
        let name = alias.ident.to_string();
        let Some(ours) = self.c_type(&name, &alias.ty) else { return };
        if name == BLOCK {
            for (at, (_, _, theirs)) in BLOCKS.iter().enumerate() {
                self.line(&name, &format!("static inline {ours} as_{BLOCK}_{at}({theirs} block) {{ return block; }}"));
            }
        } else if WIDER.contains(&&*name) {
            self.line(&name, &format!("static inline {ours} as_{name}({name} value) {{ return value; }}"));
        } else {
            self.line(&name, &format!("_Static_assert(__builtin_types_compatible_p({name}, {ours}), \"is another\");"));
        }
    }

    /// A constant, which is a macro or an enumerator in C.
    fn constant(&mut self, constant: &syn::ItemConst) {
        let name = constant.ident.to_string();
        let value = words(&constant.expr).replace("usize :: MAX", "SIZE_MAX");
        self.line(&name, &format!("_Static_assert({name} == ({value}), \"has another value\");"));
    }

    fn foreign(&mut self, item: &ForeignItem) {
        let attributes = match item {
            ForeignItem::Fn(function) => &function.attrs,
            ForeignItem::Static(variable) => &variable.attrs,
            _ => &Vec::new(),
        };
        // A `link_name` or a `cfg` would make the declaration another than it seems.
        for attribute in attributes.iter().filter(|attribute| !attribute.path().is_ident("doc")) {
            self.unclear.push(format!("`{}` is not looked at: extend the test", words(attribute)));
        }
        if let ForeignItem::Fn(syn::ForeignItemFn { sig: syn::Signature { ident, .. }, .. })
        | ForeignItem::Static(syn::ForeignItemStatic { ident, .. }) = item
        {
            self.versions.insert(ident.to_string(), version(attributes));
        }
        match item {
            ForeignItem::Fn(function) => self.function(&function.sig),
            ForeignItem::Static(variable) => self.variable(&variable.ident.to_string(), &variable.ty),
            other => self.unclear.push(format!("`{}` is not looked at: extend the test", words(other))),
        }
    }

    fn function(&mut self, signature: &syn::Signature) {
        let name = signature.ident.to_string();
        self.symbols.push(name.clone());
        let Some((result, parameters)) = self.signature(&name, signature, 0) else { return };
        let compared = format!("__builtin_types_compatible_p(__typeof__(&{name}), {result} (*)({parameters}))");
        self.line(&name, &format!("_Static_assert({compared}, \"has another type\");"));
        if matches!(&signature.output, ReturnType::Type(_, ty) if matches!(**ty, Type::Never(_))) {
            // The comparison above does not mind; the conversion below does.
            let pointer = format!("void (*{name}_never)({parameters}) __attribute__((noreturn))");
            self.line(&name, &format!("{pointer} = &{name};"));
        }
    }

    fn variable(&mut self, name: &str, ty: &Type) {
        self.symbols.push(name.to_owned());
        let ours = match ty {
            Type::Array(array) => {
                self.c_type(name, &array.elem).map(|element| format!("__typeof__({element}[{}])", words(&array.len)))
            }
            _ => self.c_type(name, ty),
        };
        let Some(ours) = ours else { return };
        let compared = format!("__builtin_types_compatible_p(__typeof__({name}), {ours})");
        self.line(name, &format!("_Static_assert({compared}, \"has another type\");"));
    }

    fn invocation(&mut self, maker: &str, signature: &syn::Signature) {
        let Some((_, theirs)) = MAKERS.iter().find(|(name, _)| *name == maker) else {
            self.unclear.push(format!("{maker}: makes no known block: say in `MAKERS` which it is"));
            return;
        };
        if signature.abi.as_ref().and_then(|abi| abi.name.as_ref()).is_none_or(|name| name.value() != "C") {
            self.unclear.push(format!("{maker}: `invoke` has not C's ABI"));
        }
        // The first is the block itself, which C's type does not show.
        let Some((result, parameters)) = self.signature(maker, signature, 1) else { return };
        let compared = format!("__builtin_types_compatible_p({theirs}, {result} (^)({parameters}))");
        self.line(maker, &format!("_Static_assert({compared}, \"is another block\");"));
    }

    /// C's result and parameters, but for the first few.
    fn signature(&mut self, name: &str, signature: &syn::Signature, skipped: usize) -> Option<(String, String)> {
        let parameters: Vec<(String, &Type)> = signature
            .inputs
            .iter()
            .skip(skipped)
            .filter_map(|input| match input {
                FnArg::Typed(input) => Some((words(&input.pat), &*input.ty)),
                FnArg::Receiver(_) => None,
            })
            .collect();
        let more = if signature.variadic.is_some() { ", ..." } else { "" };
        Some((self.result(name, &signature.output)?, self.parameters(name, &parameters)? + more))
    }

    fn result(&mut self, name: &str, output: &ReturnType) -> Option<String> {
        match output {
            ReturnType::Default => Some("void".to_owned()),
            ReturnType::Type(_, ty) if matches!(**ty, Type::Never(_)) => Some("void".to_owned()),
            ReturnType::Type(_, ty) => self.c_type(name, ty),
        }
    }

    fn parameters(&mut self, name: &str, parameters: &[(String, &Type)]) -> Option<String> {
        let mut theirs = Vec::new();
        for (parameter, ty) in parameters {
            theirs.push(if words(ty) == BLOCK {
                let known = BLOCKS.iter().find(|(function, at, _)| function == &name && at == parameter);
                let Some((_, _, block)) = known else {
                    self.unclear.push(format!("{name}: `{parameter}` is no known block: say in `BLOCKS` which it is"));
                    return None;
                };
                (*block).to_owned()
            } else {
                self.c_type(name, ty)?
            });
        }
        Some(if theirs.is_empty() { "void".to_owned() } else { theirs.join(", ") })
    }

    /// C's word for a type.
    fn c_type(&mut self, name: &str, ty: &Type) -> Option<String> {
        match ty {
            Type::Ptr(pointer) => {
                let constant = if pointer.const_token.is_some() { " const" } else { "" };
                Some(format!("{}{constant} *", self.c_type(name, &pointer.elem)?))
            }
            Type::BareFn(function)
                if function.variadic.is_none()
                    && function
                        .abi
                        .as_ref()
                        .and_then(|abi| abi.name.as_ref())
                        .is_some_and(|abi| abi.value() == "C") =>
            {
                let parameters: Vec<_> = function.inputs.iter().map(|input| (String::new(), &input.ty)).collect();
                let result = self.result(name, &function.output)?;
                Some(format!("__typeof__({result} (*)({}))", self.parameters(name, &parameters)?))
            }
            // A pointer to a function that may be null is the same in C.
            Type::Path(path) if path.path.segments.len() == 1 && path.path.segments[0].ident == "Option" => {
                let syn::PathArguments::AngleBracketed(inner) = &path.path.segments[0].arguments else { return None };
                match inner.args.first() {
                    Some(syn::GenericArgument::Type(inner @ Type::BareFn(_))) => self.c_type(name, inner),
                    _ => {
                        self.unclear.push(format!("{name}: `{}` is not looked at: extend the test", words(ty)));
                        None
                    }
                }
            }
            _ => {
                let ours = words(ty);
                let known = NAMED.iter().find(|(name, _)| *name == ours).map(|(_, theirs)| (*theirs).to_owned());
                if known.is_none() {
                    self.unclear
                        .push(format!("{name}: `{ours}` is no known type: say in `NAMED` which of C's it stands for"));
                }
                known
            }
        }
    }

    /// What clang has against it, for each target and name: nothing where the declarations agree.
    fn disagreements(&self) -> BTreeMap<(&'static str, String), Vec<String>> {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let file = folder.path().join("bindings.c");
        let includes: String = headers().iter().map(|header| format!("#include <{header}>\n")).collect();
        fs_err::write(&file, includes + &self.code).expect("a temporary file can be written");
        let mut found: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (target, _) in TARGETS {
            let mut clang = clang(&format!("{target}-macos.{OLDEST}"), folder.path());
            clang.arg("-ferror-limit=0");
            clang.args(["-Werror=incompatible-pointer-types", "-Werror=int-conversion"]);
            clang.args(["-Werror=unguarded-availability", "-Werror=unguarded-availability-new"]);
            // An object is asked for: zig takes `-fsyntax-only` for a failure to write one. Its cache would keep them all.
            clang.arg("-c").arg(&file).arg("-o").arg(folder.path().join("bindings.o"));
            let output = clang.output().expect("zig starts");
            let said = text(&output.stderr);
            let errors = said.lines().filter(|line| line.contains(": error: "));
            for line in errors {
                let name = line.split(':').next().unwrap_or_default().to_owned();
                found.entry((target, name)).or_default().push(line.to_owned());
            }
            let any = found.keys().any(|(at, _)| *at == target);
            assert_eq!(output.status.success(), !any, "clang failed otherwise:\n{said}");
        }
        found
    }
}

/// What stands in `weak!`.
struct Weak(Vec<ForeignItem>);

impl syn::parse::Parse for Weak {
    fn parse(input: syn::parse::ParseStream<'_>) -> syn::Result<Self> {
        let mut items = Vec::new();
        while !input.is_empty() {
            items.push(input.parse()?);
        }
        Ok(Self(items))
    }
}

/// Apple's headers, and C's that the check itself needs.
fn headers() -> Vec<String> {
    let standard = ["stdarg.h", "stdbool.h", "stddef.h", "stdint.h", "Block.h", "dispatch/dispatch.h", "xpc/xpc.h"];
    let more = HEADERS.iter().map(|header| format!("xpc/{header}.h"));
    standard.into_iter().map(str::to_owned).chain(more).collect()
}

/// The version of macOS that the documentation begins with; none where the header names none.
fn version(attributes: &[syn::Attribute]) -> Option<String> {
    let text = attributes.iter().find(|attribute| attribute.path().is_ident("doc"))?;
    let text = words(&text.meta.require_name_value().ok()?.value);
    let (version, _) = text.trim_matches('"').trim().strip_prefix("macOS ")?.split_once(". ").or_else(|| {
        text.trim_matches('"').trim().strip_prefix("macOS ")?.strip_suffix('.').map(|version| (version, ""))
    })?;
    Some(version.to_owned())
}

/// Every function and variable of XPC's that the headers declare, with the version of macOS that they name.
fn declared_by_apple() -> BTreeMap<String, Option<String>> {
    let mut declared = declared_in(headers().iter().map(String::as_str));
    declared.retain(|name, _| ["xpc_", "_xpc_", "XPC_"].iter().any(|begin| name.starts_with(begin)));
    declared
}

/// Rust's own words.
fn words(tokens: &impl ToTokens) -> String {
    tokens.to_token_stream().to_string()
}

fn backend(file: &str) -> String {
    fs_err::read_to_string(checkout().join("xpc-runtime/src/backend/apple").join(file)).expect("the backend is there")
}

/// What `libSystem` exports on every one of the systems of a target's, with C's underscore.
fn exported(list: &str, systems: &[&str]) -> BTreeSet<String> {
    let listed = |text: &str, key: &str| -> BTreeSet<String> {
        let Some((_, after)) = text.split_once(key) else { return BTreeSet::new() };
        let inside =
            after.split_once('[').and_then(|(_, after)| after.split_once(']')).map_or("", |(inside, _)| inside);
        inside.split(',').map(|word| word.trim().trim_matches('\'').to_owned()).collect()
    };
    list.split("--- !tapi-tbd")
        .flat_map(|library| library.split("- targets:").skip(1))
        .filter(|part| {
            let on = listed(&format!("targets:{part}"), "targets:");
            systems.iter().any(|system| on.contains(*system))
        })
        .flat_map(|part| listed(part, " symbols:"))
        .collect()
}

/// What of these zig's list of `libSystem` lacks, for each target.
fn not_exported(symbols: &[String]) -> Vec<(&'static str, String)> {
    let script = "import ziglang; print(ziglang.__path__[0])";
    let folder = text(&must(Command::new(venv().join("python")).args(["-c", script])).stdout);
    let path = Utf8PathBuf::from(folder.trim_end()).join("lib/libc/darwin/libSystem.tbd");
    let list = fs_err::read_to_string(path).expect("zig has a list of symbols");
    let mut missing = Vec::new();
    for (target, systems) in TARGETS {
        let exported = exported(&list, systems);
        let lacks = symbols.iter().filter(|symbol| !exported.contains(&format!("_{symbol}")));
        missing.extend(lacks.map(|symbol| (target, symbol.clone())));
    }
    missing
}

/// Everything that `xpc-runtime-sys` declares.
fn declared() -> Check {
    Check::declarations(&all_sources())
}

/// The names of all of XPC's functions and variables among that.
pub fn declared_names() -> BTreeSet<String> {
    Check::declarations(&HEADERS.map(sys).concat()).symbols.into_iter().collect()
}

fn all_sources() -> String {
    HEADERS.iter().chain(&OTHERS).map(|module| sys(module)).collect()
}

fn sys(module: &str) -> String {
    let file = checkout().join("xpc-runtime/sys/src").join(format!("{module}.rs"));
    // Documentation of the file itself may stand at the top of one only.
    fs_err::read_to_string(file)
        .expect("the module is there")
        .lines()
        .filter(|line| !line.starts_with("#!["))
        .filter(|line| !line.starts_with("//!"))
        .map(|line| format!("{line}\n"))
        .collect()
}

#[test]
fn declarations_are_the_headers() {
    let check = declared();
    assert_eq!(check.unclear, [""; 0]);
    assert_eq!(check.disagreements(), BTreeMap::new());
    // `debug.h` declares it for debuggers, which look for it; a system need not have it, nor does zig's list.
    let lacking = "xpc_debugger_api_misuse_info".to_owned();
    assert!(check.weak.contains(&lacking));
    assert_eq!(not_exported(&check.symbols), TARGETS.map(|(target, _)| (target, lacking.clone())));
}

#[test]
fn everything_that_the_headers_declare_is_declared_with_its_version() {
    let theirs = declared_by_apple();
    assert!(theirs.len() > 190, "clang names {} only", theirs.len());
    let check = declared();
    let ours: BTreeMap<_, _> =
        check.versions.iter().filter(|(name, _)| theirs.contains_key(*name) || name.contains("xpc")).collect();
    assert_eq!(ours, theirs.iter().collect::<BTreeMap<_, _>>());
    let newer = |version: &Option<String>| {
        let number = |text: &str| -> Vec<u32> { text.split('.').map(|part| part.parse().expect("a number")).collect() };
        version.as_deref().is_none_or(|version| number(version) > number(OLDEST))
    };
    let newer: BTreeSet<_> =
        theirs.iter().filter(|(_, version)| newer(version)).map(|(name, _)| name.clone()).collect();
    assert_eq!(check.weak, newer, "what is newer than macOS {OLDEST} is looked up at run time, and nothing else");
}

#[test]
fn every_declaration_is_compared() {
    let source = all_sources();
    let all: BTreeSet<String> = Check::declarations(&source).symbols.into_iter().collect();
    let changed = |change: fn(&mut ForeignItem)| {
        let mut file = syn::parse_file(&source).expect("Rust");
        for item in &mut file.items {
            match item {
                Item::ForeignMod(block) => block.items.iter_mut().for_each(change),
                Item::Macro(call) if call.mac.path.is_ident("weak") => {
                    let Weak(mut items) = call.mac.parse_body().expect("declarations");
                    items.iter_mut().for_each(change);
                    call.mac.tokens = quote::quote!(#(#items)*);
                }
                _ => {}
            }
        }
        let check = Check::declarations(&words(&file));
        assert_eq!(check.unclear, [""; 0]);
        names(&check).into_iter().collect::<BTreeSet<_>>()
    };
    let with_other_results = changed(|item| match item {
        ForeignItem::Fn(function) => function.sig.output = syn::parse_quote!(-> f64),
        ForeignItem::Static(variable) => *variable.ty = syn::parse_quote!(c_int),
        _ => {}
    });
    // These return a double anyway.
    let mut all_but_doubles = all.clone();
    for name in ["xpc_double_get_value", "xpc_array_get_double", "xpc_dictionary_get_double"] {
        assert!(all_but_doubles.remove(name), "{name}");
    }
    assert_eq!(with_other_results, all_but_doubles);
    let with_another_parameter = changed(|item| match item {
        ForeignItem::Fn(function) => function.sig.inputs.push(syn::parse_quote!(another: usize)),
        ForeignItem::Static(variable) => *variable.ty = syn::parse_quote!([c_int; 1]),
        _ => {}
    });
    assert_eq!(with_another_parameter, all);
}

#[test]
fn blocks_are_called_as_the_headers_say() {
    let source = backend("block.rs");
    let check = Check::invocations(&source);
    assert_eq!(check.unclear, [""; 0]);
    assert_eq!(check.disagreements(), BTreeMap::new());
    let wrong = source.replacen("key: *const c_char, value: xpc_object_t", "key: *const c_char, value: u32", 1);
    assert_ne!(wrong, source);
    assert_eq!(names(&Check::invocations(&wrong)), ["with_applier"]);
}

/// Who disagrees, and on both targets.
fn names(check: &Check) -> Vec<String> {
    let found = check.disagreements();
    let on = |target: &str| found.keys().filter(|(at, _)| *at == target).map(|(_, name)| name.clone()).collect();
    let (first, second): (Vec<String>, Vec<String>) = (on(TARGETS[0].0), on(TARGETS[1].0));
    assert_eq!(first, second, "{found:?}");
    first
}

#[test]
fn another_declaration_is_found_and_named() {
    let right = Check::declarations(
        "pub type xpc_object_t = *mut xpc_object_s;
         unsafe extern \"C\" {
             pub static _xpc_type_bool: xpc_type_s;
             pub fn xpc_release(object: xpc_object_t);
         }",
    );
    assert_eq!((names(&right), right.unclear), (vec![], vec![]));
    for (name, wrong) in [
        ("xpc_int64_create", "fn xpc_int64_create(value: u64) -> xpc_object_t"),
        ("xpc_date_get_value", "fn xpc_date_get_value(xdate: xpc_object_t) -> c_int"),
        ("xpc_release", "fn xpc_release(object: xpc_object_t) -> bool"),
        ("xpc_retain", "fn xpc_retain(object: xpc_object_t)"),
        ("xpc_array_append_value", "fn xpc_array_append_value(xarray: xpc_object_t)"),
        ("xpc_string_create", "fn xpc_string_create(string: *mut c_char) -> xpc_object_t"),
        ("xpc_array_create", "fn xpc_array_create(objects: *mut xpc_object_t, count: usize) -> xpc_object_t"),
        ("xpc_data_create", "fn xpc_data_create(length: usize, bytes: *const c_void) -> xpc_object_t"),
        ("xpc_connection_cancel", "fn xpc_connection_cancel(connection: xpc_connection_t) -> !"),
        ("xpc_connection_activate", "fn xpc_connection_activate(connection: xpc_object_t)"),
        ("xpc_main", "fn xpc_main(handler: unsafe extern \"C\" fn(xpc_connection_t) -> bool) -> !"),
        ("xpc_never_was", "fn xpc_never_was()"),
        // macOS 12.
        (
            "xpc_connection_copy_invalidation_reason",
            "fn xpc_connection_copy_invalidation_reason(connection: xpc_connection_t) -> *mut c_char",
        ),
        (
            "_xpc_error_peer_code_signing_requirement",
            "static _xpc_error_peer_code_signing_requirement: xpc_dictionary_s",
        ),
        ("_xpc_type_null", "static _xpc_type_null: xpc_dictionary_s"),
        ("xpc_string_create_with_format", "fn xpc_string_create_with_format(fmt: *const c_char) -> xpc_object_t"),
        ("_NSConcreteStackBlock", "static _NSConcreteStackBlock: [*mut c_void; 31]"),
    ] {
        let source = format!("unsafe extern \"C\" {{ pub fn xpc_null_create() -> xpc_object_t; pub {wrong}; }}");
        let check = Check::declarations(&source);
        assert_eq!((names(&check), &check.unclear), (vec![name.to_owned()], &vec![]), "{wrong}");
    }
    for (name, wrong) in [
        ("xpc_type_t", "pub type xpc_type_t = *mut xpc_type_s;"),
        ("xpc_connection_t", "pub type xpc_connection_t = u64;"),
        ("block_t", "pub type block_t = usize;"),
        ("xpc_connection_handler_t", "pub type xpc_connection_handler_t = unsafe extern \"C\" fn();"),
        ("xpc_finalizer_t", "pub type xpc_finalizer_t = Option<unsafe extern \"C\" fn(value: u64)>;"),
        ("xpc_session_create_flags_t", "pub type xpc_session_create_flags_t = u32;"),
        ("XPC_LISTENER_CREATE_FORCE_MACH", "pub const XPC_LISTENER_CREATE_FORCE_MACH: u64 = 1 << 2;"),
        ("xpc_session_cancel", "weak! { fn xpc_session_cancel(session: xpc_session_t) -> bool; }"),
    ] {
        assert_eq!(names(&Check::declarations(wrong)), [name], "{wrong}");
    }
}

#[test]
fn what_the_check_cannot_judge_it_refuses() {
    for (source, said) in [
        ("unsafe extern \"C\" { fn xpc_main(handler: Handler) -> !; }", "xpc_main: `Handler` is no known type"),
        ("unsafe extern \"C\" { fn xpc_bool_create(value: &bool); }", "xpc_bool_create: `& bool` is no known type"),
        (
            "unsafe extern \"C\" { fn xpc_array_apply(a: xpc_object_t, block: block_t); }",
            "xpc_array_apply: `block` is no known block",
        ),
        ("unsafe extern \"C\" { #[link_name = \"other\"] fn xpc_retain(); }", "link_name"),
        ("unsafe extern \"system\" { fn xpc_retain(); }", "is not C's ABI"),
        ("pub static XPC: u32 = 1;", "pub static XPC"),
        ("declare!(xpc_retain);", "declare !"),
    ] {
        let unclear = Check::declarations(source).unclear;
        assert!(unclear.len() == 1 && unclear[0].contains(said), "{source}: {unclear:?}");
    }
    let unclear = Check::invocations(&backend("block.rs").replace("fn plain(", "fn bare(")).unclear;
    assert_eq!(unclear.len(), 2, "{unclear:?}");
}

#[test]
fn a_symbol_that_is_not_exported_is_named() {
    let symbols = ["xpc_retain", "xpc_retai", "_xpc_type_bool"].map(str::to_owned);
    let wrong = || "xpc_retai".to_owned();
    assert_eq!(not_exported(&symbols), [("x86_64", wrong()), ("aarch64", wrong())]);
    let list = "--- !tapi-tbd\ntargets: [ x86_64-macos, arm64-macos ]\nexports:\n  - targets: [ x86_64-macos ]\n    \
                symbols: [ _one,\n        '_two' ]\n  - targets: [ arm64-macos ]\n    symbols: [ _three ]\n";
    assert_eq!(exported(list, &["x86_64-macos"]), ["_one", "_two"].map(str::to_owned).into());
    assert_eq!(exported(list, &["arm64-macos", "arm64e-macos"]), ["_three".to_owned()].into());
}
