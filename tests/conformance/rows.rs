//! What a test reads of an SQLite file, past the product.

use rusqlite::Connection;
use rusqlite::types::ValueRef;

/// The rows of a statement as text; NULL is empty.
pub(crate) fn select(connection: &Connection, sql: &str) -> Vec<Vec<String>> {
    let mut statement = connection.prepare(sql).unwrap();
    let width = statement.column_count();
    let text = |value: ValueRef<'_>| match value {
        ValueRef::Null => String::new(),
        ValueRef::Integer(number) => number.to_string(),
        ValueRef::Real(number) => number.to_string(),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
    };
    let rows = statement
        .query_map([], |row| (0..width).map(|column| Ok(text(row.get_ref(column)?))).collect())
        .unwrap();
    rows.map(Result::unwrap).collect()
}
