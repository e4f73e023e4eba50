//! Goal: a Glue crawler is a catalog like any other, and every answer of Glue means what it says.

use std::collections::BTreeSet;
use std::sync::Arc;

use chrono::TimeDelta;
use serde_json::json;
use sluicegate::aws::{GlueCatalog, S3Options};
use sluicegate::failure::FailureKind;
use sluicegate::folder::FolderStore;
use sluicegate::ports::catalog::{Catalog, CrawlProgress, StartAnswer};
use sluicegate::ports::clock::{Clock, SystemClock};
use sluicegate_state::Timestamp;

use crate::catalog_suite::catalog_suite;
use crate::emulator::clients;
use crate::endpoint::{End, Fault, GlueEndpoint, Spelling, What};
use crate::manual_clock::ManualClock;

const CRAWLER: &str = "nightly";

fn catalog(glue: &GlueEndpoint) -> GlueCatalog {
    GlueCatalog::new(clients(&glue.url), CRAWLER, "sales")
}

/// A crawler over nothing, whose crawls take ten minutes.
fn glue() -> (Arc<ManualClock>, GlueEndpoint) {
    let clock = Arc::new(ManualClock::new("2026-03-01T10:00:00Z"));
    let glue = GlueEndpoint::start(clock.clone());
    glue.create_crawler(CRAWLER, "sales");
    glue.crawls_take(TimeDelta::minutes(10), TimeDelta::minutes(1));
    (clock, glue)
}

fn all(catalog: &mut GlueCatalog) -> Vec<(CrawlProgress, bool)> {
    let crawls = catalog.crawls(Timestamp::UNIX_EPOCH).unwrap();
    crawls.iter().map(|crawl| (crawl.progress, crawl.id.is_some())).collect()
}

#[test]
fn a_glue_crawler_is_a_catalog() {
    let mut folders = Vec::new();
    catalog_suite(&mut || {
        let folder = tempfile::tempdir().unwrap();
        let curated = folder.path().join("curated");
        folders.push(folder);
        let glue = GlueEndpoint::start(Arc::new(SystemClock));
        glue.create_crawler(CRAWLER, "sales");
        // Long enough that the beginnings of two crawls differ in Glue's milliseconds.
        glue.crawls_take(TimeDelta::milliseconds(5), TimeDelta::milliseconds(5));
        glue.place("sales", Arc::new(FolderStore::new(&curated)));
        (Box::new(catalog(&glue)), curated)
    });
}

#[test]
fn a_busy_crawler_says_so() {
    let (clock, glue) = glue();
    let mut catalog = catalog(&glue);
    assert_eq!(catalog.start_crawl().unwrap(), StartAnswer::Started);
    assert_eq!(catalog.start_crawl().unwrap(), StartAnswer::AlreadyRunning);
    clock.advance(TimeDelta::minutes(10));
    assert_eq!(catalog.start_crawl().unwrap(), StartAnswer::AlreadyRunning, "it is stopping");
    assert_eq!(all(&mut catalog), [(CrawlProgress::Running, true)]);
    clock.advance(TimeDelta::minutes(1));
    assert_eq!(all(&mut catalog), [(CrawlProgress::Succeeded, true)]);
    glue.fault(Fault::next("StartCrawler", What::Refused(400, "CrawlerStoppingException"), 1));
    assert_eq!(catalog.start_crawl().unwrap(), StartAnswer::AlreadyRunning);
}

#[test]
fn a_start_is_asked_for_once_whatever_is_answered() {
    for what in [
        What::Lost,
        What::NeverCame,
        What::Refused(500, "InternalServiceException"),
        What::DoneAndRefused(500, "InternalServiceException"),
        What::DoneAndRefused(400, "OperationTimeoutException"),
        What::Refused(400, "ThrottlingException"),
        What::Refused(400, "AccessDeniedException"),
    ] {
        let (_, glue) = glue();
        glue.fault(Fault::always("StartCrawler", what));
        let failure = catalog(&glue).start_crawl().unwrap_err();
        assert_eq!(failure.kind, FailureKind::Transient, "{what:?}: {failure}");
        assert!(
            failure.message.contains("starting (glue:StartCrawler) the Glue crawler nightly"),
            "{failure}"
        );
        assert_eq!(glue.count("StartCrawler"), 1, "{what:?}");
    }
}

