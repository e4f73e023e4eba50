//! A crawl of the ledger that this process owns, from its claim to its end. Each step looks at the catalog first.

use std::collections::{BTreeMap, BTreeSet};

use chrono::TimeDelta;
use sluicegate_state::{Store, Timestamp};

use crate::effects;
use crate::failure::{Failure, FailureKind, Outcome};
use crate::ports::catalog::{Catalog, CrawlProgress, CrawlReport, StartAnswer};
use crate::ports::object_store::ObjectStore;
use crate::ports::warehouse::{CrawlClaim, CrawlEnd, Warehouse};

use super::super::backoff;
use super::super::context::Context;
use super::super::ledger::LedgerConnection;
use super::super::stage::lies_ahead;
use super::covering::{Accepted, Followed, Found, Mark, Search};

/// Attempts at one window's crawl that the catalog may fail before its batches are left to the next window.
const MAX_ATTEMPTS: u32 = 3;
/// How often a running crawl is looked at.
const LOOK_INTERVAL: TimeDelta = TimeDelta::seconds(5);
/// How long an accepted start may go without a trace of its crawl before it came to nothing.
const TRACE_TIME: TimeDelta = TimeDelta::minutes(2);
/// The catalog is asked for crawls that began so long before the claim or later: clocks may differ by less.
const LOOK_BACK: TimeDelta = TimeDelta::hours(24);
/// Last-Modified is cut to whole seconds.
const WHOLE_SECONDS: TimeDelta = TimeDelta::seconds(1);
/// S3 dates an object that was sent in parts by the beginning of its upload. Smaller ones of ours are sent whole.
const PARTS_ABOVE: u64 = 64 << 20;
/// Where Last-Modified is no evidence the ledger's clock is, with this much for what clocks may differ.
const CLOCK_SPREAD: TimeDelta = TimeDelta::minutes(5);

/// What keeps a crawl from going on.
pub(super) enum Setback {
    /// The ledger's trouble, or the death of a test's process: whatever was in flight is found again by the next claim.
    Ledger(Failure),
    /// The catalog's, or the curated store's: this crawl is tried again later.
    Catalog(Failure),
}

impl From<Failure> for Setback {
    fn from(failure: Failure) -> Self {
        Self::Ledger(failure)
    }
}

fn catalog_failure(failure: Failure) -> Setback {
    match failure.kind {
        FailureKind::Died | FailureKind::WrongLedger => Setback::Ledger(failure),
        _ => Setback::Catalog(failure),
    }
}

/// What a step needs of its stage.
pub(super) struct Means<'a> {
    pub(super) context: &'a Context,
    pub(super) store: &'a mut Store,
    pub(super) ledger: &'a mut LedgerConnection,
    pub(super) catalog: &'a mut dyn Catalog,
}

impl Means<'_> {
    fn now(&self) -> Timestamp {
        self.context.clock.now()
    }

    fn warehouse(&mut self) -> Outcome<&mut dyn Warehouse> {
        self.ledger.get(self.store)
    }
}

/// The attempt that is open in the ledger.
struct Attempt {
    number: u32,
    /// Whether this process began it; one that was taken over is not started again.
    ours: bool,
    /// Whether a start was asked for whose answer nobody knows.
    asked: bool,
    /// The catalog's crawl that the ledger says it follows.
    follows: Option<Mark>,
    /// A start of this process that was accepted, and when something was last seen of it.
    accepted: Option<(Accepted, Timestamp)>,
}

impl Attempt {
    fn ours(number: u32) -> Self {
        Self { number, ours: true, asked: false, follows: None, accepted: None }
    }
}

/// A crawl that this process owns.
pub(super) struct OwnedCrawl {
    claim: CrawlClaim,
    attempt: Option<Attempt>,
    accounted: Vec<Mark>,
    failures: u32,
    covers_from: Option<Timestamp>,
    /// Setbacks since the last step without one.
    setbacks: u64,
    /// When to go on.
    pub(super) not_before: Timestamp,
    /// How far ahead that was when it was set.
    delay: TimeDelta,
    /// What it waits for, for people.
    pub(super) state: String,
    /// Why it was given up, once it was.
    pub(super) given_up: Option<String>,
}

