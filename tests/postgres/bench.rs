//! The conformance suite of the warehouse port, over PostgreSQL. The ledger's clock is a function in the database; here it
//! reads a table, which follows the test's manual clock.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::TimeDelta;
use postgres::Client;
use sluicegate::failure::Outcome;
use sluicegate::ports::clock::Clock;
use sluicegate::ports::decisions::Decisions;
use sluicegate::ports::proof::Proof;
use sluicegate::ports::warehouse::{
    BeginLoad, CrawlClaim, CrawlEnd, CrawlRequest, CrawlRow, Difference, DocumentRow, KnownObject,
    LedgerIdentity, LoadRequest, LoadedBatch, UnpublishedLoad, VerdictRow, Warehouse,
};
use sluicegate::postgres::{PostgresWarehouse, Recent};
use sluicegate::schema::Schema;
use sluicegate_state::Timestamp;
use sluicegate_state::seam::Seam;
use sluicegate_state::time::to_text;

use crate::manual_clock::ManualClock;
use crate::server::Database;
use crate::warehouse::Bench;

/// An empty database with a clock that stands.
pub(crate) struct PostgresBench {
    database: Database,
    clock: Arc<ManualClock>,
    recent: Recent,
}

impl PostgresBench {
    pub(crate) fn new() -> Option<Self> {
        let database = Database::new()?;
        let clock = Arc::new(ManualClock::new("2024-05-06T10:00:00Z"));
        let bench = Self { database, clock, recent: Recent::default() };
        bench.connect();
        bench
            .execute(
                "CREATE TABLE sluicegate.test_clock (at timestamptz);
                 INSERT INTO sluicegate.test_clock VALUES ('2024-05-06T10:00:00Z');
                 CREATE OR REPLACE FUNCTION sluicegate.clock() RETURNS timestamptz LANGUAGE sql VOLATILE
                 AS 'SELECT at FROM sluicegate.test_clock'",
            )
            .unwrap();
        Some(bench)
    }

    fn connect(&self) -> PostgresWarehouse {
        let secret = self.database.secret();
        PostgresWarehouse::open(&secret, "the-ledger", "test", &self.recent, Seam::default()).unwrap()
    }
}

impl Bench for PostgresBench {
    fn open(&self) -> Box<dyn Warehouse> {
        let shell = self.database.shell();
        Box::new(Timed { inner: self.connect(), clock: self.clock.clone(), shell })
    }

    fn clock(&self) -> &ManualClock {
        &self.clock
    }

    fn execute(&self, sql: &str) -> Result<(), String> {
        self.database.shell().batch_execute(sql).map_err(|error| error.to_string())
    }

    fn select(&self, sql: &str) -> Vec<Vec<String>> {
        self.database.select(sql)
    }

    fn ledger(&self, table: &str) -> String {
        format!("sluicegate.{table}")
    }

    fn refuse_rows(&self, table: &str, column: &str, value: &str) -> String {
        let words = format!("no {value} in {table}, says the owner");
        let trigger = format!(
            "CREATE FUNCTION refuse_{table}() RETURNS trigger LANGUAGE plpgsql AS $$
             BEGIN
                 IF new.{column}::text = '{value}' THEN RAISE EXCEPTION '{words}'; END IF;
                 RETURN new;
             END $$;
             CREATE TRIGGER refuse BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION refuse_{table}()"
        );
        self.execute(&trigger).unwrap();
        words
    }
}

/// The warehouse, with the ledger's clock put right before each call.
struct Timed {
    inner: PostgresWarehouse,
    clock: Arc<ManualClock>,
    shell: Client,
}

impl Timed {
    fn at(&mut self) -> &mut PostgresWarehouse {
        let now = to_text(self.clock.now() + TimeDelta::zero());
        let sql = "UPDATE sluicegate.test_clock SET at = $1::text::timestamptz";
        self.shell.execute(sql, &[&now]).unwrap();
        &mut self.inner
    }
}

impl Warehouse for Timed {
    fn location(&self) -> String {
        self.inner.location()
    }

    fn identity(&mut self) -> Outcome<LedgerIdentity> {
        self.at().identity()
    }

