//! Values that travel beside the bytes.

// Miri knows no memfd.
#![cfg(not(miri))]

use std::collections::VecDeque;
use std::fs::File;

use xpc_object::{
    Attachment, Bytes, DecodeError, DecodeErrorKind, Dictionary, EncodeError, Endpoint, EndpointHandle, ErrorValue, Fd,
    Flavour, MessageView, Object, SharedMemory, Type, Wanted, array, decode_message, decode_message_with_attachments,
    decode_value, dictionary, encode_message, encode_message_with_attachments, encode_value, limits,
};

#[derive(Debug)]
struct Listener(u64);

impl EndpointHandle for Listener {
    fn id(&self) -> u64 {
        self.0
    }
}

fn fd() -> Fd {
    File::open("/dev/null").unwrap().into()
}

fn encode(message: &Dictionary) -> Result<(Bytes, Vec<Attachment>), EncodeError> {
    let mut attachments = Vec::new();
    let bytes = encode_message_with_attachments(Vec::new(), message, Flavour::Mach, &mut attachments)?;
    Ok((bytes.into(), attachments))
}

/// In both ways, which have to agree.
fn decode(bytes: &Bytes, attachments: Vec<Attachment>) -> Result<Dictionary, DecodeError> {
    let mut others = VecDeque::from(attachments.clone());
    let view = MessageView::with_attachments(bytes, &mut |_| others.pop_front()).map(|view| view.to_dictionary());
    let mut attachments = VecDeque::from(attachments);
    let read = decode_message_with_attachments(bytes, &mut |_| attachments.pop_front()).map(|(message, _)| message);
    assert_eq!(view, read);
    read
}

#[test]
fn they_are_numbered_in_order_at_every_depth() {
    let (first, second) = (fd(), fd());
    let memory = SharedMemory::new(5000).unwrap();
    let endpoint = Endpoint::new(Listener(7));
    let message = dictionary! {
        "a" => array![&first, dictionary! { "memory" => &memory }],
        "b" => &endpoint,
        "c" => array![array![&second], &first],
    };
    let (bytes, attachments) = encode(&message).unwrap();
    let kinds: Vec<_> = attachments.iter().cloned().map(|attachment| Object::from(attachment).kind()).collect();
    assert_eq!(kinds, [Type::Fd, Type::SharedMemory, Type::Endpoint, Type::Fd, Type::Fd]);
    assert_eq!(decode(&bytes, attachments.clone()).unwrap(), message);
    // What the bytes say of each.
    let mut wanted = Vec::new();
    let mut rest = attachments.into_iter();
    decode_message_with_attachments(&bytes, &mut |what| {
        wanted.push(what);
        rest.next()
    })
    .unwrap();
    let expected = [Wanted::Fd, Wanted::SharedMemory { len: 5000 }, Wanted::Endpoint { id: 7 }, Wanted::Fd, Wanted::Fd];
    assert_eq!(wanted, expected);
}

#[test]
fn what_does_not_come_along_is_an_error() {
    let (bytes, attachments) = encode(&dictionary! { "list" => array![fd(), SharedMemory::new(1).unwrap()] }).unwrap();
    let [fd, memory] = attachments.try_into().unwrap();
    for wrong in [vec![], vec![fd.clone()], vec![fd.clone(), fd.clone()], vec![memory.clone(), fd.clone()]] {
        let error = decode(&bytes, wrong).unwrap_err();
        assert!(matches!(error.kind(), DecodeErrorKind::BadAttachment { .. }));
    }
    assert!(decode(&bytes, vec![fd.clone(), memory.clone()]).is_ok());
    // Numbers that are not those of the order: the first value's, which stands behind header, dictionary, key and array.
    for number in [1, u32::MAX] {
        let mut bytes = bytes.to_vec();
        bytes[8 + 12 + 8 + 12 + 4..][..4].copy_from_slice(&number.to_le_bytes());
        let error = DecodeErrorKind::BadAttachment { offset: 8 + 12 + 8 + 12 };
        assert_eq!(decode(&bytes.into(), vec![fd.clone(), memory.clone()]), Err(error.into()));
    }
}

