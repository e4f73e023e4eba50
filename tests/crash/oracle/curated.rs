//! The CSV objects: what the COMMIT fixed, byte by byte, the rows of the warehouse, and not one file more (I5, I7).

use std::collections::BTreeMap;
use std::fs;

use rusqlite::Connection;
use sha2::{Digest, Sha256};

use super::{files, select};
use crate::process::World;

pub(super) fn check(world: &World, ledger: &Connection) {
    let mut expected = Vec::new();
    let tables =
        "SELECT csv_key, table_name, batch_id, rows, csv_bytes, csv_sha256, sums FROM sluicegate_batch_table
                  WHERE csv_key IS NOT NULL";
    for row in select(ledger, tables) {
        let [key, table, batch_id, rows, bytes, sha256, sums] = row.try_into().expect("seven columns");
        let date = format!("{}-{}-{}", &batch_id[..4], &batch_id[4..6], &batch_id[6..8]);
        assert_eq!(key, format!("{table}/dt={date}/{batch_id}.csv"));
        let object = fs::read(world.path("curated").join(&key))
            .unwrap_or_else(|error| panic!("{key} was committed and is not there (I5): {error}"));
        let found = (object.len().to_string(), hex::encode(Sha256::digest(&object)));
        assert_eq!(found, (bytes, sha256), "{key} is not what the COMMIT fixed (I5)");
        let records = read(&object);
        assert_eq!(records.len().to_string(), rows, "{key}");
        assert_eq!(sorted(records.clone()), live(ledger, &table, &batch_id, &object), "{key} (I7)");
        check_sums(&object, &records, &sums);
        expected.push(key);
    }
    let mut found = files(&world.path("curated"));
    found.retain(|path| !path.starts_with(".catalog/"));
    expected.sort();
    assert_eq!(found, expected, "stray or lost files under curated");
}

/// Whenever the pipeline stops, whoever sees the object of a parent sees those of its children too (I5).
pub(crate) fn children_come_first(world: &World) {
    let curated = world.path("curated");
    if !curated.join("invoices").is_dir() {
        return;
    }
    let ledger = Connection::open(world.warehouse()).unwrap();
    let fixed = "SELECT p.csv_key, c.csv_key FROM sluicegate_batch_table AS p
                 JOIN sluicegate_batch_table AS c USING (batch_id)
                 WHERE p.table_name = 'invoices' AND c.table_name = 'invoice_items'
                   AND p.csv_key IS NOT NULL AND c.csv_key IS NOT NULL";
    for keys in select(&ledger, fixed) {
        let [parent, child] = [&keys[0], &keys[1]].map(|key| curated.join(key).exists());
        assert!(child || !parent, "{} is there before {} (I5)", keys[0], keys[1]);
    }
}

fn read(object: &[u8]) -> Vec<Vec<String>> {
    let mut reader = csv::ReaderBuilder::new().flexible(false).from_reader(object);
    reader.records().map(|record| record.unwrap().iter().map(str::to_owned).collect()).collect()
}

fn header(object: &[u8]) -> Vec<String> {
    let mut reader = csv::Reader::from_reader(object);
    reader.headers().unwrap().iter().map(str::to_owned).collect()
}

/// The rows of a batch in the warehouse, in the columns of the object.
fn live(ledger: &Connection, table: &str, batch_id: &str, object: &[u8]) -> Vec<Vec<String>> {
    let columns = header(object).join(", ");
    sorted(select(ledger, &format!("SELECT {columns} FROM {table} WHERE batch_id = '{batch_id}'")))
}

fn sorted(mut rows: Vec<Vec<String>>) -> Vec<Vec<String>> {
    rows.sort();
    rows
}

/// The recorded sums, against sums in cents made here.
fn check_sums(object: &[u8], records: &[Vec<String>], sums: &str) {
    let recorded: BTreeMap<String, String> = serde_json::from_str(sums).unwrap();
    let header = header(object);
    assert!(!recorded.is_empty());
    for (column, recorded) in recorded {
        let position = header.iter().position(|name| *name == column).unwrap();
        let cents =
            |text: &str| -> i64 { if text.is_empty() { 0 } else { text.replace('.', "").parse().unwrap() } };
        let sum: i64 = records.iter().map(|record| cents(&record[position])).sum();
        assert_eq!(cents(&recorded), sum, "{column}");
    }
}
