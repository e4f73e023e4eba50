//! What has to be on the disk when: the order of writes and syncs that a machine without power is survived by.
//!
//! 1. Whatever a thread wrote or named before one of its effects begins, or before it is over, is synced by then: the log of
//!    the journal before a message is acknowledged (I1), that of the warehouse before a batch is called loaded (I5), the
//!    name of an object before the journal calls it archived or published. Who wrote into a log of SQLite answers for its
//!    name too, whoever made it.
//! 2. The bytes of an object are synced before it has its name.
//! 3. SQLite's log is begun anew, or goes, only after what it held is synced in the database.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path};

use crate::log::{Event, Line};

/// Effects that cannot be over without a write to a log of SQLite: whose trace shows none stands in another order.
const WRITE: [&str; 3] = ["journal.commit", "transition.commit", "warehouse.commit"];

/// What a log showed.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// How often each effect was over.
    pub(crate) effects: BTreeMap<String, usize>,
    /// Objects that got their names.
    pub(crate) objects: usize,
    /// Those of them that were named by the thread, and during the effect, that puts them.
    pub(crate) put: usize,
    /// Writes to files that have to outlive the power.
    pub(crate) writes: usize,
    /// Syncs.
    pub(crate) syncs: usize,
    /// Logs of SQLite that went or were begun anew.
    pub(crate) checkpoints: usize,
}

impl Seen {
    pub(crate) fn times(&self, effect: &str) -> usize {
        self.effects.get(effect).copied().unwrap_or(0)
    }
}

/// Something that is not on the disk yet.
struct Unsynced {
    line: usize,
    thread: (usize, u64),
    file: String,
    path: String,
}

/// What would be lost with the power.
#[derive(Default)]
struct InMemory {
    /// By file.
    bytes: BTreeMap<String, Vec<Unsynced>>,
    /// By folder.
    names: BTreeMap<String, Vec<Unsynced>>,
    /// When a thread began to sync a file.
    begun: BTreeMap<((usize, u64), String), usize>,
    /// Who wrote into a file since it is that file.
    writers: BTreeMap<String, BTreeSet<(usize, u64)>>,
    /// Writes of a thread to logs of SQLite since its last effect began.
    logged: BTreeMap<(usize, u64), usize>,
    /// Objects that it named since then.
    named: BTreeMap<(usize, u64), usize>,
}

/// Holds a log against the rules; `kept` is the folder of all that has to outlive the power.
pub(crate) fn hold(lines: &[Line], kept: &Path) -> Seen {
    let mut memory = InMemory::default();
    let mut seen = Seen::default();
    for line in lines {
        memory.meet(line, kept, &mut seen);
    }
    seen
}

impl InMemory {
    fn meet(&mut self, line: &Line, kept: &Path, seen: &mut Seen) {
        let Line { number, event, thread, file, path } = line;
        let unsynced = || Unsynced { line: *number, thread: *thread, file: file.clone(), path: path.clone() };
        let counts = outlives(path, kept);
        match event {
            Event::Written { offset } => {
                if is_log(path) && *offset == Some(0) {
                    self.log_ends(line, seen);
                }
                if is_log(path) {
                    *self.logged.entry(*thread).or_default() += 1;
                }
                seen.writes += usize::from(counts);
                self.writers.entry(file.clone()).or_default().insert(*thread);
                self.bytes.entry(file.clone()).or_default().push(unsynced());
            }
            Event::SyncBegins => {
                self.begun.insert((*thread, file.clone()), *number);
            }
            Event::Synced => {
                seen.syncs += 1;
                let begun = self.begun.remove(&(*thread, file.clone())).expect("it has begun");
                for left in [&mut self.bytes, &mut self.names] {
                    left.entry(file.clone()).or_default().retain(|unsynced| unsynced.line > begun);
                }
            }
            Event::Named { folder, fresh } => {
                if *fresh {
                    self.forget(file);
                }
                if counts && is_object(path) {
                    seen.objects += 1;
                    *self.named.entry(*thread).or_default() += 1;
                    let bytes = self.bytes.get(file).and_then(|bytes| bytes.last());
                    assert!(
                        bytes.is_none(),
                        "line {number}: {path} has its name, and its bytes are not synced"
                    );
                }
                self.names.entry(folder.clone()).or_default().push(unsynced());
            }
            Event::Unnamed { folder, last } => {
                if is_log(path) {
                    self.log_ends(line, seen);
                }
                self.names.entry(folder.clone()).or_default().retain(|name| name.path != *path);
                if *last {
                    self.forget(file);
                }
            }
            Event::Moment { effect, after } => self.effect(line, effect, *after, kept, seen),
        }
    }

