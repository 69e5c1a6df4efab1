//! Object identifiers between their text (`1.2.840`) and the bytes that certificates have. The type of `der` 0.7 reads some as others: it
//! does not notice numbers beyond 32 bits, writes 128 in one byte, and prints none of two bytes.

/// The bytes of what `text` spells.
pub(super) fn from_text(text: &str) -> Option<Vec<u8>> {
    let mut arcs = text.split('.').map(|arc| {
        let is_number = arc.bytes().all(|byte| byte.is_ascii_digit());
        arc.parse::<u64>().ok().filter(|_| is_number)
    });
    let (first, second) = (arcs.next()??, arcs.next()??);
    if first > 2 || (first < 2 && second > 39) {
        return None;
    }
    let mut bytes = Vec::new();
    push(&mut bytes, second.checked_add(40 * first)?);
    for arc in arcs {
        push(&mut bytes, arc?);
    }
    Some(bytes)
}

/// Seven bits a byte, all but the last marked.
fn push(bytes: &mut Vec<u8>, arc: u64) {
    let groups = (64 - arc.leading_zeros()).div_ceil(7).max(1);
    for group in (0..groups).rev() {
        let low = (arc >> (7 * group)).to_le_bytes()[0] & 0x7f;
        bytes.push(if group == 0 { low } else { low | 0x80 });
    }
}

/// The text of `bytes`, unless they are none or have a number beyond 64 bits.
pub(super) fn to_text(bytes: &[u8]) -> Option<String> {
    let mut arcs = Vec::new();
    for arc in bytes.split_inclusive(|byte| byte & 0x80 == 0) {
        let is_whole = arc.last().is_some_and(|last| last & 0x80 == 0);
        if !is_whole || arc[0] == 0x80 {
            return None;
        }
        let add = |sum: u64, byte: &u8| Some(sum.checked_mul(128)? + u64::from(byte & 0x7f));
        arcs.push(arc.iter().try_fold(0, add)?);
    }
    let (root, rest) = arcs.split_first()?;
    let first = (root / 40).min(2);
    let rest: String = rest.iter().map(|arc| format!(".{arc}")).collect();
    Some(format!("{first}.{}{rest}", root - 40 * first))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_were_read_as_others() {
        for (text, bytes) in [
            ("0.1.13", &[1, 13][..]),
            ("1.2.840", &[42, 0x86, 0x48]),
            ("1.2.128.127.0", &[42, 0x81, 0, 0x7f, 0]),
            ("2.999.3", &[0x88, 0x37, 3]),
            ("1.2.4294967297", &[42, 0x90, 0x80, 0x80, 0x80, 1]),
            ("1.2.18446744073709551615", &[42, 0x81, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]),
        ] {
            assert_eq!(from_text(text).as_deref(), Some(bytes), "{text}");
            assert_eq!(to_text(bytes).as_deref(), Some(text));
        }
    }

    #[test]
    fn what_is_none_is_refused() {
        for text in
            ["", "1", "1.", "1.40", "3.1", "1.2.+3", "1.2..3", "1.2.18446744073709551616", "2.18446744073709551615"]
        {
            assert_eq!(from_text(text), None, "{text}");
        }
        for bytes in
            [&[][..], &[42, 0x80, 1], &[42, 0x81], &[42, 0x82, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0]]
        {
            assert_eq!(to_text(bytes), None, "{bytes:?}");
        }
    }
}
