//! Goal: what is missing is named, then made, just as it was told; once it is there nothing more is done.

use serde_json::json;

use crate::athena::Mood;
use crate::endpoint::{Fault, What};
use crate::world::{DATABASE, World};

#[test]
fn everything_is_named_then_made_and_then_equal() {
    let world = World::new();
    let told = world.catalog().exits(3);
    assert_eq!(
        told.differences(),
        [
            "database finance: existence (make)",
            "table finance.invoices_csv: existence (make)",
            "table finance.invoice_items_csv: existence (make)",
            "view finance.invoices: existence (make)",
            "view finance.invoice_items: existence (make)",
            "crawler nightly: existence (make)",
        ]
    );
    assert_eq!(world.writes(), 0, "without --apply nothing is made");

    let done = world.apply().exits(0);
    assert_eq!(done.list("done"), told.list("actions"), "what was told is what is done");
    assert_eq!(done.differences(), [""; 0]);
    let writes = world.writes();
    assert_eq!(world.catalog().exits(0).json()["equal"], true);
    assert_eq!(world.apply().exits(0).list("done"), [""; 0]);
    assert_eq!(world.writes(), writes, "a second time does nothing");
}

#[test]
fn the_catalog_holds_what_the_answer_shows() {
    let world = World::new();
    let shown = world.apply().exits(0).job();
    let table = world.table("invoices_csv");
    for property in ["Name", "TableType", "Parameters", "StorageDescriptor", "PartitionKeys"] {
        let (mut is, mut should) = (table[property].clone(), shown["tables"][0][property].clone());
        if property == "StorageDescriptor" {
            // The SDK says so by itself, and means nothing by it.
            for member in ["Compressed", "NumberOfBuckets", "StoredAsSubDirectories"] {
                is.as_object_mut().unwrap().remove(member);
            }
        }
        for value in [&mut is, &mut should] {
            value.sort_all_objects();
        }
        assert_eq!(is, should, "{property}");
    }
    assert_eq!(table["StorageDescriptor"]["SerdeInfo"]["Parameters"]["escapeChar"], "\u{1}");
    let mut crawler = world.glue.ask("GetCrawler", &json!({ "Name": "nightly" })).unwrap()["Crawler"].take();
    for property in ["Role", "Targets", "SchemaChangePolicy", "RecrawlPolicy", "Configuration"] {
        let mut is = crawler[property].take();
        is.sort_all_objects();
        let mut should = shown["crawler"][property].clone();
        should.sort_all_objects();
        assert_eq!(is, should, "{property}");
    }
    assert_eq!(world.table("invoices")["TableType"], "VIRTUAL_VIEW");
    let statement = &world.athena.statements()[0];
    assert_eq!(statement["WorkGroup"], "books");
    assert_eq!(statement["QueryExecutionContext"]["Database"], DATABASE);
    assert_eq!(statement["ResultConfiguration"]["OutputLocation"], "s3://books/answers/");
}

#[test]
fn what_is_printed_for_people_can_be_run() {
    let world = World::new();
    let told = world.run(&["catalog"]).exits(3).stdout;
    for part in [
        "CREATE EXTERNAL TABLE IF NOT EXISTS `invoices_csv` (",
        "LOCATION 's3://books/csv/invoices/'",
        "CREATE OR REPLACE VIEW \"invoice_items\" AS",
        "-- different: crawler nightly: existence: wanted there, found missing; --apply makes it",
        "-- --apply would make the view finance.invoices",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    let statements = told.split(";\n").filter(|part| !part.trim().is_empty());
    let is_statement = |part: &str| part.lines().any(|line| line.starts_with("CREATE "));
    let rest = statements.filter(|part| !is_statement(part)).flat_map(str::lines);
    assert!(rest.filter(|line| !line.is_empty()).all(|line| line.starts_with("-- ")), "{told}");
    let done = world.run(&["catalog", "--apply"]).exits(0).stdout;
    assert!(done.contains("-- done: make the crawler nightly") && done.contains("as it should be"), "{done}");
}

#[test]
fn a_view_is_stored_where_the_engine_keeps_none() {
    let world = World::with_athena(Mood::Forgets);
    assert_eq!(world.apply().exits(0).list("done").len(), 6);
    assert_eq!(world.table("invoices")["TableType"], "VIRTUAL_VIEW");
    assert!(world.table("invoices")["StorageDescriptor"]["Location"].is_null());
    assert_eq!(world.catalog().exits(0).differences(), [""; 0]);
}

#[test]
fn what_cannot_be_made_from_here_is_told_with_its_command() {
    let mut world = World::new();
    for variable in ["SLUICEGATE_CRAWLER_ROLE", "SLUICEGATE_WORKGROUP", "SLUICEGATE_ATHENA_OUTPUT"] {
        world.set(variable, "");
    }
    let ended = world.apply().exits(3);
    assert_eq!(
        ended.differences(),
        [
            "view finance.invoices: existence (person)",
            "view finance.invoice_items: existence (person)",
            "crawler nightly: existence (person)",
        ]
    );
    let job = ended.job();
    let step = |index: usize| job["differences"][index]["next_step"].as_str().unwrap().to_owned();
    assert!(step(0).contains("CREATE OR REPLACE VIEW \"invoices\" AS SELECT"), "{}", step(0));
    assert!(step(2).contains("aws glue create-crawler --role ROLE --cli-input-json '{\"Name\":\"nightly\""));
    assert_eq!(ended.list("done").len(), 3, "the rest is made");
}

#[test]
fn a_job_without_a_crawler_has_none() {
    let mut world = World::new();
    world.set("SLUICEGATE_CRAWLER", "");
    assert_eq!(world.apply().exits(0).list("done").len(), 5);
    assert!(world.run(&["catalog"]).exits(0).stdout.contains("SLUICEGATE_CRAWLER"));
}

#[test]
fn lost_answers_and_throttling_change_nothing_in_the_end() {
    for (operation, what) in [
        ("CreateTable", What::Lost),
        ("CreateDatabase", What::NeverCame),
        ("CreateCrawler", What::DoneAndRefused(500, "InternalServiceException")),
    ] {
        let world = World::new();
        world.glue.fault(Fault::next(operation, what, 1));
        world.apply().exits(0);
        assert_eq!(world.catalog().exits(0).differences(), [""; 0], "{operation} {what:?}");
    }
    let world = World::new();
    world.glue.fault(Fault::next("GetTable", What::Refused(400, "ThrottlingException"), 1));
    world.apply().exits(0);
}

#[test]
fn two_at_once_make_one_catalog() {
    let world = World::new();
    let start = || {
        let mut command = world.command(&["catalog", "--apply", "--output", "json"]);
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap()
    };
    let both = [start(), start()];
    for process in both {
        crate::world::Ended::of(process.wait_with_output().unwrap()).exits(0);
    }
    assert_eq!(world.catalog().exits(0).differences(), [""; 0]);
}
