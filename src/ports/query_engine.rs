//! The query port: SQL over the published CSV objects (Athena, or the embedded engine).

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::failure::Outcome;

/// One value of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// NULL.
    Null,
    /// A whole number; a number in JSON.
    Integer(i64),
    /// An exact decimal in plain notation; a string in JSON, because money is never a float.
    Decimal(String),
    /// Text, and everything else.
    Text(String),
}

/// The answer to a statement.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Answer {
    /// Column names in order; they may repeat.
    pub columns: Vec<String>,
    /// The rows, each as long as `columns`.
    pub rows: Vec<Vec<Value>>,
    /// What it cost to find, where the engine is paid by what it reads.
    pub scan: Option<Scan>,
}

/// What a paid engine says about one statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scan {
    /// Bytes that it read.
    pub bytes: u64,
    /// From its acceptance to its end, waiting for its turn included.
    pub run_time: Duration,
}

/// A person's wish that a statement shall end now. Clones are one wish; it stays once it is raised.
#[derive(Debug, Clone, Default)]
pub struct Interrupt(Arc<(Mutex<bool>, Condvar)>);

impl Interrupt {
    /// From now on the statement shall end.
    pub fn raise(&self) {
        *self.lock() = true;
        self.0.1.notify_all();
    }

    /// Whether it shall.
    pub fn is_raised(&self) -> bool {
        *self.lock()
    }

    /// Waits for so long, or until it is raised; whether it is.
    pub fn wait(&self, time: Duration) -> bool {
        let end = Instant::now() + time;
        let mut raised = self.lock();
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if *raised || left.is_zero() {
                return *raised;
            }
            raised = self.0.1.wait_timeout(raised, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn lock(&self) -> MutexGuard<'_, bool> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs SQL. For each target table `T` of the job there is the raw table `T_csv` (every column text, and `dt`) and the
/// typed, newest-wins view `T`.
pub trait QueryEngine: Send {
    /// Runs one statement, which only reads.
    ///
    /// # Errors
    /// A permanent failure holds the engine's words about the statement.
    fn query(&mut self, sql: &str) -> Outcome<Answer>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_ends_when_it_is_raised() {
        let interrupt = Interrupt::default();
        assert!(!interrupt.wait(Duration::ZERO));
        let other = interrupt.clone();
        let waiting = std::thread::spawn(move || other.wait(Duration::from_secs(600)));
        interrupt.raise();
        assert!(waiting.join().unwrap() && interrupt.is_raised());
    }
}
