//! Taking an encoded message apart: the smallest pieces, each checked against what is left.

use std::collections::BTreeSet;

use crate::error::{DecodeError, DecodeErrorKind};
use crate::limits::{MAX_DEPTH, MAX_MESSAGE_BYTES, MAX_VALUES};
use crate::view;
use crate::wire::{self, Flavour};

/// What is left of an input. Its start is the only position there is, so that one comparison checks a step.
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
    /// How long the input was.
    total: usize,
    values: usize,
}

impl<'a> Reader<'a> {
    pub fn new(input: &'a [u8]) -> Result<Self, DecodeError> {
        if input.len() > MAX_MESSAGE_BYTES {
            return Err(DecodeErrorKind::TooLarge.into());
        }
        Ok(Self { rest: input, total: input.len(), values: 1 })
    }

    /// How much of the input was read.
    #[inline]
    pub fn offset(&self) -> usize {
        self.total.saturating_sub(self.rest.len())
    }

    #[inline]
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub fn header(&mut self) -> Result<Flavour, DecodeError> {
        let magic = self.array()?;
        let flavour = [Flavour::Mach, Flavour::Remote].into_iter().find(|flavour| flavour.magic() == magic);
        let flavour = flavour.ok_or(DecodeErrorKind::BadMagic)?;
        match self.u32()? {
            wire::VERSION => Ok(flavour),
            version => Err(DecodeErrorKind::BadVersion(version).into()),
        }
    }

    pub fn end(&self) -> Result<(), DecodeError> {
        match self.rest.len() {
            0 => Ok(()),
            left => Err(DecodeErrorKind::TrailingBytes(left).into()),
        }
    }

    #[cold]
    fn truncated(&self, wanted: usize) -> DecodeError {
        let needed = wanted.saturating_sub(self.rest.len());
        DecodeErrorKind::Truncated { offset: self.offset(), needed }.into()
    }

    #[inline]
    fn take(&mut self, length: usize) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or_else(|| self.truncated(length))?;
        self.rest = rest;
        Ok(taken)
    }

    /// Takes bytes, with the terminators (0 or 1) and the zeros that follow.
    #[inline]
    fn padded(&mut self, length: usize, terminators: usize) -> Result<&'a [u8], DecodeError> {
        let all = length.checked_add(terminators).and_then(padded);
        let Some((taken, rest)) = all.and_then(|all| self.rest.split_at_checked(all)) else {
            return Err(self.truncated_padded(length, terminators));
        };
        self.rest = rest;
        Ok(taken.split_at(length).0)
    }

    #[cold]
    fn truncated_padded(&mut self, length: usize, terminators: usize) -> DecodeError {
        let end = self.take(length).and_then(|_| self.take(terminators + wire::padding(length + terminators)));
        end.err().unwrap_or(DecodeErrorKind::TooLarge.into())
    }

    #[inline]
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or_else(|| self.truncated(N))?;
        self.rest = rest;
        Ok(*taken)
    }

    #[inline]
    pub fn u32(&mut self) -> Result<u32, DecodeError> {
        self.array().map(u32::from_le_bytes)
    }

    /// A 32-bit length or count. `usize` has at least 32 bits wherever this crate builds.
    #[inline]
    pub fn length(&mut self) -> Result<usize, DecodeError> {
        usize::try_from(self.u32()?).map_err(|_| DecodeErrorKind::TooLarge.into())
    }

    /// The tag that the next value starts with.
    #[inline]
    pub fn tag(&mut self) -> Result<u32, DecodeError> {
        self.u32()
    }

    /// Length, bytes, and what pads them.
    #[inline]
    pub fn data(&mut self) -> Result<&'a [u8], DecodeError> {
        let length = self.length()?;
        self.padded(length, 0)
    }

    /// Length and text of a string.
    #[inline]
    pub fn string(&mut self) -> Result<Text<'a>, DecodeError> {
        let offset = self.offset().saturating_add(4);
        match self.data()?.split_last() {
            Some((0, bytes)) if !wire::has_nul(bytes) => Ok(Text { bytes, offset }),
            _ => Err(DecodeErrorKind::BadString { offset }.into()),
        }
    }

    /// A key. It has no length of its own: it ends at its NUL, in the last of the four-byte words that it fills.
    #[inline]
    pub fn key(&mut self) -> Result<Text<'a>, DecodeError> {
        let offset = self.offset();
        let end = wire::first_nul(self.rest).ok_or(DecodeErrorKind::BadString { offset })?;
        Ok(Text { bytes: self.padded(end, 1)?, offset })
    }

    /// Reads size and count.
    // What it returns is four words, which would go through memory.
    #[inline(always)]
    pub fn open(&mut self, depth: usize) -> Result<Container, DecodeError> {
        if depth > MAX_DEPTH {
            return Err(DecodeErrorKind::TooDeep.into());
        }
        let offset = self.offset();
        let size = self.length()?;
        let after = self.rest.len().checked_sub(size).ok_or_else(|| self.truncated(size))?;
        let count = self.length()?;
        // Every value takes at least its tag, so a count that the size, in which it counts itself, cannot hold is
        // refused before memory is set aside.
        if count >= size / 4 {
            return Err(DecodeErrorKind::BadSize { offset }.into());
        }
        // The values of a container are counted when it opens: reading one needs to count no more.
        self.values = self.values.saturating_add(count);
        if self.values > MAX_VALUES {
            return Err(DecodeErrorKind::TooManyValues.into());
        }
        Ok(Container { offset, after, count })
    }

    /// The values must have filled the size exactly.
    #[inline]
    pub fn close(&self, container: &Container) -> Result<(), DecodeError> {
        if self.rest.len() == container.after {
            Ok(())
        } else {
            Err(DecodeErrorKind::BadSize { offset: container.offset }.into())
        }
    }
}

