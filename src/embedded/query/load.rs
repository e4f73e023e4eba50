//! Carries the published CSV objects that a statement needs into a private database: as they are (`T_csv`), and typed with
//! only the newest row of each key (`T`).

use std::fs::File;
use std::path::Path;

use rusqlite::Connection;

use super::functions::{CAST_DECIMAL, CAST_INTEGER};
use crate::curated::{CuratedError, Published, io_failure, published_objects, read_rows};
use crate::embedded::sqlite_failure;
use crate::failure::{Failure, Outcome};
use crate::query_text;
use crate::query_text::mentions;
use crate::schema::{BOOKKEEPING_COLUMNS, Column, ColumnType, Schema, Table};

/// What a statement needs of one table.
#[derive(Debug, Clone, Copy)]
pub(super) struct Needed<'a> {
    table: &'a Table,
    /// Of a child.
    parent: Option<&'a Table>,
    /// Not only the raw table.
    typed: bool,
}

impl<'a> Needed<'a> {
    pub(super) fn table(&self) -> &'a Table {
        self.table
    }
}

/// The tables of a statement, parents before children. A column of a table's name is taken for the table, which costs time
/// and nothing else.
pub(super) fn needed<'a>(schemas: &'a [Schema], sql: &str) -> Vec<Needed<'a>> {
    let names = |name: &str| mentions(sql, name);
    let mut needed = Vec::new();
    for schema in schemas {
        let parent = schema.parent();
        let child = schema.children().iter().any(|table| names(&table.name));
        for table in &schema.tables {
            let is_parent = std::ptr::eq(table, parent);
            let typed = names(&table.name) || (is_parent && child);
            if typed || names(&raw_name(table)) {
                needed.push(Needed { table, parent: (!is_parent).then_some(parent), typed });
            }
        }
    }
    needed
}

/// The name of the table of a CSV object's own columns.
pub(super) fn raw_name(table: &Table) -> String {
    query_text::raw_name(&table.name)
}

