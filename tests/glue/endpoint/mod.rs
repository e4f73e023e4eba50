//! A stand-in for AWS Glue, of the tests' own: the catalog's databases, tables and partitions, and crawlers that go
//! RUNNING → STOPPING → READY on the clock that a test gives it, and really make partitions of the objects that lay in the
//! curated place when the crawl began. A crawl looks at the place only once, at its very beginning: an object that came
//! later is not covered, which is the worst that a real crawler can do.
//!
//! It speaks JSON 1.1 with `X-Amz-Target: AWSGlue.<operation>`, keeps what it is given as it came, and answers errors by
//! their documented names. Faults are told to it in rules. No signature is checked.

// Several test crates take this module in, and each uses a part of it.
#![allow(dead_code)]

mod answer;
mod crawler;
mod fault;
mod http;
mod tables;

use std::sync::{Arc, Mutex, MutexGuard};

use chrono::TimeDelta;
use serde_json::{Value, json};
use sluicegate::ports::clock::Clock;
use sluicegate::ports::object_store::ObjectStore;

pub(crate) use crawler::{Crawl, End, Spelling};
pub(crate) use fault::{Fault, What};

use answer::Answer;
use crawler::Crawlers;
use fault::Faults;
use tables::Tables;

/// A Glue on a free port of the loopback address; it lives as long as the test process.
#[derive(Clone)]
pub(crate) struct GlueEndpoint {
    /// For `AWS_ENDPOINT_URL_GLUE`.
    pub(crate) url: String,
    glue: Arc<Mutex<Glue>>,
}

/// Everything that it knows.
struct Glue {
    clock: Arc<dyn Clock>,
    tables: Tables,
    crawlers: Crawlers,
    faults: Faults,
    requests: Vec<String>,
}

impl GlueEndpoint {
    /// An empty catalog.
    pub(crate) fn start(clock: Arc<dyn Clock>) -> Self {
        let glue = Glue {
            clock,
            tables: Tables::default(),
            crawlers: Crawlers::default(),
            faults: Faults::default(),
            requests: Vec::new(),
        };
        let glue = Arc::new(Mutex::new(glue));
        let serving = glue.clone();
        let url = http::serve(move |operation, body| serving.lock().unwrap().serve(operation, body));
        Self { url, glue }
    }

    fn glue(&self) -> MutexGuard<'_, Glue> {
        self.glue.lock().unwrap()
    }

    /// What the SDK has to find in the environment, so that a process asks here and finds credentials that mean nothing.
    pub(crate) fn variables(&self) -> Vec<(String, String)> {
        let known = [
            ("AWS_ENDPOINT_URL_GLUE", self.url.as_str()),
            ("AWS_REGION", "eu-west-1"),
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
            ("AWS_EC2_METADATA_DISABLED", "true"),
        ];
        known.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
    }

    /// Where the crawlers of a database look: keys are `<table>/dt=<date>/<object>`, and a crawl registers the date as a
    /// partition of `<table>_csv`.
    pub(crate) fn place(&self, database: &str, store: Arc<dyn ObjectStore>) {
        self.glue().crawlers.place(database, store);
    }

    /// A database, and a crawler over all tables in it.
    pub(crate) fn create_crawler(&self, name: &str, database: &str) {
        let mut glue = self.glue();
        let now = glue.clock.now();
        let input = json!({ "DatabaseInput": { "Name": database } });
        // Several crawlers may share a database.
        let _ = glue.tables.serve("CreateDatabase", &input, now);
        let targets = json!({ "CatalogTargets": [{ "DatabaseName": database, "Tables": [] }] });
        let input = json!({ "Name": name, "DatabaseName": database, "Role": "a-role", "Targets": targets });
        glue.crawlers.create(&input, now).expect("a fresh crawler");
    }

    /// How long crawls that begin from now on are RUNNING, and then STOPPING.
    pub(crate) fn crawls_take(&self, running: TimeDelta, stopping: TimeDelta) {
        self.glue().crawlers.take(running, stopping);
    }

    /// How the next crawls to begin end, one each; those after them succeed.
    pub(crate) fn next_crawls_end(&self, ends: &[End]) {
        self.glue().crawlers.next_ends(ends);
    }

    /// How long after its beginning a crawl shows in ListCrawls.
    pub(crate) fn listing_lag(&self, lag: TimeDelta) {
        self.glue().crawlers.listing_lag(lag);
    }

    /// How crawls are told of.
    pub(crate) fn spelling(&self, spelling: Spelling) {
        self.glue().crawlers.spelling(spelling);
    }

    /// How far this Glue's clock is ahead of the test's.
    pub(crate) fn clock_ahead(&self, by: TimeDelta) {
        self.glue().crawlers.clock_ahead(by);
    }

    /// One rule more; the first that fits a request decides.
    pub(crate) fn fault(&self, fault: Fault) {
        self.glue().faults.add(fault);
    }

    /// Ends all faults.
    pub(crate) fn no_more_faults(&self) {
        self.glue().faults = Faults::default();
    }

    /// A crawl that somebody else starts, if none is running.
    pub(crate) fn somebody_starts(&self, crawler: &str) -> bool {
        let mut glue = self.glue();
        let now = glue.clock.now();
        let Glue { tables, crawlers, .. } = &mut *glue;
        crawlers.start(crawler, tables, now).is_ok()
    }

    /// Every crawl of a crawler, in the order of their beginnings.
    pub(crate) fn history(&self, crawler: &str) -> Vec<Crawl> {
        let mut glue = self.glue();
        glue.advance();
        glue.crawlers.history(crawler)
    }

    /// The operations that were asked for until now.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.glue().requests.clone()
    }

    /// How often an operation was asked for.
    pub(crate) fn count(&self, operation: &str) -> usize {
        self.glue().requests.iter().filter(|request| *request == operation).count()
    }

    /// Asks as a client would, without the network and without faults; an error is its documented name.
    pub(crate) fn ask(&self, operation: &str, input: &Value) -> Result<Value, String> {
        self.glue().answer(operation, input).map_err(|refusal| refusal.code.to_owned())
    }
}

impl Glue {
    fn advance(&mut self) {
        let now = self.clock.now();
        self.crawlers.advance(&mut self.tables, now);
    }

    /// What a request over the network comes to: the answer, or none where the connection breaks off.
    fn serve(&mut self, operation: &str, body: &[u8]) -> Option<(u16, Value)> {
        self.requests.push(operation.to_owned());
        let input: Value = serde_json::from_slice(body).unwrap_or_else(|_| json!({}));
        let what = self.faults.strike(operation);
        match what {
            None => Some(whole(self.answer(operation, &input))),
            Some(What::Lost) => {
                let _ = self.answer(operation, &input);
                None
            }
            Some(What::NeverCame) => None,
            Some(What::Refused(status, code)) => Some((status, answer::error(code))),
            Some(What::DoneAndRefused(status, code)) => {
                let _ = self.answer(operation, &input);
                Some((status, answer::error(code)))
            }
        }
    }

    fn answer(&mut self, operation: &str, input: &Value) -> Answer {
        self.advance();
        let now = self.clock.now();
        let Self { tables, crawlers, .. } = self;
        if let Some(answer) = crawlers.serve(operation, input, tables, now) {
            return answer;
        }
        tables.serve(operation, input, now).unwrap_or_else(|| {
            Err(answer::refusal("UnknownOperationException", &format!("there is no operation {operation}")))
        })
    }
}

fn whole(answer: Answer) -> (u16, Value) {
    match answer {
        Ok(output) => (200, output),
        Err(refusal) => (400, json!({ "__type": refusal.code, "Message": refusal.message })),
    }
}
