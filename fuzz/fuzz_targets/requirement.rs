//! No text and no blob make the readers of requirements panic, and what a requirement is printed as can be read, and is then
//! printed alike.

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
    // As text: `and` and `or` associate, so that what stood in brackets may be held in another order.
    let again = Requirement::from_text(&printed).map(|again| again.to_string());
    assert_eq!(again.as_ref(), Ok(&printed));
});
