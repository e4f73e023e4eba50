//! The embedded catalog and query engine: what Glue and Athena are elsewhere, over a curated folder on this machine.

mod alarm;
mod catalog;
mod query;

pub use alarm::{CommandAlarm, FileAlarm};
pub use catalog::EmbeddedCatalog;
pub use query::EmbeddedQueryEngine;

use crate::failure::Failure;

/// The failure for an error of SQLite: somebody else's lock and a full disk pass, everything else needs a person.
fn sqlite_failure(error: &rusqlite::Error) -> Failure {
    use rusqlite::ErrorCode::{DatabaseBusy, DatabaseLocked, DiskFull};
    match error.sqlite_error_code() {
        Some(DatabaseBusy | DatabaseLocked | DiskFull) => Failure::transient(error.to_string()),
        _ => Failure::permanent(error.to_string()),
    }
}
