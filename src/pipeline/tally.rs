//! What a run has done, for its summary and its progress line.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use serde::Serialize;

use crate::ports::warehouse::{DocumentOutcome, Verdict};

/// Counts of one run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Notifications journaled for the first time.
    pub notifications: u64,
    /// Notifications that were known.
    pub redelivered: u64,
    /// Documents whose batch was archived.
    pub archived: u64,
    /// Batches whose load ended.
    pub batches: u64,
    /// Documents by what became of them.
    pub documents: BTreeMap<&'static str, u64>,
    /// Rows inserted, over all tables.
    pub rows: u64,
    /// Batches published.
    pub published: u64,
    /// Crawls that ended well.
    pub crawls: u64,
    /// Jobs whose last crawl of this run was given up, and why, for people.
    pub given_up_crawls: BTreeMap<String, String>,
    /// Batches parked.
    pub failed_batches: u64,
}

/// Shared by the stages of a run.
#[derive(Debug, Default)]
pub struct Tally(Mutex<Counts>);

impl Tally {
    /// Changes the counts.
    pub fn add(&self, change: impl FnOnce(&mut Counts)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Counts the verdicts of a batch whose load ended.
    pub fn add_verdicts(&self, verdicts: &[Verdict]) {
        self.add(|counts| {
            counts.batches += 1;
            for verdict in verdicts {
                *counts.documents.entry(verdict.outcome.as_str()).or_default() += 1;
                counts.rows += verdict.rows;
            }
        });
    }

    /// The counts now.
    pub fn counts(&self) -> Counts {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Counts {
    /// Documents of this run with this outcome.
    pub fn documents_with(&self, outcome: DocumentOutcome) -> u64 {
        self.documents.get(outcome.as_str()).copied().unwrap_or(0)
    }

    /// Whether a document ended in a way that a person should look at.
    pub fn needs_a_person(&self) -> bool {
        DocumentOutcome::ALL
            .into_iter()
            .any(|outcome| outcome.needs_a_person() && self.documents_with(outcome) > 0)
    }
}
