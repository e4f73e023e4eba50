//! How a listener is, for whoever watches over it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// The steps that a listener has finished, and what was wrong with the last one.
#[derive(Debug, Default)]
pub struct Pulse {
    steps: AtomicU64,
    trouble: Mutex<Option<String>>,
}

impl Pulse {
    /// A step is finished, well or with `trouble`: proof that the loop is not stuck.
    pub fn beat(&self, trouble: Option<&str>) {
        self.steps.fetch_add(1, Ordering::SeqCst);
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble.map(str::to_owned);
    }

    /// How many steps are finished.
    pub fn steps(&self) -> u64 {
        self.steps.load(Ordering::SeqCst)
    }

    /// What was wrong with the last step.
    pub fn trouble(&self) -> Option<String> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
