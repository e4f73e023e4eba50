//! The SELECT of the typed view `T` over the table `T_csv`.

use crate::schema::{BOOKKEEPING_COLUMNS, Column, ColumnType, Schema, Table};

/// The place of a row among those of its key, newest first. Names of jobs begin with a letter, so it is nobody's column.
const PLACE: &str = "\"_place\"";

/// The name of the table over the CSV objects themselves, every column of it text: `T_csv`.
pub fn raw_name(table: &str) -> String {
    format!("{table}_csv")
}

/// The SELECT of the typed view of `table`, which is one of `schema`, over the tables `T_csv`; several lines, without a
/// semicolon. It stands alone: the view of a child reads the parent's raw table and no other view.
///
/// Of the parent it shows, per key, the row with the greatest `source_order`; of a child the rows that came with just
/// that row of the parent. Empty text is NULL, and every column has its type: `varchar`, `bigint`, `decimal(p,s)`, `date`,
/// `boolean`. Columns come in the order of the table, then `batch_id` and `source_order`. `dt` is left out, since a
/// condition on it would hide the newest row of a key and show an older one.
pub fn view_select(schema: &Schema, table: &Table) -> String {
    if table.name == schema.parent().name {
        parent_select(table)
    } else {
        child_select(schema.parent(), table)
    }
}

fn parent_select(table: &Table) -> String {
    format!(
        "SELECT\n{}\nFROM (\n    SELECT {}, {}\n    FROM {}\n) AS ranked\nWHERE {PLACE} = 1",
        typed_columns(table, "").join(",\n"),
        list(table.all_column_names()),
        place(table),
        quoted(&raw_name(&table.name)),
    )
}

fn child_select(parent: &Table, table: &Table) -> String {
    // A child begins with its parent's key columns, whatever they are called there.
    let same_key = parent.key_names().zip(table.column_names());
    let same_row = same_key
        .chain(BOOKKEEPING_COLUMNS.map(|name| (name, name)))
        .map(|(up, down)| format!("    AND parent.{} = child.{}", quoted(up), quoted(down)));
    format!(
        "SELECT\n{}\nFROM {} AS child\nJOIN (\n    SELECT {}, {}\n    FROM {}\n) AS parent\n    ON parent.{PLACE} = 1\n{}",
        typed_columns(table, "child.").join(",\n"),
        quoted(&raw_name(&table.name)),
        list(parent.key_names().chain(BOOKKEEPING_COLUMNS)),
        place(parent),
        quoted(&raw_name(&parent.name)),
        same_row.collect::<Vec<_>>().join("\n"),
    )
}

/// Two batches cannot give one row the same source order, since it ends with the batch; the batch only makes it certain.
fn place(table: &Table) -> String {
    format!(
        "row_number() OVER (PARTITION BY {} ORDER BY \"source_order\" DESC, \"batch_id\" DESC) AS {PLACE}",
        list(table.key_names())
    )
}

fn typed_columns(table: &Table, of: &str) -> Vec<String> {
    let own = table.columns.iter().map(|column| format!("    {}", typed(column, of)));
    own.chain(BOOKKEEPING_COLUMNS.map(|name| format!("    {of}{0} AS {0}", quoted(name)))).collect()
}

fn typed(column: &Column, of: &str) -> String {
    let name = quoted(&column.name);
    let filled = format!("NULLIF({of}{name}, '')");
    let kind = match column.kind {
        ColumnType::Text => return format!("{filled} AS {name}"),
        ColumnType::Integer => "bigint".to_owned(),
        ColumnType::Decimal { precision, scale } => format!("decimal({precision},{scale})"),
        ColumnType::Date => "date".to_owned(),
        ColumnType::Boolean => "boolean".to_owned(),
    };
    format!("CAST({filled} AS {kind}) AS {name}")
}

fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.map(quoted).collect::<Vec<_>>().join(", ")
}

/// A name as it stands in a statement: jobs may call their columns like words of the language.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
