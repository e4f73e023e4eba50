//! What a drain says at its end.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::pipeline::tally::Counts;
use crate::ports::warehouse::DocumentOutcome;

use super::args::{Flags, Format};
use super::exit::{Exit, Stop};
use super::output::{print, print_json};

/// The end of a drain, as the contract words it.
#[derive(Debug, Serialize)]
pub(super) struct Summary {
    batches: u64,
    documents: BTreeMap<&'static str, u64>,
    rows: u64,
    crawls: u64,
    /// Parked batches that remain, of this run or an earlier one.
    failed_batches: u64,
    /// New notifications journaled.
    notifications: u64,
    redelivered: u64,
    published: u64,
    /// What a later run has to finish.
    waiting: Vec<String>,
    #[serde(skip)]
    needs_a_person: bool,
}

impl Summary {
    pub(super) fn new(counts: &Counts, failed_batches: u64, waiting: Vec<String>) -> Self {
        let documents =
            DocumentOutcome::ALL.iter().map(|o| (o.as_str(), counts.documents_with(*o))).collect();
        Self {
            batches: counts.batches,
            documents,
            rows: counts.rows,
            crawls: counts.crawls,
            failed_batches,
            notifications: counts.notifications,
            redelivered: counts.redelivered,
            published: counts.published,
            waiting,
            needs_a_person: counts.needs_a_person(),
        }
    }

    /// What a later run has to finish.
    pub(super) fn waiting(&self) -> &[String] {
        &self.waiting
    }

    /// 1 where something waits for a retry, else 3 where a person should look.
    pub(super) fn exit(&self) -> Exit {
        if !self.waiting.is_empty() {
            Exit::Failed
        } else if self.needs_a_person || self.failed_batches > 0 {
            Exit::NeedsPerson
        } else {
            Exit::Fine
        }
    }

    pub(super) fn show(&self, flags: &Flags) -> Result<(), Stop> {
        match flags.output {
            Format::Json => print_json(self),
            Format::Table => print(&self.text()),
        }?;
        for waiting in &self.waiting {
            eprintln!("sluicegate: not finished: {waiting}");
        }
        if self.needs_a_person {
            eprintln!("sluicegate: some documents were turned away; see: sluicegate status");
        }
        if self.failed_batches > 0 {
            eprintln!("sluicegate: {} parked; see: sluicegate jobs list", batches(self.failed_batches));
        }
        Ok(())
    }

    /// For people.
    pub(super) fn text(&self) -> String {
        let documents: Vec<String> = DocumentOutcome::ALL
            .iter()
            .filter(|outcome| self.documents[outcome.as_str()] > 0)
            .map(|outcome| format!("{} {}", self.documents[outcome.as_str()], outcome.as_str()))
            .collect();
        let documents = if documents.is_empty() { "nothing new".to_owned() } else { documents.join(", ") };
        let mut text = format!(
            "documents  {documents}\nbatches    {}\nrows       {}\ncrawls     {}\n",
            self.batches, self.rows, self.crawls
        );
        if self.failed_batches > 0 {
            text.push_str(&format!("parked     {}\n", batches(self.failed_batches)));
        }
        text
    }
}

fn batches(count: u64) -> String {
    super::output::counted(count, "batch", "batches")
}
