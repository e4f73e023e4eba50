//! The nouns of the store: what goes in and what is read back.

mod batch;
mod journal;
mod replay;
mod status;

pub use batch::{
    AdoptedMember, Adoption, AdoptionReach, Attempt, AttemptFailure, AttemptOutcome, Batch, Deferral, Limits,
    Member, Moved, SealRequest, TransitionRecord,
};
pub(crate) use journal::present_version;
pub use journal::{
    Arrival, Counter, JournalEntry, JournalReceipt, MISSED_EVENT, Notification, NotificationState,
    Unreadable, identity,
};
pub use replay::{ReplayMember, ReplaySeal};
pub use status::{Backlog, Command, CounterTotal, JournalTotals, RefusalTotal, Unarchived};
