//! The catalog port: what makes the partitions of the curated tables known to a query engine (Glue, or the embedded one).

use std::collections::BTreeSet;

use chrono::TimeDelta;
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
    /// When it began, by the catalog's clock, where the catalog tells.
    pub started_at: Option<Timestamp>,
    /// When it ended, where the catalog tells.
    pub finished_at: Option<Timestamp>,
    /// What it said, for people.
    pub message: Option<String>,
}

/// A crawler over the curated tables of one job, and the partitions it has made known.
pub trait Catalog: Send {
    /// How far its clock may be from the clock that dates the curated objects.
    fn clock_margin(&self) -> TimeDelta;

    /// Asks for a crawl. Never retried by the adapter: the call is not idempotent.
    ///
    /// # Errors
    /// Permanent where there is no such crawler. After every other error a crawl may have begun: look before the next one.
    fn start_crawl(&mut self) -> Outcome<StartAnswer>;

    /// The crawls that began at or after `since`, oldest first, the one that is running now whenever it began, and those
    /// of which the catalog does not tell when they began. A crawl may show some time after it began.
    fn crawls(&mut self, since: Timestamp) -> Outcome<Vec<CrawlReport>>;

    /// The values of `dt` that are registered for the CSV table of target table `table` (`invoices`, not `invoices_csv`).
    fn partitions(&mut self, table: &str) -> Outcome<BTreeSet<String>>;
}
