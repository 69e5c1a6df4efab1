//! No text and no blob make the readers of requirements panic, and what a requirement is printed as is read as the same requirement.

#![no_main]

use libfuzzer_sys::fuzz_target;
use reading::verify::{Requirement, fuzzing};

fuzz_target!(|input: &[u8]| {
    fuzzing::requirements(input);
    if let Ok(requirement) = Requirement::from_blob(input) {
        let _ = requirement.to_string();
    }
    let Ok(text) = std::str::from_utf8(input) else { return };
    let Ok(requirement) = Requirement::from_text(text) else { return };
    let printed = requirement.to_string();
    let again = Requirement::from_text(&printed);
    assert_eq!(again.as_ref(), Ok(&requirement), "printed as `{printed}`");
});
