//! The journal and the batch state machine of Sluicegate, over SQLite. Knows no network, no AWS and no PostgreSQL.

pub mod seam;

/// A moment in UTC.
pub type Timestamp = chrono::DateTime<chrono::Utc>;
