//! The journal and the batch state machine of Sluicegate, over SQLite. Knows no network, no AWS and no PostgreSQL.
//!
//! Nothing here reads a clock or draws a random number: the caller says what time it is and which incarnation it is.
//! Every change is one SQLite transaction with a name (see [`effects`]), and passes through the [`seam`].

#[macro_use]
mod text_enum;

pub mod canary;
pub mod disk;
pub mod effects;
mod error;
mod lock;
pub mod machine;
pub mod model;
pub mod retry;
pub mod seam;
mod store;
pub mod time;

pub use error::{REBUILD, StateError};
pub use lock::DrainerLock;
pub use machine::{BatchEvent, BatchState, Stage, transition};
pub use model::{
    AdoptedMember, Adoption, AdoptionReach, Arrival, Attempt, AttemptFailure, AttemptOutcome, Backlog, Batch,
    Command, Counter, CounterTotal, Deferral, JournalEntry, JournalReceipt, JournalTotals, Limits,
    MISSED_EVENT, Member, Moved, Notification, NotificationState, RefusalTotal, ReplayMember, ReplaySeal,
    SealRequest, TransitionRecord, Unarchived, Unreadable, identity,
};
pub use store::{Incarnation, Store};

/// A moment in UTC.
pub type Timestamp = chrono::DateTime<chrono::Utc>;
