//! Statements over the target tables, and the content of records: the parent's columns and the set of its child rows.

use rusqlite::types::{ToSqlOutput, Value, ValueRef};
use rusqlite::{CachedStatement, Connection, ToSql, params_from_iter};

use crate::schema::{ColumnType, Schema, Table};
use crate::transform::rows::{RecordView, Row};
use crate::wording::{self, Content, content_of};

use super::quoted;

/// A canonical text on its way into a column.
pub(super) struct Bound<'a> {
    pub(super) kind: ColumnType,
    pub(super) text: &'a str,
}

impl ToSql for Bound<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        if self.text.is_empty() {
            return Ok(ToSqlOutput::Owned(Value::Null));
        }
        Ok(match self.kind {
            ColumnType::Integer => {
                let number: i64 = self.text.parse().map_err(|error| {
                    rusqlite::Error::ToSqlConversionFailure(Box::<std::num::ParseIntError>::new(error))
                })?;
                ToSqlOutput::Owned(Value::Integer(number))
            }
            ColumnType::Boolean => ToSqlOutput::Owned(Value::Integer(i64::from(self.text == "true"))),
            _ => ToSqlOutput::Borrowed(ValueRef::Text(self.text.as_bytes())),
        })
    }
}

/// The canonical text of a stored value.
pub(super) fn canonical(kind: ColumnType, value: ValueRef<'_>) -> String {
    match (kind, value) {
        (_, ValueRef::Null) => String::new(),
        (ColumnType::Boolean, ValueRef::Integer(number)) => (number != 0).to_string(),
        (_, ValueRef::Integer(number)) => number.to_string(),
        (_, ValueRef::Real(number)) => number.to_string(),
        (_, ValueRef::Text(bytes) | ValueRef::Blob(bytes)) => String::from_utf8_lossy(bytes).into_owned(),
    }
}

/// The SQL for one table.
struct TableSql {
    insert: String,
    /// By the parent's key: the table's own columns, then batch_id and source_order.
    select: String,
    /// By the parent's key.
    delete: String,
}

/// The SQL for a job's tables.
pub(super) struct Statements<'s> {
    pub(super) schema: &'s Schema,
    tables: Vec<TableSql>,
}

/// A record that is there already.
pub(super) struct Existing {
    pub(super) batch_id: String,
    pub(super) source_order: String,
    pub(super) content: Content,
}

/// The rows of one table that belong to a record, as canonical texts.
struct Found {
    /// Sorted.
    rows: Vec<Vec<String>>,
    /// batch_id and source_order, where there is a row.
    bookkeeping: Option<[String; 2]>,
}

impl<'s> Statements<'s> {
    pub(super) fn new(schema: &'s Schema) -> Self {
        let key_width = schema.parent().key.len();
        let tables = schema.tables.iter().enumerate().map(|(index, table)| {
            let names: Vec<String> = table.all_column_names().map(quoted).collect();
            let marks = vec!["?"; names.len()].join(", ");
            let on_conflict = if index == 0 {
                let key: Vec<String> = table.key_names().map(quoted).collect();
                format!(" ON CONFLICT ({}) DO NOTHING", key.join(", "))
            } else {
                String::new()
            };
            let key: Vec<String> = if index == 0 {
                table.key_names().map(|name| format!("{} = ?", quoted(name))).collect()
            } else {
                // A child table begins with its parent's key columns.
                table.column_names().take(key_width).map(|name| format!("{} = ?", quoted(name))).collect()
            };
            TableSql {
                insert: format!(
                    "INSERT INTO {} ({}) VALUES ({marks}){on_conflict}",
                    quoted(&table.name),
                    names.join(", ")
                ),
                select: format!(
                    "SELECT {} FROM {} WHERE {}",
                    names.join(", "),
                    quoted(&table.name),
                    key.join(" AND ")
                ),
                delete: format!("DELETE FROM {} WHERE {}", quoted(&table.name), key.join(" AND ")),
            }
        });
        Self { schema, tables: tables.collect() }
    }

