//! Crawlers: RUNNING, then STOPPING, then READY.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use sluicegate::ports::object_store::ObjectStore;

use super::answer::{Answer, Refusal, exists, not_found, page, refusal, seconds, text};
use super::tables::Tables;

/// How a crawl ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// What was there at its beginning is registered.
    Succeeds,
    /// Nothing is.
    Fails,
    /// A person stops it.
    Cancelled,
}

/// How crawls are told of: what differs between Glue and its stand-ins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spelling {
    /// As Glue writes it: COMPLETED in ListCrawls, SUCCEEDED in LastCrawl.
    Documented,
    /// In small letters, and SUCCEEDED everywhere.
    Lower,
    /// Times are texts, of which the SDK reads nothing.
    TextTimes,
    /// LastCrawl has a status and nothing else.
    NoStartTime,
    /// LastCrawl is left out.
    NoLastCrawl,
}

/// One crawl, as a test sees it.
#[derive(Debug, Clone)]
pub(crate) struct Crawl {
    pub(crate) id: String,
    pub(crate) started_at: DateTime<Utc>,
    /// None while it runs.
    pub(crate) ended_at: Option<DateTime<Utc>>,
    pub(crate) end: End,
    /// The keys of the objects that lay in the curated place when it began.
    pub(crate) seen: BTreeSet<String>,
    stopping_at: DateTime<Utc>,
    ready_at: DateTime<Utc>,
}

struct Crawler {
    described: Value,
    crawls: Vec<Crawl>,
}

/// All crawlers of one account.
pub(super) struct Crawlers {
    crawlers: BTreeMap<String, Crawler>,
    places: BTreeMap<String, Arc<dyn ObjectStore>>,
    running: TimeDelta,
    stopping: TimeDelta,
    ends: VecDeque<End>,
    lag: TimeDelta,
    spelling: Spelling,
    ahead: TimeDelta,
}

impl Default for Crawlers {
    fn default() -> Self {
        Self {
            crawlers: BTreeMap::new(),
            places: BTreeMap::new(),
            running: TimeDelta::zero(),
            stopping: TimeDelta::zero(),
            ends: VecDeque::new(),
            lag: TimeDelta::zero(),
            spelling: Spelling::Documented,
            ahead: TimeDelta::zero(),
        }
    }
}

/// The id of the n-th crawl, in the shape of a UUID.
fn crawl_id(crawler: &str, number: usize) -> String {
    let head = crawler.bytes().fold(0_u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(u32::from(byte)));
    format!("{head:08x}-0000-4000-8000-{number:012}")
}

impl Crawlers {
    pub(super) fn place(&mut self, database: &str, store: Arc<dyn ObjectStore>) {
        self.places.insert(database.to_owned(), store);
    }

    pub(super) fn take(&mut self, running: TimeDelta, stopping: TimeDelta) {
        (self.running, self.stopping) = (running, stopping);
    }

    pub(super) fn next_ends(&mut self, ends: &[End]) {
        self.ends.extend(ends);
    }

    pub(super) fn listing_lag(&mut self, lag: TimeDelta) {
        self.lag = lag;
    }

    pub(super) fn spelling(&mut self, spelling: Spelling) {
        self.spelling = spelling;
    }

    pub(super) fn clock_ahead(&mut self, by: TimeDelta) {
        self.ahead = by;
    }

    pub(super) fn history(&self, name: &str) -> Vec<Crawl> {
        self.crawlers.get(name).map(|crawler| crawler.crawls.clone()).unwrap_or_default()
    }

    pub(super) fn create(&mut self, input: &Value, now: DateTime<Utc>) -> Answer {
        let name = text(input, "Name")?;
        if self.crawlers.contains_key(&name) {
            return Err(exists(&format!("Crawler {name}")));
        }
        let mut described = input.clone();
        described["CreationTime"] = seconds(now);
        described["Version"] = json!(0);
        let crawler = Crawler { described: json!({}), crawls: Vec::new() };
        self.crawlers.entry(name).or_insert(crawler).describe(&described, now);
        Ok(json!({}))
    }

    /// Lets every crawl come as far as it has come by now; those that end well register what they saw.
    pub(super) fn advance(&mut self, tables: &mut Tables, now: DateTime<Utc>) {
        for crawler in self.crawlers.values_mut() {
            let database = crawler.described["DatabaseName"].as_str().unwrap_or_default().to_owned();
            let covered = crawler.targets();
            let Some(crawl) = crawler.crawls.last_mut().filter(|crawl| crawl.ended_at.is_none()) else {
                continue;
            };
            if crawl.ready_at > now {
                continue;
            }
            crawl.ended_at = Some(crawl.ready_at);
            if crawl.end != End::Succeeds {
                continue;
            }
            for (table, dt) in crawl.seen.iter().filter_map(|key| table_and_date(key)) {
                let table = format!("{table}_csv");
                if covered.is_empty() || covered.contains(&table) {
                    tables.register(&database, &table, &[dt], crawl.ready_at);
                }
            }
        }
    }

