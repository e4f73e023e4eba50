//! The definitions port: databases, tables, views and crawlers of the catalog that query engines read (AWS Glue), to be
//! looked at and to be made. Crawls and partitions are the business of [`Catalog`](super::catalog::Catalog).
//!
//! The shapes are those of the Glue API (its reference of `TableInput`, `Table`, `Crawler`), as far as Sluicegate has an
//! opinion about them; what else a table carries is kept as it is by [`Definitions::change_table`].

use std::collections::BTreeMap;

use serde::Serialize;

use crate::failure::Outcome;

/// What Glue calls a table over objects in S3.
pub const EXTERNAL_TABLE: &str = "EXTERNAL_TABLE";
/// What Glue calls a view.
pub const VIRTUAL_VIEW: &str = "VIRTUAL_VIEW";

/// One column, or one partition key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ColumnDefinition {
    /// Lower-case name.
    pub name: String,
    /// A Hive type, such as `string` or `decimal(18,2)`.
    #[serde(rename = "Type")]
    pub kind: String,
}

/// How the bytes of a table are read.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Serde {
    /// The class that reads a line.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub serialization_library: String,
    /// Its parameters.
    pub parameters: BTreeMap<String, String>,
}

/// Where a table's bytes lie, and what is in them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Storage {
    /// In the order of the file.
    pub columns: Vec<ColumnDefinition>,
    /// A URL; empty for a view.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub location: String,
    /// The class that finds lines; empty for a view.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub input_format: String,
    /// The class that would write them; empty for a view.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub output_format: String,
    /// How they are read.
    pub serde_info: Serde,
}

/// A table or a view.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct TableDefinition {
    /// Lower-case name.
    pub name: String,
    /// [`EXTERNAL_TABLE`], [`VIRTUAL_VIEW`], or what else there is.
    pub table_type: String,
    /// Properties of the table.
    pub parameters: BTreeMap<String, String>,
    /// Columns and place.
    pub storage_descriptor: Storage,
    /// In the order of the folders.
    pub partition_keys: Vec<ColumnDefinition>,
    /// Of a view: what it selects, in the form of the engine that made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub view_original_text: Option<String>,
    /// Of a view: a remark of the engine that made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub view_expanded_text: Option<String>,
}

/// A table that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundTable {
    /// How it is defined.
    pub definition: TableDefinition,
    /// Changes with every change of the table, where the catalog counts them.
    pub version: Option<String>,
}

/// What may be changed about a table that is there. Nothing is ever taken away.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct TableChange {
    /// Columns to put behind those that are there.
    pub append_columns: Vec<ColumnDefinition>,
    /// Parameters of the reader to set.
    pub serde_parameters: BTreeMap<String, String>,
    /// Properties of the table to set.
    pub parameters: BTreeMap<String, String>,
}

impl TableChange {
    /// Whether there is nothing to change.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Tables of the catalog that a crawler looks after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct CatalogTarget {
    /// Their database.
    pub database_name: String,
    /// Their names.
    pub tables: Vec<String>,
}

/// What a crawler looks at.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct CrawlerTargets {
    /// Tables that are there already.
    pub catalog_targets: Vec<CatalogTarget>,
    /// Places in S3 whose tables it makes itself.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub s3_targets: Vec<String>,
    /// Targets of any other kind, in words.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<String>,
}

/// What a crawler does about what has changed or gone.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct SchemaChangePolicy {
    /// `LOG` or `UPDATE_IN_DATABASE`.
    pub update_behavior: String,
    /// `LOG`, `DELETE_FROM_DATABASE` or `DEPRECATE_IN_DATABASE`.
    pub delete_behavior: String,
}

/// How much a crawler looks at each time.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct RecrawlPolicy {
    /// `CRAWL_EVERYTHING`, `CRAWL_NEW_FOLDERS_ONLY` or `CRAWL_EVENT_MODE`.
    pub recrawl_behavior: String,
}

/// A crawler.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct CrawlerDefinition {
    /// Its name.
    pub name: String,
    /// The name or ARN of the role that it runs as.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub role: String,
    /// The database of tables that it would make.
    pub database_name: String,
    /// What it looks at.
    pub targets: CrawlerTargets,
    /// What it does about changes.
    pub schema_change_policy: SchemaChangePolicy,
    /// How much it looks at.
    pub recrawl_policy: RecrawlPolicy,
    /// A JSON object as text.
    pub configuration: String,
    /// A cron expression of its own; empty for none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub schedule: String,
}

/// The definitions of one catalog.
///
/// Making something that is there already is no error: the answer of an earlier try may have been lost, or somebody else
/// was faster. Whoever makes something looks at it afterwards.
pub trait Definitions: Send {
    /// Whether there is a database of this name.
    fn database(&mut self, name: &str) -> Outcome<bool>;

    /// Makes a database.
    fn make_database(&mut self, name: &str) -> Outcome<()>;

    /// A table or view, if it is there.
    fn table(&mut self, database: &str, name: &str) -> Outcome<Option<FoundTable>>;

    /// Makes a table, or stores a view as it is defined.
    fn make_table(&mut self, database: &str, table: &TableDefinition) -> Outcome<()>;

    /// Changes a table that was found, and keeps everything else about it.
    ///
    /// # Errors
    /// Transient when it is not the table any more that was found.
    fn change_table(&mut self, database: &str, found: &FoundTable, change: &TableChange) -> Outcome<()>;

    /// Runs a statement that defines something in the query engine, and waits for its end.
    ///
    /// # Errors
    /// A permanent failure holds the engine's words about the statement.
    fn run(&mut self, database: &str, statement: &str) -> Outcome<()>;

    /// A crawler, if it is there.
    fn crawler(&mut self, name: &str) -> Outcome<Option<CrawlerDefinition>>;

    /// Makes a crawler.
    fn make_crawler(&mut self, crawler: &CrawlerDefinition) -> Outcome<()>;
}
