//! The one message of the unified log whose arguments `xpc-runtime` encodes by hand, against clang's own encoding.

use integration_tests::{checkout, text};

use crate::headers::clang;

#[test]
fn a_text_is_encoded_as_clang_does_it() {
    let source = checkout().join("xpc-runtime/src/backend/apple/log.rs");
    let source = fs_err::read_to_string(source).expect("the backend's log");
    let between = |before: &str, after: &str| {
        let (_, rest) = source.split_once(before).expect(before);
        rest.split_once(after).expect(after).0.to_owned()
    };
    let format = between("*b\"", "\\0\";");
    let ours = between("const ARGUMENTS: [u8; 4] = [", "];");
    let ours: Vec<u8> = ours
        .split(", ")
        .map(|byte| u8::from_str_radix(byte.trim_start_matches("0x"), 16).expect("a byte in hexadecimal"))
        .collect();

    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let code = format!(
        "void used(void *, unsigned long);
        void encode(const char *text) {{
            _Alignas(16) unsigned char buffer[__builtin_os_log_format_buffer_size(\"{format}\", text)];
            used(__builtin_os_log_format(buffer, \"{format}\", text), sizeof buffer);
        }}"
    );
    fs_err::write(folder.path().join("encode.c"), code).expect("a temporary file can be written");
    for target in ["aarch64-macos", "x86_64-macos"] {
        let mut clang = clang(target, folder.path());
        clang.args(["-O2", "-g0", "-S", "-emit-llvm", "-o", "encode.ll", "encode.c"]);
        let output = clang.output().expect("zig starts");
        assert!(output.status.success(), "{}", text(&output.stderr));
        let made = fs_err::read_to_string(folder.path().join("encode.ll")).expect("clang's code");
        let head: Vec<String> = ours.iter().map(|byte| format!("i8 {byte}")).collect();
        assert!(made.contains(&format!("store <4 x i8> <{}>", head.join(", "))), "{target}\n{made}");
        assert!(made.contains("alloca [12 x i8]"), "four bytes and a pointer\n{made}");
    }
}