    /// Begins a crawl; what it covers is looked at now.
    pub(super) fn start(&mut self, name: &str, tables: &mut Tables, now: DateTime<Utc>) -> Answer {
        self.advance(tables, now);
        let crawler = self.crawlers.get_mut(name).ok_or_else(|| not_found(&format!("Crawler {name}")))?;
        if crawler.crawls.last().is_some_and(|crawl| crawl.ended_at.is_none()) {
            return Err(refusal("CrawlerRunningException", &format!("Crawler {name} has already started")));
        }
        let database = crawler.described["DatabaseName"].as_str().unwrap_or_default();
        let mut seen = BTreeSet::new();
        if let Some(place) = self.places.get(database) {
            let mut visit = |object: sluicegate::ports::object_store::ObjectInfo| {
                seen.insert(object.key);
                Ok(())
            };
            // A place that is not there yet has no objects.
            let _ = place.list("", &mut visit);
        }
        let stopping_at = now + self.running;
        let end = self.ends.pop_front().unwrap_or(End::Succeeds);
        crawler.crawls.push(Crawl {
            id: crawl_id(name, crawler.crawls.len() + 1),
            started_at: now + self.ahead,
            ended_at: None,
            end,
            seen,
            stopping_at,
            ready_at: stopping_at + self.stopping,
        });
        self.advance(tables, now);
        Ok(json!({}))
    }

    /// Answers what concerns crawlers; none for other operations.
    pub(super) fn serve(
        &mut self,
        operation: &str,
        input: &Value,
        tables: &mut Tables,
        now: DateTime<Utc>,
    ) -> Option<Answer> {
        let name = || text(input, "Name");
        let answer = match operation {
            "CreateCrawler" => self.create(input, now),
            "UpdateCrawler" => self.find(input, "Name").map(|crawler| {
                crawler.describe(input, now);
                json!({})
            }),
            "DeleteCrawler" => name().and_then(|name| {
                self.crawlers.remove(&name).map(|_| json!({})).ok_or_else(|| not_found("Crawler"))
            }),
            "GetCrawler" => {
                let spelling = self.spelling;
                self.find(input, "Name").map(|crawler| json!({ "Crawler": crawler.told(spelling, now) }))
            }
            "GetCrawlers" => {
                let told = self.crawlers.values().map(|crawler| crawler.told(self.spelling, now)).collect();
                page(input, told, "Crawlers", 100)
            }
            "StartCrawler" => name().and_then(|name| self.start(&name, tables, now)),
            "StopCrawler" => self.find(input, "Name").and_then(|crawler| crawler.stop(now)),
            "ListCrawls" => self.list_crawls(input, now),
            _ => return None,
        };
        Some(answer)
    }

    fn find(&mut self, input: &Value, member: &str) -> Result<&mut Crawler, Refusal> {
        let name = text(input, member)?;
        self.crawlers.get_mut(&name).ok_or_else(|| not_found(&format!("Crawler {name}")))
    }

    /// Newest first; of the filters only START_TIME with GE is known.
    fn list_crawls(&mut self, input: &Value, now: DateTime<Utc>) -> Answer {
        let (lag, spelling, ahead) = (self.lag, self.spelling, self.ahead);
        let mut since = i64::MIN;
        for filter in input["Filters"].as_array().into_iter().flatten() {
            let known = filter["FieldName"] == "START_TIME" && filter["FilterOperator"] == "GE";
            let value = filter["FieldValue"].as_str().and_then(|value| value.parse::<i64>().ok());
            match value.filter(|_| known) {
                Some(value) => since = value,
                None => return Err(refusal("InvalidInputException", "that filter is not known here")),
            }
        }
        let crawler = self.find(input, "CrawlerName")?;
        let shown = crawler.crawls.iter().rev().filter(|crawl| crawl.started_at + lag <= now + ahead);
        let shown = shown.filter(|crawl| crawl.started_at.timestamp_millis() >= since);
        let shown = shown.map(|crawl| crawl.told_in_the_list(spelling)).collect();
        // Few a page, so that pages are met in every test.
        page(input, shown, "Crawls", 2)
    }
}

