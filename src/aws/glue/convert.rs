//! The port's shapes to and from those of the SDK. What an answer leaves out is empty: not every service that speaks this
//! API gives every field.

use std::collections::{BTreeMap, HashMap};

use aws_sdk_glue::error::BuildError;
use aws_sdk_glue::types::{
    CatalogTarget as GlueCatalogTarget, Column, Crawler, CrawlerTargets as GlueTargets, DeleteBehavior,
    RecrawlBehavior, RecrawlPolicy as GlueRecrawl, ScheduleState, SchemaChangePolicy as GluePolicy,
    SerDeInfo, StorageDescriptor, Table, TableInput, UpdateBehavior,
};

use crate::failure::{Failure, Outcome};
use crate::ports::definitions::{
    CatalogTarget, ColumnDefinition, CrawlerDefinition, CrawlerTargets, FoundTable, RecrawlPolicy,
    SchemaChangePolicy, Serde, Storage, TableChange, TableDefinition,
};

/// A request that lacks what the API needs is a mistake in this program.
pub(super) fn built<T>(result: Result<T, BuildError>) -> Outcome<T> {
    result.map_err(|error| Failure::permanent(format!("a definition that cannot be sent to Glue: {error}")))
}

pub(super) fn table_input(table: &TableDefinition) -> Outcome<TableInput> {
    let storage = &table.storage_descriptor;
    let some = |text: &String| (!text.is_empty()).then(|| text.clone());
    let serde = SerDeInfo::builder()
        .set_serialization_library(some(&storage.serde_info.serialization_library))
        .set_parameters(Some(hash_map(&storage.serde_info.parameters)))
        .build();
    let descriptor = StorageDescriptor::builder()
        .set_columns(Some(columns(&storage.columns)?))
        .set_location(some(&storage.location))
        .set_input_format(some(&storage.input_format))
        .set_output_format(some(&storage.output_format))
        .serde_info(serde)
        .build();
    let input = TableInput::builder()
        .name(&table.name)
        .table_type(&table.table_type)
        .set_parameters(Some(hash_map(&table.parameters)))
        .storage_descriptor(descriptor)
        .set_partition_keys(Some(columns(&table.partition_keys)?))
        .set_view_original_text(table.view_original_text.clone())
        .set_view_expanded_text(table.view_expanded_text.clone());
    built(input.build())
}

