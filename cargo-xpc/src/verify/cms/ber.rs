//! From BER to DER. Apple's encoder leaves lengths open (`30 80 … 00 00`), which readers of DER refuse.
//!
//! What is in DER already is kept to the byte: certificates and signed attributes are hashed as they are.

/// Elements within elements.
const MAX_DEPTH: usize = 32;

/// The first element of `data` with all lengths stated, and how many bytes of `data` it took.
pub(super) fn to_der(data: &[u8]) -> Result<(Vec<u8>, usize), String> {
    let mut reader = Reader { data, at: 0 };
    let mut out = Vec::with_capacity(data.len());
    reader.element(&mut out, 0).ok_or("it is cut short, nested too deeply, or no BER")?;
    Ok((out, reader.at))
}

struct Reader<'a> {
    data: &'a [u8],
    at: usize,
}

/// How long an element says it is.
enum Length {
    Stated(usize),
    Open,
}

const OCTET_STRING: u8 = 0x04;
const CONSTRUCTED: u8 = 0x20;

impl<'a> Reader<'a> {
    fn byte(&mut self) -> Option<u8> {
        let byte = *self.data.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let end = self.at.checked_add(count)?;
        let taken = self.data.get(self.at..end)?;
        self.at = end;
        Some(taken)
    }

    fn length(&mut self) -> Option<Length> {
        match self.byte()? {
            short @ 0..=0x7f => Some(Length::Stated(short.into())),
            0x80 => Some(Length::Open),
            long @ 0x81..=0x84 => {
                let bytes = self.take(usize::from(long & 0x7f))?;
                Some(Length::Stated(bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte))))
            }
            _ => None,
        }
    }

    fn element(&mut self, out: &mut Vec<u8>, depth: usize) -> Option<()> {
        if depth > MAX_DEPTH {
            return None;
        }
        let start = self.at;
        let tag = self.byte()?;
        if tag & 0x1f == 0x1f {
            // Nothing in a signature has a tag of several bytes.
            return None;
        }
        let length = self.length()?;
        if tag & CONSTRUCTED == 0 {
            let Length::Stated(length) = length else { return None };
            self.take(length)?;
            out.extend(&self.data[start..self.at]);
            return Some(());
        }
        let mut content = Vec::new();
        match length {
            Length::Stated(length) => {
                let data = self.take(length)?;
                let mut inner = Reader { data, at: 0 };
                while inner.at < data.len() {
                    inner.element(&mut content, depth + 1)?;
                }
                if content == data && tag != OCTET_STRING | CONSTRUCTED {
                    out.extend(&self.data[start..self.at]);
                    return Some(());
                }
            }
            Length::Open => {
                while self.data.get(self.at..self.at.checked_add(2)?)? != [0, 0] {
                    self.element(&mut content, depth + 1)?;
                }
                self.at += 2;
            }
        }
        if tag == OCTET_STRING | CONSTRUCTED {
            // A string in pieces.
            let mut pieces = Reader { data: &content, at: 0 };
            let mut whole = Vec::new();
            while pieces.at < content.len() {
                if pieces.byte()? != OCTET_STRING {
                    return None;
                }
                let Length::Stated(length) = pieces.length()? else { return None };
                whole.extend(pieces.take(length)?);
            }
            write(out, OCTET_STRING, &whole);
        } else {
            write(out, tag, &content);
        }
        Some(())
    }
}

fn write(out: &mut Vec<u8>, tag: u8, content: &[u8]) {
    out.push(tag);
    if content.len() < 0x80 {
        out.push(content.len() as u8);
    } else {
        let bytes = content.len().to_be_bytes();
        let bytes = &bytes[bytes.iter().take_while(|byte| **byte == 0).count()..];
        out.push(0x80 | bytes.len() as u8);
        out.extend(bytes);
    }
    out.extend(content);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_lengths_are_closed() {
        let open = [0x30, 0x80, 0x02, 0x01, 0x05, 0xa0, 0x80, 0x05, 0x00, 0x00, 0x00, 0x00, 0x00, 0xff];
        assert_eq!(to_der(&open).unwrap(), (vec![0x30, 7, 2, 1, 5, 0xa0, 2, 5, 0], open.len() - 1));
        for length in 0..open.len() - 1 {
            assert!(to_der(&open[..length]).is_err(), "{length}");
        }
    }

    #[test]
    fn strings_in_pieces_are_joined() {
        let pieces = [0x24, 0x80, 0x04, 1, 7, 0x24, 0x03, 0x04, 1, 8, 0x00, 0x00];
        assert_eq!(to_der(&pieces).unwrap().0, [0x04, 2, 7, 8]);
        assert!(to_der(&[0x24, 0x03, 0x02, 1, 8]).is_err());
    }

    #[test]
    fn der_is_kept() {
        let mut long = vec![0x30, 0x82, 0x01, 0x04, 0x04, 0x82, 0x01, 0x00];
        long.resize(264, 9);
        assert_eq!(to_der(&long).unwrap(), (long.clone(), long.len()));
        // An open length within a stated one changes the stated one.
        assert_eq!(to_der(&[0x30, 0x06, 0xa0, 0x80, 0x05, 0x00, 0x00, 0x00]).unwrap().0, [0x30, 4, 0xa0, 2, 5, 0]);
        let mut open = vec![0x30, 0x80];
        open.extend(&long);
        open.extend([0, 0]);
        let closed = to_der(&open).unwrap().0;
        assert_eq!(closed[..4], [0x30, 0x82, 0x01, 0x08]);
        assert_eq!(closed[4..], long);
    }

    #[test]
    fn depth_and_lengths_are_limited() {
        assert!(to_der(&[0x30, 0x80].repeat(100_000)).is_err());
        assert!(to_der(&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff]).is_err());
        assert!(to_der(&[0x30, 0x88, 0, 0, 0, 0, 0, 0, 0, 1, 0]).is_err());
        assert!(to_der(&[0x04, 0x80, 0, 0]).is_err());
        assert!(to_der(&[0x3f, 0x81, 0x01, 0]).is_err());
    }
}
