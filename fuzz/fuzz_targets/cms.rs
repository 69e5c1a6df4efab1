//! No bytes make the reader of CMS signatures panic: BER to DER, the message, its certificates, timestamp and lists of hashes.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use reading::macho::{MachFile, Signature};
use reading::verify::fuzzing;

const SIGNED: &[u8] = include_bytes!("../../cargo-xpc/tests/fixtures/macho/tool-aarch64");

/// Of a file that a linker signed.
static SIGNATURE: LazyLock<Signature> = LazyLock::new(|| {
    let file = MachFile::parse(SIGNED).expect("the fixture is sound");
    file.slices[0].read_signature(SIGNED).expect("its signature too").expect("it is signed")
});

fuzz_target!(|input: &[u8]| {
    fuzzing::cms(input, &[(SIGNATURE.best_directory(), b"directory")]);
});
