//! What a reconciliation says. Serialized, it is the contract of `reconcile --output json`.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use crate::ports::proof::TurnedAway;

/// Records that a discrepancy tells one by one; the others are counted in `more`.
pub const RECORDS_SHOWN: usize = 100;

/// The balance of one job and day: received = the sum of everything below it (I9).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Balance {
    /// Documents that ledger, journal, archive or landing know.
    pub received: u64,
    /// Their records are in the warehouse.
    pub loaded: u64,
    /// Cannot be read as the job says.
    pub rejected: u64,
    /// All their records were there.
    pub duplicate: u64,
    /// A known key with other content.
    pub conflict: u64,
    /// Overwritten before they were read, or replaced since.
    pub superseded: u64,
    /// Gone before they were read.
    pub missing: u64,
    /// The lifecycle took them.
    pub expired: u64,
    /// A person gave them up.
    pub abandoned: u64,
    /// Received and not decided yet.
    pub in_flight: u64,
    /// What `received` has more than all the others together: documents that are in no place.
    pub difference: i64,
}

impl Balance {
    /// The lines of the balance without `received` and `difference`, with their names.
    pub fn lines(&self) -> [(&'static str, u64); 9] {
        [
            ("loaded", self.loaded),
            ("rejected", self.rejected),
            ("duplicate", self.duplicate),
            ("conflict", self.conflict),
            ("superseded", self.superseded),
            ("missing", self.missing),
            ("expired", self.expired),
            ("abandoned", self.abandoned),
            ("in flight", self.in_flight),
        ]
    }

    /// Closes the balance: what is received and in no line is the difference.
    pub fn close(&mut self) {
        let lines: u64 = self.lines().iter().map(|(_, count)| count).sum();
        self.difference =
            i64::try_from(self.received).unwrap_or(i64::MAX) - i64::try_from(lines).unwrap_or(i64::MAX);
    }
}

/// What one place holds of what it should.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct PlaceLine {
    /// landing, ledger, warehouse, curated, catalog, query or archive.
    pub place: &'static str,
    /// What is counted: documents, rows, objects, partitions.
    pub unit: &'static str,
    /// What should be there.
    pub expected: u64,
    /// What is there, as it should be.
    pub ok: u64,
    /// What should be there and is not.
    pub lost: u64,
    /// What is there more than once.
    pub duplicated: u64,
    /// What is there and should not be, or is other than it should be.
    pub unexpected: u64,
    /// Why the place was not asked at all; its counts say nothing then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unasked: Option<&'static str>,
}

/// Somebody said that a discrepancy is as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Acceptance {
    /// user@host.
    pub operator: String,
    /// RFC 3339.
    pub at: String,
    /// In the person's own words.
    pub reason: String,
}

/// One thing that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Discrepancy {
    /// The same for the same difference in every run; `--accept` takes it.
    pub id: String,
    /// What kind of trouble.
    pub kind: &'static str,
    /// `lost`, `duplicated` or `unexpected`.
    pub word: &'static str,
    /// Where.
    pub place: &'static str,
    /// The batch, where there is one.
    pub batch_id: Option<String>,
    /// Keys of the documents concerned, at most [`RECORDS_SHOWN`].
    pub documents: Vec<String>,
    /// Keys of the records concerned, at most [`RECORDS_SHOWN`].
    pub records: Vec<BTreeMap<String, String>>,
    /// Records, or where there are none documents, that are not told one by one.
    pub more: u64,
    /// What is wrong, in plain words.
    pub detail: String,
    /// The command that mends it, or that tells more.
    pub command: String,
    /// Set where a person accepted it: it counts no more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accepted: Option<Acceptance>,
}

/// Documents that a person should look at although they are no discrepancy: outcomes with their cause and command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Attention {
    /// What, in plain words.
    pub what: String,
    /// Why.
    pub cause: String,
    /// What tells more, or helps.
    pub command: String,
}

impl From<TurnedAway> for Attention {
    fn from(document: TurnedAway) -> Self {
        let TurnedAway { key, outcome, reason, .. } = document;
        // A conflict has two sides, and only a person knows which is right: the story of both is what helps.
        let command = match outcome.as_str() {
            "rejected" => format!("sluicegate jobs replay --rejected --key {}", shell_word(&key)),
            _ => format!("sluicegate jobs show {}", shell_word(&key)),
        };
        Self { what: format!("{key} is {outcome}"), cause: reason, command }
    }
}

/// One job and day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DayReport {
    /// The job.
    pub job: String,
    /// The day.
    pub day: NaiveDate,
    /// Whether everything is in its place.
    pub balanced: bool,
    /// Over, and nothing of it under way.
    pub closed: bool,
    /// Of the record in the ledger.
    pub revision: u32,
    /// Where every document is.
    pub balance: Balance,
    /// Place against place.
    pub places: Vec<PlaceLine>,
    /// What is wrong.
    pub discrepancies: Vec<Discrepancy>,
    /// What is otherwise and was accepted.
    pub accepted: Vec<Discrepancy>,
    /// Outcomes that a person should look at.
    pub attention: Vec<Attention>,
    /// Further such outcomes that are not told one by one.
    pub more_attention: u64,
    /// What differs from the revision before.
    pub changes: Vec<String>,
    /// A digest of everything that the ledger and the tables say of the day.
    #[serde(skip)]
    pub control: String,
}

/// A whole reconciliation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The first day.
    pub from: NaiveDate,
    /// The last day.
    pub to: NaiveDate,
    /// Whether every job and day is.
    pub balanced: bool,
    /// When it was made, RFC 3339.
    pub at: String,
    /// One entry for each job and day.
    pub jobs: Vec<DayReport>,
}

impl Report {
    /// Puts the days of all jobs together.
    pub fn new(mut jobs: Vec<DayReport>, today: NaiveDate, at: String) -> Self {
        jobs.sort_by(|a, b| (&a.day, &a.job).cmp(&(&b.day, &b.job)));
        let from = jobs.first().map_or(today, |day| day.day);
        let to = jobs.last().map_or(today, |day| day.day);
        Self { from, to, balanced: jobs.iter().all(|day| day.balanced), at, jobs }
    }
}

/// A word as a shell takes it.
pub fn shell_word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c);
    if !text.is_empty() && !text.starts_with('-') && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_no_line_is_the_difference() {
        let mut balance = Balance { received: 5, loaded: 2, in_flight: 1, rejected: 1, ..Balance::default() };
        balance.close();
        assert_eq!(balance.difference, 1);
    }

    #[test]
    fn commands_can_be_pasted() {
        assert_eq!(shell_word("in/a-1.txt"), "in/a-1.txt");
        assert_eq!(shell_word("it's (a) copy.txt"), r"'it'\''s (a) copy.txt'");
        assert_eq!(shell_word("-rf"), "'-rf'");
    }
}
