//! What the connections of one process remember about recent loads.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long a job's loads take the careful way at once after something collided.
const COLLISION_MEMORY: Duration = Duration::from_secs(300);

#[derive(Default)]
struct Memory {
    /// By job: keys collided, so that rows go through temporary tables.
    collisions: HashMap<String, Instant>,
    /// By job: a document was claimed before, so that claims are made one by one.
    claimed_before: HashMap<String, Instant>,
    deadlocks: HashSet<String>,
}

/// What recent loads met. It outlives the connections, because a failed load closes its own; clones share it.
#[derive(Clone, Default)]
pub struct Recent(Arc<Mutex<Memory>>);

impl Recent {
    fn memory(&self) -> MutexGuard<'_, Memory> {
        // These are hints: whatever a panic elsewhere left here is as good as any other.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn note_collision(&self, job: &str) {
        self.memory().collisions.insert(job.to_owned(), Instant::now());
    }

    pub(super) fn collided(&self, job: &str) -> bool {
        self.memory().collisions.get(job).is_some_and(|at| at.elapsed() < COLLISION_MEMORY)
    }

    pub(super) fn note_claimed_before(&self, job: &str) {
        self.memory().claimed_before.insert(job.to_owned(), Instant::now());
    }

    pub(super) fn met_claimed(&self, job: &str) -> bool {
        self.memory().claimed_before.get(job).is_some_and(|at| at.elapsed() < COLLISION_MEMORY)
    }

    pub(super) fn note_deadlock(&self, batch_id: &str) {
        self.memory().deadlocks.insert(batch_id.to_owned());
    }

    pub(super) fn deadlocked(&self, batch_id: &str) -> bool {
        self.memory().deadlocks.contains(batch_id)
    }

    pub(super) fn note_commit(&self, batch_id: &str) {
        self.memory().deadlocks.remove(batch_id);
    }
}
