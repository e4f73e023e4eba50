//! Goal: what is there and differs is named; only what takes nothing away is changed; nothing is ever deleted.

use serde_json::{Value, json};

use crate::world::World;

/// A catalog that was made, and then edited by a person.
fn edited(name: &str, edit: impl FnOnce(&mut Value)) -> World {
    let world = World::new();
    world.apply().exits(0);
    world.edit(name, edit);
    world
}

/// A catalog with a crawler that somebody else made.
fn with_crawler(crawler: Value) -> World {
    let world = World::new();
    world.glue.ask("CreateCrawler", &crawler).unwrap();
    world
}

fn crawler(targets: Value) -> Value {
    json!({
        "Name": "nightly",
        "Role": "arn:aws:iam::123456789012:role/service/crawls",
        "DatabaseName": "finance",
        "Targets": targets,
        "SchemaChangePolicy": { "UpdateBehavior": "LOG", "DeleteBehavior": "LOG" },
    })
}

/// That nothing was asked for that could take something away.
fn nothing_was_taken_away(world: &World) {
    let requests = world.glue.requests();
    let taken = requests.iter().find(|of| of.contains("Delete") || of.starts_with("UpdateCrawler"));
    assert_eq!(taken, None);
}

/// That a difference is named, stays through --apply, and nothing is touched.
fn is_left_to_a_person(world: &World, differences: &[&str]) {
    let before = world.content();
    assert_eq!(world.catalog().exits(3).differences(), differences);
    let ended = world.apply().exits(3);
    assert_eq!(ended.differences(), differences);
    assert_eq!(ended.list("done"), [""; 0]);
    assert_eq!(world.content(), before);
    nothing_was_taken_away(world);
}

#[test]
fn a_table_that_reads_otherwise_is_left_to_a_person() {
    let table = |property: &str| format!("table finance.invoices_csv: {property} (person)");
    let world =
        edited("invoices_csv", |table| table["StorageDescriptor"]["Location"] = json!("s3://books/other/"));
    is_left_to_a_person(&world, &[&table("location")]);

    let world = edited("invoices_csv", |table| {
        table["StorageDescriptor"]["SerdeInfo"]["SerializationLibrary"] =
            json!("org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe");
        table["StorageDescriptor"]["SerdeInfo"]["Parameters"] = json!({});
    });
    is_left_to_a_person(&world, &[&table("SerDe"), &table("escapeChar")]);

    let world = edited("invoices_csv", |table| {
        table["StorageDescriptor"]["Columns"].as_array_mut().unwrap().swap(3, 4);
    });
    is_left_to_a_person(&world, &[&table("column 4"), &table("column 5")]);

    let world = edited("invoices_csv", |table| table["PartitionKeys"] = json!([]));
    is_left_to_a_person(&world, &[&table("partition keys")]);
}

#[test]
fn a_name_that_is_taken_is_left_to_a_person() {
    // What a crawler over the curated place makes: a table with the name of its folder.
    let world = World::new();
    world.glue.ask("CreateDatabase", &json!({ "DatabaseInput": { "Name": "finance" } })).unwrap();
    let table = json!({ "Name": "invoices", "TableType": "EXTERNAL_TABLE", "StorageDescriptor": {} });
    world.glue.ask("CreateTable", &json!({ "DatabaseName": "finance", "TableInput": table })).unwrap();
    let before = world.table("invoices");
    assert_eq!(world.apply().exits(3).differences(), ["view finance.invoices: type (person)"]);
    assert_eq!(world.table("invoices"), before);

    let world = edited("invoice_items_csv", |table| table["TableType"] = json!("VIRTUAL_VIEW"));
    is_left_to_a_person(&world, &["table finance.invoice_items_csv: type (person)"]);
}

