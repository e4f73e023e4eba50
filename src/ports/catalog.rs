//! The catalog port: what makes the partitions of the curated tables known to a query engine (Glue, or the embedded one).

use std::collections::BTreeSet;

use sluicegate_state::Timestamp;

use crate::failure::Outcome;

/// What a start of the crawler answered. A failure (`Err`) leaves it unknown whether a crawl was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartAnswer {
    /// A crawl was started by this call.
    Started,
    /// A crawl was already running; it may have begun too early to cover what is to be covered.
    AlreadyRunning,
}

/// How far a crawl is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CrawlProgress {
    /// Running or stopping.
    Running,
    /// Ended well.
    Succeeded,
    /// Ended badly, or was cancelled.
    Failed,
}

/// One crawl as the catalog reports it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CrawlReport {
    /// The catalog's own id, where it tells one.
    pub id: Option<String>,
    /// How far it is.
    pub progress: CrawlProgress,
    /// When it began, by the catalog's clock.
    pub started_at: Timestamp,
    /// When it ended, where the catalog tells.
    pub finished_at: Option<Timestamp>,
    /// What it said, for people.
    pub message: Option<String>,
}

/// A crawler over the curated tables of one job, and the partitions it has made known.
pub trait Catalog: Send {
    /// Asks for a crawl. Never retried by the adapter: the call is not idempotent.
    fn start_crawl(&mut self) -> Outcome<StartAnswer>;

    /// The crawls that began at or after `since`, oldest first, and the one that is running now whenever it began.
    fn crawls(&mut self, since: Timestamp) -> Outcome<Vec<CrawlReport>>;

    /// The values of `dt` that are registered for the CSV table of target table `table` (`invoices`, not `invoices_csv`).
    fn partitions(&mut self, table: &str) -> Outcome<BTreeSet<String>>;
}
