//! What one stage hands to the next inside a process, so that it need not be read or made again. Only a shortcut: what
//! is not here is read back from the archive.

use std::collections::BTreeMap;
use std::io::{self, Seek};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use tempfile::SpooledTempFile;

/// A temporary file stays in memory up to this size.
const MEMORY_BYTES: usize = 4 << 20;
/// Bytes that one kind of handover keeps in memory at the most. What is larger than [`MEMORY_BYTES`] lies on disk.
const MEMORY_BUDGET: u64 = 32 << 20;
/// Bytes that one kind of handover keeps in temporary files at the most.
const DISK_BUDGET: u64 = 2 << 30;

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

/// What the files of a thing hold, in bytes.
#[derive(Debug, Clone, Copy, Default)]
struct Held {
    memory: u64,
    disk: u64,
}

impl Held {
    fn of(sizes: &[u64]) -> Self {
        let (small, large): (Vec<u64>, Vec<u64>) =
            sizes.iter().partition(|size| **size <= MEMORY_BYTES as u64);
        Self { memory: small.iter().sum(), disk: large.iter().sum() }
    }
}

/// Things by batch id, within a budget.
pub struct Shelf<T> {
    content: Mutex<Content<T>>,
}

struct Content<T> {
    things: BTreeMap<String, (T, Held)>,
    held: Held,
}

impl<T> Default for Shelf<T> {
    fn default() -> Self {
        Self { content: Mutex::new(Content { things: BTreeMap::new(), held: Held::default() }) }
    }
}

impl<T> Shelf<T> {
    /// Keeps `thing`, which is made of files of these sizes, unless the shelf is full.
    pub fn put(&self, batch_id: &str, thing: T, sizes: &[u64]) {
        let held = Held::of(sizes);
        let mut content = self.content.lock().unwrap_or_else(PoisonError::into_inner);
        let memory = content.held.memory + held.memory;
        let disk = content.held.disk + held.disk;
        if memory <= MEMORY_BUDGET && disk <= DISK_BUDGET {
            content.held = Held { memory, disk };
            content.things.insert(batch_id.to_owned(), (thing, held));
        }
    }

    /// Takes what was kept.
    pub fn take(&self, batch_id: &str) -> Option<T> {
        let mut content = self.content.lock().unwrap_or_else(PoisonError::into_inner);
        let (thing, held) = content.things.remove(batch_id)?;
        content.held.memory -= held.memory;
        content.held.disk -= held.disk;
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
