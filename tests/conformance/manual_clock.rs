//! A clock that stands where it is put, so that no test ever waits for the time to pass.

use std::sync::Mutex;

use chrono::TimeDelta;
use sluicegate::ports::clock::Clock;
use sluicegate_state::Timestamp;

/// Shared by everything in a test that asks for the time.
pub(crate) struct ManualClock(Mutex<Timestamp>);

impl ManualClock {
    /// A clock that shows `start`, a time in RFC 3339.
    pub(crate) fn new(start: &str) -> Self {
        Self(Mutex::new(start.parse().expect("a test names a moment in RFC 3339")))
    }

    /// Lets time pass.
    pub(crate) fn advance(&self, by: TimeDelta) {
        *self.0.lock().unwrap() += by;
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }
}
