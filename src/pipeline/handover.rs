//! What one stage hands to the next inside a process, so that it need not be read or made again. Only a shortcut: what
//! is not here is read back from the archive.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Seek};
use std::path::Path;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use tempfile::SpooledTempFile;

use crate::archive::{Manifest, Outcomes};
use crate::ports::warehouse::LoadedTable;

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

/// What a loaded batch is to show: what its COMMIT fixed about each table, and the bytes.
pub struct LoadedCopies {
    /// In schema order.
    pub tables: Vec<LoadedTable>,
    /// In the same order.
    pub csvs: CsvCopies,
}

/// The documents of a batch as they were read, by ordinal.
pub type Originals = Vec<(u32, Vec<u8>)>;

/// What is in an archive.
pub enum Content {
    /// The object's bytes.
    Packed(ArchiveCopy),
    /// What was packed into it by this process: it need not be unpacked and verified.
    Originals(Originals),
}

/// An archived batch.
pub struct ArchivedCopy {
    /// Its documents.
    pub content: Content,
    /// What manifest and outcomes say, where that need not be read from the object.
    pub index: Option<(Manifest, Outcomes)>,
}

/// What a member takes in manifest and outcomes, roughly.
const MEMBER_BYTES: usize = 1 << 10;

impl ArchivedCopy {
    /// An archive object that somebody made.
    pub fn packed(copy: ArchiveCopy) -> Self {
        Self { content: Content::Packed(copy), index: None }
    }

    /// An archive that this process has just made. What takes much memory is left out, and read from the object.
    pub fn made(copy: ArchiveCopy, originals: Option<Originals>, index: (Manifest, Outcomes)) -> Self {
        let small = index.0.members.len() * MEMBER_BYTES <= MEMORY_BYTES;
        let content = match originals {
            Some(originals) if small => Content::Originals(originals),
            _ => Content::Packed(copy),
        };
        Self { content, index: small.then_some(index) }
    }

    /// The bytes that it holds, in pieces.
    pub fn sizes(&self) -> Vec<u64> {
        let content = match &self.content {
            Content::Packed(copy) => copy.size,
            Content::Originals(originals) => originals.iter().map(|(_, bytes)| bytes.len() as u64).sum(),
        };
        let members = self.index.as_ref().map_or(0, |(manifest, _)| manifest.members.len());
        vec![content, (members * MEMBER_BYTES) as u64]
    }
}

/// The documents of a batch that are small enough to be handed over as they were read.
#[derive(Default)]
pub struct OriginalsKept {
    originals: Originals,
    bytes: usize,
}

impl OriginalsKept {
    /// Keeps one more, unless they are too large already.
    pub fn keep(&mut self, ordinal: u32, bytes: Vec<u8>) {
        self.bytes += bytes.len();
        if self.bytes <= MEMORY_BYTES {
            self.originals.push((ordinal, bytes));
        } else {
            self.originals = Vec::new();
        }
    }

    /// One that cannot be kept.
    pub fn skip(&mut self) {
        self.bytes = MEMORY_BYTES + 1;
        self.originals = Vec::new();
    }

    /// All of them, or none.
    pub fn all(self) -> Option<Originals> {
        (self.bytes <= MEMORY_BYTES).then_some(self.originals)
    }
}

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
    content: Mutex<Shelved<T>>,
}

struct Shelved<T> {
    things: BTreeMap<String, (T, Held)>,
    held: Held,
}

impl<T> Default for Shelf<T> {
    fn default() -> Self {
        Self { content: Mutex::new(Shelved { things: BTreeMap::new(), held: Held::default() }) }
    }
}

impl<T> Shelf<T> {
    /// Keeps `thing`, which is made of files of these sizes, unless the shelf is full.
    pub fn put(&self, batch_id: &str, thing: T, sizes: &[u64]) {
        let held = Held::of(sizes);
        // A step that is done over again, because its record failed, brings the same once more.
        drop(self.take(batch_id));
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

/// What is being worked at, so that two that do the same work take different things, and the order in which they do.
#[derive(Default)]
pub struct InWork {
    places: Mutex<Places>,
    changed: Condvar,
}

/// What is done in the order of taking, though the rest is done side by side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    /// The transaction begins, and the ledger numbers the load.
    Begin,
    /// The rows go into the tables.
    Rows,
}

#[derive(Default)]
struct Places {
    taken: BTreeSet<String>,
    /// In front of each gate, the places of those that have not passed it, in the order of their taking.
    queues: [BTreeSet<u64>; 2],
    next: u64,
}

impl InWork {
    fn lock(&self) -> MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a batch, unless somebody has it.
    pub fn take(&self, batch_id: &str) -> Option<Taken<'_>> {
        let mut places = self.lock();
        if !places.taken.insert(batch_id.to_owned()) {
            return None;
        }
        let place = places.next;
        places.next += 1;
        for queue in &mut places.queues {
            queue.insert(place);
        }
        Some(Taken { work: self, batch_id: batch_id.to_owned(), place })
    }
}

