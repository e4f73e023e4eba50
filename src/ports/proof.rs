//! The proof port: what the nightly reconciliation asks of the warehouse, and what it writes there. Every warehouse has
//! it; reached through [`Warehouse::proof`](super::warehouse::Warehouse::proof).

use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use sluicegate_state::Timestamp;

use crate::curated::{Counted, Totals};
use crate::failure::Outcome;
use crate::schema::Schema;

/// A job definition that made rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredDefinition {
    /// Its hash.
    pub hash: String,
    /// Its text.
    pub text: String,
}

/// One table of a batch: what its COMMIT fixed, and what is there.
#[derive(Debug, Clone)]
pub struct ProofTable {
    /// Target table.
    pub table: String,
    /// What the COMMIT fixed.
    pub fixed: Totals,
    /// Key of the CSV object under the curated location; none where there are no rows.
    pub csv_key: Option<String>,
    /// What later loads replaced.
    pub replaced: Counted,
    /// What the target table holds now under this batch's id.
    pub live: Counted,
}

/// Which objects of a job are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ObjectsOf<'a> {
    /// The CSV objects of this target table, of published batches.
    Table(&'a str),
    /// The archive objects of every batch.
    Archive,
}

/// An object that should lie somewhere, because the ledger says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FixedObject {
    /// The batch that made it.
    pub batch_id: String,
    /// Its key under its location.
    pub key: String,
    /// Its size, where the COMMIT fixed it: the ledger knows no size of an archive object.
    pub bytes: Option<u64>,
    /// Whether a crawl that succeeded covers it.
    pub covered: bool,
}

/// How many documents of a day a batch has decided about, by outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DayCount {
    /// The documents' day.
    pub day: NaiveDate,
    /// The outcome's word.
    pub outcome: String,
    /// How many.
    pub documents: u64,
}

/// A batch, as ledger and target tables know it.
#[derive(Debug, Clone)]
pub struct ProofBatch {
    /// Its id.
    pub batch_id: String,
    /// Who loaded it.
    pub incarnation: String,
    /// The key of its archive object.
    pub archive_key: String,
    /// The definition that made its rows.
    pub definition_hash: String,
    /// When its CSV objects were all there.
    pub published_at: Option<Timestamp>,
    /// The crawl that adopted it, or `none`.
    pub crawl_id: Option<String>,
    /// The state of that crawl.
    pub crawl_state: Option<String>,
    /// Whether the catalog has ever begun it, as far as the ledger knows.
    pub crawl_begun: bool,
    /// Members.
    pub members: u64,
    /// Verdicts about them.
    pub verdicts: u64,
    /// The documents that it decided about and that nobody decided about later.
    pub days: Vec<DayCount>,
    /// In schema order.
    pub tables: Vec<ProofTable>,
}

/// Rows of a target table under a batch id that the ledger does not know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StrangeRows {
    /// Target table.
    pub table: String,
    /// What their column `batch_id` says.
    pub batch_id: String,
    /// How many.
    pub rows: u64,
    /// The parent's key of some of them, as column and value.
    pub records: Vec<Vec<(String, String)>>,
}

/// A verdict that the row of its document does not bear out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnsettledDocument {
    /// The batch.
    pub batch_id: String,
    /// The document's key.
    pub key: String,
    /// When it landed, where the document's row is there.
    pub landed_at: Option<Timestamp>,
    /// What the verdict says.
    pub verdict: String,
    /// What the document's row says; none where there is no row.
    pub outcome: Option<String>,
}

/// A document that put nothing into the tables.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TurnedAway {
    /// Its key.
    pub key: String,
    /// Its outcome.
    pub outcome: String,
    /// Why.
    pub reason: String,
    /// The batch that decided.
    pub batch_id: String,
}

/// What became of a day in one reconciliation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reconciliation {
    /// The job.
    pub job: String,
    /// The day.
    pub day: NaiveDate,
    /// From 1; a later one replaces the earlier ones, which stay.
    pub revision: u32,
    /// `balanced` or `unbalanced`.
    pub verdict: String,
    /// When it was last found so, RFC 3339.
    pub at: String,
    /// The day is over, and nothing of it is under way.
    pub closed: bool,
    /// A JSON object: balance, control totals, and what differs from the revision before.
    pub report: String,
}

