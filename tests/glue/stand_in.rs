//! The stand-in itself: what other tests rely on.

use std::io::Cursor;
use std::sync::Arc;

use chrono::TimeDelta;
use serde_json::json;
use sluicegate::folder::FolderStore;
use sluicegate::ports::object_store::ObjectStore;

use crate::endpoint::{End, GlueEndpoint, Spelling};
use crate::manual_clock::ManualClock;

const NAMED: &str = "nightly";
const TEN: TimeDelta = TimeDelta::minutes(10);

struct Place {
    clock: Arc<ManualClock>,
    glue: GlueEndpoint,
    store: Arc<FolderStore>,
    _folder: tempfile::TempDir,
}

fn place() -> Place {
    let clock = Arc::new(ManualClock::new("2026-03-01T10:00:00Z"));
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(FolderStore::new(folder.path()));
    let glue = GlueEndpoint::start(clock.clone());
    glue.create_crawler(NAMED, "sales");
    glue.place("sales", store.clone());
    glue.crawls_take(TEN, TimeDelta::minutes(1));
    Place { clock, glue, store, _folder: folder }
}

impl Place {
    fn put(&self, key: &str) {
        self.store.put_new(key, &mut Cursor::new(b"a\n".to_vec()), 2, "").unwrap();
    }

    fn state(&self) -> String {
        let told = self.glue.ask("GetCrawler", &json!({ "Name": NAMED })).unwrap();
        told["Crawler"]["State"].as_str().unwrap().to_owned()
    }

    fn start(&self) -> Result<(), String> {
        self.glue.ask("StartCrawler", &json!({ "Name": NAMED })).map(drop)
    }

    fn partitions(&self) -> Vec<String> {
        let input = json!({ "DatabaseName": "sales", "TableName": "bills_csv" });
        let Ok(told) = self.glue.ask("GetPartitions", &input) else { return Vec::new() };
        let all = told["Partitions"].as_array().unwrap();
        all.iter().map(|partition| partition["Values"][0].as_str().unwrap().to_owned()).collect()
    }
}

#[test]
fn a_crawl_runs_stops_and_registers_what_lay_there_when_it_began() {
    let place = place();
    place.put("bills/dt=2026-02-27/a.csv");
    place.start().unwrap();
    place.put("bills/dt=2026-02-28/b.csv");
    assert_eq!(place.state(), "RUNNING");
    assert_eq!(place.start(), Err("CrawlerRunningException".to_owned()));
    place.clock.advance(TEN);
    assert_eq!(place.state(), "STOPPING");
    assert!(place.partitions().is_empty(), "registered at its end");
    place.clock.advance(TimeDelta::minutes(1));
    assert_eq!((place.state().as_str(), place.partitions()), ("READY", vec!["2026-02-27".to_owned()]));
    let seen: Vec<_> = place.glue.history(NAMED)[0].seen.iter().cloned().collect();
    assert_eq!(seen, ["bills/dt=2026-02-27/a.csv"]);
}

#[test]
fn a_crawl_that_fails_or_is_stopped_registers_nothing() {
    let place = place();
    place.put("bills/dt=2026-02-27/a.csv");
    place.glue.next_crawls_end(&[End::Fails]);
    place.start().unwrap();
    place.clock.advance(TEN * 2);
    place.start().unwrap();
    place.glue.ask("StopCrawler", &json!({ "Name": NAMED })).unwrap();
    assert_eq!(place.state(), "STOPPING");
    place.clock.advance(TEN);
    let crawls = place.glue.ask("ListCrawls", &json!({ "CrawlerName": NAMED })).unwrap();
    let states: Vec<_> = crawls["Crawls"].as_array().unwrap().iter().map(|crawl| &crawl["State"]).collect();
    assert_eq!(states, ["STOPPED", "FAILED"], "the newest first");
    assert!(place.partitions().is_empty());
    let told = place.glue.ask("GetCrawler", &json!({ "Name": NAMED })).unwrap();
    assert_eq!(told["Crawler"]["LastCrawl"]["Status"], "CANCELLED");
}

#[test]
fn a_crawl_shows_late_in_the_list_where_that_is_wanted() {
    let place = place();
    place.glue.listing_lag(TimeDelta::seconds(30));
    place.start().unwrap();
    let listed = || {
        let told = place.glue.ask("ListCrawls", &json!({ "CrawlerName": NAMED })).unwrap();
        told["Crawls"].as_array().unwrap().len()
    };
    assert_eq!(listed(), 0);
    place.clock.advance(TimeDelta::seconds(30));
    assert_eq!(listed(), 1);
}

#[test]
fn tables_crawlers_and_databases_are_kept_as_they_came() {
    let place = place();
    place.glue.spelling(Spelling::Documented);
    let ask = |operation: &str, input: serde_json::Value| place.glue.ask(operation, &input);
    let table = json!({ "Name": "Bills_csv", "Parameters": { "skip.header.line.count": "1" } });
    let input = json!({ "DatabaseName": "sales", "TableInput": table });
    assert_eq!(ask("UpdateTable", input.clone()), Err("EntityNotFoundException".to_owned()));
    ask("CreateTable", input.clone()).unwrap();
    assert_eq!(ask("CreateTable", input.clone()), Err("AlreadyExistsException".to_owned()));
    ask("UpdateTable", input).unwrap();
    let told = ask("GetTable", json!({ "DatabaseName": "sales", "Name": "bills_csv" })).unwrap();
    assert_eq!((&told["Table"]["Name"], &told["Table"]["VersionId"]), (&json!("bills_csv"), &json!("1")));
    assert_eq!(told["Table"]["Parameters"]["skip.header.line.count"], "1");
    let all = ask("GetTables", json!({ "DatabaseName": "sales" })).unwrap();
    assert_eq!(all["TableList"].as_array().unwrap().len(), 1);
    let policy = json!({ "DeleteBehavior": "LOG", "UpdateBehavior": "LOG" });
    ask(
        "CreateCrawler",
        json!({ "Name": "new", "SchemaChangePolicy": policy, "Schedule": "cron(0 * * * ? *)" }),
    )
    .unwrap();
    ask("UpdateCrawler", json!({ "Name": "new", "Configuration": "{}" })).unwrap();
    let told = ask("GetCrawler", json!({ "Name": "new" })).unwrap();
    let crawler = &told["Crawler"];
    assert_eq!((&crawler["State"], &crawler["Configuration"]), (&json!("READY"), &json!("{}")));
    assert_eq!(
        (&crawler["SchemaChangePolicy"], &crawler["Schedule"]["State"]),
        (&policy, &json!("SCHEDULED"))
    );
    assert_eq!(ask("GetDatabase", json!({ "Name": "none" })), Err("EntityNotFoundException".to_owned()));
    assert_eq!(ask("GetDatabases", json!({})).unwrap()["DatabaseList"][0]["Name"], "sales");
    assert_eq!(ask("DoNothing", json!({})), Err("UnknownOperationException".to_owned()));
}
