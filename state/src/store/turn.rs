//! Writers of one process take turns. SQLite lets one connection write at a time; the others sleep and look again, longer
//! each time, so that the database lies idle while everybody sleeps. Inside a process a mutex wakes the next one at once;
//! between processes SQLite's own way remains.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// The turns of each folder that is open in this process.
static TURNS: Mutex<BTreeMap<PathBuf, Weak<Mutex<()>>>> = Mutex::new(BTreeMap::new());

/// The right to write, shared by all connections of this process to one folder.
#[derive(Debug)]
pub(super) struct Turn(Arc<Mutex<()>>);

impl Turn {
    /// The turn of a folder. Another name of the same folder would get a turn of its own: slower, and still right.
    pub(super) fn of(folder: &Path) -> Self {
        let mut turns = TURNS.lock().unwrap_or_else(PoisonError::into_inner);
        turns.retain(|_, turn| turn.strong_count() > 0);
        let turn = match turns.get(folder).and_then(Weak::upgrade) {
            Some(turn) => turn,
            None => {
                let turn = Arc::default();
                turns.insert(folder.to_owned(), Arc::downgrade(&turn));
                turn
            }
        };
        Self(turn)
    }

    /// Waits for the turn, and has it until the guard goes. It guards nothing in memory, so that a panic leaves nothing
    /// half done: SQLite rolls back.
    pub(super) fn take(&self) -> MutexGuard<'_, ()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