#[test]
fn their_number_is_limited() {
    let fd = fd();
    let list = |count| dictionary! { "list" => (0..count).map(|_| &fd).collect::<xpc_object::Array>() };
    let (bytes, attachments) = encode(&list(limits::MAX_ATTACHMENTS)).unwrap();
    assert_eq!(decode(&bytes, attachments).unwrap(), list(limits::MAX_ATTACHMENTS));
    assert_eq!(encode(&list(limits::MAX_ATTACHMENTS + 1)).unwrap_err(), EncodeError::TooManyAttachments);
}

#[test]
fn peers_that_are_reached_by_bytes_alone_get_none_and_those_they_name_are_foreign() {
    for (value, kind, bytes) in [
        (Object::from(fd()), Type::Fd, &b"\0\xb0\0\0\0\0\0\0"[..]),
        (SharedMemory::new(1).unwrap().into(), Type::SharedMemory, b"\0\xc0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0"),
        (Endpoint::new(Listener(2)).into(), Type::Endpoint, b"\0\x20\x01\0\0\0\0\0\x02\0\0\0\0\0\0\0"),
    ] {
        assert_eq!(encode_value(&value), Err(EncodeError::Unsendable(kind)));
        let message = dictionary! { "value" => value };
        assert_eq!(encode_message(&message, Flavour::Remote), Err(EncodeError::Unsendable(kind)));
        assert_eq!(decode_value(&Bytes::from_static(bytes)), Ok(Object::Foreign(kind)));
        let (bytes, _) = encode(&message).unwrap();
        assert_eq!(decode_message(&bytes).unwrap().0, dictionary! { "value" => Object::Foreign(kind) });
        let view = MessageView::new(&bytes).unwrap();
        assert_eq!(view.to_dictionary(), dictionary! { "value" => Object::Foreign(kind) });
        assert!(view.dictionary().fd("value").is_err());
    }
    let error = Object::Error(ErrorValue::new("Connection invalid"));
    assert_eq!(encode(&dictionary! { "error" => error }).unwrap_err(), EncodeError::Unsendable(Type::Error));
}

#[test]
fn equality_is_that_of_what_they_stand_for() {
    let (one, other) = (fd(), fd());
    assert_eq!(Object::from(&one), Object::from(one.clone()));
    assert_ne!(one, other);
    assert_ne!(Fd::from(one.try_clone_to_owned().unwrap()), one);
    assert_eq!(Endpoint::new(Listener(1)), Endpoint::new(Listener(1)));
    assert_ne!(Endpoint::new(Listener(1)), Endpoint::new(Listener(2)));
    let memory = SharedMemory::new(1).unwrap();
    assert_eq!(Object::from(&memory), Object::from(memory.clone()));
    assert_ne!(memory, SharedMemory::new(1).unwrap());
}

#[test]
fn getters_give_them_by_type() {
    let message = dictionary! { "fd" => fd(), "memory" => SharedMemory::new(3).unwrap(), "list" => array![fd()] };
    assert_eq!(message.shared_memory("memory").unwrap().len(), 3);
    assert!(message.fd("fd").is_ok() && message.array("list").unwrap().fd(0).is_ok());
    assert_eq!(message.endpoint("fd").unwrap_err().to_string(), "the value for `fd` is of type fd, not endpoint");
    assert!(Fd::try_from(message.get("fd").unwrap().clone()).is_ok());
}

#[test]
fn the_last_clone_closes_a_descriptor() {
    let (reader, writer) = std::io::pipe().unwrap();
    let writer = Fd::from(std::os::fd::OwnedFd::from(writer));
    let message = dictionary! { "fd" => &writer };
    let owned = writer.into_owned().unwrap();
    drop(message);
    let mut file = File::from(owned);
    std::io::Write::write_all(&mut file, b"x").unwrap();
    drop(file);
    assert_eq!(std::io::read_to_string(reader).unwrap(), "x");
}
