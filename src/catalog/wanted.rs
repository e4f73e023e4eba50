//! The definitions that follow from a job.

use crate::ports::definitions::{
    CatalogTarget, ColumnDefinition, CrawlerDefinition, CrawlerTargets, EXTERNAL_TABLE, RecrawlPolicy,
    SchemaChangePolicy, Serde, Storage, TableDefinition,
};
use crate::query_text::{raw_name, view_select};
use crate::schema::{BOOKKEEPING_COLUMNS, Column, ColumnType, Schema, Table};

/// RFC 4180 quoting; knows only text (Athena user guide, "Open CSV SerDe for processing CSV").
pub(super) const SERDE: &str = "org.apache.hadoop.hive.serde2.OpenCSVSerde";
pub(super) const INPUT_FORMAT: &str = "org.apache.hadoop.mapred.TextInputFormat";
pub(super) const OUTPUT_FORMAT: &str = "org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat";
/// The default escape character is the backslash, which the SerDe takes away; no value holds this one.
pub(super) const ESCAPE: &str = "\u{1}";
pub(super) const SEPARATOR_KEY: &str = "separatorChar";
pub(super) const QUOTE_KEY: &str = "quoteChar";
pub(super) const ESCAPE_KEY: &str = "escapeChar";
pub(super) const SKIP_KEY: &str = "skip.header.line.count";
pub(super) const CLASSIFICATION_KEY: &str = "classification";
/// The folder `dt=YYYY-MM-DD` of a batch.
pub(super) const PARTITION: &str = "dt";
const TEXT: &str = "string";
pub(super) const LOG: &str = "LOG";
/// Only an S3 target can be crawled by new folders alone: for any other, Glue answers InvalidInputException to
/// CreateCrawler. So it looks at everything, and `InheritFromTable` keeps it from changing what it finds.
pub(super) const EVERYTHING: &str = "CRAWL_EVERYTHING";
const CONFIGURATION: &str = r#"{"Version":1.0,"CrawlerOutput":{"Partitions":{"AddOrUpdateBehavior":"InheritFromTable"}},"Grouping":{"TableGroupingPolicy":"CombineCompatibleSchemas"}}"#;

/// Where a job's definitions belong.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The database in the catalog.
    pub database: &'a str,
    /// The curated place, such as `s3://bucket/prefix`, without a slash at its end.
    pub curated: &'a str,
    /// The job's crawler.
    pub crawler: Option<&'a str>,
    /// The role of a crawler that is made.
    pub role: Option<&'a str>,
}

/// A typed newest-wins view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// The name of the target table.
    pub name: String,
    /// What it selects, in the SQL of Athena.
    pub select: String,
    /// Its columns with the types that Hive gives them.
    pub columns: Vec<ColumnDefinition>,
    /// The table over the CSV objects that it types.
    pub reads: String,
}

/// All that the catalog should hold for one job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The database of everything but the crawler.
    pub database: String,
    /// `T_csv` of each target table, parent first.
    pub tables: Vec<TableDefinition>,
    /// `T` of each target table, parent first.
    pub views: Vec<View>,
    /// The job's crawler; without a role it can only be shown.
    pub crawler: Option<CrawlerDefinition>,
}

/// What the catalog should hold for a job with these tables.
pub fn wanted(schema: &Schema, place: Place<'_>) -> Wanted {
    let tables: Vec<_> = schema.tables.iter().map(|table| csv_table(table, place.curated)).collect();
    let crawler = place.crawler.map(|name| crawler(name, &tables, place));
    Wanted {
        database: place.database.to_owned(),
        views: schema.tables.iter().map(|table| view(schema, table)).collect(),
        tables,
        crawler,
    }
}

fn csv_table(table: &Table, curated: &str) -> TableDefinition {
    let text = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
    let columns = table.all_column_names().map(|name| column(name, TEXT)).collect();
    let serde = [(SEPARATOR_KEY, ","), (QUOTE_KEY, "\""), (ESCAPE_KEY, ESCAPE)];
    let parameters = [("EXTERNAL", "TRUE"), (CLASSIFICATION_KEY, "csv"), (SKIP_KEY, "1")];
    TableDefinition {
        name: raw_name(&table.name),
        table_type: EXTERNAL_TABLE.to_owned(),
        parameters: parameters.into_iter().map(text).collect(),
        storage_descriptor: Storage {
            columns,
            location: format!("{}/{}/", curated.trim_end_matches('/'), table.name),
            input_format: INPUT_FORMAT.to_owned(),
            output_format: OUTPUT_FORMAT.to_owned(),
            serde_info: Serde {
                serialization_library: SERDE.to_owned(),
                parameters: serde.into_iter().map(text).collect(),
            },
        },
        partition_keys: vec![column(PARTITION, TEXT)],
        ..TableDefinition::default()
    }
}

fn view(schema: &Schema, table: &Table) -> View {
    let own = table.columns.iter().map(|of| column(&of.name, &hive_type(of)));
    View {
        name: table.name.clone(),
        select: view_select(schema, table),
        columns: own.chain(BOOKKEEPING_COLUMNS.map(|name| column(name, TEXT))).collect(),
        reads: raw_name(&table.name),
    }
}

fn column(name: &str, kind: &str) -> ColumnDefinition {
    ColumnDefinition { name: name.to_owned(), kind: kind.to_owned() }
}

/// What the view casts to, in the words of Hive; `varchar` is `string` there.
fn hive_type(column: &Column) -> String {
    match column.kind {
        ColumnType::Text => TEXT.to_owned(),
        ColumnType::Integer => "bigint".to_owned(),
        ColumnType::Decimal { precision, scale } => format!("decimal({precision},{scale})"),
        ColumnType::Date => "date".to_owned(),
        ColumnType::Boolean => "boolean".to_owned(),
    }
}

fn crawler(name: &str, tables: &[TableDefinition], place: Place<'_>) -> CrawlerDefinition {
    let target = CatalogTarget {
        database_name: place.database.to_owned(),
        tables: tables.iter().map(|table| table.name.clone()).collect(),
    };
    CrawlerDefinition {
        name: name.to_owned(),
        role: place.role.unwrap_or_default().to_owned(),
        database_name: place.database.to_owned(),
        targets: CrawlerTargets { catalog_targets: vec![target], ..CrawlerTargets::default() },
        schema_change_policy: SchemaChangePolicy {
            update_behavior: LOG.to_owned(),
            delete_behavior: LOG.to_owned(),
        },
        recrawl_policy: RecrawlPolicy { recrawl_behavior: EVERYTHING.to_owned() },
        configuration: CONFIGURATION.to_owned(),
        schedule: String::new(),
    }
}