    fn knows_batch(&mut self, batch_id: &str) -> Outcome<bool> {
        self.at().knows_batch(batch_id)
    }

    fn prepare(&mut self, schema: &Schema) -> Outcome<()> {
        self.at().prepare(schema)
    }

    fn compare(&mut self, schema: &Schema) -> Outcome<Vec<Difference>> {
        self.at().compare(schema)
    }

    fn begin_load<'a>(&'a mut self, request: &'a LoadRequest, schema: &'a Schema) -> Outcome<BeginLoad<'a>> {
        self.at().begin_load(request, schema)
    }

    fn loaded_batch(&mut self, batch_id: &str) -> Outcome<Option<LoadedBatch>> {
        self.at().loaded_batch(batch_id)
    }

    fn mark_published(&mut self, batch_id: &str) -> Outcome<()> {
        self.at().mark_published(batch_id)
    }

    fn heartbeat(&mut self, incarnation: &str, host: &str) -> Outcome<()> {
        self.at().heartbeat(incarnation, host)
    }

    fn farewell(&mut self, incarnation: &str) -> Outcome<()> {
        self.at().farewell(incarnation)
    }

    fn live_incarnations(&mut self) -> Outcome<BTreeSet<String>> {
        self.at().live_incarnations()
    }

    fn claim_listing(&mut self, job: &str, owner: &str) -> Outcome<bool> {
        self.at().claim_listing(job, owner)
    }

    fn unpublished_loads(&mut self, job: &str) -> Outcome<Vec<UnpublishedLoad>> {
        self.at().unpublished_loads(job)
    }

    fn known_batches(&mut self, batch_ids: &[String]) -> Outcome<BTreeSet<String>> {
        self.at().known_batches(batch_ids)
    }

    fn known_objects(&mut self, job: &str, bucket: &str, objects: &[KnownObject<'_>]) -> Outcome<Vec<bool>> {
        self.at().known_objects(job, bucket, objects)
    }

    fn now(&mut self) -> Outcome<Timestamp> {
        self.at().now()
    }

    fn claim_crawl(&mut self, request: &CrawlRequest<'_>) -> Outcome<Option<CrawlClaim>> {
        self.at().claim_crawl(request)
    }

    fn crawl_attempt(&mut self, crawl_id: &str, owner: &str) -> Outcome<u32> {
        self.at().crawl_attempt(crawl_id, owner)
    }

    fn crawl_objects(&mut self, crawl_id: &str) -> Outcome<Vec<String>> {
        self.at().crawl_objects(crawl_id)
    }

    fn crawl_seen(&mut self, crawl_id: &str, owner: &str, attempt: u32, catalog_id: &str) -> Outcome<()> {
        self.at().crawl_seen(crawl_id, owner, attempt, catalog_id)
    }

    fn renew_crawl(&mut self, crawl_id: &str, owner: &str) -> Outcome<()> {
        self.at().renew_crawl(crawl_id, owner)
    }

    fn finish_crawl(&mut self, crawl_id: &str, owner: &str, attempt: u32, end: &CrawlEnd) -> Outcome<()> {
        self.at().finish_crawl(crawl_id, owner, attempt, end)
    }

    fn awaiting_crawl(&mut self, job: &str) -> Outcome<u64> {
        self.at().awaiting_crawl(job)
    }

    fn last_crawl(&mut self, job: &str) -> Outcome<Option<CrawlRow>> {
        self.at().last_crawl(job)
    }

    fn outcome_counts(&mut self, job: &str) -> Outcome<BTreeMap<String, u64>> {
        self.at().outcome_counts(job)
    }

    fn documents_by_key(&mut self, key: &str) -> Outcome<Vec<DocumentRow>> {
        self.at().documents_by_key(key)
    }

    fn verdicts(&mut self, batch_id: &str) -> Outcome<Vec<VerdictRow>> {
        self.at().verdicts(batch_id)
    }

    fn decisions(&mut self) -> &mut dyn Decisions {
        self.at().decisions()
    }

    fn verdicts_by_key(&mut self, key: &str) -> Outcome<Vec<VerdictRow>> {
        self.at().verdicts_by_key(key)
    }
    fn proof(&mut self) -> &mut dyn Proof {
        self.at().proof()
    }
}
