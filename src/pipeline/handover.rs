//! What one stage hands to the next inside a process, so that it need not be read or made again. Only a shortcut: what
//! is not here is read back from the archive.

use std::collections::BTreeMap;
use std::io::{self, Seek};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use tempfile::SpooledTempFile;

/// A temporary file stays in memory up to this size.
const MEMORY_BYTES: usize = 4 << 20;
/// Bytes that one kind of handover keeps at the most, in memory or in temporary files.
const BUDGET_BYTES: u64 = 512 << 20;

/// A nameless temporary file in the spool folder: any death removes it.
pub fn spool(folder: &Path) -> SpooledTempFile {
    SpooledTempFile::new_in(MEMORY_BYTES, folder)
}

/// An archive object's bytes, with their length.
pub struct ArchiveCopy {
    /// The bytes.
    pub file: SpooledTempFile,
    /// How many.
    pub size: u64,
}

impl ArchiveCopy {
    /// Back to the first byte.
    pub fn rewind(&mut self) -> io::Result<()> {
        self.file.rewind()
    }
}

/// The CSV objects of a loaded batch, in schema order, with their lengths.
pub type CsvCopies = Vec<(SpooledTempFile, u64)>;

/// Things by batch id, within a budget.
pub struct Shelf<T> {
    content: Mutex<Content<T>>,
}

struct Content<T> {
    /// Each thing with its bytes.
    things: BTreeMap<String, (T, u64)>,
    /// Of all of them.
    bytes: u64,
}

impl<T> Default for Shelf<T> {
    fn default() -> Self {
        Self { content: Mutex::new(Content { things: BTreeMap::new(), bytes: 0 }) }
    }
}

impl<T> Shelf<T> {
    /// Keeps `thing`, unless the shelf is full.
    pub fn put(&self, batch_id: &str, thing: T, bytes: u64) {
        let mut content = self.content.lock().unwrap_or_else(PoisonError::into_inner);
        if content.bytes + bytes <= BUDGET_BYTES {
            content.bytes += bytes;
            content.things.insert(batch_id.to_owned(), (thing, bytes));
        }
    }

    /// Takes what was kept.
    pub fn take(&self, batch_id: &str) -> Option<T> {
        let mut content = self.content.lock().unwrap_or_else(PoisonError::into_inner);
        let (thing, bytes) = content.things.remove(batch_id)?;
        content.bytes -= bytes;
        Some(thing)
    }
}

/// Between the stages of one process.
#[derive(Default)]
pub struct Handover {
    /// From archive to load.
    pub archives: Shelf<ArchiveCopy>,
    /// From load to publish.
    pub csvs: Shelf<CsvCopies>,
}
