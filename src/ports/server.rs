//! What a database server says about itself, as far as `check` asks. Nothing is made, changed or migrated for it.

use sluicegate_state::Timestamp;

use super::warehouse::{Difference, LedgerIdentity};

/// A look at a warehouse that is a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerFacts {
    /// Where it is, without a secret.
    pub location: String,
    /// It is this machine.
    pub is_local: bool,
    /// The version in words.
    pub version: String,
    /// The version as a number: 150018 is 15.18.
    pub version_number: i32,
    /// The TLS version of this connection; none where it is not encrypted.
    pub tls: Option<String>,
    /// Chain and name of the server's certificate are verified.
    pub is_verified: bool,
    /// The user.
    pub user: String,
    /// The database.
    pub database: String,
    /// The schema of the target tables.
    pub schema: String,
    /// The server writes to its disk what it says it has written (`fsync`).
    pub fsync: bool,
    /// Sessions that may be opened in all, by others than administrators.
    pub most_sessions: i64,
    /// Sessions that are open, this one included.
    pub sessions: i64,
    /// The server's clock.
    pub now: Timestamp,
    /// This machine's clock, when that was asked for.
    pub asked_at: Timestamp,
    /// The ledger.
    pub ledger: LedgerFacts,
    /// Rights that the user needs and does not have, each as the statement that grants it.
    pub missing_rights: Vec<String>,
    /// The target tables of each schema that was asked about, in the same order.
    pub differences: Vec<Vec<Difference>>,
}

/// The ledger as it is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LedgerFacts {
    /// Nothing was ever loaded.
    Missing,
    /// It is there, and the user may not read it.
    Forbidden,
    /// Made by an older version; the next start brings it up to date.
    Older,
    /// Made by a newer version.
    Newer,
    /// As this version makes it.
    Current(LedgerIdentity),
}
