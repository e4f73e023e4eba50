//! Times and days as both ledgers hand them over: as text.

use chrono::{DateTime, NaiveDate, Utc};
use sluicegate_state::Timestamp;

use crate::failure::{Failure, Outcome};

/// A moment, RFC 3339.
pub(crate) fn parse_time(text: &str) -> Outcome<Timestamp> {
    DateTime::parse_from_rfc3339(text).map(|time| time.with_timezone(&Utc)).map_err(|error| {
        Failure::permanent(format!("the ledger holds {text:?} where a time belongs: {error}"))
    })
}

/// A date, `YYYY-MM-DD`.
pub(crate) fn parse_day(text: &str) -> Outcome<NaiveDate> {
    text.parse().map_err(|error| {
        Failure::permanent(format!("the ledger holds {text:?} where a day belongs: {error}"))
    })
}
