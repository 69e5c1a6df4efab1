//! `Debug` in the words of `xpc_copy_description`, without the addresses, so that two runs print the same.

use std::fmt::{self, Debug, Formatter, Write};
use std::os::fd::AsRawFd;

use crate::{Array, Dictionary, ErrorValue, Object};

/// Blobs are for programs; a person looking at a log needs to recognise one, not to read it.
const SHOWN_DATA_BYTES: usize = 64;

impl Debug for Object {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write_object(f, self, 0)
    }
}

impl Debug for Array {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write_array(f, self, 0)
    }
}

impl Debug for Dictionary {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write_dictionary(f, self, 0)
    }
}

impl Debug for ErrorValue {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write_error(f, self, 0)
    }
}

fn write_object(f: &mut Formatter<'_>, object: &Object, depth: usize) -> fmt::Result {
    match object {
        Object::Null => f.write_str("<null>"),
        Object::Bool(value) => write!(f, "<bool>: {value}"),
        Object::Int64(value) => write!(f, "<int64>: {value}"),
        Object::Uint64(value) => write!(f, "<uint64>: {value}"),
        Object::Double(value) => write!(f, "<double>: {value:?}"),
        Object::Date(value) => write!(f, "<date>: {} ns", value.nanoseconds()),
        Object::Data(bytes) => {
            write!(f, "<data>: {{ length = {} bytes, contents = 0x", bytes.len())?;
            for byte in bytes.iter().take(SHOWN_DATA_BYTES) {
                write!(f, "{byte:02x}")?;
            }
            f.write_str(if bytes.len() > SHOWN_DATA_BYTES { "... }" } else { " }" })
        }
        Object::String(text) => write!(f, "<string> {{ length = {}, contents = {text:?} }}", text.len()),
        Object::Uuid(uuid) => write!(f, "<uuid> {uuid}"),
        Object::Fd(fd) => write!(f, "<fd> {{ number = {} }}", fd.as_raw_fd()),
        Object::SharedMemory(memory) => write!(f, "{memory:?}"),
        Object::Endpoint(_) => f.write_str("<endpoint>"),
        Object::Error(error) => write_error(f, error, depth),
        Object::Array(array) => write_array(f, array, depth),
        Object::Dictionary(dictionary) => write_dictionary(f, dictionary, depth),
        Object::Foreign(kind) => write!(f, "<{kind}>"),
    }
}

/// An error is a dictionary in all but name.
fn write_error(f: &mut Formatter<'_>, error: &ErrorValue, depth: usize) -> fmt::Result {
    let contents = Dictionary::new().with("XPCErrorDescription", error.description());
    f.write_str("<error>")?;
    write_contents(f, &contents, depth)
}

fn write_array(f: &mut Formatter<'_>, array: &Array, depth: usize) -> fmt::Result {
    write!(f, "<array> {{ count = {}, contents =", array.len())?;
    for (index, value) in array.iter().enumerate() {
        new_line(f, depth + 1)?;
        write!(f, "{index}: ")?;
        write_object(f, value, depth + 1)?;
    }
    new_line(f, depth)?;
    f.write_char('}')
}

fn write_dictionary(f: &mut Formatter<'_>, dictionary: &Dictionary, depth: usize) -> fmt::Result {
    f.write_str("<dictionary>")?;
    write_contents(f, dictionary, depth)
}

fn write_contents(f: &mut Formatter<'_>, dictionary: &Dictionary, depth: usize) -> fmt::Result {
    write!(f, " {{ count = {}, contents =", dictionary.len())?;
    for (key, value) in dictionary.iter() {
        new_line(f, depth + 1)?;
        write!(f, "{key:?} => ")?;
        write_object(f, value, depth + 1)?;
    }
    new_line(f, depth)?;
    f.write_char('}')
}

fn new_line(f: &mut Formatter<'_>, depth: usize) -> fmt::Result {
    f.write_char('\n')?;
    (0..depth).try_for_each(|_| f.write_char('\t'))
}

#[cfg(test)]
mod tests {
    use crate::{Array, Dictionary};
    #[cfg(not(miri))]
    use crate::{ErrorValue, Fd, Object, SharedMemory};

    // Miri knows no memfd.
    #[cfg(not(miri))]
    #[test]
    fn values_beside_the_bytes_have_descriptions_too() {
        let memory = SharedMemory::new(4096).unwrap();
        let fd = Fd::from(std::fs::File::open("/dev/null").unwrap());
        let number = std::os::fd::AsRawFd::as_raw_fd(&fd);
        let list = crate::array![memory, fd];
        let expected = format!(
            "<array> {{ count = 2, contents =\n\t0: <shmem>: 4096 bytes\n\t1: <fd> {{ number = {number} }}\n}}"
        );
        assert_eq!(format!("{list:?}"), expected);
        let error = Object::Error(ErrorValue::new("Connection invalid"));
        assert_eq!(
            format!("{error:?}"),
            "<error> { count = 1, contents =\n\t\"XPCErrorDescription\" => <string> { length = 18, contents = \"Connection invalid\" }\n}"
        );
    }

    #[test]
    fn reads_like_xpc_copy_description() {
        let message = Dictionary::new()
            .with("list", Array::from([7_i64]))
            .with("name", "Rust \"1\"")
            .with("blob", vec![1_u8, 2, 3]);
        assert_eq!(
            format!("{message:?}"),
            "<dictionary> { count = 3, contents =\n\t\"blob\" => <data>: { length = 3 bytes, contents = 0x010203 }\n\t\"list\" => <array> { count = 1, contents =\n\t\t0: <int64>: 7\n\t}\n\t\"name\" => <string> { length = 8, contents = \"Rust \\\"1\\\"\" }\n}"
        );
    }
}