/// The table and the date of a published object.
fn table_and_date(key: &str) -> Option<(&str, &str)> {
    let (table, rest) = key.split_once("/dt=")?;
    let (date, name) = rest.split_once('/')?;
    (!table.contains('/') && name.ends_with(".csv")).then_some((table, date))
}

impl Crawler {
    /// Takes over what an input says; `Schedule` is a text in the input and an object in the description.
    fn describe(&mut self, input: &Value, now: DateTime<Utc>) {
        for (name, value) in input.as_object().into_iter().flatten() {
            self.described[name] = match (name.as_str(), value.as_str()) {
                ("Schedule", Some(expression)) => {
                    json!({ "ScheduleExpression": expression, "State": "SCHEDULED" })
                }
                _ => value.clone(),
            };
        }
        self.described["LastUpdated"] = seconds(now);
    }

    /// The tables of its catalog targets; none named means all.
    fn targets(&self) -> Vec<String> {
        let targets = self.described["Targets"]["CatalogTargets"].as_array().into_iter().flatten();
        let tables = targets.flat_map(|target| target["Tables"].as_array().into_iter().flatten());
        tables.filter_map(|table| table.as_str().map(str::to_lowercase)).collect()
    }

    fn stop(&mut self, now: DateTime<Utc>) -> Answer {
        match self.crawls.last_mut().filter(|crawl| crawl.ended_at.is_none()) {
            None => Err(refusal("CrawlerNotRunningException", "the crawler is not running")),
            Some(crawl) if crawl.stopping_at <= now => {
                Err(refusal("CrawlerStoppingException", "the crawler is stopping"))
            }
            Some(crawl) => {
                let stopping = crawl.ready_at - crawl.stopping_at;
                crawl.end = End::Cancelled;
                (crawl.stopping_at, crawl.ready_at) = (now, now + stopping);
                Ok(json!({}))
            }
        }
    }

    fn told(&self, spelling: Spelling, now: DateTime<Utc>) -> Value {
        let mut told = self.described.clone();
        if spelling == Spelling::TextTimes {
            told["CreationTime"] = json!("2026-03-01T09:00:00");
        }
        let running = self.crawls.last().filter(|crawl| crawl.ended_at.is_none());
        told["State"] = json!(match running {
            None => "READY",
            Some(crawl) if crawl.stopping_at <= now => "STOPPING",
            Some(_) => "RUNNING",
        });
        // While one runs, this is still the one before.
        let last = self.crawls.iter().rev().find(|crawl| crawl.ended_at.is_some());
        if let Some(last) = last.filter(|_| spelling != Spelling::NoLastCrawl) {
            told["LastCrawl"] = last.told_as_the_last(spelling);
        }
        told
    }
}

impl Crawl {
    fn message(&self) -> Option<&'static str> {
        match self.end {
            End::Succeeds => None,
            End::Fails => Some("Insufficient Lake Formation permission(s)"),
            End::Cancelled => Some("The crawl was stopped"),
        }
    }

    fn beginning(&self, spelling: Spelling) -> Value {
        if spelling == Spelling::TextTimes {
            json!(self.started_at.to_rfc3339())
        } else {
            seconds(self.started_at)
        }
    }

    fn told_as_the_last(&self, spelling: Spelling) -> Value {
        let status = match self.end {
            End::Succeeds => "SUCCEEDED",
            End::Fails => "FAILED",
            End::Cancelled => "CANCELLED",
        };
        let mut told = json!({ "Status": status });
        if spelling == Spelling::Lower {
            told["Status"] = json!(status.to_lowercase());
        }
        if spelling != Spelling::NoStartTime {
            told["StartTime"] = self.beginning(spelling);
            told["LogGroup"] = json!("/aws-glue/crawlers");
        }
        if let Some(message) = self.message() {
            told["ErrorMessage"] = json!(message);
        }
        told
    }

    fn told_in_the_list(&self, spelling: Spelling) -> Value {
        let state = match (self.ended_at, self.end) {
            (None, _) => "RUNNING",
            (_, End::Succeeds) if spelling == Spelling::Lower => "SUCCEEDED",
            (_, End::Succeeds) => "COMPLETED",
            (_, End::Fails) => "FAILED",
            (_, End::Cancelled) => "STOPPED",
        };
        let state = if spelling == Spelling::Lower { state.to_lowercase() } else { state.to_owned() };
        let mut told = json!({ "CrawlId": self.id, "State": state, "StartTime": self.beginning(spelling) });
        if let Some(end) = self.ended_at {
            told["EndTime"] = seconds(end);
            told["DPUHour"] = json!(0.166);
        }
        if let (Some(_), Some(message)) = (self.ended_at, self.message()) {
            told["ErrorMessage"] = json!(message);
        }
        told
    }
}
