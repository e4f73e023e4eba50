//! Goal: invoices over several windows, the built binary killed at random moments, and a Glue that answers as it likes:
//! one covering crawl a window in the ledger and in Glue's history. `SLUICEGATE_FULL=1` takes 2,000 invoices.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use sluicegate::folder::FolderStore;
use sluicegate::ports::clock::SystemClock;

use crate::corpus::{Invoice, Random};
use crate::endpoint::{End, Fault, GlueEndpoint, What};
use crate::support::{Project, Running, until};
use crate::world::{CRAWLER, DATABASE, ask, check_covered, stamp};

const EVERY_FIVE_SECONDS: &str = "*/5 * * * * *";
const OPEN: &str = "SELECT batch_id FROM sluicegate_batch WHERE crawl_id IS NULL
                    UNION ALL SELECT crawl_id FROM sluicegate_crawl WHERE state <> 'succeeded'";

struct Shop {
    project: Project,
    glue: GlueEndpoint,
    random: Random,
    invoices: u64,
}

impl Shop {
    fn new(seed: u64) -> Self {
        let glue = GlueEndpoint::start(Arc::new(SystemClock));
        glue.create_crawler(CRAWLER, DATABASE);
        let mut project = Project::with_batches_of(20);
        project.set("SLUICEGATE_WINDOW", EVERY_FIVE_SECONDS);
        project.set("SLUICEGATE_CRAWLER", CRAWLER);
        project.set("SLUICEGATE_DATABASE", DATABASE);
        for (name, value) in glue.variables() {
            project.set(&name, value);
        }
        project.edit("jobs/invoices.toml", "seconds = 5\n", "seconds = 1\n");
        glue.place(DATABASE, Arc::new(FolderStore::new(project.path("var/curated"))));
        Self { project, glue, random: Random::new(seed), invoices: 0 }
    }

    fn land(&mut self, count: u64) {
        for _ in 0..count {
            self.invoices += 1;
            let text = Invoice::made_up(&mut self.random, self.invoices).text();
            self.project.land_settled(&format!("{}.txt", self.invoices), &text);
        }
    }

    fn ask(&self, sql: &str) -> Vec<Vec<String>> {
        ask(&self.project.path("var/warehouse.db"), sql)
    }

    fn start(&self) -> Running {
        self.project.start(&["drain", "--watch"])
    }

    fn is_covered(&self) -> bool {
        let loaded = self.ask("SELECT count(*) FROM sluicegate_document WHERE outcome = 'loaded'");
        let all = loaded.first().is_some_and(|row| row[0] == self.invoices.to_string());
        all && self.ask(OPEN).is_empty()
    }

    /// Each crawl of Glue's history belongs to just one attempt of the ledger, and each attempt's crawl is there. A crawl
    /// that ended before the list showed it is known by its beginning.
    fn check_history(&self) {
        let named =
            self.ask("SELECT glue_crawl_id FROM sluicegate_crawl_attempt WHERE glue_crawl_id IS NOT NULL");
        let mut named: Vec<String> = named.into_iter().flatten().collect();
        let all = self
            .ask("SELECT crawl_id, attempt, state, glue_crawl_id, started_at FROM sluicegate_crawl_attempt");
        let history = self.glue.history(CRAWLER);
        let told: Vec<_> = history.iter().map(|crawl| (&crawl.id, stamp(crawl), crawl.end)).collect();
        for crawl in &history {
            let started = format!("started {}", stamp(crawl));
            let before = named.len();
            named.retain(|name| *name != crawl.id && *name != started);
            assert_eq!(before - named.len(), 1, "attempts that name {}, of {all:#?} and {told:#?}", crawl.id);
        }
        assert!(named.is_empty(), "not in Glue's history: {named:?} of {all:#?}, {told:#?}");
    }
}

