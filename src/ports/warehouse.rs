//! The warehouse port: target tables and the ledger (PostgreSQL, or SQLite). The ledger is the truth (I11).

use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDate;
use serde::Serialize;
use sluicegate_state::Timestamp;

use crate::curated::Totals;
use crate::failure::{Failure, Outcome};
use crate::ports::proof::Proof;
use crate::schema::Schema;
use crate::transform::rows::RecordView;
use crate::transform::{Reject, Summary};

use super::decisions::Decisions;
pub use super::story::{CrawlRow, DocumentRow, VerdictRow};

/// What became of a document (§3 of the design).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DocumentOutcome {
    /// Its records are in the warehouse.
    Loaded,
    /// It cannot be read as the job says, or fails a check.
    Rejected,
    /// All its records are there already.
    Duplicate,
    /// A known key with other content.
    Conflict,
    /// Overwritten before it was read, or all its records replaced.
    Superseded,
    /// Gone before it could be read.
    Missing,
    /// The lifecycle took it.
    Expired,
    /// A person gave it up.
    Abandoned,
    /// A verdict, no outcome: another batch owns this document.
    Again,
    /// A verdict, no outcome: it could not be read now and joins a later batch.
    Deferred,
}

impl DocumentOutcome {
    /// Every outcome and verdict, in the order of the reports.
    pub const ALL: [Self; 10] = [
        Self::Loaded,
        Self::Rejected,
        Self::Duplicate,
        Self::Conflict,
        Self::Superseded,
        Self::Missing,
        Self::Expired,
        Self::Abandoned,
        Self::Again,
        Self::Deferred,
    ];

    /// The word in the ledger.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Loaded => "loaded",
            Self::Rejected => "rejected",
            Self::Duplicate => "duplicate",
            Self::Conflict => "conflict",
            Self::Superseded => "superseded",
            Self::Missing => "missing",
            Self::Expired => "expired",
            Self::Abandoned => "abandoned",
            Self::Again => "again",
            Self::Deferred => "deferred",
        }
    }

    /// The outcome of a word in the ledger.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| outcome.as_str() == word)
    }

    /// Whether a person should look: exit status 3.
    pub fn needs_a_person(self) -> bool {
        matches!(self, Self::Rejected | Self::Conflict | Self::Missing | Self::Expired)
    }
}

/// One member of a batch, as the load needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadDocument {
    /// Position in the batch, from 0.
    pub ordinal: u32,
    /// Landing bucket; `local` for a folder.
    pub bucket: String,
    /// Decoded key.
    pub key: String,
    /// Document version (I2).
    pub version: String,
    /// The entity tag that was announced.
    pub etag: String,
    /// Last-Modified, or the event's time for a document never seen.
    pub landed_at: Timestamp,
    /// Date of `landed_at` in the job's report time zone.
    pub day: NaiveDate,
    /// Bytes in the landing.
    pub size: u64,
    /// Of the bytes, where they were read.
    pub sha256: Option<String>,
    /// The value of the `source_order` column of its rows.
    pub source_order: String,
    /// What GET said: `None` means that the bytes are in the archive and shall be loaded; else the verdict it leads to.
    pub unread: Option<(DocumentOutcome, String)>,
}

impl LoadDocument {
    /// Whether nobody knows its version: it could not be read, and the bucket gave none with the announcement (I2).
    pub fn was_never_seen(&self) -> bool {
        self.unread.is_some() && self.version.strip_suffix('@') == Some(self.etag.as_str())
    }
}

/// A batch to be loaded.
#[derive(Debug, Clone)]
pub struct LoadRequest {
    /// The batch's id.
    pub batch_id: String,
    /// Its job.
    pub job: String,
    /// When it was sealed.
    pub sealed_at: Timestamp,
    /// Who loads it.
    pub incarnation: String,
    /// Key of the archive object.
    pub archive_key: String,
    /// Hash of the definition in force now.
    pub definition_hash: String,
    /// Its text.
    pub definition_text: String,
    /// The record with the later `source_order` wins, instead of a known key with other content being a conflict.
    ///
    /// Inside a batch the last member with a key has it; what earlier members say about it is refused as `older`. What
    /// is left is compared with the tables: later, it replaces what is there (also the same content, because the table
    /// shows how late it was last said), which goes to `replaced`; else it is refused, as `duplicate` or `older`. So each
    /// key is inserted at most once by a batch, and CSV − `replaced` = table (I7). A document none of whose records was
    /// inserted because they are older is `superseded`, and so is a loaded one once all its rows have been replaced.
    pub replace: bool,
    /// The batches that this one replays.
    pub parents: Vec<String>,
    /// The number of the replay.
    pub replay: u32,
    /// Every member in order.
    pub documents: Vec<LoadDocument>,
}

