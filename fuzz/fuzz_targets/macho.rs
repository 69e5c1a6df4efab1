//! No bytes make the readers of Mach-O files, of signatures or of single slices panic; what they read lies inside of the file.

#![no_main]

use libfuzzer_sys::fuzz_target;
use reading::macho::{Container, MachFile, Signature, universal};

fuzz_target!(|input: &[u8]| {
    if let Ok(signature) = Signature::parse(input) {
        look_at(&signature);
    }
    let Ok(file) = MachFile::parse(input) else { return };
    assert!(!file.slices.is_empty());
    for slice in &file.slices {
        assert!(slice.range.end <= input.len() && slice.bytes(input).len() == slice.range.len());
        for segment in &slice.segments {
            assert!(segment.end() <= slice.range.len() as u64, "{segment:?}");
        }
        assert!(slice.commands_end <= slice.range.len());
        if let Ok(Some(signature)) = slice.read_signature(input) {
            look_at(&signature);
        }
    }
    let slices: Vec<&[u8]> = file.slices.iter().map(|slice| slice.bytes(input)).collect();
    if let Ok(merged) = universal::merge(&slices) {
        let again = MachFile::parse(&merged).expect("what was merged can be read");
        assert_eq!(again.slices.len(), file.slices.len());
        assert_eq!(again.container == Container::Thin, slices.len() == 1);
        for slice in &again.slices {
            assert!(slices.contains(&slice.bytes(&merged)));
        }
    }
});

fn look_at(signature: &Signature) {
    let _ = signature.entitlements();
    let _ = signature.cms();
    let _ = signature.unused().count();
    for page in [0, 1, usize::MAX] {
        let _ = signature.best_directory().page_hash(page);
    }
}
