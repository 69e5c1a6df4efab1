//! Damaged and malicious Mach-O: an error, never a panic.

use cargo_xpc::macho::{MachFile, universal};
use cargo_xpc::sign::{SignRequest, plan};
use cargo_xpc::verify::verify;

use crate::fixture::{App, LIBRARY_ARM, TOOL_ARM, TOOL_INTEL, tool, write};

fn read(data: &[u8]) {
    if let Ok(file) = MachFile::parse(data) {
        for slice in &file.slices {
            if let Ok(Some(signature)) = slice.read_signature(data) {
                let _ = signature.entitlements();
                let _ = signature.unused().count();
                for directory in &signature.directories {
                    let _ = directory.page_hash(usize::MAX);
                    let _ = directory.page_hash(directory.pages);
                }
            }
        }
    }
}

fn signed() -> Vec<u8> {
    let app = App::bare(&tool());
    app.sign(&SignRequest { get_task_allow: true, ..SignRequest::default() });
    fs_err::read(app.path("MacOS/demo")).unwrap()
}

#[test]
fn a_file_cut_anywhere_is_an_error() {
    let signed = signed();
    for data in [TOOL_ARM, TOOL_INTEL, LIBRARY_ARM, &signed] {
        for length in 0..4096 {
            read(&data[..length]);
            assert!(MachFile::parse(&data[..length]).is_err(), "{length}");
        }
        for length in (4096..data.len()).step_by(997) {
            read(&data[..length]);
        }
    }
}

/// A small generator of numbers, the same in every run.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % below
    }
}

#[test]
fn random_damage_never_panics() {
    let signed = signed();
    let file = MachFile::parse(&signed).unwrap();
    let mut numbers = Numbers(7);
    for data in [TOOL_ARM, TOOL_INTEL, LIBRARY_ARM, &signed] {
        for _ in 0..2000 {
            let mut damaged = data.to_vec();
            for _ in 0..=numbers.next(4) {
                let word = [0_u32, 1, 7, 0x7fff_ffff, 0x8000_0000, u32::MAX, 0xffff_fff0][numbers.next(7)];
                let at = numbers.next(1200) & !3;
                damaged[at..at + 4].copy_from_slice(&word.to_le_bytes());
            }
            read(&damaged);
        }
    }
    let slice = &file.slices[1];
    let start = slice.range.start + slice.signature.clone().unwrap().start;
    for _ in 0..4000 {
        let mut damaged = signed.clone();
        for _ in 0..=numbers.next(3) {
            let word = [0_u32, 1, 7, 0x7fff_ffff, 0x8000_0000, u32::MAX, 0x40][numbers.next(7)];
            let at = start + numbers.next(800);
            damaged[at..at + 4].copy_from_slice(&word.to_be_bytes());
        }
        read(&damaged);
    }
}

/// Signing a damaged program is an error or gives something sound; never a panic in the library that rewrites the file.
#[test]
fn damaged_programs_are_refused_or_signed() {
    let app = App::bare(TOOL_INTEL);
    let mut numbers = Numbers(11);
    let (mut refused, mut signed) = (0, 0);
    for data in [TOOL_ARM, TOOL_INTEL] {
        for _ in 0..300 {
            let mut damaged = data.to_vec();
            let word = [0_u32, 1, 7, 0x7fff_ffff, 0x8000_0000, u32::MAX, 0x1000][numbers.next(7)];
            let at = numbers.next(1200) & !3;
            damaged[at..at + 4].copy_from_slice(&word.to_le_bytes());
            write(&app.path("MacOS/demo"), &damaged);
            let Ok(plan) = plan(&app.root, &SignRequest::default()) else {
                refused += 1;
                continue;
            };
            if cargo_xpc::sign::execute(&plan, &app.root, &mut |_| {}).is_ok() {
                signed += 1;
                let report = verify(&app.root).unwrap();
                assert_eq!(report.findings, []);
            }
        }
    }
    assert!(refused > 50 && signed > 50, "{refused} refused, {signed} signed");
}

/// Every pair of parts is compared, so that their number must have a limit.
#[test]
fn a_signature_of_a_million_parts_is_an_error() {
    let mut data = vec![0; 12 + 16 * 1_000_000];
    data[..4].copy_from_slice(&0xfade_0cc0_u32.to_be_bytes());
    let length = data.len() as u32;
    data[4..8].copy_from_slice(&length.to_be_bytes());
    data[8..12].copy_from_slice(&1_000_000_u32.to_be_bytes());
    let error = cargo_xpc::macho::Signature::parse(&data).unwrap_err().to_string();
    assert!(error.contains("1000000 parts"), "{error}");
}

#[test]
fn universal_headers_that_lie_are_errors() {
    let merged = tool();
    let field = |index: usize, field: usize| 8 + 20 * index + 4 * field;
    for (at, value, says) in [
        (4, 0_u32, "0 architectures"),
        (4, 44, "damaged"),
        (field(0, 2), u32::MAX, "outside of the file"),
        (field(0, 3), u32::MAX, "outside of the file"),
        (field(1, 2), 0x1000, "overlap"),
        (field(0, 0), 7, "the header says"),
    ] {
        let mut lie = merged.clone();
        lie[at..at + 4].copy_from_slice(&value.to_be_bytes());
        let error = MachFile::parse(&lie).unwrap_err().to_string();
        assert!(error.contains(says) || says == "damaged", "{at}: {error}");
    }
}

#[test]
fn universal_files_hold_each_architecture_once_in_a_fixed_order() {
    assert_eq!(universal::merge(&[TOOL_ARM, TOOL_INTEL]).unwrap(), universal::merge(&[TOOL_INTEL, TOOL_ARM]).unwrap());
    let merged = tool();
    let file = MachFile::parse(&merged).unwrap();
    assert_eq!(file.slices.iter().map(|slice| slice.arch.to_string()).collect::<Vec<_>>(), ["x86_64", "arm64"]);
    assert_eq!(file.slices[0].range.start % 0x1000, 0);
    assert_eq!(file.slices[1].range.start % 0x4000, 0);
    assert_eq!(file.slices[0].bytes(&merged), TOOL_INTEL);
    assert_eq!(file.slices[1].bytes(&merged), TOOL_ARM);
    assert_eq!(universal::merge(&[TOOL_ARM]).unwrap(), TOOL_ARM);
    let error = universal::merge(&[TOOL_ARM, &merged]).unwrap_err().to_string();
    assert!(error.contains("arm64") && error.contains("once"), "{error}");
    assert!(universal::merge(&[]).is_err());
}
