//! The tables `T_csv` in the stand-in's Glue catalog, as the contract describes them.

use std::path::Path;

use aws_sdk_glue::types::{Column, DatabaseInput, SerDeInfo, StorageDescriptor, TableInput};
use sluicegate::schema::{Schema, Table};

use crate::emulator::{Emulator, fresh_name};
use crate::support::files_under;

/// A database of its own for the tables of `schema`, whose objects lie under `curated`, `s3://bucket/prefix`.
pub(crate) fn create(emulator: &Emulator, schema: &Schema, curated: &str) -> String {
    let database = fresh_name("books").replace('-', "_");
    let input = DatabaseInput::builder().name(&database).build().unwrap();
    emulator
        .clients
        .block_on(emulator.clients.glue().create_database().database_input(input).send())
        .unwrap();
    for table in &schema.tables {
        let request = emulator.clients.glue().create_table().database_name(&database);
        emulator.clients.block_on(request.table_input(input_of(table, curated)).send()).unwrap();
    }
    database
}

fn input_of(table: &Table, curated: &str) -> TableInput {
    let column = |name: &str| Column::builder().name(name).r#type("string").build().unwrap();
    let serde = SerDeInfo::builder()
        .serialization_library("org.apache.hadoop.hive.serde2.OpenCSVSerde")
        .parameters("separatorChar", ",")
        .parameters("quoteChar", "\"")
        .parameters("escapeChar", "\u{1}");
    let storage = StorageDescriptor::builder()
        .set_columns(Some(table.all_column_names().map(column).collect()))
        .location(format!("{curated}/{}/", table.name))
        .input_format("org.apache.hadoop.mapred.TextInputFormat")
        .output_format("org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat")
        .serde_info(serde.build());
    TableInput::builder()
        .name(format!("{}_csv", table.name))
        .table_type("EXTERNAL_TABLE")
        .parameters("classification", "csv")
        .parameters("skip.header.line.count", "1")
        .partition_keys(column("dt"))
        .storage_descriptor(storage.build())
        .build()
        .unwrap()
}

/// Uploads all files of a curated folder.
pub(crate) fn upload(emulator: &Emulator, folder: &Path, bucket: &str, prefix: &str) {
    if !folder.exists() {
        return;
    }
    for (name, path) in files_under(folder) {
        emulator.upload(bucket, &format!("{prefix}/{name}"), &std::fs::read(path).unwrap());
    }
}
