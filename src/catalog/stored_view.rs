//! The form in which Athena keeps a view in the Glue catalog: a comment around the base64 of a JSON object.
//!
//! AWS documents the statement CREATE VIEW and not this form, which can be seen in any account with a view (GetTable).
//! So views are made by the statement, and this form is used for reading, and for catalogs that run such a statement and
//! then show no view.

use serde::Deserialize;

use super::base64;
use super::wanted::View;
use crate::ports::definitions::{Storage, TableDefinition, VIRTUAL_VIEW};

const OPENING: &str = "/* Presto View: ";
const CLOSING: &str = " */";

#[derive(Deserialize)]
struct StoredView {
    #[serde(rename = "originalSql")]
    original_sql: String,
}

/// The view as a table of the catalog.
pub(super) fn stored(view: &View, database: &str) -> TableDefinition {
    let columns: Vec<_> = view
        .columns
        .iter()
        .map(|column| {
            // Hive's `string` is `varchar` in the engine's own words; the other types are called the same.
            let kind = if column.kind == "string" { "varchar" } else { &column.kind };
            serde_json::json!({ "name": column.name, "type": kind })
        })
        .collect();
    let object = serde_json::json!({
        "originalSql": view.select,
        "catalog": "awsdatacatalog",
        "schema": database,
        "columns": columns,
    });
    let parameters = [("presto_view", "true"), ("comment", "Presto View")];
    TableDefinition {
        name: view.name.clone(),
        table_type: VIRTUAL_VIEW.to_owned(),
        parameters: parameters.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
        storage_descriptor: Storage { columns: view.columns.clone(), ..Storage::default() },
        view_original_text: Some(format!(
            "{OPENING}{}{CLOSING}",
            base64::encode(object.to_string().as_bytes())
        )),
        view_expanded_text: Some("/* Presto View */".to_owned()),
        ..TableDefinition::default()
    }
}

/// What a view that is there selects, where its text can be read.
pub(super) fn select_of(table: &TableDefinition) -> Option<String> {
    let text = table.view_original_text.as_deref()?.trim();
    let inner = text.strip_prefix(OPENING.trim_end())?.strip_suffix(CLOSING.trim_start())?;
    let stored: StoredView = serde_json::from_slice(&base64::decode(inner.trim())?).ok()?;
    Some(stored.original_sql)
}
