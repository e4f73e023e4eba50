//! How the reading goes in one attempt at a batch: what could not be read for no reason of its own (a 5xx, a broken
//! connection, a body that is too short or damaged), and whether the landing is to blame for it.
//!
//! One object that keeps failing must not hold up its neighbours for ever, and a landing that is down must not defer
//! them all (I10). So most trouble ends the attempt; trouble that lasts defers a member, and only where others are read.

use std::sync::{Mutex, MutexGuard, PoisonError};

use sluicegate_state::Batch;

use crate::archive::ManifestMember;
use crate::failure::{Failure, FailureKind};

/// Failed attempts at a batch before a member that still cannot be read is deferred. Most trouble has passed by then: half
/// a minute, with the store's own tries.
const FAILED_ATTEMPTS: u64 = 5;
/// Members in a row that cannot be read before it is found out whether anything can be.
const MOST_IN_A_ROW: u32 = 8;

/// Which members of a batch are deferred when they cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deferrable {
    /// None: the originals of a replay lie in the archive, and are no business of the landing.
    None,
    /// Those that were deferred before: they have held up other batches long enough.
    TriedBefore,
    /// All: the batch has waited long enough for them.
    All,
}

impl Deferrable {
    /// What holds for the next attempt at `batch`.
    pub fn of(batch: &Batch) -> Self {
        match batch {
            batch if !batch.parents.is_empty() => Self::None,
            batch if batch.failures >= FAILED_ATTEMPTS => Self::All,
            _ => Self::TriedBefore,
        }
    }

    /// Whether `failure` to read `member` concerns that member alone, as long as others are read.
    pub(super) fn holds(self, member: &ManifestMember, failure: &Failure) -> bool {
        let may = match self {
            Self::None => false,
            Self::TriedBefore => member.tries > 0,
            Self::All => true,
        };
        may && failure.kind == FailureKind::Transient
    }
}

/// What has come of the members that were asked for until now. Shared by the threads that ask.
#[derive(Default)]
pub(super) struct Course<'a>(Mutex<Told<'a>>);

#[derive(Default)]
struct Told<'a> {
    failed_in_a_row: u32,
    last_read: Option<&'a ManifestMember>,
    trouble: Option<Failure>,
}

impl<'a> Course<'a> {
    fn told(&self) -> MutexGuard<'_, Told<'a>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `member` was read whole.
    pub(super) fn was_read(&self, member: &'a ManifestMember) {
        let mut told = self.told();
        told.failed_in_a_row = 0;
        told.last_read = Some(member);
    }

    /// The store answered, though not with an object.
    pub(super) fn was_answered(&self) {
        self.told().failed_in_a_row = 0;
    }

    /// A member could not be read, and is to be deferred.
    pub(super) fn has_failed(&self, failure: &Failure) {
        let mut told = self.told();
        told.failed_in_a_row += 1;
        told.trouble = Some(failure.clone());
    }

    /// So many have failed one after the other that nobody should be asked for before it is known what can be read.
    pub(super) fn is_in_doubt(&self) -> bool {
        self.told().failed_in_a_row >= MOST_IN_A_ROW
    }

    /// The last member that was read.
    pub(super) fn last_read(&self) -> Option<&'a ManifestMember> {
        self.told().last_read
    }

    /// The last trouble that a member is to be deferred for.
    pub(super) fn trouble(&self) -> Option<Failure> {
        self.told().trouble.clone()
    }
}