#[test]
fn a_crawler_that_is_not_there_is_named_with_the_way_to_make_it() {
    let (_, glue) = glue();
    let mut missing = GlueCatalog::new(clients(&glue.url), "nowhere", "sales");
    let failures = [missing.start_crawl().unwrap_err(), missing.crawls(Timestamp::UNIX_EPOCH).unwrap_err()];
    for failure in failures {
        assert_eq!(failure.kind, FailureKind::Permanent);
        assert!(failure.message.contains("no Glue crawler nowhere"), "{failure}");
        assert!(failure.message.contains("`sluicegate catalog --apply`"), "{failure}");
    }
}

#[test]
fn where_the_list_is_refused_the_crawlers_state_does() {
    for (status, code) in [
        (400, "AccessDeniedException"),
        (400, "InvalidAction"),
        (400, "UnknownOperationException"),
        (404, "NotFound"),
        (501, "NotImplemented"),
    ] {
        let (clock, glue) = glue();
        glue.fault(Fault::always("ListCrawls", What::Refused(status, code)));
        let mut catalog = catalog(&glue);
        assert!(all(&mut catalog).is_empty(), "{code}");
        catalog.start_crawl().unwrap();
        assert_eq!(all(&mut catalog), [(CrawlProgress::Running, false)], "{code}");
        clock.advance(TimeDelta::minutes(11));
        let crawls = catalog.crawls(Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!(crawls.len(), 1, "{code}");
        assert_eq!((crawls[0].progress, crawls[0].started_at), (CrawlProgress::Succeeded, Some(began())));
        // While the next one runs, the last one is still the one before.
        catalog.start_crawl().unwrap();
        let seen = all(&mut catalog);
        assert_eq!(seen, [(CrawlProgress::Succeeded, false), (CrawlProgress::Running, false)], "{code}");
    }
}

fn began() -> Timestamp {
    ManualClock::new("2026-03-01T10:00:00Z").now()
}

#[test]
fn throttling_and_trouble_are_no_refusal_of_the_list() {
    for what in
        [What::Refused(400, "ThrottlingException"), What::Refused(503, "ServiceUnavailable"), What::NeverCame]
    {
        let (_, glue) = glue();
        glue.fault(Fault::next("ListCrawls", what, 2));
        let mut catalog = catalog(&glue);
        assert!(all(&mut catalog).is_empty(), "the SDK asks again: {what:?}");
        assert_eq!(glue.count("ListCrawls"), 3);
    }
}

#[test]
fn what_will_be_answered_later_is_no_refusal_of_the_list() {
    for (status, code) in [
        (400, "OperationTimeoutException"),
        (400, "ThrottledException"),
        (400, "RequestThrottledException"),
        (400, "ProvisionedThroughputExceededException"),
        (400, "LimitExceededException"),
        (400, "ExpiredTokenException"),
        (408, "Whatever"),
        (429, "Whatever"),
    ] {
        let (_, glue) = glue();
        glue.fault(Fault::always("ListCrawls", What::Refused(status, code)));
        let failure = catalog(&glue).crawls(Timestamp::UNIX_EPOCH).unwrap_err();
        assert_eq!(failure.kind, FailureKind::Transient, "{status} {code}");
        assert_eq!(glue.count("GetCrawler"), 0, "it would tell less: {code}");
    }
}

#[test]
fn a_crawler_whose_times_are_texts_is_understood() {
    let (clock, glue) = glue();
    glue.spelling(Spelling::TextTimes);
    let mut catalog = catalog(&glue);
    assert!(all(&mut catalog).is_empty());
    catalog.start_crawl().unwrap();
    assert_eq!(all(&mut catalog), [(CrawlProgress::Running, false)]);
    clock.advance(TimeDelta::minutes(11));
    let crawls = catalog.crawls(Timestamp::UNIX_EPOCH).unwrap();
    assert_eq!((crawls[0].progress, crawls[0].started_at), (CrawlProgress::Succeeded, Some(began())));
}

#[test]
fn where_neither_is_allowed_both_permissions_are_named() {
    let (_, glue) = glue();
    glue.fault(Fault::always("ListCrawls", What::Refused(400, "AccessDeniedException")));
    glue.fault(Fault::always("GetCrawler", What::Refused(400, "AccessDeniedException")));
    let failure = catalog(&glue).crawls(Timestamp::UNIX_EPOCH).unwrap_err();
    assert!(
        failure.message.contains("glue:ListCrawls") && failure.message.contains("glue:GetCrawler"),
        "{failure}"
    );
    glue.no_more_faults();
    glue.fault(Fault::always("GetCrawler", What::Refused(400, "AccessDeniedException")));
    assert!(all(&mut catalog(&glue)).is_empty(), "the list alone does too");
}

#[test]
fn every_end_is_understood_in_every_spelling() {
    for spelling in [Spelling::Documented, Spelling::Lower] {
        let (clock, glue) = glue();
        glue.spelling(spelling);
        glue.next_crawls_end(&[End::Succeeds, End::Fails, End::Cancelled, End::Succeeds]);
        let mut catalog = catalog(&glue);
        for _ in 0..4 {
            catalog.start_crawl().unwrap();
            clock.advance(TimeDelta::hours(1));
        }
        let told = catalog.crawls(Timestamp::UNIX_EPOCH).unwrap();
        let ends: Vec<_> = told.iter().map(|crawl| crawl.progress).collect();
        let (good, bad) = (CrawlProgress::Succeeded, CrawlProgress::Failed);
        assert_eq!(ends, [good, bad, bad, good], "{spelling:?}, on two pages, oldest first");
        assert_eq!(told[1].message.as_deref(), Some("Insufficient Lake Formation permission(s)"));
        // The filter goes to Glue, and is not trusted.
        let later = began() + TimeDelta::hours(2);
        assert_eq!(catalog.crawls(later).unwrap(), told[2..]);
    }
}

#[test]
fn a_crawl_that_the_list_does_not_show_yet_is_told_all_the_same() {
    let (clock, glue) = glue();
    glue.listing_lag(TimeDelta::hours(1));
    let mut catalog = catalog(&glue);
    catalog.start_crawl().unwrap();
    assert_eq!(all(&mut catalog), [(CrawlProgress::Running, false)]);
    clock.advance(TimeDelta::minutes(11));
    assert_eq!(all(&mut catalog), [(CrawlProgress::Succeeded, false)]);
    clock.advance(TimeDelta::hours(1));
    assert_eq!(all(&mut catalog), [(CrawlProgress::Succeeded, true)]);
}

#[test]
fn partitions_come_in_pages_and_only_dates_count() {
    let (_, glue) = glue();
    let mut catalog = catalog(&glue);
    assert!(catalog.partitions("bills").unwrap().is_empty(), "a table that is not made yet");
    let table = json!({ "Name": "bills_csv" });
    glue.ask("CreateTable", &json!({ "DatabaseName": "sales", "TableInput": table })).unwrap();
    let dates = ["2026-02-26", "2026-02-27", "2026-02-28", "2026-03-01", "2026-03-02"];
    for values in dates.map(|date| vec![date]).into_iter().chain([
        vec!["__HIVE_DEFAULT_PARTITION__"],
        vec!["2026-2-3"],
        vec!["2026-02-30"],
        vec!["2026-02-26", "eu"],
    ]) {
        let partition = json!({ "Values": values });
        let input = json!({ "DatabaseName": "sales", "TableName": "bills_csv", "PartitionInput": partition });
        glue.ask("CreatePartition", &input).unwrap();
    }
    let found = catalog.partitions("bills").unwrap();
    assert_eq!(found, BTreeSet::from(dates.map(str::to_owned)));
    glue.fault(Fault::always("GetPartitions", What::Refused(400, "AccessDeniedException")));
    let failure = catalog.partitions("bills").unwrap_err();
    assert!(failure.message.contains("sales.bills_csv (glue:GetPartitions)"), "{failure}");
}

/// The crawl stage takes Last-Modified of an object up to this size for the moment at which it was there.
#[test]
fn small_objects_are_never_sent_in_parts() {
    assert!(S3Options::default().multipart_above >= 64 << 20);
}
