//! What the ledger tells people: rows of the story of a document, of a batch and of a crawl, as `jobs show` and `status`
//! print them. Read through the [`Warehouse`](super::warehouse::Warehouse).

use serde::Serialize;

/// A row of the ledger's story of a document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DocumentRow {
    /// The job.
    pub job: String,
    /// Landing bucket.
    pub bucket: String,
    /// Decoded key.
    pub key: String,
    /// Document version.
    pub version: String,
    /// The batch that decided.
    pub batch_id: String,
    /// The present outcome.
    pub outcome: String,
    /// Why.
    pub reason: String,
    /// Of the bytes.
    pub sha256: Option<String>,
    /// Rows inserted.
    pub rows: u64,
    /// When it landed, RFC 3339.
    pub landed_at: String,
    /// Line of the reject, where there is one.
    pub line: Option<u64>,
    /// The offending text, where there is some.
    pub text: Option<String>,
}

/// A row of the ledger's story of a batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VerdictRow {
    /// The batch.
    pub batch_id: String,
    /// Position in it.
    pub ordinal: u32,
    /// Decoded key.
    pub key: String,
    /// Document version.
    pub version: String,
    /// Outcome or verdict.
    pub outcome: String,
    /// Why.
    pub reason: String,
    /// Rows inserted.
    pub rows: u64,
    /// When, RFC 3339.
    pub at: String,
}

/// The last crawl of a job, for `status`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CrawlRow {
    /// Its id.
    pub crawl_id: String,
    /// The tick that ended its window, RFC 3339.
    pub window_end: String,
    /// claimed, running, succeeded, failed or given_up.
    pub state: String,
    /// RFC 3339.
    pub finished_at: Option<String>,
    /// Batches adopted.
    pub batches: u64,
}
