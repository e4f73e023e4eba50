//! The decisions port: which documents the ledger has decided about, and how. Replays and lists of rejects are made from
//! it; reached through [`Warehouse::decisions`](super::warehouse::Warehouse::decisions).

use std::collections::BTreeMap;

use serde::Serialize;
use sluicegate_state::Timestamp;

use crate::failure::Outcome;

use super::warehouse::{DocumentOutcome, Verdict};

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

/// The words of a verdict about a document that a replay could not load better than its parent had.
const LEFT_LOADED: &str = "stays as it was loaded by batch";

impl Verdict {
    /// A replay read a document that `parent` has loaded, and put in nothing of it: the parent keeps it, with its rows.
    pub fn leave_loaded(&mut self, parent: &str) {
        let (word, reason) = (self.outcome.as_str(), &self.reason);
        self.reason = format!("it {LEFT_LOADED} {parent}; read again, it would be {word}: {reason}");
        self.outcome = DocumentOutcome::Again;
        self.refused.clear();
    }
}

/// Whether a verdict with this outcome and reason left a document as another batch had loaded it, though its bytes were
/// read again.
pub fn is_left_loaded(outcome: &str, reason: &str) -> bool {
    outcome == DocumentOutcome::Again.as_str() && reason.contains(LEFT_LOADED)
}

/// A person stops the loading of a job's documents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Hold {
    /// user@host.
    pub operator: String,
    /// Since when, RFC 3339.
    pub at: String,
    /// Why, in the person's own words.
    pub reason: String,
}

/// An operation that holds or releases a job: what its detail says.
pub fn hold_detail(job: &str, hold: bool) -> serde_json::Value {
    serde_json::json!({ (if hold { "hold" } else { "release" }): job })
}

/// The jobs that are held, from the operations that hold and release, with their details, oldest first.
pub(crate) fn holds(operations: impl IntoIterator<Item = (Hold, String)>) -> BTreeMap<String, Hold> {
    let mut held = BTreeMap::new();
    for (hold, detail) in operations {
        let detail: serde_json::Value = serde_json::from_str(&detail).unwrap_or_default();
        if let Some(job) = detail["hold"].as_str() {
            held.insert(job.to_owned(), hold);
        } else if let Some(job) = detail["release"].as_str() {
            held.remove(job);
        }
    }
    held
}

/// What the ledger has decided.
pub trait Decisions {
    /// Decisions in the order of batch and ordinal.
    fn decided(&mut self, query: &DecisionQuery<'_>) -> Outcome<Vec<Decision>>;

    /// The jobs that a person holds: a fact of the ledger, so that it holds for every machine.
    fn holds(&mut self) -> Outcome<BTreeMap<String, Hold>>;

    /// The replays of a batch, oldest first.
    fn replays_of(&mut self, batch_id: &str) -> Outcome<Vec<String>>;
}
