//! The crawl stage: when a window has ended, one crawl covers every batch published in it (I8, §8).

mod covering;
mod owned;

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::TimeDelta;
use sluicegate_state::{Store, Timestamp};

use crate::failure::{Failure, FailureKind, Outcome};
use crate::job::Job;
use crate::ports::catalog::Catalog;
use crate::ports::warehouse::CrawlRequest;

use super::backoff;
use super::context::Context;
use super::ledger::LedgerConnection;
use super::stage::{self, Idle, Stage, Tick};
use owned::{Means, OwnedCrawl, Setback};

/// How often a watching stage asks whether a window has ended.
const WINDOW_INTERVAL: TimeDelta = TimeDelta::seconds(5);
/// How often the lease of a crawl that waits is renewed at least; it holds for 60 seconds.
const RENEW_INTERVAL: TimeDelta = TimeDelta::seconds(20);
/// The longest rest after a failure of the ledger's.
const LONGEST_SETBACK: TimeDelta = TimeDelta::minutes(1);

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
    /// After a failure: until when it rests, whatever the other stages do.
    setback: Option<stage::Setback>,
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
        let owned = BTreeMap::new();
        Ok(Self { context, store, ledger, catalogs, owned, window_end, failures: 0, setback: None })
    }

    /// Whether something was done for the job.
    fn serve(&mut self, job: &Arc<Job>) -> Outcome<bool> {
        let Some(mut owned) = self.owned.remove(&job.name) else { return self.claim(job) };
        // A crawl takes longer than its lease; whoever waits for it says that it still does.
        let Self { context, store, ledger, catalogs, .. } = self;
        ledger.get(store)?.renew_crawl(owned.crawl_id(), &context.incarnation)?;
        let now = context.clock.now();
        if owned.rests(now) {
            self.owned.insert(job.name.clone(), owned);
            return Ok(false);
        }
        let catalog = catalogs.get_mut(&job.name).ok_or_else(|| {
            Failure::permanent(format!("job {} has no crawler and no embedded catalog", job.name))
        })?;
        let mut means = Means { context, store, ledger, catalog: catalog.as_mut() };
        match owned.advance(&mut means) {
            Ok(true) => {
                context.tally.add(|counts| match owned.given_up {
                    Some(message) => {
                        let message = format!(
                            "the crawl of job {} was given up, and queries may not see its last batches: {message}",
                            job.name
                        );
                        counts.given_up_crawls.insert(job.name.clone(), message);
                    }
                    None => drop(counts.given_up_crawls.remove(&job.name)),
                });
                return Ok(true);
            }
            Ok(false) => {}
            // Whatever was in flight is found again by the claim: its lease is ours, and it is looked at before a start.
            Err(Setback::Ledger(failure)) => return Err(failure),
            Err(Setback::Catalog(failure)) => owned.set_back(now, &failure),
        }
        self.owned.insert(job.name.clone(), owned);
        Ok(false)
    }

    fn claim(&mut self, job: &Arc<Job>) -> Outcome<bool> {
        let early = self.window_end == WindowEnd::Now;
        let Self { context, store, ledger, .. } = self;
        // No window bounds how often this would begin anew; each crawl costs money, and a person has to look first.
        if early && context.tally.counts().given_up_crawls.contains_key(&job.name) {
            return Ok(false);
        }
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
        let Some(mut claim) = warehouse.claim_crawl(&request)? else { return Ok(false) };
        // What was published in the future was published before the ledger's clock was set back.
        claim.published_until = claim.published_until.min(now);
        let (crawl, batches) = (&claim.crawl_id, claim.batches);
        match claim.attempts {
            0 => tracing::info!(crawl = %crawl, batches, "window ended"),
            attempts => tracing::info!(crawl = %crawl, batches, attempts, "going on with a crawl"),
        }
        self.owned.insert(job.name.clone(), OwnedCrawl::new(claim, context.clock.now()));
        Ok(true)
    }

    fn rest(&self) -> Idle {
        let now = self.context.clock.now();
        let waiting = self.owned.values().min_by_key(|owned| owned.not_before);
        let next_step = waiting.map(|owned| owned.not_before.min(now + RENEW_INTERVAL));
        let watching = matches!(self.window_end, WindowEnd::Ticks { watch: true });
        let next_window: Option<Timestamp> = watching.then(|| now + WINDOW_INTERVAL);
        Idle {
            wake_at: next_step.into_iter().chain(next_window).min(),
            waiting_for: waiting.map(|owned| format!("crawl {}: {}", owned.crawl_id(), owned.state)),
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

impl Stage for CrawlStage {
    fn name(&self) -> &'static str {
        "crawl"
    }

    fn tick(&mut self) -> Outcome<Tick> {
        let now = self.context.clock.now();
        if let Some(idle) = self.setback.as_ref().and_then(|setback| setback.rest(now)) {
            return Ok(Tick::Idle(idle));
        }
        self.setback = None;
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
                let delay = backoff::delay(TimeDelta::seconds(1), LONGEST_SETBACK, self.failures, "crawl");
                let now = self.context.clock.now();
                let setback = stage::Setback::new(now, delay, format!("the crawl: {failure}"));
                let idle = setback.idle();
                self.setback = Some(setback);
                Ok(Tick::Idle(idle))
            }
            Err(failure) => Err(failure),
        }
    }
}