#[test]
fn somebody_elses_view_is_left_to_a_person_and_an_older_one_of_ours_is_replaced() {
    let stored = |select: &str| {
        let text = json!({ "originalSql": select, "catalog": "awsdatacatalog", "schema": "finance" });
        json!(format!("/* Presto View: {} */", aws_smithy_types::base64::encode(text.to_string())))
    };
    let world = edited("invoices", |view| view["ViewOriginalText"] = stored("SELECT 1 x"));
    is_left_to_a_person(&world, &["view finance.invoices: statement (person)"]);

    let world = edited("invoices", |view| view["ViewOriginalText"] = stored("SELECT * FROM invoices_csv"));
    assert_eq!(world.catalog().exits(3).differences(), ["view finance.invoices: statement (change)"]);
    assert_eq!(world.apply().exits(0).list("done"), ["make the view finance.invoices"]);
    assert_eq!(world.catalog().exits(0).differences(), [""; 0]);
    nothing_was_taken_away(&world);
}

#[test]
fn what_is_changed_keeps_everything_else() {
    let world = edited("invoices_csv", |table| {
        table["Description"] = json!("the books");
        table["Owner"] = json!("finance");
        table["Retention"] = json!(7);
        table["Parameters"]["note"] = json!("keep me");
        table["Parameters"]["skip.header.line.count"] = json!("0");
        table["StorageDescriptor"]["SerdeInfo"]["Parameters"] =
            json!({ "separatorChar": ",", "escapeChar": "\\", "note": "me too" });
        table["StorageDescriptor"]["Parameters"] = json!({ "note": "and me" });
        table["StorageDescriptor"]["Columns"][0]["Comment"] = json!("who pays");
        table["StorageDescriptor"]["Columns"].as_array_mut().unwrap().pop();
    });
    let told = world.catalog().exits(3);
    assert_eq!(
        told.differences(),
        [
            "table finance.invoices_csv: column 11 (change)",
            "table finance.invoices_csv: escapeChar (change)",
            "table finance.invoices_csv: skip.header.line.count (change)",
        ]
    );
    let done = world.apply().exits(0).list("done");
    assert_eq!(done, told.list("actions"));
    assert_eq!(
        done,
        ["change the table finance.invoices_csv: source_order, escapeChar, skip.header.line.count"]
    );
    let table = world.table("invoices_csv");
    assert_eq!(table["Description"], "the books");
    assert_eq!((table["Owner"].as_str(), table["Retention"].as_i64()), (Some("finance"), Some(7)));
    assert_eq!(table["Parameters"]["note"], "keep me");
    let storage = &table["StorageDescriptor"];
    let parameters = &storage["SerdeInfo"]["Parameters"];
    assert_eq!(
        (parameters["note"].as_str(), parameters["escapeChar"].as_str()),
        (Some("me too"), Some("\u{1}"))
    );
    assert_eq!(storage["Parameters"]["note"], "and me");
    assert_eq!(storage["Columns"][0]["Comment"], "who pays");
    assert_eq!(storage["Columns"][10]["Name"], "source_order");
    assert_eq!(world.catalog().exits(0).differences(), [""; 0]);
    nothing_was_taken_away(&world);
}

#[test]
fn a_crawler_with_other_targets_that_cover_is_named_and_works_too() {
    let world = with_crawler(crawler(json!({ "S3Targets": [{ "Path": "s3://books/csv/" }] })));
    let ended = world.apply().exits(0);
    assert_eq!(ended.differences(), ["crawler nightly: targets (nobody)"]);
    assert_eq!(ended.list("done").len(), 5);
    assert!(
        world
            .run(&["catalog"])
            .exits(0)
            .stdout
            .contains("-- noted: crawler nightly: targets: wanted finance.inv")
    );
    nothing_was_taken_away(&world);
}

#[test]
fn a_crawler_that_does_not_cover_or_runs_by_itself_is_left_to_a_person() {
    let mut alone = crawler(json!({ "S3Targets": [{ "Path": "s3://books/csv/invoices" }] }));
    alone["Schedule"] = json!("cron(15 12 * * ? *)");
    alone["SchemaChangePolicy"]["DeleteBehavior"] = json!("DEPRECATE_IN_DATABASE");
    let world = with_crawler(alone);
    world.apply().exits(3);
    is_left_to_a_person(
        &world,
        &[
            "crawler nightly: targets (person)",
            "crawler nightly: schedule (person)",
            "crawler nightly: DeleteBehavior (person)",
        ],
    );
}