/// Whether a visitor wants more of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// Go on.
    Continue,
    /// Nothing more of this document: its fate is known.
    Skip,
}

/// How a document's transformation ended.
#[derive(Debug)]
pub enum DocumentEnd<'a> {
    /// Every record was handed over.
    Whole(&'a Summary),
    /// It is rejected whole, whatever was handed over before. This comes before anything that the visitor found out by
    /// itself, so that a document's fate does not depend on whether it was read whole or as a stream.
    Rejected(&'a Reject),
}

/// Sees the documents of a batch, in member order, record by record.
pub trait DocumentVisitor {
    /// A document begins.
    fn begin(&mut self, ordinal: u32) -> Outcome<Flow>;
    /// One record; `index` counts from 0 in its document.
    fn record(&mut self, ordinal: u32, index: u64, record: RecordView<'_>) -> Outcome<()>;
    /// A document that was not skipped at its beginning ends.
    fn end(&mut self, ordinal: u32, end: DocumentEnd<'_>) -> Outcome<()>;
}

/// The transformed documents of a batch; can be visited more than once, always with the same result.
pub trait DocumentSource {
    /// Shows every document whose bytes are in the archive.
    fn visit(&self, visitor: &mut dyn DocumentVisitor) -> Outcome<()>;
}

/// What the load decided about one member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Position in the batch.
    pub ordinal: u32,
    /// What became of the document.
    pub outcome: DocumentOutcome,
    /// Why, for people; empty where there is nothing to say.
    pub reason: String,
    /// Rows inserted.
    pub rows: u64,
    /// Records of a loaded document that were skipped, as duplicate or older, by index, ascending.
    pub refused: Vec<u64>,
}

/// One table's CSV object and control totals, fixed by the COMMIT (I5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadedTable {
    /// Target table.
    pub table: String,
    /// Rows, bytes, hash, sums and digest.
    pub totals: Totals,
    /// Key of the CSV object under the curated location; none where there are no rows.
    pub csv_key: Option<String>,
}

/// A batch as its COMMIT fixed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadedBatch {
    /// The batch's id.
    pub batch_id: String,
    /// Hash of the definition that made it.
    pub definition_hash: String,
    /// Its text.
    pub definition_text: String,
    /// Rows inserted, over all tables.
    pub rows: u64,
    /// When its CSV objects were all there.
    pub published_at: Option<Timestamp>,
    /// In schema order.
    pub tables: Vec<LoadedTable>,
    /// One for each member.
    pub verdicts: Vec<Verdict>,
}

/// The answer to the batch key (I6).
pub enum BeginLoad<'a> {
    /// The key is ours: go on in this transaction.
    Fresh(Box<dyn LoadTransaction + 'a>),
    /// Somebody's COMMIT was there first.
    AlreadyLoaded,
}

/// An open load. Dropped without a commit, it leaves nothing.
pub trait LoadTransaction {
    /// Claims the documents, inserts the rows of the claimed ones and decides about every member.
    fn insert(&mut self, source: &dyn DocumentSource) -> Outcome<Vec<Verdict>>;

    /// Records the verdicts and the tables' totals, and commits.
    fn commit(self: Box<Self>, verdicts: &[Verdict], tables: &[LoadedTable]) -> Outcome<()>;
}

/// Who the ledger is, and how far it has come (I11).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerIdentity {
    /// Made once, when the ledger was.
    pub id: String,
    /// The newest load, if there was one.
    pub newest_batch: Option<String>,
}

