//! The definitions as statements for people.

use super::wanted::View;
use crate::ports::definitions::TableDefinition;
use crate::query_text::{raw_name, view_select};
use crate::schema::Schema;

/// The statement that makes the database, for Athena.
pub fn database_ddl(database: &str) -> String {
    format!("CREATE DATABASE IF NOT EXISTS {}", in_backquotes(database))
}

/// The statement that makes the table, for Athena: names in backquotes, because its DDL is Hive's.
pub fn table_ddl(table: &TableDefinition) -> String {
    let storage = &table.storage_descriptor;
    let columns = |of: &[crate::ports::definitions::ColumnDefinition], between: &str| {
        let columns: Vec<_> =
            of.iter().map(|column| format!("{} {}", in_backquotes(&column.name), column.kind)).collect();
        columns.join(between)
    };
    let pairs = |of: &std::collections::BTreeMap<String, String>| {
        let pairs: Vec<_> =
            of.iter().map(|(key, value)| format!("    {} = {}", text(key), text(value))).collect();
        pairs.join(",\n")
    };
    // Athena sets EXTERNAL itself.
    let mut properties = table.parameters.clone();
    properties.remove("EXTERNAL");
    format!(
        "CREATE EXTERNAL TABLE IF NOT EXISTS {} (\n    {}\n)\nPARTITIONED BY ({})\nROW FORMAT SERDE {}\n\
         WITH SERDEPROPERTIES (\n{}\n)\nSTORED AS TEXTFILE\nLOCATION {}\nTBLPROPERTIES (\n{}\n)",
        in_backquotes(&table.name),
        columns(&storage.columns, ",\n    "),
        columns(&table.partition_keys, ", "),
        text(&storage.serde_info.serialization_library),
        pairs(&storage.serde_info.parameters),
        text(&storage.location),
        pairs(&properties),
    )
}

/// The statement that makes the view or puts it in the place of an older one, for Athena.
pub fn view_ddl(view: &View) -> String {
    format!("CREATE OR REPLACE VIEW {} AS\n{}", in_quotes(&view.name), view.select)
}

/// The tables and views that the embedded engine shows, parent first. It makes them anew for each statement, so these are
/// for reading: nobody has to run them.
pub fn embedded_ddl(schema: &Schema) -> Vec<String> {
    let of_table = |table: &crate::schema::Table| {
        let columns: Vec<_> = table
            .all_column_names()
            .chain(["dt"])
            .map(|name| format!("    {} TEXT", in_quotes(name)))
            .collect();
        let raw = format!("CREATE TABLE {} (\n{}\n)", in_quotes(&raw_name(&table.name)), columns.join(",\n"));
        let view = format!("CREATE VIEW {} AS\n{}", in_quotes(&table.name), view_select(schema, table));
        [raw, view]
    };
    schema.tables.iter().flat_map(of_table).collect()
}

fn in_backquotes(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

fn in_quotes(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text as Hive's grammar takes it: the backslash escapes, and a control character has its number.
fn text(value: &str) -> String {
    let mut out = String::from("'");
    for character in value.chars() {
        match character {
            '\'' | '\\' => out.extend(['\\', character]),
            control if control.is_control() => out.push_str(&format!("\\u{:04x}", u32::from(control))),
            other => out.push(other),
        }
    }
    out.push('\'');
    out
}
