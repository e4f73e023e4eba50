//! The decisions port: which documents the ledger has decided about, and how. Replays and lists of rejects are made from
//! it; reached through [`Warehouse::decisions`](super::warehouse::Warehouse::decisions).

use sluicegate_state::Timestamp;

use crate::failure::Outcome;

use super::warehouse::DocumentOutcome;

/// Which decisions are asked for.
#[derive(Debug, Clone, Copy)]
pub struct DecisionQuery<'a> {
    /// The job.
    pub job: &'a str,
    /// With one of these outcomes.
    pub outcomes: &'a [DocumentOutcome],
    /// Decided at this time or later, by the ledger's clock.
    pub since: Option<Timestamp>,
    /// Every verdict that was ever given, and not only the present outcome of each document.
    pub history: bool,
    /// Only what comes after this batch and ordinal.
    pub after: Option<(&'a str, u32)>,
    /// At most so many.
    pub limit: u32,
}

/// What a batch decided about one document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// Landing bucket.
    pub bucket: String,
    /// Decoded key.
    pub key: String,
    /// Document version.
    pub version: String,
    /// The batch that decided.
    pub batch_id: String,
    /// Position in it.
    pub ordinal: u32,
    /// How.
    pub outcome: String,
    /// Why, without the line.
    pub reason: String,
    /// Line of the reject, where there is one.
    pub line: Option<u64>,
    /// The offending text, where there is some.
    pub text: Option<String>,
    /// Bytes in the landing; 0 where they are not known.
    pub size: u64,
    /// Whether its bytes are in the archive of the batch.
    pub archived: bool,
    /// When it landed, RFC 3339; empty where that is not known.
    pub landed_at: String,
    /// When the batch decided, RFC 3339.
    pub decided_at: String,
    /// The number of the replay that decided, 0 for a first load.
    pub replay: u32,
}

/// What the ledger has decided.
pub trait Decisions {
    /// Decisions in the order of batch and ordinal.
    fn decisions(&mut self, query: &DecisionQuery<'_>) -> Outcome<Vec<Decision>>;

    /// The replays of a batch, oldest first.
    fn replays_of(&mut self, batch_id: &str) -> Outcome<Vec<String>>;

    /// The batches that a batch replays; none where the ledger does not know it.
    fn parents_of(&mut self, batch_id: &str) -> Outcome<Vec<String>>;
}