impl OwnedCrawl {
    /// As it was claimed, by whoever began it.
    pub(super) fn new(claim: CrawlClaim, now: Timestamp) -> Self {
        let attempt = claim.open_attempt.as_ref().map(|open| Attempt {
            number: open.number,
            ours: false,
            asked: true,
            follows: open.catalog_id.as_deref().map(Mark::read),
            accepted: None,
        });
        Self {
            attempt,
            accounted: claim.accounted.iter().map(|name| Mark::read(name)).collect(),
            failures: claim.failures,
            covers_from: None,
            setbacks: 0,
            not_before: now,
            delay: TimeDelta::zero(),
            state: "claimed".to_owned(),
            given_up: None,
            claim,
        }
    }

    pub(super) fn crawl_id(&self) -> &str {
        &self.claim.crawl_id
    }

    /// Whether it is not yet time to go on.
    pub(super) fn rests(&self, now: Timestamp) -> bool {
        lies_ahead(self.not_before, now, self.delay)
    }

    fn go_on_in(&mut self, now: Timestamp, delay: TimeDelta) {
        (self.not_before, self.delay) = (now + delay, delay);
    }

    /// One step; true when it is over.
    pub(super) fn advance(&mut self, means: &mut Means<'_>) -> Result<bool, Setback> {
        let now = means.now();
        // A claim of the future was made before the clock was set back, and what was started since began before it.
        let since = self.claim.claimed_at.min(now) - LOOK_BACK;
        let reports = means.catalog.crawls(since).map_err(catalog_failure)?;
        let over = match self.attempt.as_mut().and_then(|attempt| attempt.accepted.as_mut()) {
            Some((accepted, last_sign)) => {
                *last_sign = now.min(*last_sign);
                let overdue = now - *last_sign >= TRACE_TIME;
                let followed = accepted.follow(&reports, overdue);
                if matches!(followed, Followed::Running(_)) {
                    *last_sign = means.context.clock.now();
                }
                self.follow(means, &followed)?
            }
            None => self.look(means, reports)?,
        };
        self.setbacks = 0;
        Ok(over)
    }

    /// Keeps it for later after a setback of the catalog's.
    pub(super) fn set_back(&mut self, now: Timestamp, failure: &Failure) {
        self.setbacks += 1;
        tracing::warn!(crawl = %self.crawl_id(), "the crawl cannot go on now: {failure}");
        let (first, longest) = (TimeDelta::seconds(1), TimeDelta::minutes(5));
        self.go_on_in(now, backoff::delay(first, longest, self.setbacks, self.crawl_id()));
        self.state = failure.message.clone();
    }

    fn rest(&mut self, means: &Means<'_>, state: &str) -> Result<bool, Setback> {
        self.go_on_in(means.now(), LOOK_INTERVAL);
        state.clone_into(&mut self.state);
        Ok(false)
    }

    /// The start was accepted: the crawl covers, however it is told of.
    fn follow(&mut self, means: &mut Means<'_>, followed: &Followed<'_>) -> Result<bool, Setback> {
        match followed {
            Followed::NotSeen => self.rest(means, "started, and not shown by the crawler yet"),
            Followed::Running(None) => self.rest(means, "the crawler is running"),
            Followed::Running(Some(report)) | Followed::Ended(report) => self.settle(means, report),
            Followed::EndedSilently => self.end(means, CrawlEnd::Succeeded { catalog_id: None }),
            Followed::Vanished => {
                let message = format!(
                    "the crawler accepted a start, and shows no crawl {} seconds later",
                    TRACE_TIME.num_seconds()
                );
                self.end_badly(means, None, message)
            }
        }
    }

