//! The ledger: one outcome a document (I9), one verdict a member, and control totals that are true.

use std::collections::BTreeMap;

use chrono::{DateTime, SecondsFormat, Utc};
use rusqlite::Connection;
use sha2::{Digest, Sha256};

use crate::oracle::Expected;
use crate::support::Snapshot;

/// A row of `sluicegate_document`.
#[derive(Debug)]
pub(super) struct DocumentRow {
    pub(super) version: String,
    pub(super) batch_id: String,
    pub(super) ordinal: u32,
    pub(super) outcome: String,
    pub(super) reason: String,
    pub(super) sha256: String,
    pub(super) rows: u64,
    pub(super) size: u64,
    pub(super) landed_at: String,
    pub(super) day: String,
}

/// Every document by its key; a key with two documents is an error here.
pub(super) fn documents(warehouse: &Connection) -> BTreeMap<String, DocumentRow> {
    let sql = "SELECT key, version, batch_id, ordinal, outcome, reason, sha256, rows, size, landed_at, day, job, bucket
               FROM sluicegate_document";
    let mut statement = warehouse.prepare(sql).unwrap();
    let mut cursor = statement.query([]).unwrap();
    let mut documents = BTreeMap::new();
    while let Some(row) = cursor.next().unwrap() {
        let key: String = row.get(0).unwrap();
        let (job, bucket): (String, String) = (row.get(11).unwrap(), row.get(12).unwrap());
        assert_eq!((job.as_str(), bucket.as_str()), ("invoices", "local"), "{key}");
        let document = DocumentRow {
            version: row.get(1).unwrap(),
            batch_id: row.get(2).unwrap(),
            ordinal: row.get(3).unwrap(),
            outcome: row.get(4).unwrap(),
            reason: row.get(5).unwrap(),
            sha256: row.get(6).unwrap(),
            rows: row.get(7).unwrap(),
            size: row.get(8).unwrap(),
            landed_at: row.get(9).unwrap(),
            day: row.get(10).unwrap(),
        };
        assert!(documents.insert(key.clone(), document).is_none(), "two documents have the key {key:?}");
    }
    documents
}

pub(super) fn check(
    warehouse: &Connection,
    documents: &BTreeMap<String, DocumentRow>,
    expected: &Expected,
    landed: &Snapshot,
) {
    let decided: Vec<&String> = documents.keys().collect();
    let fated: Vec<&String> = expected.fates.keys().collect();
    assert_eq!(decided, fated, "every landed file has exactly one outcome, and nothing else has (I9)");
    for (key, fate) in &expected.fates {
        let document = &documents[key];
        let found = (document.outcome.as_str(), document.rows);
        assert_eq!(found, (fate.outcome, fate.rows), "{key}: {document:?}");
        assert!(document.reason.contains(fate.told), "{key}: {:?} in {document:?}", fate.told);
        assert_eq!(document.reason.is_empty(), fate.outcome == "loaded", "{key}: {document:?}");
        check_identity(key, document, landed);
    }
    check_verdicts(warehouse, documents);
    check_refused(warehouse, documents, expected);
    check_batches(warehouse, documents);
}

/// Version, size, hash and times follow from the file alone (I2).
fn check_identity(key: &str, document: &DocumentRow, landed: &Snapshot) {
    let bytes = landed.bytes(key).expect("it landed");
    let modified: DateTime<Utc> = landed.modified(key).expect("it landed").into();
    let landed_at = modified.to_rfc3339_opts(SecondsFormat::Secs, true);
    let sha256 = hex::encode(Sha256::digest(bytes));
    assert_eq!(document.version, format!("sha256:{sha256}@{landed_at}"), "{key}");
    assert_eq!((&document.sha256, document.size), (&sha256, bytes.len() as u64), "{key}");
    assert_eq!((&document.landed_at, document.day.as_str()), (&landed_at, &landed_at[..10]), "{key}");
}

/// One verdict per member, the same as the document's outcome; where a document was sealed once more, `again`.
fn check_verdicts(warehouse: &Connection, documents: &BTreeMap<String, DocumentRow>) {
    let sql = "SELECT batch_id, ordinal, key, outcome, reason FROM sluicegate_verdict";
    let mut statement = warehouse.prepare(sql).unwrap();
    let mut cursor = statement.query([]).unwrap();
    let mut deciding = 0;
    while let Some(row) = cursor.next().unwrap() {
        let (batch_id, ordinal): (String, u32) = (row.get(0).unwrap(), row.get(1).unwrap());
        let (key, outcome): (String, String) = (row.get(2).unwrap(), row.get(3).unwrap());
        let reason: String = row.get(4).unwrap();
        let document = &documents[&key];
        if (&batch_id, ordinal) == (&document.batch_id, document.ordinal) {
            assert_eq!((&outcome, &reason), (&document.outcome, &document.reason), "{key}");
            deciding += 1;
        } else {
            assert_eq!(outcome, "again", "{key}: a verdict that decided nothing");
        }
    }
    assert_eq!(deciding, documents.len(), "every outcome has its verdict");
    let uneven = "SELECT count(*) FROM sluicegate_batch b WHERE documents <>
                  (SELECT count(*) FROM sluicegate_verdict v WHERE v.batch_id = b.batch_id)";
    assert_eq!(number(warehouse, uneven), 0, "one verdict per member");
}

fn check_refused(warehouse: &Connection, documents: &BTreeMap<String, DocumentRow>, expected: &Expected) {
    for (key, fate) in &expected.fates {
        let document = &documents[key];
        let sql = "SELECT count(*) FROM sluicegate_refused WHERE batch_id = ?1 AND ordinal = ?2";
        let refused: i64 = warehouse
            .prepare_cached(sql)
            .unwrap()
            .query_row((&document.batch_id, document.ordinal), |row| row.get(0))
            .unwrap();
        assert_eq!(refused as u64, fate.refused, "{key}: records that were there already");
    }
}

fn check_batches(warehouse: &Connection, documents: &BTreeMap<String, DocumentRow>) {
    let unpublished = "SELECT count(*) FROM sluicegate_batch WHERE published_at IS NULL";
    assert_eq!(number(warehouse, unpublished), 0, "every batch is published");
    let rows: u64 = documents.values().map(|document| document.rows).sum();
    assert_eq!(number(warehouse, "SELECT sum(rows) FROM sluicegate_batch") as u64, rows);
    let untrue = "SELECT count(*) FROM sluicegate_batch b WHERE rows <>
                  (SELECT sum(rows) FROM sluicegate_batch_table t WHERE t.batch_id = b.batch_id)";
    assert_eq!(number(warehouse, untrue), 0, "a batch has the rows of its tables");
    let uncrawlable = "SELECT count(*) FROM sluicegate_batch WHERE (rows = 0) <> (crawl_id IS 'none')";
    assert_eq!(number(warehouse, uncrawlable), 0, "a batch without rows has nothing to crawl");
    // The definition that a load used is kept with it.
    let lost = "SELECT count(*) FROM sluicegate_batch b WHERE NOT EXISTS
                (SELECT 1 FROM sluicegate_definition d WHERE d.hash = b.definition_hash AND d.text <> '')";
    assert_eq!(number(warehouse, lost), 0);
}

/// One number out of the warehouse.
pub(super) fn number(warehouse: &Connection, sql: &str) -> i64 {
    warehouse.query_row(sql, [], |row| row.get(0)).unwrap_or_else(|error| panic!("{sql}: {error}"))
}
