//! What a stage is: something that does one piece of work a tick, and says when there is none.

use std::time::Instant;

use chrono::TimeDelta;
use sluicegate_state::Timestamp;

use crate::failure::Outcome;

/// What a tick came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tick {
    /// Something was done; there may be more, here or in the stages behind.
    Worked,
    /// Nothing can be done now.
    Idle(Idle),
    /// The same, of a stage whose looks cost much and that nothing inside the pipeline gives work to: what other stages
    /// do is no reason to look again. It looks when its time comes, and once more when all others rest.
    Aside(Idle),
}

/// Why a stage rests.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Idle {
    /// When to look again, if nothing happens before.
    pub wake_at: Option<Timestamp>,
    /// Unfinished work that only time can help, for people. A drain waits for it as long as its patience lasts.
    pub waiting_for: Option<String>,
}

/// Whether the time `at`, which was set to `longest` ahead at the most, has not come yet. One that lies further ahead was
/// set before the clock was set back, and has come.
pub fn lies_ahead(at: Timestamp, now: Timestamp, longest: TimeDelta) -> bool {
    now < at && at - now <= longest
}

/// The rest of a stage after a failure, which lasts whatever the other stages do: nobody's work makes it try sooner.
#[derive(Debug)]
pub struct Setback {
    idle: Idle,
    delay: TimeDelta,
    until: Instant,
}

impl Setback {
    /// Rests for `delay` from `now` on.
    pub fn new(now: Timestamp, delay: TimeDelta, waiting_for: String) -> Self {
        let idle = Idle { wake_at: Some(now + delay), waiting_for: Some(waiting_for) };
        Self { idle, delay, until: Instant::now() + delay.to_std().unwrap_or_default() }
    }

    /// The rest, as it began.
    pub fn idle(&self) -> Idle {
        self.idle.clone()
    }

    /// The rest, unless it is over: a clock that stands, or is set back, does not make it longer.
    pub fn rest(&self, now: Timestamp) -> Option<Idle> {
        let is_ahead = self.idle.wake_at.is_some_and(|at| lies_ahead(at, now, self.delay));
        (is_ahead && Instant::now() < self.until).then(|| self.idle())
    }
}

impl Tick {
    /// Nothing to do, and nothing to wait for.
    pub fn idle() -> Self {
        Self::Idle(Idle::default())
    }
}

/// One stage of the pipeline.
pub trait Stage: Send {
    /// Its name, for logs.
    fn name(&self) -> &'static str;

    /// Does one piece of work.
    ///
    /// # Errors
    /// Only what ends the whole run: the state store is unusable, the ledger is the wrong one, or a test let the process
    /// die. Of these a run that watches waits out what is transient, a state store that is full or locked, and then calls
    /// again. What a batch or a service does wrong is recorded and waited out here.
    fn tick(&mut self) -> Outcome<Tick>;
}
