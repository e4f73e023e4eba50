//! What can go wrong in the state store: the thing, the cause, and the next step.

use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;

use crate::seam::Injected;

/// What a person does about a damaged state. Nothing is lost with it (I11): what was acknowledged is in the landing, the
/// archive or the ledger.
pub const REBUILD: &str = "stop what uses the state folder, move state.db, state.db-wal and state.db-shm out of it, and start \
                           again: a fresh one is rebuilt from the ledger, the archive and the landing";

/// Why the state store could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// A test's fault.
    #[error(transparent)]
    Injected(#[from] Injected),
    /// SQLite refused or failed.
    #[error("the state database: {0}{next}", next = next_step(.0))]
    Sqlite(#[from] rusqlite::Error),
    /// The database was written by a newer version of the program.
    #[error(
        "{} has schema version {found}, and this program knows only {known}; it was left untouched: \
         use the newer program, or another state folder", path.display()
    )]
    NewerSchema {
        /// The database.
        path: PathBuf,
        /// Its schema version.
        found: i64,
        /// The newest version that this program knows.
        known: i64,
    },
    /// A file or folder of the store could not be used.
    #[error("{}: {source}; check that it exists and that this user may write there", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The store was asked for something that its rules forbid.
    #[error("{0}")]
    Illegal(String),
    /// The store holds something that it never writes.
    #[error("the state database is damaged: {0}; {REBUILD}")]
    Corrupt(String),
}

impl StateError {
    /// Whether the same call may succeed later: the database was busy, the disk full or failing, or mounted read-only.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Injected(injected) => injected.transient,
            Self::Sqlite(error) => matches!(
                error.sqlite_error_code(),
                Some(
                    ErrorCode::DatabaseBusy
                        | ErrorCode::DatabaseLocked
                        | ErrorCode::DiskFull
                        | ErrorCode::SystemIoFailure
                        | ErrorCode::ReadOnly
                )
            ),
            _ => false,
        }
    }

    pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }
}

fn next_step(error: &rusqlite::Error) -> String {
    let words = match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => "; another process holds it, try again",
        Some(ErrorCode::DiskFull) => "; make room on its disk and try again",
        Some(ErrorCode::SystemIoFailure) => "; check its disk and try again",
        Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
            "; check that this user may write in the state folder"
        }
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => return format!("; {REBUILD}"),
        _ => "",
    };
    words.to_owned()
}

/// A stored word that no value has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{word}` is no {what}")]
pub struct UnknownWord {
    pub(crate) what: &'static str,
    pub(crate) word: String,
}
