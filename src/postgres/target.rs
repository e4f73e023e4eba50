//! The target tables: made from the job, or compared with it. Nothing is ever changed destructively.

use sluicegate_state::seam::Seam;

use crate::effects;
use crate::failure::Outcome;
use crate::ports::warehouse::Difference;
use crate::schema::{BOOKKEEPING_COLUMNS, ColumnType, Schema, Table};

use super::client::Transaction;
use super::error::{Error, failure};
use super::migrate::lock_making_tables;
use super::session::Session;
use super::sql::{quoted, sql_type};

/// A column as the catalog describes it.
struct Described {
    name: String,
    sql_type: String,
    /// Position in the primary key, from 1; 0 for the others.
    key: i64,
    /// It cannot be NULL.
    required: bool,
    /// Equal means equal byte for byte.
    bytewise: bool,
}

/// A column as the job wants it.
struct Wanted {
    name: String,
    sql_type: String,
    key: i64,
    required: bool,
}

fn wanted(table: &Table) -> Vec<Wanted> {
    let own = table.columns.iter().enumerate().map(|(index, column)| Wanted {
        name: column.name.clone(),
        sql_type: sql_type(column.kind),
        key: table.key.iter().position(|&key| key == index).map_or(0, |position| position as i64 + 1),
        required: column.required,
    });
    let bookkeeping = BOOKKEEPING_COLUMNS.into_iter().map(|name| Wanted {
        name: name.to_owned(),
        sql_type: sql_type(ColumnType::Text),
        key: 0,
        required: true,
    });
    own.chain(bookkeeping).collect()
}

fn create_statement(schema: &str, table: &Table) -> String {
    let mut parts: Vec<String> = wanted(table)
        .iter()
        .map(|column| {
            let bytewise = (column.key > 0 && column.sql_type == "text") || column.name == "source_order";
            let collation = if bytewise { " COLLATE \"C\"" } else { "" };
            let null = if column.required { " NOT NULL" } else { "" };
            format!("{} {}{collation}{null}", quoted(&column.name), column.sql_type)
        })
        .collect();
    let key: Vec<String> = table.key_names().map(quoted).collect();
    parts.push(format!("PRIMARY KEY ({})", key.join(", ")));
    format!("CREATE TABLE {}.{} (\n    {}\n)", quoted(schema), quoted(&table.name), parts.join(",\n    "))
}

fn existing(transaction: &mut Transaction<'_>, schema: &str, table: &str) -> Result<Vec<Described>, Error> {
    let rows = transaction.query(
        "SELECT a.attname::text, format_type(a.atttypid, a.atttypmod),
                coalesce(array_position(i.indkey::int2[], a.attnum) + 1, 0)::bigint,
                a.attnotnull,
                coalesce(l.collisdeterministic, true)
         FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
         LEFT JOIN pg_index i ON i.indrelid = c.oid AND i.indisprimary
         LEFT JOIN pg_collation l ON l.oid = a.attcollation
         WHERE n.nspname = $1 AND c.relname = $2 ORDER BY a.attnum",
        &[&schema, &table],
    )?;
    let described = |row: &postgres::Row| Described {
        name: row.get(0),
        sql_type: row.get(1),
        key: row.get(2),
        required: row.get(3),
        bytewise: row.get(4),
    };
    Ok(rows.iter().map(described).collect())
}

/// What an existing table lacks or has otherwise. Further nullable columns at its end are its owner's business.
fn differences(table: &Table, found: &[Described]) -> Vec<String> {
    let wanted = wanted(table);
    let mut list = Vec::new();
    for (position, column) in wanted.iter().enumerate() {
        match found.get(position) {
            Some(other) if other.name == column.name => differences_of_column(column, other, &mut list),
            Some(other) => list.push(format!(
                "column {} is {} there, {} in the job",
                position + 1,
                other.name,
                column.name
            )),
            None => list.push(format!("column {} is not there", column.name)),
        }
    }
    for column in found.iter().skip(wanted.len()) {
        if column.required {
            list.push(format!("column {} is required there and unknown to the job", column.name));
        }
        if column.key > 0 {
            list.push(format!("column {} is in the primary key there and unknown to the job", column.name));
        }
    }
    list
}

fn differences_of_column(column: &Wanted, other: &Described, list: &mut Vec<String>) {
    let name = &column.name;
    if other.sql_type != column.sql_type {
        list.push(format!("column {name} is {} there, {} in the job", other.sql_type, column.sql_type));
    }
    if other.key != column.key {
        list.push(format!("column {name} has another place in the primary key"));
    }
    if column.key > 0 && !other.bytewise {
        list.push(format!(
            "column {name} has a collation that takes different keys for equal; use COLLATE \"C\""
        ));
    }
}

/// Names every difference between the tables of `schema` in the schema `place` and those that are there.
pub(super) fn compare(
    transaction: &mut Transaction<'_>,
    place: &str,
    schema: &Schema,
) -> Outcome<Vec<Difference>> {
    let mut list = Vec::new();
    for table in &schema.tables {
        let found = existing(transaction, place, &table.name).map_err(failure)?;
        let name = || table.name.clone();
        if found.is_empty() {
            list.push(Difference::Missing { table: name() });
        } else {
            let differences = differences(table, &found).into_iter();
            list.extend(differences.map(|difference| Difference::Otherwise { table: name(), difference }));
        }
    }
    Ok(list)
}

/// Creates the tables of `schema`, or names every difference.
pub(super) fn prepare(session: &mut Session, schema: &Schema, seam: &Seam) -> Outcome<()> {
    let Session { client, schema: place } = session;
    let mut transaction = client.transaction().map_err(failure)?;
    let differences = compare(&mut transaction, place, schema)?;
    Difference::refuse(&differences)?;
    if differences.is_empty() {
        // Nothing was written, so nothing is committed, and no answer to a COMMIT can be lost.
        return transaction.rollback().map_err(failure);
    }
    create(&mut transaction, place, schema).map_err(failure)?;
    seam.perform(effects::TARGET_CREATE, || transaction.commit().map_err(failure))
}

/// Another process may be making them at the same time.
fn create(transaction: &mut Transaction<'_>, place: &str, schema: &Schema) -> Result<(), Error> {
    lock_making_tables(transaction)?;
    for table in &schema.tables {
        if existing(transaction, place, &table.name)?.is_empty() {
            transaction.batch_execute(&create_statement(place, table))?;
        }
    }
    Ok(())
}