    /// Inserts one row; how many were inserted (0 where a parent's key is there already).
    pub(super) fn insert(
        &self,
        connection: &Connection,
        table: usize,
        row: Row<'_>,
        bookkeeping: [&str; 2],
    ) -> rusqlite::Result<usize> {
        let columns = &self.schema.tables[table].columns;
        let own = columns.iter().zip(row.values()).map(|(column, text)| Bound { kind: column.kind, text });
        let rest = bookkeeping.into_iter().map(|text| Bound { kind: ColumnType::Text, text });
        connection.prepare_cached(&self.tables[table].insert)?.execute(params_from_iter(own.chain(rest)))
    }

    /// The record with the parent key of `record` that is in the tables now.
    pub(super) fn existing(
        &self,
        connection: &Connection,
        record: RecordView<'_>,
    ) -> rusqlite::Result<Option<Existing>> {
        let mut found: Option<Existing> = None;
        for (index, table) in self.schema.tables.iter().enumerate() {
            let mut statement = connection.prepare_cached(&self.tables[index].select)?;
            let Found { rows, bookkeeping } = self.select_rows(&mut statement, table, record)?;
            match (&mut found, bookkeeping) {
                (None, None) => return Ok(None),
                (None, Some([batch_id, source_order])) => {
                    found = Some(Existing { batch_id, source_order, content: vec![rows] });
                }
                (Some(existing), _) => existing.content.push(rows),
            }
        }
        Ok(found)
    }

    fn select_rows(
        &self,
        statement: &mut CachedStatement<'_>,
        table: &Table,
        record: RecordView<'_>,
    ) -> rusqlite::Result<Found> {
        let parent = self.schema.parent();
        let key = parent
            .key
            .iter()
            .map(|&column| Bound { kind: parent.columns[column].kind, text: record.parent().value(column) });
        let mut rows = Vec::new();
        let mut bookkeeping = None;
        let width = table.columns.len();
        let mut cursor = statement.query(params_from_iter(key))?;
        while let Some(row) = cursor.next()? {
            let values = table.columns.iter().enumerate();
            let values: rusqlite::Result<Vec<String>> =
                values.map(|(index, column)| Ok(canonical(column.kind, row.get_ref(index)?))).collect();
            rows.push(values?);
            bookkeeping = Some([row.get(width)?, row.get(width + 1)?]);
        }
        rows.sort();
        Ok(Found { rows, bookkeeping })
    }

    /// How an existing record differs from this one, in words; none where the content is the same.
    pub(super) fn difference(&self, existing: &Existing, record: RecordView<'_>) -> Option<String> {
        wording::difference(self.schema, &existing.content, &content_of(record, self.schema.tables.len()))
    }

    /// Deletes the record with the parent key of `record`, children first.
    pub(super) fn delete(&self, connection: &Connection, record: RecordView<'_>) -> rusqlite::Result<()> {
        let parent = self.schema.parent();
        for table in self.tables.iter().rev() {
            let key = parent.key.iter().map(|&column| Bound {
                kind: parent.columns[column].kind,
                text: record.parent().value(column),
            });
            connection.prepare_cached(&table.delete)?.execute(params_from_iter(key))?;
        }
        Ok(())
    }

    /// The key of a record, for people and for the ledger.
    pub(super) fn record_key(&self, record: RecordView<'_>) -> String {
        let parent = self.schema.parent();
        wording::record_key(parent.key.iter().map(|&column| record.parent().value(column)))
    }

    /// The key of a record as a JSON object, for joins.
    pub(super) fn record_key_json(&self, record: RecordView<'_>) -> String {
        let parent = self.schema.parent();
        let pairs = parent.key.iter().map(|&column| {
            (parent.columns[column].name.clone(), serde_json::Value::from(record.parent().value(column)))
        });
        serde_json::Value::Object(pairs.collect()).to_string()
    }
}
