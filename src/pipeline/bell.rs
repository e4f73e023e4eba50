//! How stages wake each other and how the scheduler learns that nothing is left to do.
//!
//! Every piece of work advances a generation. A stage that found nothing to do notes the generation that it saw before
//! it looked. When all stages rest at the present generation, nothing can have changed since any of them looked: the
//! pipeline is quiet.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sluicegate_state::Timestamp;

use crate::failure::Failure;

use super::stage::Idle;

/// The longest wait without a look: bounds what a clock that was set back can do.
const LONGEST_REST: Duration = Duration::from_secs(30);

#[derive(Default)]
struct State {
    generation: u64,
    /// By stage: the generation at which it rests, and why.
    resting: Vec<Option<(u64, Idle)>>,
    stopped: bool,
    failure: Option<Failure>,
}

/// Shared by all stages of a run and its scheduler.
pub struct Bell {
    state: Mutex<State>,
    changed: Condvar,
}

impl Bell {
    /// A bell for this many stages.
    pub fn new(stages: usize) -> Self {
        let state = State { resting: vec![None; stages], ..State::default() };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A stage that panicked has already been reported; the counters themselves are always whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The present generation, or `None` once the run is stopped.
    pub fn generation(&self) -> Option<u64> {
        let state = self.lock();
        (!state.stopped).then_some(state.generation)
    }

    /// Something was done: everybody looks again.
    pub fn ring(&self) {
        self.lock().generation += 1;
        self.changed.notify_all();
    }

    /// Ends the run: resting stages wake and leave, working ones leave after their tick.
    pub fn stop(&self) {
        self.lock().stopped = true;
        self.changed.notify_all();
    }

    /// Ends the run because of `failure`; the first one counts.
    pub fn fail(&self, failure: Failure) {
        let mut state = self.lock();
        state.failure.get_or_insert(failure);
        state.stopped = true;
        self.changed.notify_all();
    }

    /// The failure that ended the run.
    pub fn failure(&self) -> Option<Failure> {
        self.lock().failure.clone()
    }

    /// Rests until something happens after generation `seen`, the time `idle.wake_at` comes, or the run ends.
    pub fn rest(&self, stage: usize, seen: u64, idle: Idle, now: Timestamp) {
        let wait = idle.wake_at.map_or(LONGEST_REST, |at| (at - now).to_std().unwrap_or(Duration::ZERO));
        let mut state = self.lock();
        if state.stopped || state.generation != seen {
            return;
        }
        state.resting[stage] = Some((seen, idle));
        self.changed.notify_all();
        let (mut state, _) = self
            .changed
            .wait_timeout_while(state, wait.min(LONGEST_REST), |state| {
                !state.stopped && state.generation == seen
            })
            .unwrap_or_else(PoisonError::into_inner);
        state.resting[stage] = None;
    }

    /// Waits at most `limit` until the pipeline is quiet; then says what only time can help (empty: nothing is left).
    /// `None`: not quiet yet, or the run was stopped.
    pub fn wait_quiet(&self, limit: Duration) -> Option<Vec<Idle>> {
        let state = self.lock();
        let quiet = |state: &State| {
            state.resting.iter().all(|rest| rest.as_ref().is_some_and(|(seen, _)| *seen == state.generation))
        };
        let (state, _) = self
            .changed
            .wait_timeout_while(state, limit, |state| !state.stopped && !quiet(state))
            .unwrap_or_else(PoisonError::into_inner);
        if state.stopped || !quiet(&state) {
            return None;
        }
        let resting = state.resting.iter().flatten();
        Some(resting.filter(|(_, idle)| idle.waiting_for.is_some()).map(|(_, idle)| idle.clone()).collect())
    }

    /// Whether the run was stopped.
    pub fn is_stopped(&self) -> bool {
        self.lock().stopped
    }

    /// Waits until the run is stopped, at most `limit`.
    pub fn wait_stopped(&self, limit: Duration) {
        let state = self.lock();
        drop(self.changed.wait_timeout_while(state, limit, |state| !state.stopped));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_that_looked_before_the_last_work_does_not_rest() {
        let bell = Bell::new(1);
        let seen = bell.generation().unwrap();
        bell.ring();
        let now = chrono::Utc::now();
        bell.rest(0, seen, Idle::default(), now);
        assert!(bell.wait_quiet(Duration::ZERO).is_none());
    }

    #[test]
    fn quiet_only_when_all_rest_at_the_present_generation() {
        let bell = std::sync::Arc::new(Bell::new(2));
        let rest = |stage: usize, waiting_for: Option<&str>| {
            let (bell, idle) =
                (bell.clone(), Idle { wake_at: None, waiting_for: waiting_for.map(str::to_owned) });
            std::thread::spawn(move || bell.rest(stage, bell.generation().unwrap(), idle, chrono::Utc::now()))
        };
        let first = rest(0, None);
        assert!(bell.wait_quiet(Duration::from_millis(20)).is_none());
        let second = rest(1, Some("a retry"));
        let waiting = bell.wait_quiet(Duration::from_secs(5)).unwrap();
        assert_eq!(waiting.len(), 1);
        bell.stop();
        first.join().unwrap();
        second.join().unwrap();
    }
}
