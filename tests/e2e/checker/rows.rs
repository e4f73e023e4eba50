//! The target tables: every column of every row, and no row more.

use std::collections::BTreeMap;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row};

use super::ledger::DocumentRow;
use crate::corpus::Rows;
use crate::oracle::{Expected, Held, InvoiceKey};

pub(super) const INVOICES: [&str; 11] = [
    "customer_id",
    "invoice_id",
    "dated",
    "from_party",
    "to_party",
    "amount",
    "sgst",
    "total",
    "in_words",
    "batch_id",
    "source_order",
];
pub(super) const ITEMS: [&str; 8] =
    ["customer_id", "invoice_id", "line", "description", "price", "tax", "batch_id", "source_order"];

/// A row as text, none for NULL.
pub(super) type Texts = Vec<Option<String>>;

/// All rows of a table.
pub(super) fn table_rows(warehouse: &Connection, table: &str, columns: &[&str]) -> Vec<Texts> {
    let sql = format!("SELECT {} FROM {table} ORDER BY 1, 2, 3", columns.join(", "));
    let mut statement = warehouse.prepare(&sql).unwrap();
    let rows = statement.query_map([], |row| texts(row, columns.len())).unwrap();
    rows.collect::<Result<_, _>>().unwrap()
}

/// Values as they are stored: a decimal that became a float would show.
fn texts(row: &Row<'_>, width: usize) -> rusqlite::Result<Texts> {
    let text = |column| {
        Ok(match row.get_ref(column)? {
            ValueRef::Null => None,
            ValueRef::Integer(number) => Some(number.to_string()),
            ValueRef::Text(text) => Some(String::from_utf8(text.to_vec()).expect("text is UTF-8")),
            other => Some(format!("neither text nor integer: {other:?}")),
        })
    };
    (0..width).map(text).collect()
}

pub(super) fn check(warehouse: &Connection, documents: &BTreeMap<String, DocumentRow>, expected: &Expected) {
    let mut invoices: Vec<Texts> = Vec::new();
    let mut items: Vec<Texts> = Vec::new();
    for Held { rows: Rows { parent, items: lines }, document } in expected.invoices.values() {
        let DocumentRow { landed_at, batch_id, ordinal, .. } = &documents[document];
        let order = format!("{landed_at}/{}/000000/{batch_id}/{ordinal:06}", "0".repeat(32));
        let whole = |row: &Texts| {
            let bookkeeping = [Some(batch_id.clone()), Some(order.clone())];
            row.iter().cloned().chain(bookkeeping).collect::<Texts>()
        };
        invoices.push(whole(parent));
        items.extend(lines.iter().map(whole));
    }
    same(&table_rows(warehouse, "invoices", &INVOICES), &invoices, "invoices");
    same(&table_rows(warehouse, "invoice_items", &ITEMS), &items, "invoice_items");
    let keys: Vec<&InvoiceKey> = expected.invoices.keys().collect();
    assert_eq!(keys.len(), invoices.len());
}

/// Says which row differs, and not all rows.
fn same(found: &[Texts], wanted: &[Texts], table: &str) {
    let key = |row: &Texts| (row[0].clone(), row[1].clone(), row[2].clone());
    let found: BTreeMap<_, _> = found.iter().map(|row| (key(row), row)).collect();
    let wanted: BTreeMap<_, _> = wanted.iter().map(|row| (key(row), row)).collect();
    for (key, row) in &wanted {
        assert_eq!(found.get(key), Some(row), "{table} {key:?}");
    }
    let unexpected: Vec<_> = found.keys().filter(|key| !wanted.contains_key(*key)).take(5).collect();
    assert!(unexpected.is_empty(), "{table} holds what no good document says: {unexpected:?}");
}
