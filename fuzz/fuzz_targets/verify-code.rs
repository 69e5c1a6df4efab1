//! No Mach-O file makes `verify` panic, and one that is found sound is Mach-O.

#![no_main]

use libfuzzer_sys::fuzz_target;
use reading::macho::MachFile;
use reading::verify::{Requirement, verify_code};

fuzz_target!(|input: &[u8]| {
    let requirement = Requirement::from_text("identifier \"tool\" and anchor apple generic").expect("it is sound");
    let report = verify_code("tool".into(), input, Some(&requirement));
    assert!(report.errors().next().is_some() || MachFile::parse(input).is_ok());
});