#[test]
fn one_covering_crawl_a_window_whatever_dies_and_whatever_glue_answers() {
    let full = std::env::var_os("SLUICEGATE_FULL").is_some_and(|value| value == "1");
    let (rounds, count) = if full { (10, 200) } else { (3, 60) };
    let seed = 20_261_123;
    println!("seed {seed}");
    let mut shop = Shop::new(seed);
    let glue = shop.glue.clone();
    glue.crawls_take(TimeDelta::milliseconds(1_500), TimeDelta::milliseconds(300));
    glue.next_crawls_end(&[End::Succeeds, End::Fails, End::Succeeds, End::Cancelled]);
    let starts = [
        What::Lost,
        What::NeverCame,
        What::DoneAndRefused(500, "InternalServiceException"),
        What::DoneAndRefused(400, "OperationTimeoutException"),
        What::Refused(400, "ThrottlingException"),
    ];
    glue.fault(Fault::at_random("StartCrawler", &starts, 50, seed));
    glue.fault(Fault::at_random("ListCrawls", &[What::Refused(500, "InternalServiceException")], 10, seed));
    glue.listing_lag(TimeDelta::seconds(2));
    let mut kills = 0;
    for _ in 0..rounds {
        shop.land(count);
        for _ in 0..8 {
            let running = shop.start();
            std::thread::sleep(Duration::from_millis(50 + shop.random.below(2_500)));
            running.kill();
            kills += 1;
        }
        let running = shop.start();
        until("everything is covered", || shop.is_covered().then_some(()));
        running.kill();
        check_covered(&shop.project.path("var/warehouse.db"), &glue.history(CRAWLER));
    }
    shop.check_history();
    let windows = shop.ask("SELECT crawl_id FROM sluicegate_crawl").len();
    let succeeded = glue.history(CRAWLER).iter().filter(|crawl| crawl.end == End::Succeeds).count();
    println!(
        "{} invoices, {windows} windows, {} crawls in Glue's history, {kills} kills, {} starts asked for",
        shop.invoices,
        glue.history(CRAWLER).len(),
        glue.count("StartCrawler"),
    );
    assert!(
        windows >= rounds && succeeded == windows,
        "{succeeded} crawls that covered in {windows} windows"
    );
}

#[test]
fn a_drain_that_ends_the_window_waits_for_glue_within_its_patience() {
    let mut shop = Shop::new(1);
    shop.project.set("SLUICEGATE_WINDOW", "0 0 0 1 1 *");
    shop.glue.crawls_take(TimeDelta::hours(1), TimeDelta::minutes(1));
    shop.land(3);
    // Until the crawler is seen to run some seconds pass in any case; the patience outlasts them many times over.
    let ended = shop.project.run(&["drain", "--crawl", "--patience", "30s", "--output", "json"]).exits(1);
    let ended = ended.tells("the crawler is running");
    assert_eq!(ended.json()["crawls"], 0);
    assert_eq!(shop.ask("SELECT state, early FROM sluicegate_crawl"), [["running", "1"]]);
    assert_eq!(shop.glue.count("StartCrawler"), 1);
    // The same without a crawler of that name: it says what to do.
    shop.glue.ask("DeleteCrawler", &serde_json::json!({ "Name": CRAWLER })).unwrap();
    let ended = shop.project.run(&["drain", "--patience", "0s"]).exits(1);
    ended.tells("there is no Glue crawler nightly").tells("`sluicegate catalog --apply`");
}

#[test]
fn a_drain_that_gives_a_crawl_up_says_so_and_ends() {
    let mut shop = Shop::new(1);
    shop.project.set("SLUICEGATE_WINDOW", "0 0 0 1 1 *");
    shop.glue.crawls_take(TimeDelta::zero(), TimeDelta::zero());
    shop.glue.next_crawls_end(&[End::Fails, End::Fails, End::Fails]);
    shop.land(3);
    // However long its patience is.
    let ended = shop.project.run(&["drain", "--crawl", "--patience", "24h", "--output", "json"]).exits(1);
    let ended = ended.tells(
        "not finished: the crawl of job invoices was given up, and queries may not see its last batches",
    );
    assert_eq!(ended.json()["crawls"], 0);
    assert_eq!(shop.ask("SELECT state, attempts FROM sluicegate_crawl"), [["given_up", "3"]]);
    assert_eq!((shop.glue.history(CRAWLER).len(), shop.glue.count("StartCrawler")), (3, 3));
}

#[test]
fn a_curated_bucket_without_a_crawler_is_told_of_once() {
    let mut shop = Shop::new(1);
    shop.project.set("SLUICEGATE_CRAWLER", "");
    shop.project.set("SLUICEGATE_CURATED", "s3://bucket/curated");
    let ended = shop.project.run(&["drain", "--patience", "0s"]).exits(0);
    let told = ended.stderr.matches("stay published and await a crawl").count();
    assert_eq!(told, 1, "{ended:#?}");
}