    fn forget(&mut self, file: &str) {
        self.bytes.remove(file);
        self.writers.remove(file);
    }

    /// Rule 1.
    fn effect(&mut self, line: &Line, effect: &str, after: bool, kept: &Path, seen: &mut Seen) {
        let Line { number, thread, .. } = line;
        let moment = if after { "is over" } else { "begins" };
        let wrote = |left: &&Unsynced| left.thread == *thread && !is_database(&left.path);
        // A log that holds nothing yet is nothing to lose, and what another thread is about to commit is for that thread to
        // sync: who wrote into a log answers for its name, whoever opened it first.
        let writers = |left: &Unsynced| self.writers.get(&left.file).is_some_and(|all| all.contains(thread));
        let named =
            |left: &&Unsynced| if is_log(&left.path) { writers(left) } else { left.thread == *thread };
        let lasting = |left: &&Unsynced| outlives(&left.path, kept);
        let mut bytes = self.bytes.values().flatten().filter(lasting).filter(wrote);
        let mut names = self.names.values().flatten().filter(lasting).filter(named);
        for (what, left) in [("was written", bytes.next()), ("was named", names.next())] {
            if let Some(Unsynced { line, path, .. }) = left {
                panic!(
                    "line {number}: {effect} {moment}, and {path}, which {what} in line {line}, is not synced"
                );
            }
        }
        let logged = self.logged.insert(*thread, 0).unwrap_or(0);
        let named = self.named.insert(*thread, 0).unwrap_or(0);
        if after {
            seen.put += if effect.ends_with(".put") { named } else { 0 };
            let told = !WRITE.contains(&effect) || logged > 0;
            assert!(told, "line {number}: {effect} is over, and nothing was written to a log");
            *seen.effects.entry(effect.to_owned()).or_default() += 1;
        }
    }

    /// Rule 3: also where the database itself was never written, for then there is nothing to lose.
    fn log_ends(&self, line: &Line, seen: &mut Seen) {
        let Line { number, path, .. } = line;
        seen.checkpoints += 1;
        let database = path.strip_suffix("-wal").expect("the name of a log");
        let left = self.bytes.values().flatten().find(|unsynced| unsynced.path == database);
        if let Some(left) = left {
            panic!("line {number}: {path} ends, and {database} of line {} is not synced", left.line);
        }
    }
}

/// A log of SQLite.
fn is_log(path: &str) -> bool {
    path.ends_with(".db-wal")
}

/// A database whose log holds what counts: rule 3 is for it. A checkpoint that could not end syncs nothing.
fn is_database(path: &str) -> bool {
    path.ends_with(".db")
}

fn is_object(path: &str) -> bool {
    [".tar.zst", ".csv"].iter().any(|end| path.ends_with(end))
}

/// Whether a machine without power must not lose it: not what only serves a process while it lives.
fn outlives(path: &str, kept: &Path) -> bool {
    let path = Path::new(path);
    let for_now = |part: Component<'_>| [".tmp", "spool"].iter().any(|name| part.as_os_str() == *name);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let served = [".lock", "-shm", "-journal"].iter().any(|end| name.ends_with(end));
    path.starts_with(kept) && !path.components().any(for_now) && !served
}