    /// Nobody here knows of an accepted start: whether some crawl covers is told by when it began.
    fn look(&mut self, means: &mut Means<'_>, reports: Vec<CrawlReport>) -> Result<bool, Setback> {
        let attempt = self.attempt.as_ref();
        let mut search = Search {
            follows: attempt.and_then(|attempt| attempt.follows.as_ref()),
            accounted: &self.accounted,
            asked: attempt.is_some_and(|attempt| attempt.asked),
            covers_from: None,
        };
        if search.depends_on_time(&reports) {
            if self.covers_from.is_none() {
                self.covers_from = Some(covers_from(means, &self.claim)?);
            }
            search.covers_from = self.covers_from;
        }
        match search.look(&reports) {
            Found::Covers(report) => self.settle(means, report),
            Found::Busy => self.rest(means, "the crawler is busy with a crawl that began too early"),
            Found::Nothing => self.start(means, reports),
        }
    }

    fn start(&mut self, means: &mut Means<'_>, before: Vec<CrawlReport>) -> Result<bool, Setback> {
        if let Some(wait) = too_early(means, &mut self.claim)? {
            self.state = "the last objects are too young".to_owned();
            self.go_on_in(means.now(), wait);
            return Ok(false);
        }
        let number = match &self.attempt {
            Some(attempt) if attempt.ours => attempt.number,
            _ => self.begin_attempt(means)?,
        };
        let attempt = self.attempt.get_or_insert_with(|| Attempt::ours(number));
        let Means { context, catalog, .. } = means;
        let answer = context.seam.perform(effects::CRAWL_START, || catalog.start_crawl());
        // Only an answer says that nothing was begun by this call.
        attempt.asked |= answer.is_err();
        match answer.map_err(catalog_failure)? {
            StartAnswer::Started => attempt.accepted = Some((Accepted::after(before), means.now())),
            StartAnswer::AlreadyRunning => return self.rest(means, "the crawler is busy"),
        }
        self.advance(means)
    }

    fn begin_attempt(&mut self, means: &mut Means<'_>) -> Outcome<u32> {
        let owner = means.context.incarnation.clone();
        let number = means.warehouse()?.crawl_attempt(&self.claim.crawl_id, &owner)?;
        // What a process asked for that died over it may begin only now: its crawl would be this attempt's.
        let asked = self.attempt.as_ref().is_some_and(|before| before.asked && before.follows.is_none());
        self.attempt = Some(Attempt { asked, ..Attempt::ours(number) });
        Ok(number)
    }

    /// Records what came of a crawl that covers.
    fn settle(&mut self, means: &mut Means<'_>, report: &CrawlReport) -> Result<bool, Setback> {
        if self.attempt.is_none() {
            self.begin_attempt(means)?;
        }
        let mark = Mark::of(report);
        self.record(means, &mark)?;
        let catalog_id = mark.name();
        match report.progress {
            CrawlProgress::Running => self.rest(means, "the crawler is running"),
            CrawlProgress::Succeeded => self.end(means, CrawlEnd::Succeeded { catalog_id }),
            CrawlProgress::Failed => {
                self.accounted.push(mark);
                let message = report.message.clone().unwrap_or_else(|| "the crawl failed".to_owned());
                self.end_badly(means, catalog_id, message)
            }
        }
    }

    /// Writes into the ledger which crawl is followed, so that whoever takes over follows it too.
    fn record(&mut self, means: &mut Means<'_>, mark: &Mark) -> Outcome<()> {
        let owner = means.context.incarnation.clone();
        let Some(attempt) = &mut self.attempt else { return Ok(()) };
        let (Some(name), number) = (mark.name(), attempt.number) else { return Ok(()) };
        if attempt.follows.as_ref().and_then(Mark::name).as_ref() == Some(&name) {
            return Ok(());
        }
        means.warehouse()?.crawl_seen(&self.claim.crawl_id, &owner, number, &name)?;
        attempt.follows = Some(mark.clone());
        Ok(())
    }

    fn end_badly(
        &mut self,
        means: &mut Means<'_>,
        catalog_id: Option<String>,
        message: String,
    ) -> Result<bool, Setback> {
        if self.failures + 1 >= MAX_ATTEMPTS {
            return self.end(means, CrawlEnd::GivenUp { message });
        }
        self.end(means, CrawlEnd::Failed { catalog_id, message })
    }