/// A wish to own the crawl of a job's window.
pub struct CrawlRequest<'a> {
    /// The job.
    pub job: &'a str,
    /// The tick that ended the window, or the present moment.
    pub window_end: Timestamp,
    /// The window was ended by hand, before its tick.
    pub early: bool,
    /// The incarnation that wants it.
    pub owner: &'a str,
    /// Whether an incarnation is known to be dead, so that its lease need not be waited out.
    pub is_gone: &'a dyn Fn(&str) -> bool,
}

/// A crawl that this process owns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CrawlClaim {
    /// Made from job and window end.
    pub crawl_id: String,
    /// The tick that ended the window.
    pub window_end: Timestamp,
    /// When it was claimed.
    pub claimed_at: Timestamp,
    /// When the last of its batches was published, by the ledger's clock.
    pub published_until: Timestamp,
    /// Attempts made before.
    pub attempts: u32,
    /// How many of them the catalog failed.
    pub failures: u32,
    /// The attempt that somebody began and did not end.
    pub open_attempt: Option<OpenAttempt>,
    /// The catalog's crawls that earlier attempts of this job have ended with, newest first; not all of them.
    pub accounted: Vec<String>,
    /// Batches adopted.
    pub batches: u64,
}

/// An attempt at a crawl that has not ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenAttempt {
    /// From 1.
    pub number: u32,
    /// The catalog's crawl that it follows, where that is known.
    pub catalog_id: Option<String>,
}

/// How an attempt at a crawl ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CrawlEnd {
    /// It covers everything adopted.
    Succeeded {
        /// The catalog's own id.
        catalog_id: Option<String>,
    },
    /// It failed; the same row is tried again.
    Failed {
        /// The catalog's own id.
        catalog_id: Option<String>,
        /// What the catalog said.
        message: String,
    },
    /// It failed too often: its batches are free for the next window.
    GivenUp {
        /// The catalog's last words.
        message: String,
    },
}

/// A load whose CSV objects are not known to be all there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnpublishedLoad {
    /// The batch.
    pub batch_id: String,
    /// The key of its archive object.
    pub archive_key: String,
    /// Who loaded it.
    pub incarnation: String,
}

/// An object as a listing or a notification describes it, to be looked up in the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownObject<'a> {
    /// Decoded key.
    pub key: &'a str,
    /// The document version, where it is known without a look at the bytes.
    pub version: Option<&'a str>,
    /// The entity tag as announced; decides where the version is not known.
    pub etag: &'a str,
}

/// One way in which the target tables are not as the job describes them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum Difference {
    /// The table is not there; the first load makes it.
    Missing {
        /// The table.
        table: String,
    },
    /// The table is there, and otherwise.
    Otherwise {
        /// The table.
        table: String,
        /// What is otherwise, for people.
        difference: String,
    },
}

impl Difference {
    /// The differences that the making of missing tables does not mend, as `prepare` refuses them.
    ///
    /// # Errors
    /// Permanent, with the list.
    pub(crate) fn refuse(differences: &[Self]) -> Outcome<()> {
        let list: Vec<String> = differences.iter().filter_map(Self::otherwise).collect();
        if list.is_empty() {
            return Ok(());
        }
        Err(Failure::permanent(format!(
            "the target tables are not as the job describes them; alter them by hand or give the job new table names: {}",
            list.join("; ")
        )))
    }

    /// In words, unless the table is just missing.
    pub fn otherwise(&self) -> Option<String> {
        match self {
            Self::Missing { .. } => None,
            Self::Otherwise { table, difference } => Some(format!("{table}: {difference}")),
        }
    }
}

/// Target tables and ledger.
pub trait Warehouse: Send {
    /// Where it is, for messages; never with a secret.
    fn location(&self) -> String;

    /// Who the ledger is.
    fn identity(&mut self) -> Outcome<LedgerIdentity>;

    /// Whether the ledger knows a load.
    fn knows_batch(&mut self, batch_id: &str) -> Outcome<bool>;

    /// Creates the target tables, or compares them.
    ///
    /// # Errors
    /// Permanent, with the list of differences; nothing is ever changed destructively.
    fn prepare(&mut self, schema: &Schema) -> Outcome<()>;

    /// Compares the target tables with what `schema` asks for, and makes nothing; a table that is not there is a
    /// difference. Never waits for a load.
    fn compare(&mut self, schema: &Schema) -> Outcome<Vec<Difference>>;

