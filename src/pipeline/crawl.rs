//! The crawl stage: when a window has ended, one crawl covers every batch published in it (I8, §8).

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::TimeDelta;
use sluicegate_state::{Store, Timestamp};

use crate::effects;
use crate::failure::{Failure, FailureKind, Outcome};
use crate::job::Job;
use crate::ports::catalog::{Catalog, CrawlProgress, CrawlReport, StartAnswer};
use crate::ports::warehouse::{CrawlClaim, CrawlEnd, CrawlRequest};

use super::backoff;
use super::context::Context;
use super::ledger::LedgerConnection;
use super::stage::{Idle, Stage, Tick};

/// Attempts at one window's crawl before its batches are left to the next window.
const MAX_ATTEMPTS: u32 = 3;
/// How often a running crawl is looked at.
const LOOK_INTERVAL: TimeDelta = TimeDelta::seconds(5);
/// How often a watching stage asks whether a window has ended.
const WINDOW_INTERVAL: TimeDelta = TimeDelta::seconds(5);

/// When windows end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WindowEnd {
    /// At the ticks of the job's cron expression; `watch`: go on looking.
    Ticks {
        /// Go on looking.
        watch: bool,
    },
    /// Now, once everything is published (`drain --crawl`).
    Now,
}

/// How far the crawl of a job is that this process owns.
enum Progress {
    /// Nobody asked the catalog yet, as far as we know.
    Claimed,
    /// Asked; the catalog's crawl began at or after this moment.
    Running { attempt: u32, since: Timestamp },
    /// The catalog is busy with a crawl that began too early to cover; another one is started after it.
    Waiting { attempt: u32 },
}

struct OwnedCrawl {
    claim: CrawlClaim,
    progress: Progress,
    not_before: Timestamp,
}

/// Ends windows.
pub struct CrawlStage {
    context: Arc<Context>,
    store: Store,
    ledger: LedgerConnection,
    /// The crawler of each job.
    catalogs: BTreeMap<String, Box<dyn Catalog>>,
    owned: BTreeMap<String, OwnedCrawl>,
    window_end: WindowEnd,
    failures: u64,
}

impl CrawlStage {
    /// A stage over the crawlers of all jobs.
    pub fn new(
        context: Arc<Context>,
        catalogs: BTreeMap<String, Box<dyn Catalog>>,
        window_end: WindowEnd,
    ) -> Outcome<Self> {
        let store = context.open_store()?;
        let ledger = LedgerConnection::new(context.clone());
        Ok(Self { context, store, ledger, catalogs, owned: BTreeMap::new(), window_end, failures: 0 })
    }

    /// Whether something was done for the job.
    fn serve(&mut self, job: &Arc<Job>) -> Outcome<bool> {
        let Some(mut owned) = self.owned.remove(&job.name) else { return self.claim(job) };
        // A crawl takes longer than its lease; whoever waits for it says that it still does.
        let Self { context, store, ledger, .. } = self;
        ledger.get(store)?.renew_crawl(&owned.claim.crawl_id, &context.incarnation)?;
        if owned.not_before > self.context.clock.now() {
            self.owned.insert(job.name.clone(), owned);
            return Ok(false);
        }
        match self.advance(job, &mut owned) {
            Ok(true) => Ok(true),
            Ok(false) => {
                self.owned.insert(job.name.clone(), owned);
                Ok(false)
            }
            Err(failure) => {
                // Whatever was in flight is found again by the claim: its lease is ours, and it is looked at before a start.
                self.ledger.close();
                Err(failure)
            }
        }
    }

