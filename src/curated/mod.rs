//! The CSV objects that the query engines read: their names, their dialect, and the control totals that are kept while
//! they are written. One writer and one reader, so that no two places can disagree about a quote.
//!
//! The dialect: UTF-8 without a byte order mark, LF, a header of the table's columns in job order and then `batch_id` and
//! `source_order`; RFC 4180 quoting only where it is needed; empty for NULL; no line break, NUL or U+0001 in a value.

mod counted;
mod encoder;
mod folder;
mod reader;
mod totals;

pub use counted::Counted;
pub use encoder::CsvEncoder;
pub use folder::{Published, published_objects};
pub use reader::{RowReader, read_rows};
pub use totals::{RowDigest, TableTotals, Totals};

pub(crate) use totals::{parse_plain, plain};

use crate::failure::Failure;

/// What can be wrong with a CSV object, or with what is to go into one.
#[derive(Debug, thiserror::Error)]
pub enum CuratedError {
    /// The place that the bytes go to or come from failed.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// The bytes are not CSV in UTF-8, or a row is too short or too long.
    #[error("{0}")]
    Malformed(String),
    /// The first line is not the table's header.
    #[error("the header is {found}, where the table {table} has {expected}")]
    Header {
        /// The table whose object this should be.
        table: String,
        /// What the first line says.
        found: String,
        /// What it should say.
        expected: String,
    },
    /// A row has another number of values than the table has columns.
    #[error("a row of {table} has {found} values, and the table has {expected} columns")]
    Width {
        /// The table.
        table: String,
        /// Values of the row.
        found: usize,
        /// Columns of the table, without the bookkeeping columns.
        expected: usize,
    },
    /// A value holds what would break the line or the escape rules of the query engines.
    #[error(
        "the value {value:?} of {column} holds a line break, NUL or U+0001, which a CSV object never does"
    )]
    Character {
        /// The column.
        column: String,
        /// The whole value.
        value: String,
    },
    /// A decimal is not in the column's form.
    #[error("{value:?} of {column} is not a decimal with at most {scale} digits after the point")]
    NotDecimal {
        /// The column.
        column: String,
        /// The text found.
        value: String,
        /// The column's scale.
        scale: u8,
    },
    /// A sum is too large to be kept exactly.
    #[error("the sum of {column} has more than 38 digits")]
    SumTooLarge {
        /// The column.
        column: String,
    },
}

impl From<CuratedError> for Failure {
    fn from(error: CuratedError) -> Self {
        match &error {
            CuratedError::Io(cause) => io_failure(cause, error.to_string()),
            _ => Self::permanent(error.to_string()),
        }
    }
}

/// The failure for an input or output error: a full disk and an interruption pass, the others need a person.
pub(crate) fn io_failure(error: &std::io::Error, message: impl Into<String>) -> Failure {
    use std::io::ErrorKind::{Interrupted, QuotaExceeded, StorageFull, TimedOut, WouldBlock};
    match error.kind() {
        Interrupted | QuotaExceeded | StorageFull | TimedOut | WouldBlock => Failure::transient(message),
        _ => Failure::permanent(message),
    }
}

/// The key of the CSV object of `table` for batch `batch_id`, under the curated location.
///
/// # Panics
/// Where the batch id does not begin with a date; ids are made by this program and checked where they are read.
pub fn object_key(table: &str, batch_id: &str) -> String {
    let dt = dt_of(batch_id).expect("a batch id begins with YYYYMMDDT");
    format!("{table}/dt={dt}/{batch_id}.csv")
}

/// The partition value `YYYY-MM-DD` of a batch, from its id; none where the text is no batch id.
pub fn dt_of(batch_id: &str) -> Option<String> {
    let (date, _) = batch_id.split_once('T')?;
    let dated = date.len() == 8 && date.bytes().all(|byte| byte.is_ascii_digit());
    dated.then(|| format!("{}-{}-{}", &date[..4], &date[4..6], &date[6..]))
}

#[cfg(test)]
pub(crate) mod testing {
    use crate::schema::{Column, ColumnType, Schema, Table};

    pub(crate) const MONEY: ColumnType = ColumnType::Decimal { precision: 18, scale: 2 };

    pub(crate) fn table(name: &str, columns: &[(&str, ColumnType)], key: &[usize]) -> Table {
        let columns = columns
            .iter()
            .map(|&(name, kind)| Column { name: name.to_owned(), kind, required: false })
            .collect();
        Table { name: name.to_owned(), columns, key: key.to_vec() }
    }

    /// A parent `orders` with each column type, and a child `lines`.
    pub(crate) fn schema() -> Schema {
        let orders = [
            ("shop", ColumnType::Text),
            ("number", ColumnType::Integer),
            ("dated", ColumnType::Date),
            ("paid", ColumnType::Boolean),
            ("amount", MONEY),
        ];
        let lines = [
            ("shop", ColumnType::Text),
            ("number", ColumnType::Integer),
            ("line", ColumnType::Integer),
            ("text", ColumnType::Text),
            ("price", MONEY),
        ];
        Schema { tables: vec![table("orders", &orders, &[0, 1]), table("lines", &lines, &[0, 1, 2])] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_carries_the_date_of_the_batch() {
        let key = object_key("invoices", "20240229T235959Z-0123456789abcdef");
        assert_eq!(key, "invoices/dt=2024-02-29/20240229T235959Z-0123456789abcdef.csv");
    }

    #[test]
    fn what_is_no_batch_id_has_no_date() {
        for text in ["", "T", "2024022T", "2024é229T1", "+0240229T1"] {
            assert_eq!(dt_of(text), None, "{text}");
        }
    }
}