    /// Begins a load by inserting the batch key.
    fn begin_load<'a>(&'a mut self, request: &'a LoadRequest, schema: &'a Schema) -> Outcome<BeginLoad<'a>>;

    /// A batch as its COMMIT fixed it.
    fn loaded_batch(&mut self, batch_id: &str) -> Outcome<Option<LoadedBatch>>;

    /// Records that the batch's CSV objects are all there; the first time counts.
    fn mark_published(&mut self, batch_id: &str) -> Outcome<()>;

    /// Says that this incarnation lives, by the ledger's clock (§2, I11).
    fn heartbeat(&mut self, incarnation: &str, host: &str) -> Outcome<()>;

    /// Says that this incarnation has ended, so that nobody waits for its lease.
    fn farewell(&mut self, incarnation: &str) -> Outcome<()>;

    /// The incarnations seen within the lease of 60 seconds.
    fn live_incarnations(&mut self) -> Outcome<BTreeSet<String>>;

    /// Claims the hourly listing of a job's landing; one claim an hour succeeds in the whole fleet.
    fn claim_listing(&mut self, job: &str, owner: &str) -> Outcome<bool>;

    /// Loads of a job whose CSV objects are not known to be all there.
    fn unpublished_loads(&mut self, job: &str) -> Outcome<Vec<UnpublishedLoad>>;

    /// How many batches can be loaded at a time, each by a session of its own.
    fn loads_at_a_time(&self) -> usize {
        1
    }

    /// Which of these batches the ledger knows.
    fn known_batches(&mut self, batch_ids: &[String]) -> Outcome<BTreeSet<String>>;

    /// Whether the ledger has decided about each of these objects, in the same order.
    fn known_objects(&mut self, job: &str, bucket: &str, objects: &[KnownObject<'_>]) -> Outcome<Vec<bool>>;

    /// The present moment by the ledger's clock.
    fn now(&mut self) -> Outcome<Timestamp>;

    /// Takes over a crawl of this job that nobody owns any more, or claims one that covers every unadopted batch
    /// published at or before `window_end`; none where there is nothing to cover.
    fn claim_crawl(&mut self, request: &CrawlRequest<'_>) -> Outcome<Option<CrawlClaim>>;

    /// Records an attempt that is about to start; its lease begins anew. Returns its number, from 1.
    fn crawl_attempt(&mut self, crawl_id: &str, owner: &str) -> Outcome<u32>;

    /// The keys of the CSV objects that a crawl has adopted, in order.
    fn crawl_objects(&mut self, crawl_id: &str) -> Outcome<Vec<String>>;

    /// Records which of the catalog's crawls an open attempt follows.
    fn crawl_seen(&mut self, crawl_id: &str, owner: &str, attempt: u32, catalog_id: &str) -> Outcome<()>;

    /// Keeps a claim while its crawl is running.
    fn renew_crawl(&mut self, crawl_id: &str, owner: &str) -> Outcome<()>;

    /// Records how an attempt ended.
    fn finish_crawl(&mut self, crawl_id: &str, owner: &str, attempt: u32, end: &CrawlEnd) -> Outcome<()>;

    /// Published batches with rows that no crawl has covered yet.
    fn awaiting_crawl(&mut self, job: &str) -> Outcome<u64>;

    /// The newest crawl of a job.
    fn last_crawl(&mut self, job: &str) -> Outcome<Option<CrawlRow>>;

    /// How many documents of a job have each outcome.
    fn outcome_counts(&mut self, job: &str) -> Outcome<BTreeMap<String, u64>>;

    /// The documents with this key, any version.
    fn documents_by_key(&mut self, key: &str) -> Outcome<Vec<DocumentRow>>;

    /// The verdicts of a batch.
    fn verdicts(&mut self, batch_id: &str) -> Outcome<Vec<VerdictRow>>;

    /// What was decided about documents, and by whom: see [`Decisions`].
    fn decisions(&mut self) -> &mut dyn Decisions;

    /// Every verdict about this key.
    fn verdicts_by_key(&mut self, key: &str) -> Outcome<Vec<VerdictRow>>;

    /// What the nightly proof asks and writes.
    fn proof(&mut self) -> &mut dyn Proof;
}
