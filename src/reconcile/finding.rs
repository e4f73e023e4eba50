//! Kinds of trouble: the words for each, the command that mends it, and an id that is the same in every run.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use sha2::{Digest, Sha256};

use super::model::{Discrepancy, RECORDS_SHOWN};

/// What can be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    MissedDocument,
    LostBatch,
    UnfinishedBatch,
    UnsettledDocument,
    IncompleteBatch,
    DeletedRows,
    ChangedRows,
    InsertedRows,
    MissingObject,
    DamagedObject,
    StrayObject,
    MissingPartition,
    FailedCrawl,
    LateCrawl,
    QueryDiffers,
    QueryDoubles,
    MissingOriginal,
}

/// Its name, the word for it, and the place.
type Words = (&'static str, &'static str, &'static str);

impl Kind {
    fn words(self) -> Words {
        match self {
            Self::MissedDocument => ("missed_document", "lost", "landing"),
            Self::LostBatch => ("lost_batch", "lost", "ledger"),
            Self::UnfinishedBatch => ("unfinished_batch", "lost", "journal"),
            Self::UnsettledDocument => ("unsettled_document", "lost", "ledger"),
            Self::IncompleteBatch => ("incomplete_batch", "lost", "ledger"),
            Self::DeletedRows => ("deleted_rows", "lost", "warehouse"),
            Self::ChangedRows => ("changed_rows", "unexpected", "warehouse"),
            Self::InsertedRows => ("inserted_rows", "unexpected", "warehouse"),
            Self::MissingObject => ("missing_object", "lost", "curated"),
            Self::DamagedObject => ("damaged_object", "unexpected", "curated"),
            Self::StrayObject => ("stray_object", "unexpected", "curated"),
            Self::MissingPartition => ("missing_partition", "lost", "catalog"),
            Self::FailedCrawl => ("failed_crawl", "lost", "catalog"),
            Self::LateCrawl => ("late_crawl", "lost", "catalog"),
            Self::QueryDiffers => ("query_differs", "unexpected", "query"),
            Self::QueryDoubles => ("query_doubles", "duplicated", "query"),
            Self::MissingOriginal => ("missing_original", "lost", "archive"),
        }
    }

    /// Whether it names documents that are in no place: the difference of a balance.
    fn is_in_no_place(self) -> bool {
        matches!(self, Self::MissedDocument | Self::LostBatch | Self::UnsettledDocument)
    }

    fn command(self, id: &str, batch_id: Option<&str>) -> String {
        let batch = batch_id.unwrap_or_default();
        match self {
            Self::MissedDocument | Self::MissingObject | Self::DamagedObject | Self::MissingPartition => {
                "sluicegate reconcile --repair".to_owned()
            }
            Self::UnfinishedBatch => "sluicegate drain".to_owned(),
            Self::FailedCrawl | Self::LateCrawl => "sluicegate drain --crawl".to_owned(),
            Self::DeletedRows => format!("sluicegate reconcile --restore {batch}"),
            Self::LostBatch => {
                "sluicegate reconcile --ledger-behind --because 'which backup was restored, and why'"
                    .to_owned()
            }
            Self::QueryDiffers | Self::QueryDoubles => "sluicegate check".to_owned(),
            Self::UnsettledDocument | Self::IncompleteBatch => format!("sluicegate jobs show {batch}"),
            Self::ChangedRows | Self::InsertedRows | Self::StrayObject | Self::MissingOriginal => {
                format!("sluicegate reconcile --accept {id} --because 'who changed it, and why'")
            }
        }
    }
}

/// A discrepancy in the making.
#[derive(Debug, Clone)]
pub(super) struct Finding {
    /// The day that it is told on.
    pub(super) day: NaiveDate,
    pub(super) kind: Kind,
    pub(super) batch_id: Option<String>,
    /// What sets it apart from others of its kind and batch: a key, or a digest of what differs.
    pub(super) mark: String,
    /// Keys of documents, all of them or as many as are to be told.
    pub(super) documents: Vec<String>,
    pub(super) records: Vec<BTreeMap<String, String>>,
    /// Records, or where there are none documents, beyond these.
    pub(super) more: u64,
    /// How many rows, objects, documents it is, for the line of its place.
    pub(super) count: u64,
    pub(super) detail: String,
}

impl Finding {
    /// Whether it explains why something that was received is in no line of the balance.
    pub(super) fn explains_difference(&self) -> bool {
        self.kind.is_in_no_place()
    }

    pub(super) fn new(
        day: NaiveDate,
        kind: Kind,
        mark: impl Into<String>,
        detail: impl Into<String>,
    ) -> Self {
        Self {
            day,
            kind,
            batch_id: None,
            mark: mark.into(),
            documents: Vec::new(),
            records: Vec::new(),
            more: 0,
            count: 1,
            detail: detail.into(),
        }
    }

    pub(super) fn of_batch(mut self, batch_id: &str) -> Self {
        self.batch_id = Some(batch_id.to_owned());
        self
    }

    /// Tells documents; those beyond what is shown are counted.
    pub(super) fn with_documents(mut self, mut documents: Vec<String>) -> Self {
        documents.sort();
        documents.dedup();
        if self.records.is_empty() {
            self.more = documents.len().saturating_sub(RECORDS_SHOWN) as u64;
        }
        documents.truncate(RECORDS_SHOWN);
        self.documents = documents;
        self
    }

    pub(super) fn id(&self, job: &str) -> String {
        let mut hasher = Sha256::new();
        for part in [job, self.kind.words().0, self.batch_id.as_deref().unwrap_or(""), &self.mark] {
            hasher.update((part.len() as u64).to_be_bytes());
            hasher.update(part.as_bytes());
        }
        hex::encode(&hasher.finalize()[..6])
    }

    pub(super) fn place(&self) -> &'static str {
        self.kind.words().2
    }

    /// Whether something that was expected is there in another form, and so is not ok.
    pub(super) fn replaces_what_was_expected(&self) -> bool {
        matches!(self.kind, Kind::ChangedRows | Kind::DamagedObject | Kind::QueryDiffers | Kind::QueryDoubles)
    }

    pub(super) fn word(&self) -> &'static str {
        self.kind.words().1
    }

    pub(super) fn tell(self, job: &str) -> Discrepancy {
        let id = self.id(job);
        let (kind, word, place) = self.kind.words();
        Discrepancy {
            command: self.kind.command(&id, self.batch_id.as_deref()),
            id,
            kind,
            word,
            place,
            batch_id: self.batch_id,
            documents: self.documents,
            records: self.records,
            more: self.more,
            detail: self.detail,
            accepted: None,
        }
    }
}

/// `1 row`, `2 rows`.
pub(super) fn counted(count: u64, one: &str) -> String {
    if count == 1 { format!("1 {one}") } else { format!("{count} {one}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_the_same_for_the_same_difference_whatever_the_day_and_the_words() {
        let day: NaiveDate = "2026-11-20".parse().unwrap();
        let finding = Finding::new(day, Kind::ChangedRows, "mark", "one").of_batch("b");
        let other = Finding { day: day.succ_opt().unwrap(), detail: "two".to_owned(), ..finding.clone() };
        assert_eq!(finding.id("job"), other.id("job"));
        assert_ne!(finding.id("job"), finding.id("another"));
        let further = Finding { mark: "further".to_owned(), ..finding.clone() };
        assert_ne!(finding.id("job"), further.id("job"));
        let told = finding.tell("job");
        assert!(told.command.contains(&told.id), "{}", told.command);
    }
}
