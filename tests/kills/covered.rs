//! Crawls, as the catalog itself tells of them and not as the ledger believes: each one that covers batches began when all
//! their objects were there.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use chrono::{DateTime, Utc};
use rusqlite::{Connection, OpenFlags, Row};

use crate::support::Project;

/// The rows of a query, as text.
fn rows(connection: &Connection, sql: &str) -> Vec<Vec<String>> {
    let mut statement = connection.prepare(sql).unwrap();
    let columns = statement.column_count();
    let texts = |row: &Row<'_>| (0..columns).map(|column| row.get(column)).collect();
    statement.query_map([], texts).unwrap().collect::<Result<_, _>>().unwrap()
}

fn time(text: &str) -> DateTime<Utc> {
    DateTime::parse_from_rfc3339(text).unwrap().to_utc()
}

/// Crawls that ended well, by what the catalog calls them: the ledger's name, and the catalog's.
pub(crate) const FOLLOWED: &str = "SELECT crawl_id, coalesce(glue_crawl_id, '') FROM sluicegate_crawl JOIN
    sluicegate_crawl_attempt AS a USING (crawl_id) WHERE sluicegate_crawl.state = 'succeeded' AND a.state = 'succeeded'";

/// Each crawl of the ledger is one of the embedded catalog's own, which began after the objects of its batches were
/// written and published; how many the catalog has besides. Whoever dies before it has seen its crawl may leave one that is
/// not followed, because it began within the second in which the last object was written; so many do not count.
#[track_caller]
pub(crate) fn needless_crawls(project: &Project) -> usize {
    let warehouse = project.warehouse().expect("the warehouse was made");
    let followed = rows(&warehouse, FOLLOWED);
    let path = project.path("var/curated/.catalog/catalog.db");
    if followed.is_empty() && !path.is_file() {
        return 0;
    }
    let catalog = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let crawls: BTreeMap<String, (String, DateTime<Utc>)> =
        rows(&catalog, "SELECT crawl_id, state, started_at FROM crawl")
            .into_iter()
            .map(|row| (row[0].clone(), (row[1].clone(), time(&row[2]))))
            .collect();
    let mut used = BTreeSet::new();
    for row in &followed {
        let (crawl_id, name) = (&row[0], &row[1]);
        let (state, began) =
            crawls.get(name).unwrap_or_else(|| panic!("{crawl_id} says {name:?}: {crawls:?}"));
        assert_eq!(state, "succeeded", "{crawl_id}");
        assert!(used.insert(name), "{name} is said to cover two windows");
        let adopted = format!(
            "SELECT t.csv_key, b.published_at FROM sluicegate_batch AS b JOIN sluicegate_batch_table AS t USING (batch_id)
             WHERE b.crawl_id = '{crawl_id}' AND t.csv_key IS NOT NULL"
        );
        let adopted = rows(&warehouse, &adopted);
        assert!(!adopted.is_empty(), "{crawl_id} covers nothing");
        for object in adopted {
            let written = fs::metadata(project.path("var/curated").join(&object[0])).unwrap().modified();
            let written: DateTime<Utc> = written.unwrap().into();
            assert!(written <= *began, "{crawl_id} began at {began}, {} was written at {written}", object[0]);
            assert!(time(&object[1]) <= *began, "{crawl_id} began at {began}: {object:?}");
        }
    }
    let unseen = "SELECT CAST(count(*) AS TEXT) FROM sluicegate_crawl_attempt WHERE glue_crawl_id IS NULL";
    let unseen: usize = rows(&warehouse, unseen)[0][0].parse().unwrap();
    (crawls.len() - used.len()).saturating_sub(unseen)
}