/// Makes the tables, still empty, so that a statement can be checked before anything is read.
pub(super) fn create(connection: &Connection, needed: &[Needed<'_>]) -> Outcome<()> {
    for need in needed {
        let table = need.table;
        let raw: Vec<_> =
            table.all_column_names().chain(["dt"]).map(|name| format!("{} TEXT", quoted(name))).collect();
        let mut sql = format!("CREATE TABLE {} ({});", quoted(&raw_name(table)), raw.join(", "));
        if need.typed {
            let own = table
                .columns
                .iter()
                .map(|column| format!("{} {}", quoted(&column.name), declared(column.kind)));
            let typed: Vec<_> =
                own.chain(BOOKKEEPING_COLUMNS.map(|name| format!("{} TEXT", quoted(name)))).collect();
            sql += &format!("CREATE TABLE {} ({});", quoted(&table.name), typed.join(", "));
        }
        connection.execute_batch(&sql).map_err(|error| database_failure(table, &error))?;
    }
    Ok(())
}

/// Fills the tables that [`create`] made.
pub(super) fn load(connection: &mut Connection, curated: &Path, needed: &[Needed<'_>]) -> Outcome<()> {
    let transaction = connection.transaction().map_err(|error| sqlite_failure(&error))?;
    for need in needed {
        load_raw(&transaction, curated, need.table)?;
        if need.typed {
            let sql = newest(need.table, need.parent);
            transaction.execute_batch(&sql).map_err(|error| database_failure(need.table, &error))?;
        }
    }
    transaction.commit().map_err(|error| sqlite_failure(&error))
}

fn load_raw(connection: &Connection, curated: &Path, table: &Table) -> Outcome<()> {
    let objects = published_objects(curated, &table.name);
    for object in objects.map_err(|error| io_failure(&error, error.to_string()))? {
        load_object(connection, table, &object)
            .map_err(|failure| failure.while_doing(format!("read {}", object.path.display())))?;
    }
    Ok(())
}

fn load_object(connection: &Connection, table: &Table, object: &Published) -> Outcome<()> {
    let width = table.columns.len() + BOOKKEEPING_COLUMNS.len();
    let marks = vec!["?"; width + 1].join(", ");
    let insert = format!("INSERT INTO {} VALUES ({marks})", quoted(&raw_name(table)));
    let file = File::open(&object.path).map_err(CuratedError::from)?;
    let mut rows = read_rows(file, table)?;
    let failed = |error: rusqlite::Error| sqlite_failure(&error);
    let mut statement = connection.prepare_cached(&insert).map_err(failed)?;
    statement.raw_bind_parameter(width + 1, &object.dt).map_err(failed)?;
    while let Some(row) = rows.next_row()? {
        for (index, value) in row.iter().enumerate() {
            statement.raw_bind_parameter(index + 1, value).map_err(failed)?;
        }
        statement.raw_execute().map_err(failed)?;
    }
    Ok(())
}

/// The statements that fill the typed table with the newest row of each key, or with the children of those rows.
fn newest(table: &Table, parent: Option<&Table>) -> String {
    let columns: Vec<_> = table.all_column_names().map(quoted).collect();
    let own = table.columns.iter().map(|column| cast(table, column));
    let values: Vec<_> = own.chain(BOOKKEEPING_COLUMNS.map(quoted)).collect();
    let (columns, values, key) = (columns.join(", "), values.join(", "), list(table.key_names()));
    let (typed, raw) = (quoted(&table.name), quoted(&raw_name(table)));
    let fill = match parent {
        // The rowid of the typed row is that of its raw row: so the children find it.
        None => format!(
            "INSERT INTO {typed} (_rowid_, {columns})
             SELECT _rowid_, {values} FROM {raw} WHERE _rowid_ IN (
                 SELECT number FROM (
                     SELECT _rowid_ AS number, row_number() OVER (
                         PARTITION BY {key} ORDER BY source_order DESC, batch_id DESC
                     ) AS place FROM {raw}
                 ) WHERE place = 1
             ) ORDER BY _rowid_;
             CREATE INDEX {} ON {raw} ({key}, source_order, batch_id);",
            quoted(&format!("{}_by_record", table.name)),
        ),
        Some(parent) => {
            let condition = of_winning_parent(table, parent);
            format!("INSERT INTO {typed} ({columns}) SELECT {values} FROM {raw} AS child WHERE {condition};")
        }
    };
    format!("{fill}\nCREATE INDEX {} ON {typed} ({key});", quoted(&format!("{}_by_key", table.name)))
}

/// Whether a child's row came with the parent's row that won. A child begins with its parent's key columns.
fn of_winning_parent(table: &Table, parent: &Table) -> String {
    let same = parent
        .key_names()
        .zip(table.column_names())
        .map(|(up, down)| format!("up.{} = child.{}", quoted(up), quoted(down)))
        .collect::<Vec<_>>()
        .join(" AND ");
    format!(
        "EXISTS (
             SELECT 1 FROM {} AS up JOIN {} AS winner ON winner._rowid_ = up._rowid_
             WHERE {same} AND up.source_order = child.source_order AND up.batch_id = child.batch_id
         )",
        quoted(&raw_name(parent)),
        quoted(&parent.name),
    )
}

fn cast(table: &Table, column: &Column) -> String {
    let name = quoted(&column.name);
    let function = match column.kind {
        ColumnType::Text | ColumnType::Date | ColumnType::Boolean => return format!("NULLIF({name}, '')"),
        ColumnType::Integer => CAST_INTEGER,
        ColumnType::Decimal { .. } => CAST_DECIMAL,
    };
    let place = format!("{}.{}", table.name, column.name).replace('\'', "''");
    format!("{function}({name}, '{place}')")
}

/// The declared type of a typed column; [`declared_scale`] reads it back.
fn declared(kind: ColumnType) -> String {
    match kind {
        ColumnType::Integer => "INTEGER".to_owned(),
        ColumnType::Text | ColumnType::Date | ColumnType::Boolean => "TEXT".to_owned(),
        ColumnType::Decimal { precision, scale } => format!("REAL DECIMAL({precision},{scale})"),
    }
}

/// The scale of a column that was declared as a decimal.
pub(super) fn declared_scale(declared: &str) -> Option<u32> {
    let (_, scale) = declared.strip_prefix("REAL DECIMAL(")?.strip_suffix(')')?.split_once(',')?;
    scale.parse().ok()
}

fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.map(quoted).collect::<Vec<_>>().join(", ")
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn database_failure(table: &Table, error: &rusqlite::Error) -> Failure {
    let hint = format!("the table {} (its texts as they are: {})", table.name, raw_name(table));
    sqlite_failure(error).while_doing(hint)
}
