//! The target tables: made from the job, or compared with it. Nothing is ever changed destructively.

use rusqlite::Connection;
use sluicegate_state::seam::Seam;

use crate::effects;
use crate::failure::Outcome;
use crate::ports::warehouse::Difference;
use crate::schema::{BOOKKEEPING_COLUMNS, ColumnType, Schema, Table};

use super::{failure, quoted};

/// The declared type of a column. Decimals and dates are text, so that nothing is ever rounded.
fn sql_type(kind: ColumnType) -> &'static str {
    match kind {
        ColumnType::Text | ColumnType::Date | ColumnType::Decimal { .. } => "TEXT",
        ColumnType::Integer | ColumnType::Boolean => "INTEGER",
    }
}

/// A column as SQLite describes it.
#[derive(Debug, PartialEq, Eq)]
struct Described {
    name: String,
    sql_type: String,
    required: bool,
    /// Position in the primary key, from 1; 0 for the others.
    key: usize,
}

fn wanted(table: &Table) -> Vec<Described> {
    let own = table.columns.iter().enumerate().map(|(index, column)| Described {
        name: column.name.clone(),
        sql_type: sql_type(column.kind).to_owned(),
        required: column.required,
        key: table.key.iter().position(|&key| key == index).map_or(0, |position| position + 1),
    });
    let bookkeeping = BOOKKEEPING_COLUMNS.into_iter().map(|name| Described {
        name: name.to_owned(),
        sql_type: "TEXT".to_owned(),
        required: true,
        key: 0,
    });
    own.chain(bookkeeping).collect()
}

fn existing(connection: &Connection, table: &str) -> rusqlite::Result<Vec<Described>> {
    let mut statement =
        connection.prepare("SELECT name, type, \"notnull\", pk FROM pragma_table_info(?1) ORDER BY cid")?;
    let rows = statement.query_map([table], |row| {
        Ok(Described { name: row.get(0)?, sql_type: row.get(1)?, required: row.get(2)?, key: row.get(3)? })
    })?;
    rows.collect()
}

fn create_statement(table: &Table) -> String {
    let mut parts: Vec<String> = wanted(table)
        .iter()
        .map(|column| {
            let null = if column.required { " NOT NULL" } else { "" };
            format!("{} {}{null}", quoted(&column.name), column.sql_type)
        })
        .collect();
    let key: Vec<String> = table.key_names().map(quoted).collect();
    parts.push(format!("PRIMARY KEY ({})", key.join(", ")));
    format!("CREATE TABLE {} (\n    {}\n) STRICT, WITHOUT ROWID", quoted(&table.name), parts.join(",\n    "))
}

/// What an existing table lacks or has otherwise. Further nullable columns at its end are its owner's business.
fn differences(table: &Table, found: &[Described]) -> Vec<String> {
    let wanted = wanted(table);
    let mut list = Vec::new();
    for (position, column) in wanted.iter().enumerate() {
        match found.get(position) {
            Some(other) if other.name == column.name => {
                if !other.sql_type.eq_ignore_ascii_case(&column.sql_type) {
                    list.push(format!(
                        "column {} is {} there, {} in the job",
                        column.name, other.sql_type, column.sql_type
                    ));
                }
                if other.key != column.key {
                    list.push(format!("column {} has another place in the primary key", column.name));
                }
            }
            Some(other) => list.push(format!(
                "column {} is {} there, {} in the job",
                position + 1,
                other.name,
                column.name
            )),
            None => list.push(format!("column {} is not there", column.name)),
        }
    }
    let surplus = found.iter().skip(wanted.len()).filter(|column| column.required);
    list.extend(
        surplus.map(|column| format!("column {} is required there and unknown to the job", column.name)),
    );
    list
}

/// Names every difference between the tables of `schema` and those that are there.
pub(super) fn compare(connection: &Connection, schema: &Schema) -> Outcome<Vec<Difference>> {
    let mut list = Vec::new();
    for table in &schema.tables {
        let found = existing(connection, &table.name).map_err(failure)?;
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
pub(super) fn prepare(connection: &mut Connection, schema: &Schema, seam: &Seam) -> Outcome<()> {
    let transaction =
        connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).map_err(failure)?;
    let differences = compare(&transaction, schema)?;
    Difference::refuse(&differences)?;
    if differences.is_empty() {
        return Ok(());
    }
    for table in &schema.tables {
        if differences.contains(&Difference::Missing { table: table.name.clone() }) {
            transaction.execute_batch(&create_statement(table)).map_err(failure)?;
        }
    }
    seam.perform(effects::TARGET_CREATE, || transaction.commit().map_err(failure))
}