/// What a person did by hand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Operation {
    /// user@host.
    pub operator: String,
    /// RFC 3339; set by the ledger's clock when it is recorded.
    pub at: String,
    /// The command line.
    pub command: String,
    /// Why, in the person's own words.
    pub reason: String,
    /// A JSON object for programs.
    pub detail: String,
}

/// A document that a person gives up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GivenUp {
    /// Its job.
    pub job: String,
    /// Landing bucket.
    pub bucket: String,
    /// Decoded key.
    pub key: String,
    /// Document version.
    pub version: String,
    /// Who gave it up, and why: its reason from then on.
    pub reason: String,
}

/// A row to be put back, as canonical text: the job's own columns, then `batch_id` and `source_order`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LostRow {
    /// Index of the table in the schema.
    pub table: usize,
    /// The values.
    pub values: Vec<String>,
}

/// What the reconciliation asks of the warehouse, and writes there.
pub trait Proof {
    /// The definitions that made the job's batches.
    fn definitions(&mut self, job: &str) -> Outcome<Vec<StoredDefinition>>;

    /// Shows the batches of a job in the order of their ids, all seen at one moment; with `day`, only those that have
    /// documents of it. `schemas` are the shapes of the definitions by hash; a batch whose definition is not there was
    /// loaded just now and is left out.
    fn batches(
        &mut self,
        job: &str,
        schemas: &BTreeMap<String, Schema>,
        day: Option<NaiveDate>,
        visit: &mut dyn FnMut(ProofBatch) -> Outcome<()>,
    ) -> Outcome<()>;

    /// At most `limit` objects of batches after the batch `after` (empty: from the first), in the order of the batch ids,
    /// which is that of the keys.
    fn fixed_objects(
        &mut self,
        job: &str,
        of: ObjectsOf<'_>,
        after: &str,
        limit: usize,
    ) -> Outcome<Vec<FixedObject>>;

    /// The days of the documents that these batches decided about and nobody decided about later.
    fn days_of(&mut self, batch_ids: &[String]) -> Outcome<BTreeSet<NaiveDate>>;

    /// Rows of the target tables whose batch the ledger does not know; at most `records` keys of each.
    fn strange_rows(&mut self, schema: &Schema, records: usize) -> Outcome<Vec<StrangeRows>>;

    /// Shows the rows of one table that a batch has now, as canonical text with `batch_id` and `source_order` at the end.
    fn rows_of_batch(
        &mut self,
        schema: &Schema,
        table: usize,
        batch_id: &str,
        visit: &mut dyn FnMut(&[String]) -> Outcome<()>,
    ) -> Outcome<()>;

    /// The keys of the records of a batch that later loads replaced, as the JSON object of the parent's key.
    fn replaced_keys(&mut self, batch_id: &str) -> Outcome<BTreeSet<String>>;

    /// Verdicts of a job, at most `limit`, whose documents have no row, or one that says otherwise.
    fn unsettled_documents(&mut self, job: &str, limit: usize) -> Outcome<Vec<UnsettledDocument>>;

    /// Documents of a day, at most `limit`, that are neither loaded nor duplicates.
    fn turned_away(&mut self, job: &str, day: NaiveDate, limit: usize) -> Outcome<Vec<TurnedAway>>;

    /// The newest revision of each day of a job.
    fn reconciliations(&mut self, job: &str) -> Outcome<Vec<Reconciliation>>;

    /// Adds a revision, or moves the time of the one that is there with the same number.
    fn record_reconciliation(&mut self, reconciliation: &Reconciliation) -> Outcome<()>;

    /// What people did by hand, oldest first.
    fn operations(&mut self) -> Outcome<Vec<Operation>>;

    /// Records what a person did by hand.
    fn record_operation(&mut self, operation: &Operation) -> Outcome<()>;

    /// Puts rows back whose keys are not there, parents first, and records the operation in the same transaction. How many
    /// rows were put back.
    fn restore(&mut self, schema: &Schema, rows: &[LostRow], operation: &Operation) -> Outcome<u64>;

    /// Makes a document `abandoned` that is rejected, in conflict, missing or expired now, and records the operation in the
    /// same transaction; false, and nothing is recorded, where it has another outcome. What its batch said of it stays.
    fn give_up(&mut self, document: &GivenUp, operation: &Operation) -> Outcome<bool>;

    /// Takes batches out of the crawl that covered them, so that the next one covers them again, and records the operation
    /// in the same transaction.
    fn free_from_crawl(&mut self, batch_ids: &[String], operation: &Operation) -> Outcome<u64>;
}