fn columns(of: &[ColumnDefinition]) -> Outcome<Vec<Column>> {
    of.iter().map(|column| built(Column::builder().name(&column.name).r#type(&column.kind).build())).collect()
}

fn hash_map(of: &BTreeMap<String, String>) -> HashMap<String, String> {
    of.iter().map(|(key, value)| (key.clone(), value.clone())).collect()
}

fn tree_map(of: Option<&HashMap<String, String>>) -> BTreeMap<String, String> {
    of.into_iter().flatten().map(|(key, value)| (key.clone(), value.clone())).collect()
}

fn text(of: Option<&str>) -> String {
    of.unwrap_or_default().to_owned()
}

pub(super) fn found_table(table: &Table) -> FoundTable {
    let storage = table.storage_descriptor();
    let serde = storage.and_then(StorageDescriptor::serde_info);
    let definition = TableDefinition {
        name: table.name().to_owned(),
        table_type: text(table.table_type()),
        parameters: tree_map(table.parameters()),
        storage_descriptor: Storage {
            columns: storage.map_or(&[][..], StorageDescriptor::columns).iter().map(column).collect(),
            location: text(storage.and_then(StorageDescriptor::location)),
            input_format: text(storage.and_then(StorageDescriptor::input_format)),
            output_format: text(storage.and_then(StorageDescriptor::output_format)),
            serde_info: Serde {
                serialization_library: text(serde.and_then(SerDeInfo::serialization_library)),
                parameters: tree_map(serde.and_then(SerDeInfo::parameters)),
            },
        },
        partition_keys: table.partition_keys().iter().map(column).collect(),
        view_original_text: table.view_original_text().map(str::to_owned),
        view_expanded_text: table.view_expanded_text().map(str::to_owned),
    };
    FoundTable { definition, version: table.version_id().map(str::to_owned) }
}

fn column(of: &Column) -> ColumnDefinition {
    ColumnDefinition { name: of.name().to_owned(), kind: text(of.r#type()) }
}

/// The whole of a table that is there, with a change in it.
pub(super) fn changed(table: &Table, change: &TableChange) -> Outcome<TableInput> {
    let mut storage = table.storage_descriptor().cloned();
    if let Some(storage) = &mut storage {
        storage.columns.get_or_insert_default().extend(columns(&change.append_columns)?);
        if !change.serde_parameters.is_empty() {
            let serde = storage.serde_info.get_or_insert_with(|| SerDeInfo::builder().build());
            serde.parameters.get_or_insert_default().extend(hash_map(&change.serde_parameters));
        }
    }
    let mut parameters = table.parameters().cloned().unwrap_or_default();
    parameters.extend(hash_map(&change.parameters));
    let input = TableInput::builder()
        .name(table.name())
        .set_description(table.description().map(str::to_owned))
        .set_owner(table.owner().map(str::to_owned))
        .set_last_access_time(table.last_access_time().copied())
        .set_last_analyzed_time(table.last_analyzed_time().copied())
        .retention(table.retention())
        .set_storage_descriptor(storage)
        .set_partition_keys(table.partition_keys.clone())
        .set_view_original_text(table.view_original_text.clone())
        .set_view_expanded_text(table.view_expanded_text.clone())
        .set_table_type(table.table_type.clone())
        .set_parameters(Some(parameters))
        .set_target_table(table.target_table.clone());
    built(input.build())
}

pub(super) fn targets(of: &CrawlerTargets) -> Outcome<GlueTargets> {
    let target = |of: &CatalogTarget| {
        let target = GlueCatalogTarget::builder().database_name(&of.database_name);
        built(target.set_tables(Some(of.tables.clone())).build())
    };
    let targets = of.catalog_targets.iter().map(target).collect::<Outcome<Vec<_>>>()?;
    Ok(GlueTargets::builder().set_catalog_targets(Some(targets)).build())
}

pub(super) fn schema_change_policy(of: &SchemaChangePolicy) -> GluePolicy {
    GluePolicy::builder()
        .update_behavior(UpdateBehavior::from(of.update_behavior.as_str()))
        .delete_behavior(DeleteBehavior::from(of.delete_behavior.as_str()))
        .build()
}

pub(super) fn recrawl_policy(of: &RecrawlPolicy) -> GlueRecrawl {
    GlueRecrawl::builder().recrawl_behavior(RecrawlBehavior::from(of.recrawl_behavior.as_str())).build()
}

pub(super) fn crawler(of: &Crawler) -> CrawlerDefinition {
    let policy = of.schema_change_policy();
    // What was stopped stays in the answer, and starts nothing.
    let schedule = of.schedule().filter(|schedule| schedule.state() != Some(&ScheduleState::NotScheduled));
    CrawlerDefinition {
        name: text(of.name()),
        role: text(of.role()),
        database_name: text(of.database_name()),
        targets: of.targets().map(found_targets).unwrap_or_default(),
        schema_change_policy: SchemaChangePolicy {
            update_behavior: text(policy.and_then(GluePolicy::update_behavior).map(UpdateBehavior::as_str)),
            delete_behavior: text(policy.and_then(GluePolicy::delete_behavior).map(DeleteBehavior::as_str)),
        },
        recrawl_policy: RecrawlPolicy {
            recrawl_behavior: text(
                of.recrawl_policy().and_then(GlueRecrawl::recrawl_behavior).map(RecrawlBehavior::as_str),
            ),
        },
        configuration: text(of.configuration()),
        schedule: text(schedule.and_then(|schedule| schedule.schedule_expression())),
    }
}

fn found_targets(of: &GlueTargets) -> CrawlerTargets {
    let catalog = of.catalog_targets().iter().map(|target| CatalogTarget {
        database_name: target.database_name().to_owned(),
        tables: target.tables().to_vec(),
    });
    let others = [
        ("JDBC", of.jdbc_targets().len()),
        ("MongoDB", of.mongo_db_targets().len()),
        ("DynamoDB", of.dynamo_db_targets().len()),
        ("Delta Lake", of.delta_targets().len()),
        ("Iceberg", of.iceberg_targets().len()),
        ("Hudi", of.hudi_targets().len()),
    ];
    let others = others.into_iter().filter(|(_, count)| *count > 0);
    CrawlerTargets {
        catalog_targets: catalog.collect(),
        s3_targets: of.s3_targets().iter().map(|target| text(target.path())).collect(),
        others: others.map(|(kind, count)| format!("{kind} ({count})")).collect(),
    }
}
