//! The macros of `xpc-runtime`, which re-exports them: depend on that crate, not on this one.

#![forbid(unsafe_code)]

mod manifest;

use std::path::PathBuf;

use proc_macro::{Delimiter, Group, Ident, Literal, Punct, Spacing, Span, TokenStream, TokenTree};

/// The name under which clients find a service: `identifier` in `[package.metadata.xpc.interface]` of the calling
/// package's Cargo.toml.
///
/// It expands to a `&'static str` that constants can use, so that the name is written in one place only:
///
/// ```text
/// pub const SERVICE_NAME: &str = xpc_runtime::service_name!();
/// ```
///
/// A missing or malformed identifier is a compile error that names the file and the key. The package is compiled again
/// when its Cargo.toml changes.
#[proc_macro]
pub fn service_name(input: TokenStream) -> TokenStream {
    if let Some(unexpected) = input.into_iter().next() {
        return compile_error(
            "`service_name!()` takes no arguments: it reads [package.metadata.xpc.interface] of Cargo.toml",
            unexpected.span(),
        );
    }
    let folder = match std::env::var_os("CARGO_MANIFEST_DIR") {
        Some(folder) => PathBuf::from(folder),
        None => {
            return compile_error(
                "`service_name!()` needs to be compiled by cargo, which sets CARGO_MANIFEST_DIR",
                Span::call_site(),
            );
        }
    };
    match manifest::service_name(&folder.join("Cargo.toml")) {
        Ok(name) => expand(&name),
        Err(message) => compile_error(&message, Span::call_site()),
    }
}

/// `{ const _: &[u8] = include_bytes!(…Cargo.toml); "name" }`: including the manifest makes it a dependency of the
/// compilation.
fn expand(name: &str) -> TokenStream {
    let include = "const _: &[u8] = ::core::include_bytes!(::core::concat!(::core::env!(\"CARGO_MANIFEST_DIR\"), \"/Cargo.toml\"));";
    let mut block: TokenStream = include.parse().expect("a fixed, valid item");
    block.extend([TokenTree::Literal(Literal::string(name))]);
    TokenTree::Group(Group::new(Delimiter::Brace, block)).into()
}

fn compile_error(message: &str, span: Span) -> TokenStream {
    let argument = Group::new(Delimiter::Parenthesis, TokenTree::Literal(Literal::string(message)).into());
    let tokens: [TokenTree; 3] =
        [Ident::new("compile_error", span).into(), Punct::new('!', Spacing::Alone).into(), argument.into()];
    tokens
        .into_iter()
        .map(|mut token| {
            token.set_span(span);
            token
        })
        .collect()
}
