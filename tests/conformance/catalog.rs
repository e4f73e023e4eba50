//! What every catalog must do.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use chrono::TimeDelta;
use sluicegate::ports::catalog::{Catalog, CrawlProgress, CrawlReport, StartAnswer};
use sluicegate_state::Timestamp;

use crate::published::{MONDAY, MONDAY_LATER, TUESDAY, publish};

/// Makes a catalog that knows nothing yet, with the curated folder that it crawls.
pub(crate) type Make<'a> = dyn FnMut() -> (Box<dyn Catalog>, PathBuf) + 'a;

/// Runs every case over catalogs of the tables of [`crate::published::schema`].
pub(crate) fn catalog_suite(make: &mut Make<'_>) {
    let cases: [fn(&mut dyn Catalog, &Path); 6] = [
        nothing_published_is_nothing_known,
        a_crawl_registers_what_is_published_and_nothing_else,
        a_partition_is_known_only_after_a_crawl,
        a_crawl_never_forgets_a_partition,
        crawls_are_reported_in_order_with_their_times,
        an_older_crawl_is_not_reported,
    ];
    for case in cases {
        let (mut catalog, curated) = make();
        case(&mut *catalog, &curated);
    }
}

fn nothing_published_is_nothing_known(catalog: &mut dyn Catalog, _: &Path) {
    assert!(partitions(catalog, "bills").is_empty());
    assert!(catalog.crawls(Timestamp::UNIX_EPOCH).unwrap().is_empty());
    assert_eq!(crawl(catalog).progress, CrawlProgress::Succeeded);
    assert!(partitions(catalog, "bills").is_empty());
}

fn a_crawl_registers_what_is_published_and_nothing_else(catalog: &mut dyn Catalog, curated: &Path) {
    for batch in [MONDAY, MONDAY_LATER, TUESDAY] {
        publish(curated, "bills", batch, &[]);
    }
    publish(curated, "bill_items", TUESDAY, &[]);
    let unfinished = curated.join(".tmp");
    fs::create_dir_all(&unfinished).unwrap();
    fs::write(unfinished.join("20240508T000000Z-00000000000000dd.csv"), "half of a li").unwrap();
    crawl(catalog);
    assert_eq!(partitions(catalog, "bills"), ["2024-05-06", "2024-05-07"]);
    assert_eq!(partitions(catalog, "bill_items"), ["2024-05-07"]);
    assert!(partitions(catalog, "bills_csv").is_empty());
}

fn a_partition_is_known_only_after_a_crawl(catalog: &mut dyn Catalog, curated: &Path) {
    publish(curated, "bills", MONDAY, &[]);
    assert!(partitions(catalog, "bills").is_empty());
    crawl(catalog);
    publish(curated, "bills", TUESDAY, &[]);
    assert_eq!(partitions(catalog, "bills"), ["2024-05-06"]);
    crawl(catalog);
    assert_eq!(partitions(catalog, "bills"), ["2024-05-06", "2024-05-07"]);
}

fn a_crawl_never_forgets_a_partition(catalog: &mut dyn Catalog, curated: &Path) {
    publish(curated, "bills", MONDAY, &[]);
    crawl(catalog);
    fs::remove_dir_all(curated.join("bills")).unwrap();
    assert_eq!(crawl(catalog).progress, CrawlProgress::Succeeded);
    assert_eq!(partitions(catalog, "bills"), ["2024-05-06"]);
}

fn crawls_are_reported_in_order_with_their_times(catalog: &mut dyn Catalog, _: &Path) {
    let (first, second) = (crawl(catalog), crawl(catalog));
    let times = [first.started_at, first.finished_at, second.started_at];
    assert!(times.iter().all(Option::is_some) && times.is_sorted(), "{times:?}");
    assert!(first.id.is_none() || first.id != second.id);
    assert_eq!(catalog.crawls(Timestamp::UNIX_EPOCH).unwrap(), [first, second]);
}

fn an_older_crawl_is_not_reported(catalog: &mut dyn Catalog, _: &Path) {
    let crawl = crawl(catalog);
    let began = crawl.started_at.expect("it tells when its crawls began");
    assert!(catalog.crawls(began + TimeDelta::seconds(1)).unwrap().is_empty());
    assert_eq!(catalog.crawls(began).unwrap(), [crawl]);
}

fn partitions(catalog: &mut dyn Catalog, table: &str) -> Vec<String> {
    let partitions: BTreeSet<String> = catalog.partitions(table).unwrap();
    partitions.into_iter().collect()
}

/// Starts a crawl and waits for its end, which Glue may tell a moment after its outcome.
fn crawl(catalog: &mut dyn Catalog) -> CrawlReport {
    let deadline = Instant::now() + Duration::from_secs(30);
    let known = catalog.crawls(Timestamp::UNIX_EPOCH).unwrap().len();
    assert_eq!(catalog.start_crawl().unwrap(), StartAnswer::Started);
    loop {
        let crawls = catalog.crawls(Timestamp::UNIX_EPOCH).unwrap();
        match crawls.last() {
            Some(last) if crawls.len() > known && last.finished_at.is_some() => {
                assert_ne!(last.progress, CrawlProgress::Running);
                return last.clone();
            }
            _ => assert!(Instant::now() < deadline, "the crawl does not end: {crawls:?}"),
        }
        thread::sleep(Duration::from_millis(20));
    }
}
