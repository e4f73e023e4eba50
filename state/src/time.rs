//! Times as they are stored: `2026-11-23T03:24:04.123456Z`, always 27 characters, so that they compare as text.

use chrono::{DateTime, Datelike, NaiveDateTime};
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};

use crate::{StateError, Timestamp};

const FORM: &str = "%Y-%m-%dT%H:%M:%S%.6fZ";
const LENGTH: usize = 27;

/// Writes a time in microseconds. A year that does not fit four digits becomes the nearest that does, because a message
/// with an absurd time must not stop the journal.
pub fn to_text(time: Timestamp) -> String {
    let time = match time.year() {
        year if year < 0 => DateTime::from_timestamp(-62_167_219_200, 0).unwrap_or_default(),
        year if year > 9999 => DateTime::from_timestamp(253_402_300_799, 999_999_000).unwrap_or_default(),
        _ => time,
    };
    time.format(FORM).to_string()
}

/// Reads a time in just the form that [`to_text`] writes.
pub fn from_text(text: &str) -> Result<Timestamp, StateError> {
    let parsed = NaiveDateTime::parse_from_str(text, FORM).ok().filter(|_| text.len() == LENGTH);
    parsed
        .map(|time| time.and_utc())
        .ok_or_else(|| StateError::Corrupt(format!("`{text}` is no stored time")))
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
}
