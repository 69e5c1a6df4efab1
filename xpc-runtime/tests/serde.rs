//! Types as messages, through this crate alone.

use serde::{Deserialize, Serialize};
use xpc_runtime::{
    Connection, Date, DecodeErrorKind, Dictionary, Error, Fd, Listener, Uuid, dictionary, from_dictionary,
    to_dictionary,
};

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

/// `?` on what `from_dictionary` returns did not compile in a handler that returns `Result<(), Error>`, as all examples do.
#[test]
fn a_message_is_read_as_a_type_in_a_handler() {
    let listener = Listener::anonymous().activate(|peer| {
        peer.on_message(|_, message| -> Result<(), Error> {
            let job: Job = from_dictionary(&message)?;
            message.reply_with(to_dictionary(&job)?)
        })
        .activate();
    });
    let connection = Connection::from_endpoint(&listener.endpoint()).activate();
    let job = Job { id: [7; 16].into(), due: Date::from_nanoseconds(5), note: Some("due".to_owned()) };
    let reply = connection.send_with_reply_blocking(&to_dictionary(&job).unwrap()).unwrap();
    assert_eq!(reply.decode(), Ok(job));
    let error = reply.decode::<u8>().unwrap_err();
    assert!(matches!(&error, Error::Decode(it) if matches!(it.kind(), DecodeErrorKind::Deserialize(_))), "{error:?}");

    let other = connection.send_with_reply_blocking(&dictionary! { "id" => 1_u64 });
    assert_eq!(other.map(drop), Err(Error::Interrupted));
}

/// Read from its bytes, the descriptor would be left out.
#[test]
fn a_message_with_a_descriptor_is_no_type() {
    let listener = Listener::anonymous().activate(|peer| {
        peer.on_message(|_, message| message.reply_with(message.clone())).activate();
    });
    let connection = Connection::from_endpoint(&listener.endpoint()).activate();
    let job = to_dictionary(&Job { id: [7; 16].into(), due: Date::from_nanoseconds(5), note: None }).unwrap();
    let with_file = job.clone().with("file", Fd::from(std::fs::File::open("/dev/null").unwrap()));
    assert!(connection.send_with_reply_blocking(&job).unwrap().decode::<Job>().is_ok());
    let error = connection.send_with_reply_blocking(&with_file).unwrap().decode::<Job>().unwrap_err();
    assert!(matches!(error, Error::Decode(_)), "{error:?}");
}

#[test]
fn a_variant_without_content_is_a_message_if_it_has_braces() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    enum Request {
        Ping {},
        Plain,
    }
    let message = to_dictionary(&Request::Ping {}).unwrap();
    assert_eq!(message, dictionary! { "Ping" => Dictionary::new() });
    assert_eq!(from_dictionary::<Request>(&message), Ok(Request::Ping {}));
    let error = to_dictionary(&Request::Plain).unwrap_err().to_string();
    assert!(error.contains("a struct, a map or a variant that holds something"), "{error}");
}
