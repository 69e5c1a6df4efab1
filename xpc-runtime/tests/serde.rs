//! Types as messages, through this crate alone.

use serde::{Deserialize, Serialize};
use xpc_runtime::{Date, DecodeErrorKind, Dictionary, Uuid, from_dictionary, to_dictionary};

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Job {
    id: Uuid,
    due: Date,
    note: Option<String>,
}

#[test]
fn a_type_is_sent_as_a_dictionary_and_read_from_one() {
    let job = Job { id: [7; 16].into(), due: Date::from_nanoseconds(-1), note: None };
    let message = to_dictionary(&job).unwrap();
    assert_eq!(message, Dictionary::new().with("id", job.id).with("due", job.due).with("note", ()));
    assert_eq!(from_dictionary::<Job>(&message), Ok(job));
    let error = from_dictionary::<Job>(&Dictionary::new()).unwrap_err();
    assert!(matches!(error.kind(), DecodeErrorKind::Deserialize(_)));
}