    /// Records how the attempt ended; true when the crawl is over with it.
    fn end(&mut self, means: &mut Means<'_>, end: CrawlEnd) -> Result<bool, Setback> {
        let owner = means.context.incarnation.clone();
        let number = self.attempt.as_ref().map_or(0, |attempt| attempt.number);
        means.warehouse()?.finish_crawl(&self.claim.crawl_id, &owner, number, &end)?;
        self.attempt = None;
        match end {
            CrawlEnd::Succeeded { .. } => {
                tracing::info!(crawl = %self.crawl_id(), "the crawl covers {} batches", self.claim.batches);
                means.context.tally.add(|counts| counts.crawls += 1);
                Ok(true)
            }
            CrawlEnd::GivenUp { message } => {
                tracing::error!(
                    crawl = %self.crawl_id(),
                    "given up, the next window covers its batches: {message}"
                );
                self.given_up = Some(message);
                Ok(true)
            }
            CrawlEnd::Failed { message, .. } => {
                tracing::warn!(crawl = %self.crawl_id(), "will be tried again: {message}");
                self.failures += 1;
                let (first, longest) = (TimeDelta::seconds(2), TimeDelta::minutes(5));
                let delay = backoff::delay(first, longest, u64::from(self.failures), self.crawl_id());
                self.go_on_in(means.now(), delay);
                self.state = format!("it failed and is tried again: {message}");
                Ok(false)
            }
        }
    }
}

/// How long to wait before a start, so that its crawl, should the answer be lost, is known to cover by when it began.
fn too_early(means: &mut Means<'_>, claim: &mut CrawlClaim) -> Outcome<Option<TimeDelta>> {
    let margin = means.catalog.clock_margin();
    if margin.is_zero() {
        return Ok(None);
    }
    // Both times are the ledger's, so their difference is how old the objects are at least. The clock may have been set
    // back since the claim: the objects are there by now.
    let now = means.warehouse()?.now()?;
    claim.published_until = claim.published_until.min(now);
    let wait = margin * 2 - (now - claim.published_until);
    Ok((wait > TimeDelta::zero()).then_some(wait))
}

/// A crawl that began then or later covers what was adopted: the newest Last-Modified of its objects, and the margin.
fn covers_from(means: &mut Means<'_>, claim: &CrawlClaim) -> Result<Timestamp, Setback> {
    let keys = means.warehouse()?.crawl_objects(&claim.crawl_id)?;
    let by_clock = claim.published_until + CLOCK_SPREAD;
    let newest = newest(means.context.curated.as_ref(), &keys).map_err(catalog_failure)?;
    let by_store = newest.last_modified.map(|newest| newest + WHOLE_SECONDS + means.catalog.clock_margin());
    Ok(match by_store {
        Some(by_store) if newest.in_parts => by_store.max(by_clock),
        Some(by_store) => by_store,
        // Somebody took the objects away; the next reconciliation tells of it.
        None => by_clock,
    })
}

/// What the curated store tells of a set of objects.
#[derive(Debug, Default, PartialEq, Eq)]
struct Newest {
    last_modified: Option<Timestamp>,
    /// One of them may be dated by the beginning of its upload.
    in_parts: bool,
}

/// A day's objects of a table lie side by side, so listing them takes far fewer requests than asking for each.
fn newest(curated: &dyn ObjectStore, keys: &[String]) -> Outcome<Newest> {
    let mut folders: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for key in keys {
        let folder = key.rfind('/').map_or("", |slash| &key[..=slash]);
        folders.entry(folder).or_default().insert(key);
    }
    let mut newest = Newest::default();
    for (folder, keys) in folders {
        curated.list(folder, &mut |object| {
            if keys.contains(object.key.as_str()) {
                newest.last_modified = newest.last_modified.max(Some(object.last_modified));
                newest.in_parts |= object.size > PARTS_ABOVE;
            }
            Ok(())
        })?;
    }
    Ok(newest)
}
