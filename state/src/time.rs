//! Times as they are stored: `2026-11-23T03:24:04.123456Z`, always 27 characters, so that they compare as text.

use chrono::{DateTime, Datelike, NaiveDate, Timelike};
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};

use crate::{StateError, Timestamp};

const LENGTH: usize = 27;

/// Writes a time in microseconds. A year that does not fit four digits becomes the nearest that does, because a message
/// with an absurd time must not stop the journal.
pub fn to_text(time: Timestamp) -> String {
    let time = match time.year() {
        year if year < 0 => DateTime::from_timestamp(-62_167_219_200, 0).unwrap_or_default(),
        year if year > 9999 => DateTime::from_timestamp(253_402_300_799, 999_999_000).unwrap_or_default(),
        _ => time,
    };
    // By hand, because every notification has several times and a format string is read anew for each. A leap second
    // counts on behind its second, as chrono writes it.
    let (second, micros) = match time.nanosecond() / 1_000 {
        micros @ 1_000_000.. => (time.second() + 1, micros - 1_000_000),
        micros => (time.second(), micros),
    };
    let mut text = *b"0000-00-00T00:00:00.000000Z";
    let fields = [
        (0..4, time.year().unsigned_abs()),
        (5..7, time.month()),
        (8..10, time.day()),
        (11..13, time.hour()),
        (14..16, time.minute()),
        (17..19, second),
        (20..26, micros),
    ];
    for (place, mut number) in fields {
        for digit in text[place].iter_mut().rev() {
            *digit = b'0' + (number % 10) as u8;
            number /= 10;
        }
    }
    String::from_utf8_lossy(&text).into_owned()
}

/// Reads a time in just the form that [`to_text`] writes.
pub fn from_text(text: &str) -> Result<Timestamp, StateError> {
    parse(text.as_bytes()).ok_or_else(|| StateError::Corrupt(format!("`{text}` is no stored time")))
}

fn parse(text: &[u8]) -> Option<Timestamp> {
    if text.len() != LENGTH {
        return None;
    }
    let marks = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':'), (19, b'.'), (26, b'Z')];
    if marks.iter().any(|&(place, mark)| text[place] != mark) {
        return None;
    }
    let number = |place: std::ops::Range<usize>| {
        text[place].iter().try_fold(0_u32, |number, byte| {
            byte.is_ascii_digit().then(|| number * 10 + u32::from(byte - b'0'))
        })
    };
    let year = i32::try_from(number(0..4)?).ok()?;
    let date = NaiveDate::from_ymd_opt(year, number(5..7)?, number(8..10)?)?;
    let (second, micros) = match (number(17..19)?, number(20..26)?) {
        (60, micros) => (59, micros + 1_000_000),
        other => other,
    };
    let time = date.and_hms_micro_opt(number(11..13)?, number(14..16)?, second, micros)?;
    Some(time.and_utc())
}

/// A time on its way into or out of SQLite.
pub(crate) struct Stored(pub(crate) Timestamp);

impl ToSql for Stored {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(to_text(self.0).into())
    }
}

impl FromSql for Stored {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        from_text(value.as_str()?).map(Stored).map_err(FromSqlError::other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64, nanos: u32) -> Timestamp {
        DateTime::from_timestamp(seconds, nanos).unwrap()
    }

    #[test]
    fn a_time_has_one_form_and_comes_back_in_microseconds() {
        let text = to_text(at(1_795_404_244, 123_456_789));
        assert_eq!(text, "2026-11-23T03:24:04.123456Z");
        assert_eq!(from_text(&text).unwrap(), at(1_795_404_244, 123_456_000));
        assert_eq!(to_text(at(0, 0)), "1970-01-01T00:00:00.000000Z");
    }

    #[test]
    fn text_order_is_time_order() {
        let times = [at(-5, 0), at(0, 0), at(0, 1_000), at(9, 999_999_000), at(10, 0), at(4_000_000_000, 0)];
        let texts: Vec<_> = times.iter().map(|time| to_text(*time)).collect();
        assert!(texts.is_sorted());
    }

    #[test]
    fn absurd_times_are_brought_into_range() {
        for time in [Timestamp::MIN_UTC, Timestamp::MAX_UTC] {
            assert_eq!(to_text(time).len(), LENGTH);
            from_text(&to_text(time)).unwrap();
        }
    }

    #[test]
    fn any_other_form_is_refused() {
        for text in [
            "",
            "2026-11-23",
            "2026-11-23T03:24:04Z",
            "2026-11-23T03:24:04.123Z",
            "2026-11-23T03:24:04.123456+00:00",
        ] {
            assert!(from_text(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_written_and_read_by_hand_is_what_chrono_writes_and_reads() {
        let form = "%Y-%m-%dT%H:%M:%S%.6fZ";
        let times = [
            at(1_709_164_799, 999_999_999),
            at(-1, 1),
            at(951_782_400, 0),
            at(253_402_300_799, 5_000),
            at(1_483_228_799, 1_500_000_000),
        ];
        for time in times {
            let text = to_text(time);
            assert_eq!(text, time.format(form).to_string());
            let read = chrono::NaiveDateTime::parse_from_str(&text, form).unwrap();
            assert_eq!(from_text(&text).unwrap(), read.and_utc());
        }
        for text in
            ["2023-02-29T00:00:00.000000Z", "2024-01-01T24:00:00.000000Z", "2024-01-01T00:00:00.+00000Z"]
        {
            assert!(from_text(text).is_err(), "{text}");
        }
    }
}
