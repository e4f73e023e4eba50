//! Replays: new batches of documents that other batches had.

use crate::Notification;

/// A member of a replay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplayMember {
    /// Its notification; the journal gets it now where it never had it.
    pub notification: Notification,
    /// How often it had been tried when it was fetched.
    pub tries: u64,
}

/// A replay to be sealed.
#[derive(Debug, Clone, Copy)]
pub struct ReplaySeal<'a> {
    /// The job.
    pub job: &'a str,
    /// In their order.
    pub members: &'a [ReplayMember],
    /// The batches that decided about them: their archives hold the originals.
    pub parents: &'a [String],
    /// Its number, from 1; higher than that of any parent.
    pub replay: u64,
    /// Rows that its bytes are taken for.
    pub estimated_rows: u64,
    /// Who seals.
    pub incarnation: &'a str,
    /// The job definition's hash at this moment, for the record.
    pub definition_hash: &'a str,
    /// Who wants it and why, for the transition log.
    pub cause: &'a str,
}
