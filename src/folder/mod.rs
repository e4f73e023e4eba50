//! The adapters over a folder: the embedded landing, archive and curated store, and the inbox that scans.

mod inbox;
mod reader;
mod store;
mod walk;

pub use inbox::FolderInbox;
pub use store::FolderStore;

use std::fs::Metadata;
use std::io;
use std::time::UNIX_EPOCH;

use chrono::{DateTime, SubsecRound};
use sluicegate_state::Timestamp;

use crate::failure::Failure;

/// The `bucket` of everything that lies in a folder.
pub const LOCAL_BUCKET: &str = "local";

/// What tells one state of a file from the next: its size and its modification time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct FileStamp {
    size: u64,
    /// Nanoseconds since 1970, negative before it.
    mtime_ns: i128,
}

impl FileStamp {
    fn of(metadata: &Metadata) -> io::Result<Self> {
        let modified = metadata.modified()?;
        let mtime_ns = match modified.duration_since(UNIX_EPOCH) {
            Ok(after) => after.as_nanos() as i128,
            Err(before) => -(before.duration().as_nanos() as i128),
        };
        Ok(Self { size: metadata.len(), mtime_ns })
    }

    /// The eTag of a file's notification (I2).
    fn etag(&self) -> String {
        format!("{}-{}", self.size, self.mtime_ns)
    }

    /// The modification time, exactly.
    fn modified(&self) -> Timestamp {
        let seconds = self.mtime_ns.div_euclid(1_000_000_000) as i64;
        let nanos = self.mtime_ns.rem_euclid(1_000_000_000) as u32;
        DateTime::from_timestamp(seconds, nanos).unwrap_or(DateTime::UNIX_EPOCH)
    }

    /// The modification time in whole seconds: what stands for Last-Modified.
    fn last_modified(&self) -> Timestamp {
        self.modified().trunc_subsecs(0)
    }
}

/// Calls `visit` with the key of every file under `root`.
pub fn keys(root: &std::path::Path, visit: &mut dyn FnMut(&str)) -> crate::failure::Outcome<()> {
    walk::walk(root, false, &mut |found| match found {
        walk::Found::File(file) => visit(file.key),
        walk::Found::Nameless(path) => visit(&path.to_string_lossy()),
    })
}

/// What an I/O error of a whole folder means: trouble with the place, not with a document.
fn io_failure(what: &str, path: &std::path::Path, error: &io::Error) -> Failure {
    let message = format!("{what} {}: {error}", path.display());
    match error.kind() {
        io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported | io::ErrorKind::InvalidFilename => {
            Failure::permanent(message)
        }
        _ => Failure::transient(message),
    }
}