    fn claim(&mut self, job: &Arc<Job>) -> Outcome<bool> {
        let early = self.window_end == WindowEnd::Now;
        let Self { context, store, ledger, .. } = self;
        if store.meta("ledger.id")?.is_none() && store.batches(Some(&job.name), 1)?.is_empty() {
            // Nothing was ever sealed here: there is no need to touch the warehouse.
            return Ok(false);
        }
        if ledger.unreachable(store)?.is_some() {
            // A window that ended meanwhile is found when the ledger answers; nobody has to wait for it.
            return Ok(false);
        }
        let warehouse = ledger.get(store)?;
        let now = warehouse.now()?;
        let window_end = if early { Some(now) } else { job.window.previous_tick(now) };
        let Some(window_end) = window_end else { return Ok(false) };
        let is_gone = |incarnation: &str| store.incarnation_has_ended(incarnation).unwrap_or(false);
        let request = CrawlRequest {
            job: &job.name,
            window_end,
            early,
            owner: &context.incarnation,
            is_gone: &is_gone,
        };
        // `ledger` keeps the store borrowed no longer than `get`; the claim itself only reads it through `is_gone`.
        let Some(claim) = warehouse.claim_crawl(&request)? else { return Ok(false) };
        tracing::info!(crawl = %claim.crawl_id, batches = claim.batches, "window ended");
        let owned = OwnedCrawl { claim, progress: Progress::Claimed, not_before: now };
        self.owned.insert(job.name.clone(), owned);
        Ok(true)
    }

    /// One step of an owned crawl; true when it is over.
    fn advance(&mut self, job: &Job, owned: &mut OwnedCrawl) -> Outcome<bool> {
        let catalog = self.catalogs.get_mut(&job.name).ok_or_else(|| {
            Failure::permanent(format!("job {} has no crawler and no embedded catalog", job.name))
        })?;
        match owned.progress {
            Progress::Claimed => {
                let warehouse = self.ledger.get(&mut self.store)?;
                let attempt = warehouse.crawl_attempt(&owned.claim.crawl_id, &self.context.incarnation)?;
                // After a takeover, or after a lost answer, a crawl that began after the claim covers: look first.
                if attempt > 1
                    && let Some(report) = covering(catalog.as_mut(), owned.claim.claimed_at)?
                {
                    return self.settle(owned, attempt, &report);
                }
                self.start(job, owned, attempt)
            }
            Progress::Waiting { attempt } => self.start(job, owned, attempt),
            Progress::Running { attempt, since } => match covering(catalog.as_mut(), since)? {
                Some(report) => self.settle(owned, attempt, &report),
                None => {
                    owned.not_before = self.context.clock.now() + LOOK_INTERVAL;
                    Ok(false)
                }
            },
        }
    }

    fn start(&mut self, job: &Job, owned: &mut OwnedCrawl, attempt: u32) -> Outcome<bool> {
        let Self { context, catalogs, .. } = self;
        let catalog = catalogs.get_mut(&job.name).expect("it was found by the caller");
        let since = context.clock.now();
        match context.seam.perform(effects::CRAWL_START, || catalog.start_crawl())? {
            StartAnswer::Started => {
                owned.progress = Progress::Running { attempt, since: owned.claim.claimed_at }
            }
            StartAnswer::AlreadyRunning => {
                owned.progress = Progress::Waiting { attempt };
                owned.not_before = since + LOOK_INTERVAL;
                return Ok(false);
            }
        }
        self.advance(job, owned)
    }

    /// Records what came of a crawl that covers.
    fn settle(&mut self, owned: &mut OwnedCrawl, attempt: u32, report: &CrawlReport) -> Outcome<bool> {
        if report.progress == CrawlProgress::Running {
            owned.progress = Progress::Running { attempt, since: owned.claim.claimed_at };
            owned.not_before = self.context.clock.now() + LOOK_INTERVAL;
            return Ok(false);
        }
        let message = report.message.clone().unwrap_or_else(|| "the crawl failed".to_owned());
        let catalog_id = report.id.clone();
        let end = match report.progress {
            CrawlProgress::Succeeded => CrawlEnd::Succeeded { catalog_id },
            _ if attempt >= MAX_ATTEMPTS => CrawlEnd::GivenUp { message },
            _ => CrawlEnd::Failed { catalog_id, message },
        };
        let warehouse = self.ledger.get(&mut self.store)?;
        warehouse.finish_crawl(&owned.claim.crawl_id, &self.context.incarnation, attempt, &end)?;
        Ok(self.after(owned, attempt, &end))
    }

