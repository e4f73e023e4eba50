//! The CSV objects: the rows of the warehouse, no more and no less (I7), in the dialect of the contract.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use rusqlite::Connection;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::rows::{INVOICES, ITEMS, Texts, table_rows};
use crate::support::{Project, files_under};

/// What a COMMIT fixed about one CSV object (I5).
struct Fixed {
    table: String,
    batch_id: String,
    rows: u64,
    sums: Value,
    bytes: u64,
    sha256: String,
}

/// By key.
fn fixed(warehouse: &Connection) -> BTreeMap<String, Fixed> {
    let sql =
        "SELECT csv_key, table_name, batch_id, rows, sums, csv_bytes, csv_sha256 FROM sluicegate_batch_table
               WHERE csv_key IS NOT NULL";
    let mut statement = warehouse.prepare(sql).unwrap();
    let rows = statement.query_map([], |row| {
        let sums: String = row.get(4)?;
        let fixed = Fixed {
            table: row.get(1)?,
            batch_id: row.get(2)?,
            rows: row.get(3)?,
            sums: serde_json::from_str(&sums).expect("sums are JSON"),
            bytes: row.get(5)?,
            sha256: row.get(6)?,
        };
        Ok((row.get(0)?, fixed))
    });
    rows.unwrap().collect::<Result<_, _>>().unwrap()
}

/// What lies under the tables' folders. Beside them the store keeps its unfinished objects, and the embedded catalog its
/// own book.
fn visible(project: &Project) -> BTreeMap<String, PathBuf> {
    let files = files_under(&project.path("var/curated")).into_iter();
    files.filter(|(key, _)| !key.starts_with(".tmp/") && !key.starts_with(".catalog/")).collect()
}

/// At any moment, after any death: what is visible is finished, and was fixed by a COMMIT before it became visible.
pub(crate) fn no_stranger_in_curated(project: &Project) {
    let visible = visible(project);
    if visible.is_empty() {
        return;
    }
    let warehouse = project.warehouse().expect("what is published was loaded");
    let fixed = fixed(&warehouse);
    for (key, path) in visible {
        let bytes = fs::read(path).unwrap();
        let known = fixed.get(&key).unwrap_or_else(|| panic!("no COMMIT knows the visible object {key}"));
        assert_eq!(hex::encode(Sha256::digest(&bytes)), known.sha256, "{key} is not what its COMMIT fixed");
    }
}

pub(super) fn check(project: &Project, warehouse: &Connection) {
    let curated = project.path("var/curated");
    let fixed = fixed(warehouse);
    let visible: BTreeSet<String> = visible(project).into_keys().collect();
    let announced: BTreeSet<String> = fixed.keys().cloned().collect();
    assert_eq!(visible, announced, "just the finished objects lie there");
    assert!(files_under(&curated.join(".tmp")).is_empty(), "nothing unfinished is left");
    let mut published: BTreeMap<&str, Vec<Texts>> = BTreeMap::new();
    for (key, fixed) in &fixed {
        let Fixed { table, batch_id, .. } = fixed;
        let (year, month, day) = (&batch_id[..4], &batch_id[4..6], &batch_id[6..8]);
        assert_eq!(*key, format!("{table}/dt={year}-{month}-{day}/{batch_id}.csv"));
        let rows = read(&fs::read(curated.join(key)).unwrap(), fixed);
        published.entry(table).or_default().extend(rows);
    }
    for (table, columns) in [("invoices", &INVOICES[..]), ("invoice_items", &ITEMS[..])] {
        let mut rows = published.remove(table).unwrap_or_default();
        rows.sort();
        let mut held = table_rows(warehouse, table, columns);
        held.sort();
        assert_eq!(rows.len(), held.len(), "the CSV objects of {table} hold as many rows as the table (I7)");
        for (published, held) in rows.iter().zip(&held) {
            assert_eq!(published, held, "{table} (I7)");
        }
    }
}

/// The rows of an object, after its dialect, header and control totals were checked.
fn read(bytes: &[u8], fixed: &Fixed) -> Vec<Texts> {
    let Fixed { table, batch_id, .. } = fixed;
    assert_eq!(hex::encode(Sha256::digest(bytes)), fixed.sha256, "{table} of {batch_id}");
    assert_eq!(bytes.len() as u64, fixed.bytes, "{table} of {batch_id}");
    let text = std::str::from_utf8(bytes).expect("CSV objects are UTF-8");
    assert!(!text.starts_with('\u{feff}') && text.ends_with('\n'), "{table} of {batch_id}");
    assert!(!text.contains(['\r', '\0', '\u{1}']), "{table} of {batch_id}");
    // Athena splits lines before it parses, so there are no more line breaks than rows.
    assert_eq!(text.matches('\n').count() as u64, fixed.rows + 1, "{table} of {batch_id}");
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(bytes);
    let mut rows = reader.records().map(|record| record.unwrap());
    let columns = if table == "invoices" { &INVOICES[..] } else { &ITEMS[..] };
    let header = rows.next().expect("there is a header");
    assert_eq!(header.iter().collect::<Vec<_>>(), columns);
    let value = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let rows: Vec<Texts> = rows.map(|record| record.iter().map(value).collect()).collect();
    assert!(rows.iter().all(|row| row[columns.len() - 2].as_ref() == Some(batch_id)));
    check_sums(fixed, columns, &rows);
    rows
}

/// Sums of decimals, exactly.
fn check_sums(fixed: &Fixed, columns: &[&str], rows: &[Texts]) {
    let money: &[&str] =
        if fixed.table == "invoices" { &["amount", "sgst", "total"] } else { &["price", "tax"] };
    let summed = fixed.sums.as_object().expect("sums are an object");
    assert_eq!(summed.len(), money.len(), "{summed:?}");
    for name in money {
        let column = columns.iter().position(|column| column == name).expect("it is a column");
        let cents = |text: &String| text.replace('.', "").parse::<i64>().expect("money has two decimals");
        let sum: i64 = rows.iter().filter_map(|row| row[column].as_ref()).map(cents).sum();
        let told = summed[*name].as_str().expect("money is a string");
        assert_eq!(cents(&told.to_owned()), sum, "{name} in {} of {}", fixed.table, fixed.batch_id);
    }
}
