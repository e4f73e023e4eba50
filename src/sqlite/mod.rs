//! The embedded warehouse: target tables and the whole ledger in one SQLite file, with the semantics that the design
//! gives to PostgreSQL. One transaction a batch; decimals and dates as text, times as RFC 3339 UTC.

mod claim;
mod content;
mod crawl;
mod decisions;
mod fleet;
mod insert;
mod load;
mod proof;
mod proof_objects;
mod proof_rows;
mod replace;
mod story;
mod target;
mod warehouse;

pub use warehouse::SqliteWarehouse;

use chrono::SecondsFormat;
use rusqlite::ErrorCode;
use sluicegate_state::Timestamp;

use crate::failure::Failure;
use crate::ports::ledger_text::parse_time;

/// By how much the ledger's clock may be set back before a time that lies ahead is taken for one that it had set before.
const CLOCK_SPREAD: chrono::TimeDelta = chrono::TimeDelta::minutes(5);

/// What an error of SQLite means for the pipeline.
fn failure(error: rusqlite::Error) -> Failure {
    use ErrorCode::{
        CannotOpen, DatabaseBusy, DatabaseLocked, DiskFull, OutOfMemory, ReadOnly, SystemIoFailure,
    };
    let transient = matches!(
        error.sqlite_error_code(),
        Some(
            DatabaseBusy | DatabaseLocked | DiskFull | SystemIoFailure | ReadOnly | CannotOpen | OutOfMemory
        )
    );
    let message = format!("the warehouse answered: {error}");
    if transient { Failure::transient(message) } else { Failure::permanent(message) }
}

/// A time in whole seconds, as `landed_at` is kept.
fn seconds_text(at: Timestamp) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// A double-quoted SQL name. Names come from the job definition, which allows `[a-z0-9_]` alone.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
