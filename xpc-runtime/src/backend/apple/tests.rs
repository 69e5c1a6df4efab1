//! Objects and blocks: what Miri can run, since the shim's objects are Rust too. Where the program is linked with a
//! libxpc, these run over that.

use std::ffi::c_void;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use xpc_object::limits::MAX_DEPTH;
use xpc_object::{Array, Date, Dictionary, EncodeError, Object, Uuid};
use xpc_runtime_sys::block::{_Block_copy, _Block_release};
#[cfg(miri)]
use xpc_shim as _;

use super::block::Block;
use super::message::Message;
use super::object;

fn there_and_back(contents: &Dictionary) -> Dictionary {
    object::contents(&object::dictionary(contents).unwrap())
}

#[test]
fn values_of_every_type_come_back_as_they_were() {
    let inner = Dictionary::new().with("array", Array::from([Object::Null, 1_i64.into(), "text".into()]));
    let contents = Dictionary::new()
        .with("null", ())
        .with("true", true)
        .with("false", false)
        .with("int64", i64::MIN)
        .with("uint64", u64::MAX)
        .with("double", -0.5)
        .with("date", Date::from_nanoseconds(-1))
        .with("data", vec![0_u8, 255])
        .with("no data", Vec::<u8>::new())
        .with("string", "h\u{e9}llo \u{1f980}")
        .with("no string", "")
        .with("uuid", Uuid::from_bytes([7; 16]))
        .with("array", Array::from([inner.clone().into(), Array::new().into(), Object::from(true)]))
        .with("dictionary", inner)
        .with("empty", Dictionary::new());
    assert_eq!(there_and_back(&contents), contents);
    // And from the same object again.
    let message = Message::new(object::dictionary(&contents).unwrap());
    assert_eq!((message.dictionary(), message.dictionary()), (&contents, &contents));
    assert!(message.reply().is_none(), "nobody asked");
}

#[test]
fn a_descriptor_that_comes_back_is_another_one_of_the_same_file() {
    let (mut reader, writer) = std::io::pipe().unwrap();
    let contents = Dictionary::new().with("fd", OwnedFd::from(writer));
    let received = there_and_back(&contents);
    drop(contents);
    let descriptor = received.fd("fd").unwrap().try_clone_to_owned().unwrap();
    drop(received);
    File::from(descriptor).write_all(b"through").unwrap();
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    assert_eq!(text, "through");
}

#[test]
fn what_c_cannot_hold_is_refused_and_leaves_nothing_behind() {
    let with = |value: Object| object::dictionary(&Dictionary::new().with("first", "value").with("key", value)).err();
    assert_eq!(with("a\0b".into()), Some(EncodeError::NulInString("a\0b".to_owned())));
    let array = Array::from([Object::from("first"), "a\0b".into()]);
    assert_eq!(with(array.into()), Some(EncodeError::NulInString("a\0b".to_owned())));
    let inner = Dictionary::new().with("a\0b", 1_u64);
    assert_eq!(with(inner.into()), Some(EncodeError::NulInKey("a\0b".to_owned())));
    let nested = |depth: usize| (0..depth).fold(Object::Null, |value, _| Array::from([value]).into());
    assert_eq!(with(nested(MAX_DEPTH - 1)), None);
    assert_eq!(with(nested(MAX_DEPTH)), Some(EncodeError::TooDeep));
}

#[test]
fn a_closure_goes_with_the_last_copy_of_its_block() {
    /// The head of a block: class, flags, and the function.
    #[repr(C)]
    struct Head(*const c_void, u64, unsafe extern "C" fn(*const c_void));

    let calls = Arc::new(AtomicU32::new(0));
    let counted = calls.clone();
    let block = Block::plain(move || {
        counted.fetch_add(1, Ordering::Relaxed);
    });
    // SAFETY: a live block; each copy is called while it is there, by a function of its type, and released once.
    unsafe {
        let copy = _Block_copy(block.as_ptr());
        let same = _Block_copy(copy);
        drop(block);
        _Block_release(same);
        assert_eq!(Arc::strong_count(&calls), 2);
        ((*copy.cast::<Head>()).2)(copy);
        _Block_release(copy);
    }
    assert_eq!((calls.load(Ordering::Relaxed), Arc::strong_count(&calls)), (1, 1));
}
