//! Columns to values and back.

use rusqlite::Row;

use crate::Timestamp;
use crate::time::Stored;

pub(super) fn time(row: &Row<'_>, column: &str) -> rusqlite::Result<Timestamp> {
    Ok(row.get::<_, Stored>(column)?.0)
}

pub(super) fn optional_time(row: &Row<'_>, column: &str) -> rusqlite::Result<Option<Timestamp>> {
    Ok(row.get::<_, Option<Stored>>(column)?.map(|stored| stored.0))
}

/// Counts and sizes are never negative: CHECK constraints see to it.
pub(super) fn count(row: &Row<'_>, column: &str) -> rusqlite::Result<u64> {
    Ok(row.get::<_, i64>(column)?.unsigned_abs())
}

pub(super) fn optional_count(row: &Row<'_>, column: &str) -> rusqlite::Result<Option<u64>> {
    Ok(row.get::<_, Option<i64>>(column)?.map(i64::unsigned_abs))
}

/// SQLite's integers end at 2^63. No size or count gets there; a message that says so must not stop the journal.
pub(super) fn integer(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

pub(super) fn stored(time: Option<Timestamp>) -> Option<Stored> {
    time.map(Stored)
}
