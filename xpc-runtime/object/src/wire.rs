//! The numbers of encoding version 5. Everything is little-endian and padded with zeros to four bytes.

pub(crate) const NULL: u32 = 0x1000;
pub(crate) const BOOL: u32 = 0x2000;
pub(crate) const INT64: u32 = 0x3000;
pub(crate) const UINT64: u32 = 0x4000;
pub(crate) const DOUBLE: u32 = 0x5000;
pub(crate) const DATE: u32 = 0x7000;
pub(crate) const DATA: u32 = 0x8000;
pub(crate) const STRING: u32 = 0x9000;
pub(crate) const UUID: u32 = 0xa000;
/// The number of the attachment follows; so it does in the next two.
pub(crate) const FD: u32 = 0xb000;
/// Then its length, eight bytes.
pub(crate) const SHARED_MEMORY: u32 = 0xc000;
pub(crate) const ARRAY: u32 = 0xe000;
pub(crate) const DICTIONARY: u32 = 0xf000;
/// Then the number that its listener has, eight bytes.
pub(crate) const ENDPOINT: u32 = 0x12000;

pub(crate) const VERSION: u32 = 5;

/// Which of the two known headers stands before a message. Both carry the same values after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Flavour {
    /// `CPX@`: messages between processes of one machine.
    Mach,
    /// `42 37 13 42`: messages of RemoteXPC, between machines. Its 24-byte wrapper belongs to the transport.
    Remote,
}

impl Flavour {
    pub(crate) const fn magic(self) -> [u8; 4] {
        match self {
            Self::Mach => *b"CPX@",
            Self::Remote => [0x42, 0x37, 0x13, 0x42],
        }
    }
}

/// How many zeros follow `len` bytes.
pub(crate) const fn padding(len: usize) -> usize {
    (4 - len % 4) % 4
}

/// Nothing if no byte is zero. Otherwise the lowest bit that is set is that of the first byte which is zero.
#[inline(always)]
fn zeros(word: [u8; 8]) -> u64 {
    let word = u64::from_le_bytes(word);
    word.wrapping_sub(0x0101_0101_0101_0101) & !word & 0x8080_8080_8080_8080
}

/// Looks at all of the text, without a way out at the first NUL, and at eight bytes at a time: the last eight, too, of
/// which some may have been looked at before.
#[inline(always)]
pub(crate) fn has_nul(text: &[u8]) -> bool {
    let Some(last) = text.last_chunk() else { return text.contains(&0) };
    let (words, _) = text.as_chunks();
    words.iter().fold(zeros(*last), |found, word| found | zeros(*word)) != 0
}

/// Where the first NUL is. Keys are short: this looks at eight bytes at a time.
#[inline(always)]
pub(crate) fn first_nul(bytes: &[u8]) -> Option<usize> {
    let (words, rest) = bytes.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let zeros = zeros(*word);
        if zeros != 0 {
            return Some(index * 8 + zeros.trailing_zeros() as usize / 8);
        }
    }
    let index = rest.iter().position(|byte| *byte == 0)?;
    Some(words.len() * 8 + index)
}

#[cfg(test)]
mod tests {
    use super::{first_nul, has_nul};

    #[test]
    fn the_first_nul_is_found_wherever_it_is() {
        for length in 0..28 {
            for other in [1, 0x80, 0xff] {
                let mut bytes = vec![other; length];
                assert_eq!((first_nul(&bytes), has_nul(&bytes)), (None, false));
                for position in (0..length).rev() {
                    bytes[position] = 0;
                    assert_eq!((first_nul(&bytes), has_nul(&bytes)), (Some(position), true), "{bytes:?}");
                }
            }
        }
    }
}
