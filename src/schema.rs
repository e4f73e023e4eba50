//! The shape of a job's target tables: what the transformation makes, the warehouse stores, the CSV objects hold and
//! the catalog describes. The one vocabulary that all of them share.

use serde::{Deserialize, Serialize};

/// The two columns that every target table ends with, after the job's own.
pub const BOOKKEEPING_COLUMNS: [&str; 2] = ["batch_id", "source_order"];

/// What a column holds. Values travel as canonical text (see [`crate::transform::rows`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ColumnType {
    /// Any text without NUL and U+0001.
    Text,
    /// A 64-bit signed integer; canonical text is plain digits with an optional minus sign.
    Integer,
    /// An exact decimal; canonical text always has `scale` digits after the point.
    Decimal {
        /// All digits, at most 28.
        precision: u8,
        /// Digits after the point.
        scale: u8,
    },
    /// A calendar date; canonical text is `YYYY-MM-DD`.
    Date,
    /// Canonical text is `true` or `false`.
    Boolean,
}

/// One column of a target table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Lower-case SQL name.
    pub name: String,
    /// What it holds.
    pub kind: ColumnType,
    /// An empty value (NULL) is refused.
    pub required: bool,
}

/// One target table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Lower-case SQL name.
    pub name: String,
    /// The job's columns in job order, without [`BOOKKEEPING_COLUMNS`]. A child table begins with its parent's key columns.
    pub columns: Vec<Column>,
    /// Indexes into `columns` of the primary key.
    pub key: Vec<usize>,
}

/// The tables of one job: the parent first, then its children.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schema {
    /// At least one table; `tables[0]` is the parent.
    pub tables: Vec<Table>,
}

impl Table {
    /// The names of the job's own columns.
    pub fn column_names(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(|column| column.name.as_str())
    }

    /// The header of the CSV object and the column order of the target table.
    pub fn all_column_names(&self) -> impl Iterator<Item = &str> {
        self.column_names().chain(BOOKKEEPING_COLUMNS)
    }

    /// The names of the key columns, in key order.
    pub fn key_names(&self) -> impl Iterator<Item = &str> {
        self.key.iter().map(|&index| self.columns[index].name.as_str())
    }

    /// Indexes of the decimal columns, whose sums are control totals.
    pub fn decimal_columns(&self) -> impl Iterator<Item = usize> {
        self.columns
            .iter()
            .enumerate()
            .filter(|(_, column)| matches!(column.kind, ColumnType::Decimal { .. }))
            .map(|(index, _)| index)
    }
}

impl Schema {
    /// The table whose row begins every record.
    pub fn parent(&self) -> &Table {
        &self.tables[0]
    }

    /// The tables that carry the parent's key.
    pub fn children(&self) -> &[Table] {
        &self.tables[1..]
    }

    /// Indexes, into the columns of table `table`, of the key of the record that a row belongs to: a child table begins
    /// with its parent's key columns.
    pub fn record_key_columns(&self, table: usize) -> Vec<usize> {
        if table == 0 { self.parent().key.clone() } else { (0..self.parent().key.len()).collect() }
    }
}