/// What types read, who know what they expect.
#[cfg(feature = "serde")]
impl<'a> Reader<'a> {
    #[inline]
    pub fn peek_tag(&self) -> Result<u32, DecodeError> {
        self.rest.first_chunk().map(|tag| u32::from_le_bytes(*tag)).ok_or_else(|| self.truncated(4))
    }

    /// The next value is a container. It must be the last.
    pub fn nothing_follows(&self) -> Result<(), DecodeError> {
        let size = self.rest.split_first_chunk::<4>().and_then(|(_tag, after)| after.split_first_chunk::<4>());
        // One that is larger than what is there fails when it is opened.
        let left =
            size.and_then(|(size, after)| after.len().checked_sub(usize::try_from(u32::from_le_bytes(*size)).ok()?));
        match left {
            None | Some(0) => Ok(()),
            Some(left) => Err(DecodeErrorKind::TrailingBytes(left).into()),
        }
    }

    /// What the next value has after its tag, in one step, if it has this tag and is whole.
    #[inline]
    pub fn fixed<const N: usize>(&mut self, tag: u32) -> Option<[u8; N]> {
        let (next, after) = self.rest.split_first_chunk()?;
        let (bytes, rest) = after.split_first_chunk().filter(|_| *next == tag.to_le_bytes())?;
        self.rest = rest;
        Some(*bytes)
    }

    /// The text of the next value in one step, if it is a string and nothing is wrong with it.
    #[inline]
    pub fn text(&mut self) -> Option<&'a str> {
        let (tag, after) = self.rest.split_first_chunk()?;
        let (length, after) = after.split_first_chunk().filter(|_| *tag == wire::STRING.to_le_bytes())?;
        let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
        let (padded, rest) = after.split_at_checked(padded(length)?)?;
        let (nul, text) = padded.get(..length)?.split_last()?;
        let text = std::str::from_utf8(text).ok().filter(|_| *nul == 0 && !wire::has_nul(text))?;
        self.rest = rest;
        Some(text)
    }

    /// Steps over the key, if it is what comes next.
    #[inline]
    pub fn skip_key(&mut self, key: &str) -> bool {
        let padded = key.len().checked_add(1).and_then(padded);
        let Some((word, rest)) = padded.and_then(|length| self.rest.split_at_checked(length)) else { return false };
        let is_next = word.strip_prefix(key.as_bytes()).is_some_and(|padding| padding.first() == Some(&0));
        if is_next {
            self.rest = rest;
        }
        is_next
    }
}

/// An array or a dictionary that is being read.
pub(crate) struct Container {
    /// Where its size stands.
    offset: usize,
    /// How much is left of the input where it ends.
    after: usize,
    pub count: usize,
}

/// So many bytes with the zeros after them.
#[inline(always)]
fn padded(length: usize) -> Option<usize> {
    Some(length.checked_add(3)? & !3)
}

/// Text without a NUL, and where it stands.
pub(crate) struct Text<'a> {
    pub bytes: &'a [u8],
    pub offset: usize,
}

impl<'a> Text<'a> {
    #[inline]
    pub fn utf8(self) -> Result<&'a str, DecodeError> {
        std::str::from_utf8(self.bytes).map_err(|_| DecodeErrorKind::BadString { offset: self.offset }.into())
    }
}

/// The keys of a dictionary so far. While each comes after the one before, as this crate writes them, none is kept.
pub(crate) struct Seen<'a> {
    /// Where the dictionary's values start.
    values: &'a [u8],
    count: usize,
    last: Option<&'a [u8]>,
    /// All of them, once they were out of order.
    others: BTreeSet<&'a [u8]>,
}

impl<'a> Seen<'a> {
    /// Of a dictionary that was just opened.
    pub fn of(reader: &Reader<'a>) -> Self {
        Self { values: reader.rest, count: 0, last: None, others: BTreeSet::new() }
    }

    /// Whether a key was not there before. The values of those before it were read.
    #[inline]
    pub fn is_new(&mut self, key: &'a [u8]) -> bool {
        if self.others.is_empty() && self.last.is_none_or(|last| last < key) {
            self.last = Some(key);
            self.count += 1;
            return true;
        }
        self.is_new_among(key)
    }

    #[cold]
    fn is_new_among(&mut self, key: &'a [u8]) -> bool {
        if self.others.is_empty() {
            self.others = view::keys(self.values, self.count).collect();
        }
        self.others.insert(key)
    }
}
