//! The crawler: slow, busy with other people's crawls, failing, and not always answering.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::TimeDelta;
use sluicegate::failure::{Failure, Outcome};
use sluicegate::ports::catalog::{Catalog, CrawlProgress, CrawlReport, StartAnswer};
use sluicegate_state::Timestamp;

use crate::hub::Hub;
use crate::objects::Objects;
use crate::options::{CRAWL_FAILED, CRAWL_UNKNOWN, CRAWLER_BUSY};

/// How far the clocks of catalog and storage may be apart; the skews of the options keep to it.
const MARGIN: TimeDelta = TimeDelta::minutes(5);

#[derive(Debug, Clone)]
pub(crate) struct Crawl {
    pub(crate) id: String,
    began_at: Timestamp,
    ends_at: Timestamp,
    shows_at: Timestamp,
    pub(crate) succeeds: bool,
    /// The objects that were there when it began.
    pub(crate) seen: BTreeSet<String>,
}

#[derive(Default)]
struct Account {
    crawls: Vec<Crawl>,
    /// A start whose answer was lost and whose crawl has not begun yet.
    late: Option<Timestamp>,
}

pub(crate) struct Crawler {
    hub: Arc<Hub>,
    curated: Arc<Objects>,
    account: Mutex<Account>,
}

impl Crawler {
    pub(crate) fn new(hub: Arc<Hub>, curated: Arc<Objects>) -> Arc<Self> {
        Arc::new(Self { hub, curated, account: Mutex::default() })
    }

    fn account(&self) -> MutexGuard<'_, Account> {
        let mut account = self.account.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(begins) = account.late.filter(|begins| *begins <= self.hub.now()) {
            account.late = None;
            if account.crawls.last().is_none_or(|last| last.ends_at <= begins) {
                self.begin(&mut account, begins, true);
            }
        }
        account
    }

    fn begin(&self, account: &mut Account, began_at: Timestamp, late: bool) {
        let (minutes, hidden) = self.hub.choose(|random| (random.between(1, 10), random.between(0, 60)));
        let hides = self.hub.strikes_at("crawler", 200);
        let succeeds = !self.hub.strikes_at("crawler", 200);
        if !succeeds {
            self.hub.tell(CRAWL_FAILED);
        }
        let objects = self.curated.all();
        // What is put in the same moment as a late beginning may have come after it.
        let seen = objects.iter().filter(|(_, object)| !late || object.put_at < began_at);
        account.crawls.push(Crawl {
            id: format!("glue-{}", account.crawls.len() + 1),
            began_at,
            ends_at: began_at + TimeDelta::minutes(minutes),
            shows_at: began_at + TimeDelta::seconds(if hides { hidden } else { 0 }),
            succeeds,
            seen: seen.map(|(key, _)| key.clone()).collect(),
        });
        self.hub.trace(|| format!("  crawl {} begins, succeeds: {succeeds}", account.crawls.len()));
    }

    fn is_busy(&self, account: &Account) -> bool {
        account.crawls.last().is_some_and(|crawl| crawl.ends_at > self.hub.now())
    }

    /// Somebody else starts a crawl.
    pub(crate) fn start_foreign(&self) {
        let mut account = self.account();
        if !self.is_busy(&account) {
            let now = self.hub.now();
            self.begin(&mut account, now, false);
        }
    }

    /// Somebody cancels what is running.
    pub(crate) fn cancel(&self) {
        let now = self.hub.now();
        if let Some(crawl) = self.account().crawls.last_mut().filter(|crawl| crawl.ends_at > now) {
            crawl.ends_at = now;
            crawl.succeeds = false;
        }
    }

    pub(crate) fn history(&self) -> Vec<Crawl> {
        self.account().crawls.clone()
    }
}

/// A machine's way to the crawler.
pub(crate) struct CrawlerClient(pub(crate) Arc<Crawler>);

impl Catalog for CrawlerClient {
    fn clock_margin(&self) -> TimeDelta {
        MARGIN
    }

    fn start_crawl(&mut self) -> Outcome<StartAnswer> {
        let hub = &self.0.hub;
        hub.gate("crawler", "the start of a crawl")?;
        let mut account = self.0.account();
        if self.0.is_busy(&account) {
            hub.tell(CRAWLER_BUSY);
            return Ok(StartAnswer::AlreadyRunning);
        }
        if account.late.is_none() && hub.strikes_at("crawler", 100) {
            let delay = hub.choose(|random| random.between(0, 60));
            account.late = Some(hub.now() + TimeDelta::seconds(delay));
            hub.tell(CRAWL_UNKNOWN);
            return Err(Failure::transient("test fault: the answer of a start that comes late is lost"));
        }
        self.0.begin(&mut account, hub.now(), false);
        drop(account);
        hub.gate("crawler", "the answer to the start of a crawl").inspect_err(|_| hub.tell(CRAWL_UNKNOWN))?;
        Ok(StartAnswer::Started)
    }

    fn crawls(&mut self, since: Timestamp) -> Outcome<Vec<CrawlReport>> {
        let hub = &self.0.hub;
        hub.gate("crawler", "the list of crawls")?;
        let (now, skew) = (hub.now(), hub.options.catalog_skew);
        let account = self.0.account();
        let shown = account
            .crawls
            .iter()
            .filter(|crawl| crawl.shows_at <= now && (crawl.began_at + skew >= since || crawl.ends_at > now));
        let report = |crawl: &Crawl| CrawlReport {
            id: Some(crawl.id.clone()),
            progress: match crawl {
                _ if crawl.ends_at > now => CrawlProgress::Running,
                _ if crawl.succeeds => CrawlProgress::Succeeded,
                _ => CrawlProgress::Failed,
            },
            started_at: Some(crawl.began_at + skew),
            finished_at: (crawl.ends_at <= now).then(|| crawl.ends_at + skew),
            message: None,
        };
        Ok(shown.map(report).collect())
    }

    fn partitions(&mut self, _table: &str) -> Outcome<BTreeSet<String>> {
        Ok(BTreeSet::new())
    }
}