/// A batch that was taken; dropped, it is free again and stands in nobody's way.
pub struct Taken<'a> {
    work: &'a InWork,
    batch_id: String,
    place: u64,
}

impl Taken<'_> {
    /// Waits until everything that was taken before has passed the gate.
    pub fn wait_at(&self, gate: Gate) {
        let places = self.work.lock();
        let waits = |places: &mut Places| {
            places.queues[gate as usize].first().is_some_and(|first| *first < self.place)
        };
        drop(self.work.changed.wait_while(places, waits).unwrap_or_else(PoisonError::into_inner));
    }

    /// Lets the next one go on.
    pub fn pass(&self, gate: Gate) {
        self.work.lock().queues[gate as usize].remove(&self.place);
        self.work.changed.notify_all();
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.pass(Gate::Begin);
        self.pass(Gate::Rows);
        self.work.lock().taken.remove(&self.batch_id);
    }
}

/// Between the stages of one process.
#[derive(Default)]
pub struct Handover {
    /// The batches that are being loaded.
    pub loading: InWork,
    /// From archive to load.
    pub archives: Shelf<ArchivedCopy>,
    /// From load to publish.
    pub csvs: Shelf<LoadedCopies>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_again_takes_the_place_of_what_was_there() {
        let shelf = Shelf::default();
        let half = [MEMORY_BYTES as u64; (MEMORY_BUDGET / MEMORY_BYTES as u64 / 2 + 1) as usize];
        for turn in 0..5 {
            shelf.put("a", turn, &half);
        }
        assert_eq!(shelf.take("a"), Some(4));
        shelf.put("b", 5, &half);
        shelf.put("c", 6, &half);
        assert_eq!((shelf.take("b"), shelf.take("c")), (Some(5), None), "there is room for one of them");
    }

    #[test]
    fn what_is_taken_is_taken_once_until_it_is_let_go() {
        let work = InWork::default();
        let taken = work.take("a").unwrap();
        assert!(work.take("a").is_none());
        assert!(work.take("b").is_some());
        drop(taken);
        assert!(work.take("a").is_some());
    }

    #[test]
    fn turns_are_taken_in_the_order_of_taking_and_a_failure_ends_one() {
        let work = InWork::default();
        let (first, second, third) =
            (work.take("b").unwrap(), work.take("a").unwrap(), work.take("c").unwrap());
        let order = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            let order = &order;
            let turn = |name: &'static str, taken: Taken<'_>, fails: bool| {
                taken.wait_at(Gate::Rows);
                order.lock().unwrap().push(name);
                if !fails {
                    taken.pass(Gate::Rows);
                }
            };
            scope.spawn(move || turn("third", third, false));
            scope.spawn(move || turn("second", second, true));
            assert_eq!(*order.lock().unwrap(), Vec::<&str>::new());
            turn("first", first, false);
        });
        assert_eq!(*order.lock().unwrap(), ["first", "second", "third"]);
    }

    #[test]
    fn originals_are_kept_whole_or_not_at_all() {
        let kept = |sizes: &[usize]| {
            let mut kept = OriginalsKept::default();
            sizes.iter().enumerate().for_each(|(ordinal, size)| kept.keep(ordinal as u32, vec![0; *size]));
            kept.all().map(|originals| originals.len())
        };
        assert_eq!(kept(&[1, 2, 3]), Some(3));
        assert_eq!(kept(&[MEMORY_BYTES, 0]), Some(2));
        assert_eq!(kept(&[1, MEMORY_BYTES, 1]), None);
        let mut streamed = OriginalsKept::default();
        streamed.skip();
        streamed.keep(1, Vec::new());
        assert!(streamed.all().is_none());
    }
}