    fn after(&mut self, owned: &mut OwnedCrawl, attempt: u32, end: &CrawlEnd) -> bool {
        match end {
            CrawlEnd::Succeeded { .. } => {
                tracing::info!(crawl = %owned.claim.crawl_id, "the crawl covers {} batches", owned.claim.batches);
                self.context.tally.add(|counts| counts.crawls += 1);
                true
            }
            CrawlEnd::GivenUp { message } => {
                tracing::error!(crawl = %owned.claim.crawl_id, "given up, the next window covers its batches: {message}");
                true
            }
            CrawlEnd::Failed { message, .. } => {
                tracing::warn!(crawl = %owned.claim.crawl_id, "will be tried again: {message}");
                owned.progress = Progress::Claimed;
                let delay = backoff::delay(
                    TimeDelta::seconds(2),
                    TimeDelta::minutes(5),
                    u64::from(attempt),
                    &owned.claim.crawl_id,
                );
                owned.not_before = self.context.clock.now() + delay;
                false
            }
        }
    }

    fn rest(&self) -> Idle {
        let now = self.context.clock.now();
        let waiting = self.owned.values().min_by_key(|owned| owned.not_before);
        let looking =
            matches!(self.window_end, WindowEnd::Ticks { watch: true }).then(|| now + WINDOW_INTERVAL);
        Idle {
            wake_at: waiting.map(|owned| owned.not_before).or(looking),
            waiting_for: waiting.map(|owned| format!("crawl {}", owned.claim.crawl_id)),
        }
    }

    /// Each job in turn; trouble with one crawler does not hold up the others.
    fn try_tick(&mut self) -> Outcome<Tick> {
        // A job without a catalog claims no window: its batches wait for the version, or the machine, that has one.
        let has_catalog = |job: &&Arc<Job>| self.catalogs.contains_key(&job.name);
        let jobs: Vec<Arc<Job>> = self.context.jobs.values().filter(has_catalog).cloned().collect();
        let mut worked = false;
        let mut trouble = None;
        for job in &jobs {
            match self.serve(job) {
                Ok(something) => worked |= something,
                Err(failure) if matches!(failure.kind, FailureKind::Died | FailureKind::WrongLedger) => {
                    return Err(failure);
                }
                Err(failure) => {
                    self.ledger.close();
                    trouble.get_or_insert(failure);
                }
            }
        }
        match trouble {
            Some(failure) if !worked => Err(failure),
            _ if worked => Ok(Tick::Worked),
            _ => Ok(Tick::Idle(self.rest())),
        }
    }
}

/// The newest crawl that began at or after `since`, running or ended.
fn covering(catalog: &mut dyn Catalog, since: Timestamp) -> Outcome<Option<CrawlReport>> {
    let crawls = catalog.crawls(since)?;
    Ok(crawls.into_iter().rev().find(|crawl| crawl.started_at >= since))
}

impl Stage for CrawlStage {
    fn name(&self) -> &'static str {
        "crawl"
    }

    fn tick(&mut self) -> Outcome<Tick> {
        match self.try_tick() {
            Ok(tick) => {
                self.failures = 0;
                Ok(tick)
            }
            Err(failure)
                if failure.kind == FailureKind::Transient || failure.kind == FailureKind::Permanent =>
            {
                // A crawl never holds up documents; `status` and the log say what is wrong with it.
                self.failures += 1;
                tracing::warn!("the crawl cannot go on now: {failure}");
                let delay =
                    backoff::delay(TimeDelta::seconds(1), TimeDelta::minutes(5), self.failures, "crawl");
                let wake_at = Some(self.context.clock.now() + delay);
                Ok(Tick::Idle(Idle { wake_at, waiting_for: Some(format!("the crawl: {failure}")) }))
            }
            Err(failure) => Err(failure),
        }
    }
}
