//! The tables that the suites of catalog and query engine work with, and how their CSV objects come into the world.

use std::fs;
use std::path::Path;

use sluicegate::curated::{CsvEncoder, object_key};
use sluicegate::schema::{Column, ColumnType, Schema, Table};

/// Batches of two days.
pub(crate) const MONDAY: &str = "20240506T101500Z-00000000000000aa";
pub(crate) const MONDAY_LATER: &str = "20240506T111500Z-00000000000000bb";
pub(crate) const TUESDAY: &str = "20240507T101500Z-00000000000000cc";

const MONEY: ColumnType = ColumnType::Decimal { precision: 18, scale: 2 };

/// The tables that every adapter under test must know: `bills` with `bill_items`.
pub(crate) fn schema() -> Schema {
    let bills = [
        ("customer", ColumnType::Text, true),
        ("number", ColumnType::Integer, true),
        ("dated", ColumnType::Date, false),
        ("paid", ColumnType::Boolean, false),
        ("total", MONEY, false),
    ];
    let items = [
        ("customer", ColumnType::Text, true),
        ("number", ColumnType::Integer, true),
        ("line", ColumnType::Integer, true),
        ("description", ColumnType::Text, false),
        ("price", MONEY, false),
    ];
    Schema { tables: vec![table("bills", &bills, 2), table("bill_items", &items, 3)] }
}

fn table(name: &str, columns: &[(&str, ColumnType, bool)], key: usize) -> Table {
    let columns = columns
        .iter()
        .map(|&(name, kind, required)| Column { name: name.to_owned(), kind, required })
        .collect();
    Table { name: name.to_owned(), columns, key: (0..key).collect() }
}

/// Puts the CSV object of `table` for `batch` in place; the batch id serves as each row's source order.
pub(crate) fn publish(curated: &Path, table: &str, batch: &str, rows: &[[&str; 5]]) {
    publish_in_order(curated, table, batch, batch, rows);
}

/// The same with another source order.
pub(crate) fn publish_in_order(
    curated: &Path,
    table: &str,
    batch: &str,
    source_order: &str,
    rows: &[[&str; 5]],
) {
    let schema = schema();
    let known = schema.tables.iter().find(|known| known.name == table).expect("a table of the suite");
    let mut encoder = CsvEncoder::new(Vec::new(), known).unwrap();
    for row in rows {
        encoder.row(row.iter().copied(), batch, source_order).unwrap();
    }
    let (bytes, _) = encoder.finish().unwrap();
    let path = curated.join(object_key(table, batch));
    fs::create_dir_all(path.parent().expect("a key has a folder")).unwrap();
    fs::write(path, bytes).unwrap();
}
