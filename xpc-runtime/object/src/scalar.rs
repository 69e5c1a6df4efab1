use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

/// A point in time: nanoseconds since 1 January 1970, 00:00 UTC; negative before it.
#[doc(alias = "xpc_date_create")]
#[doc(alias = "xpc_date_get_value")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date(i64);

impl Date {
    /// The date `nanoseconds` after (before, if negative) the start of 1970 in UTC.
    pub const fn from_nanoseconds(nanoseconds: i64) -> Self {
        Self(nanoseconds)
    }

    /// Nanoseconds since the start of 1970 in UTC.
    pub const fn nanoseconds(self) -> i64 {
        self.0
    }

    /// The present time.
    #[doc(alias = "xpc_date_create_from_current")]
    pub fn now() -> Self {
        SystemTime::now().into()
    }
}

/// Times that do not fit (before 1677, after 2262) become the nearest one that does.
impl From<SystemTime> for Date {
    fn from(time: SystemTime) -> Self {
        let nanoseconds = match time.duration_since(SystemTime::UNIX_EPOCH) {
            Ok(after) => i64::try_from(after.as_nanos()).unwrap_or(i64::MAX),
            Err(before) => i64::try_from(before.duration().as_nanos()).map_or(i64::MIN, |before| -before),
        };
        Self(nanoseconds)
    }
}

impl From<Date> for SystemTime {
    fn from(date: Date) -> Self {
        let distance = Duration::from_nanos(date.0.unsigned_abs());
        if date.0 < 0 { Self::UNIX_EPOCH - distance } else { Self::UNIX_EPOCH + distance }
    }
}

/// A universally unique identifier: sixteen bytes, in the order in which they are written.
#[doc(alias = "xpc_uuid_create")]
#[doc(alias = "xpc_uuid_get_bytes")]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uuid([u8; 16]);

impl Uuid {
    /// The identifier of these bytes.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl From<[u8; 16]> for Uuid {
    fn from(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }
}

/// Upper case in groups of 8-4-4-4-12, as Apple's tools print it.
impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            if matches!(index, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02X}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is not 32 hexadecimal digits in groups of 8-4-4-4-12.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a UUID is 32 hexadecimal digits in groups of 8-4-4-4-12")]
pub struct ParseUuidError;

impl FromStr for Uuid {
    type Err = ParseUuidError;

    fn from_str(text: &str) -> Result<Self, ParseUuidError> {
        let mut digits = Vec::with_capacity(32);
        for (index, character) in text.chars().enumerate() {
            match character.to_digit(16).map(u8::try_from) {
                _ if matches!(index, 8 | 13 | 18 | 23) => {
                    if character != '-' {
                        return Err(ParseUuidError);
                    }
                }
                Some(Ok(digit)) if digits.len() < 32 => digits.push(digit),
                _ => return Err(ParseUuidError),
            }
        }
        let mut bytes = [0; 16];
        if digits.len() != 32 {
            return Err(ParseUuidError);
        }
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = pair[0] << 4 | pair[1];
        }
        Ok(Self(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uuid_text_round_trips() {
        let text = "1B4E28BA-2FA1-11D2-883F-B9A761BDE3FB";
        assert_eq!(text.parse::<Uuid>().unwrap().to_string(), text);
        assert_eq!(text.to_lowercase().parse::<Uuid>().unwrap().to_string(), text);
        for wrong in [
            "",
            "1B4E28BA",
            "1B4E28BA-2FA1-11D2-883F-B9A761BDE3F",
            "1B4E28BA-2FA1-11D2-883F-B9A761BDE3FB0",
            "1B4E28BA-2FA1-11D2-883F-B9A761BDE3FG",
            "1B4E28BA02FA1-11D2-883F-B9A761BDE3FB",
        ] {
            assert_eq!(wrong.parse::<Uuid>(), Err(ParseUuidError), "{wrong}");
        }
    }

    #[test]
    fn dates_before_1970_keep_their_nanoseconds() {
        for nanoseconds in [i64::MIN, -1_000_000_001, -1, 0, 1, i64::MAX] {
            let date = Date::from_nanoseconds(nanoseconds);
            assert_eq!(SystemTime::from(date).duration_since(SystemTime::UNIX_EPOCH).is_ok(), nanoseconds >= 0);
            if nanoseconds != i64::MIN {
                assert_eq!(Date::from(SystemTime::from(date)), date);
            }
        }
    }
}
