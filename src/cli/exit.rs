//! Exit statuses: one table, and what each kind of error maps to.

use std::process::ExitCode;

use sluicegate_state::StateError;
use sluicegate_state::seam::Injected;

use crate::config::ConfigError;
use crate::failure::{Failure, FailureKind};

/// How the program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exit {
    /// 0: fine.
    Fine,
    /// 1: failed, or could not finish now.
    Failed,
    /// 2: usage, configuration, wrong ledger.
    Usage,
    /// 3: done, but something needs a person.
    NeedsPerson,
}

impl Exit {
    /// The status as the shell sees it.
    pub(super) fn code(self) -> u8 {
        match self {
            Self::Fine => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::NeedsPerson => 3,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// An error that ends the program.
#[derive(Debug)]
pub(super) struct Stop {
    pub(super) exit: Exit,
    /// For stderr.
    pub(super) message: String,
}

impl Stop {
    pub(super) fn failed(message: impl Into<String>) -> Self {
        Self { exit: Exit::Failed, message: message.into() }
    }

    pub(super) fn usage(message: impl Into<String>) -> Self {
        Self { exit: Exit::Usage, message: message.into() }
    }
}

impl From<ConfigError> for Stop {
    fn from(error: ConfigError) -> Self {
        Self::usage(error.to_string())
    }
}

impl From<StateError> for Stop {
    fn from(error: StateError) -> Self {
        let newer = matches!(error, StateError::NewerSchema { .. });
        Self { exit: if newer { Exit::Usage } else { Exit::Failed }, message: error.to_string() }
    }
}

impl From<Injected> for Stop {
    fn from(injected: Injected) -> Self {
        Failure::from(injected).into()
    }
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        let exit = match failure.kind {
            FailureKind::WrongLedger => Exit::Usage,
            FailureKind::Transient | FailureKind::Permanent | FailureKind::Died => Exit::Failed,
        };
        Self { exit, message: failure.message }
    }
}
