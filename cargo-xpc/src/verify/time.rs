//! Instants as certificates, requirements and reports write them, in seconds since 1970.

use der::DateTime;

/// `20190408000000Z`; instants that no certificate can have are told apart by their number.
pub(super) fn compact(seconds: i64) -> String {
    match date(seconds) {
        Some(date) => format!(
            "{:04}{:02}{:02}{:02}{:02}{:02}Z",
            date.year(),
            date.month(),
            date.day(),
            date.hour(),
            date.minutes(),
            date.seconds()
        ),
        None => seconds.to_string(),
    }
}

/// `2019-04-08T00:00:00Z`
pub(super) fn iso(seconds: i64) -> String {
    date(seconds).map_or_else(|| seconds.to_string(), |date| date.to_string())
}

fn date(seconds: i64) -> Option<DateTime> {
    let since = std::time::Duration::from_secs(u64::try_from(seconds).ok()?);
    DateTime::from_unix_duration(since).ok()
}

/// Reads `20190408000000Z`.
pub(super) fn from_compact(text: &str) -> Option<i64> {
    let digits =
        text.strip_suffix('Z').filter(|digits| digits.len() == 14 && digits.bytes().all(|b| b.is_ascii_digit()))?;
    let part = |from: usize, to: usize| digits[from..to].parse::<u8>().ok();
    let year = digits[..4].parse().ok()?;
    let date = DateTime::new(year, part(4, 6)?, part(6, 8)?, part(8, 10)?, part(10, 12)?, part(12, 14)?).ok()?;
    Some(seconds_of(date))
}

pub(super) fn seconds_of(date: DateTime) -> i64 {
    date.unix_duration().as_secs().cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read_and_written() {
        let seconds = from_compact("20190408010203Z").unwrap();
        assert_eq!(seconds, 1_554_685_323);
        assert_eq!(compact(seconds), "20190408010203Z");
        assert_eq!(iso(seconds), "2019-04-08T01:02:03Z");
        assert_eq!(compact(-1), "-1");
        for wrong in ["20190408010203", "2019040801020Z", "20191308010203Z", "+0190408010203Z", ""] {
            assert_eq!(from_compact(wrong), None, "{wrong}");
        }
    }
}
