//! How an effect on the outside world can fail, as far as the pipeline needs to know.

use sluicegate_state::seam::Injected;
use std::fmt;

/// What to do about a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// Throttling, a connection, a failover, a busy lock: the same thing tried later can work. Never charged to documents.
    Transient,
    /// Trying again changes nothing: a person has to look. The batch is parked.
    Permanent,
    /// The wrong ledger, or one restored to the past: nothing may be loaded. Exit status 2.
    WrongLedger,
    /// A test let the process "die" here; it must not be handled, only passed on.
    Died,
}

/// A failed effect: what was tried on which thing, the cause, and where there is one the next step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What to do about it.
    pub kind: FailureKind,
    /// A lower-case fragment for people; never holds a secret.
    pub message: String,
}

/// The result of an effect.
pub type Outcome<T> = Result<T, Failure>;

impl Failure {
    /// A failure that a later try may not meet.
    pub fn transient(message: impl Into<String>) -> Self {
        Self { kind: FailureKind::Transient, message: message.into() }
    }

    /// A failure that needs a person.
    pub fn permanent(message: impl Into<String>) -> Self {
        Self { kind: FailureKind::Permanent, message: message.into() }
    }

    /// The same failure with the thing that was being done put in front.
    #[must_use]
    pub fn while_doing(mut self, what: impl fmt::Display) -> Self {
        self.message = format!("{what}: {}", self.message);
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

impl From<Injected> for Failure {
    fn from(injected: Injected) -> Self {
        let kind = if injected.transient { FailureKind::Transient } else { FailureKind::Died };
        Self { kind, message: injected.to_string() }
    }
}
