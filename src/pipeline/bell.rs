//! How stages wake each other and how the scheduler learns that nothing is left to do.
//!
//! Every piece of work advances a generation. A stage that found nothing to do notes the generation that it saw before
//! it looked. When all stages rest at the present generation, nothing can have changed since any of them looked: the
//! pipeline is quiet. A stage whose looks cost much may rest aside: it is woken when all others rest at a generation that
//! it has not seen, so that it too has looked after the last work when the pipeline is quiet.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sluicegate_state::Timestamp;

use crate::failure::Failure;

use super::stage::Idle;

/// The longest wait without a look: bounds what a clock that was set back can do.
const LONGEST_REST: Duration = Duration::from_secs(30);
/// The shortest one: whoever asks to be woken in the past still rests, so that the scheduler sees it and no stage spins.
const SHORTEST_REST: Duration = Duration::from_millis(5);

#[derive(Default)]
struct State {
    generation: u64,
    /// By stage: its rest, if it rests.
    resting: Vec<Option<Rest>>,
    stopped: bool,
    failure: Option<Failure>,
}

/// How a stage rests.
#[derive(Clone)]
struct Rest {
    /// The generation that it saw before it looked.
    seen: u64,
    idle: Idle,
    /// Not woken by what others do, but when they rest.
    aside: bool,
}

impl State {
    /// Whether every stage but `stage` rests at the present generation, or aside.
    fn others_rest(&self, stage: usize) -> bool {
        let rests = |rest: &Rest| rest.aside || rest.seen == self.generation;
        self.resting
            .iter()
            .enumerate()
            .all(|(other, rest)| other == stage || rest.as_ref().is_some_and(rests))
    }
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
        self.rest_as(stage, Rest { seen, idle, aside: false }, now);
    }

    /// Rests until something has happened after generation `seen` and all other stages rest again, the time
    /// `idle.wake_at` comes, or the run ends. Two that rest aside do not wait for each other.
    pub fn rest_aside(&self, stage: usize, seen: u64, idle: Idle, now: Timestamp) {
        self.rest_as(stage, Rest { seen, idle, aside: true }, now);
    }

    fn rest_as(&self, stage: usize, rest: Rest, now: Timestamp) {
        let wait = rest.idle.wake_at.map_or(LONGEST_REST, |at| (at - now).to_std().unwrap_or(Duration::ZERO));
        let Rest { seen, aside, .. } = rest;
        let rests = |state: &mut State| {
            !state.stopped && (state.generation == seen || (aside && !state.others_rest(stage)))
        };
        let mut state = self.lock();
        if !rests(&mut state) {
            return;
        }
        state.resting[stage] = Some(rest);
        self.changed.notify_all();
        let (mut state, _) = self
            .changed
            .wait_timeout_while(state, wait.clamp(SHORTEST_REST, LONGEST_REST), rests)
            .unwrap_or_else(PoisonError::into_inner);
        state.resting[stage] = None;
    }

    /// Waits at most `limit` until the pipeline is quiet; then says what only time can help (empty: nothing is left).
    /// `None`: not quiet yet, or the run was stopped.
    pub fn wait_quiet(&self, limit: Duration) -> Option<Vec<Idle>> {
        let state = self.lock();
        let quiet = |state: &State| {
            state.resting.iter().all(|rest| rest.as_ref().is_some_and(|rest| rest.seen == state.generation))
        };
        let (state, _) = self
            .changed
            .wait_timeout_while(state, limit, |state| !state.stopped && !quiet(state))
            .unwrap_or_else(PoisonError::into_inner);
        if state.stopped || !quiet(&state) {
            return None;
        }
        let resting = state.resting.iter().flatten();
        Some(resting.map(|rest| &rest.idle).filter(|idle| idle.waiting_for.is_some()).cloned().collect())
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

    #[test]
    fn who_asks_to_be_woken_in_the_past_is_seen_to_rest() {
        let bell = std::sync::Arc::new(Bell::new(1));
        let stage = {
            let bell = bell.clone();
            std::thread::spawn(move || {
                while let Some(seen) = bell.generation() {
                    let now = chrono::Utc::now();
                    let wake_at = Some(now - chrono::TimeDelta::hours(1));
                    bell.rest(0, seen, Idle { wake_at, waiting_for: Some("time".to_owned()) }, now);
                }
            })
        };
        let waiting = bell.wait_quiet(Duration::from_secs(30));
        bell.stop();
        stage.join().unwrap();
        assert_eq!(waiting.map(|waiting| waiting.len()), Some(1));
    }

    #[test]
    fn two_that_rest_aside_both_look_after_the_last_work() {
        let bell = std::sync::Arc::new(Bell::new(3));
        let now = chrono::Utc::now();
        let (looked, looks) = std::sync::mpsc::channel();
        let aside = |stage: usize| {
            let (bell, looked) = (bell.clone(), looked.clone());
            std::thread::spawn(move || {
                let mut seen = Some(0);
                while let Some(generation) = seen {
                    bell.rest_aside(stage, generation, Idle::default(), now);
                    seen = bell.generation();
                    looked.send((stage, seen)).unwrap();
                }
            })
        };
        let mut threads = vec![aside(0), aside(1)];
        bell.ring();
        let worker = bell.clone();
        threads.push(std::thread::spawn(move || worker.rest(2, 1, Idle::default(), now)));
        assert_eq!(bell.wait_quiet(Duration::from_secs(30)), Some(Vec::new()));
        let before: std::collections::BTreeSet<_> = looks.try_iter().collect();
        bell.stop();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert!([0, 1].iter().all(|stage| before.contains(&(*stage, Some(1)))), "{before:?}");
    }

    #[test]
    fn who_rests_aside_sleeps_while_others_work_and_looks_again_before_it_is_quiet() {
        let bell = std::sync::Arc::new(Bell::new(2));
        let now = chrono::Utc::now();
        let (woken, wakes) = std::sync::mpsc::channel();
        let aside = {
            let bell = bell.clone();
            std::thread::spawn(move || {
                // It looked before anything happened.
                let mut seen = Some(0);
                while let Some(generation) = seen {
                    bell.rest_aside(0, generation, Idle::default(), now);
                    seen = bell.generation();
                    woken.send(seen).unwrap();
                }
            })
        };
        let worker = bell.generation().unwrap();
        bell.ring();
        bell.ring();
        // The worker has not rested since it rang, so nobody wakes who rests aside; nor is it quiet.
        bell.rest(1, worker, Idle::default(), now);
        assert_eq!(
            wakes.recv_timeout(Duration::from_millis(50)),
            Err(std::sync::mpsc::RecvTimeoutError::Timeout)
        );
        let worker = {
            let bell = bell.clone();
            std::thread::spawn(move || bell.rest(1, 2, Idle::default(), now))
        };
        assert_eq!(wakes.recv_timeout(Duration::from_secs(5)), Ok(Some(2)), "it looks once the other rests");
        assert_eq!(bell.wait_quiet(Duration::from_secs(5)), Some(Vec::new()));
        bell.stop();
        aside.join().unwrap();
        worker.join().unwrap();
    }
}
