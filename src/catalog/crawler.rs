//! A crawler that is there against the one that should be. It is made, and never changed: it may serve others too, and
//! each of its settings has one command of its own.

use serde_json::Value as Json;

use super::difference::Difference;
use super::wanted::{EVERYTHING, LOG};
use crate::ports::definitions::{CrawlerDefinition, TableDefinition};

/// The differences of a crawler that is there.
pub(super) fn crawler(
    wanted: &CrawlerDefinition,
    found: &CrawlerDefinition,
    tables: &[TableDefinition],
) -> Vec<Difference> {
    let thing = thing(&wanted.name);
    let mut differences = targets(&thing, wanted, found, tables);
    let mut compare = |property: &str, wanted: &str, found: &str, step: String| {
        if wanted != found {
            differences.push(Difference::new(&thing, property, wanted, found).for_a_person(step));
        }
    };
    let name = &wanted.name;
    compare(
        "schedule",
        "",
        &found.schedule,
        format!(
            "sluicegate starts it when a window ends, and crawls of its own cost extra: aws glue stop-crawler-schedule --crawler-name {name}"
        ),
    );
    let policy = &found.schema_change_policy;
    let log = format!(
        "aws glue update-crawler --name {name} --schema-change-policy UpdateBehavior={LOG},DeleteBehavior={LOG}"
    );
    compare("DeleteBehavior", LOG, &policy.delete_behavior, log.clone());
    if !only_makes_tables(found) {
        compare("UpdateBehavior", LOG, &policy.update_behavior, log);
        let (should, is) = (partitions(&wanted.configuration), partitions(&found.configuration));
        let step =
            format!("aws glue update-crawler --name {name} --configuration '{}'", wanted.configuration);
        compare("CrawlerOutput.Partitions.AddOrUpdateBehavior", &should, &is, step);
        // Left out means everything.
        let is = Some(&found.recrawl_policy.recrawl_behavior).filter(|is| !is.is_empty());
        let step =
            format!("aws glue update-crawler --name {name} --recrawl-policy RecrawlBehavior={EVERYTHING}");
        compare("RecrawlBehavior", EVERYTHING, is.map_or(EVERYTHING, String::as_str), step);
    }
    let (should, is) = (role_name(&wanted.role), role_name(&found.role));
    if !should.is_empty() && should != is {
        let difference = Difference::new(&thing, "role", &wanted.role, &found.role);
        differences.push(difference.for_nobody("it keeps the role that it has"));
    }
    differences
}

/// What the crawler is called in differences.
pub(super) fn thing(name: &str) -> String {
    format!("crawler {name}")
}

/// Whether it looks at places only, whose tables it makes itself.
fn only_makes_tables(found: &CrawlerDefinition) -> bool {
    found.targets.catalog_targets.is_empty()
}

/// Other targets are no fault: the crawler is left alone. What counts is that every table is looked after.
fn targets(
    thing: &str,
    wanted: &CrawlerDefinition,
    found: &CrawlerDefinition,
    tables: &[TableDefinition],
) -> Vec<Difference> {
    if found.targets == wanted.targets || covers_just(wanted, found) {
        return Vec::new();
    }
    let is_covered = |table: &&TableDefinition| {
        let database = &wanted.targets.catalog_targets[0].database_name;
        let named = found
            .targets
            .catalog_targets
            .iter()
            .any(|target| target.database_name == *database && target.tables.contains(&table.name));
        let location = &table.storage_descriptor.location;
        let below = |place: &String| location.starts_with(&format!("{}/", place.trim_end_matches('/')));
        named || found.targets.s3_targets.iter().any(below)
    };
    let missing: Vec<_> =
        tables.iter().filter(|table| !is_covered(table)).map(|table| table.name.as_str()).collect();
    let difference = Difference::new(thing, "targets", in_words(wanted), in_words(found));
    vec![match missing.is_empty() {
        true => difference.for_nobody("it covers all tables of the job, and is left alone"),
        false => difference.for_a_person(format!(
            "it does not cover {}; name another crawler in the job and run sluicegate catalog --apply, or add the tables \
             to its targets",
            missing.join(", ")
        )),
    }]
}

/// The same tables in another order or in several targets.
fn covers_just(wanted: &CrawlerDefinition, found: &CrawlerDefinition) -> bool {
    let tables = |of: &CrawlerDefinition| {
        let targets = of.targets.catalog_targets.iter();
        let mut all: Vec<(String, String)> = targets
            .flat_map(|target| {
                target.tables.iter().map(|table| (target.database_name.clone(), table.clone()))
            })
            .collect();
        all.sort();
        all
    };
    let places = found.targets.s3_targets.len() + found.targets.others.len();
    places == 0 && tables(wanted) == tables(found)
}

fn in_words(crawler: &CrawlerDefinition) -> String {
    let targets = &crawler.targets;
    let tables = targets
        .catalog_targets
        .iter()
        .flat_map(|target| target.tables.iter().map(|table| format!("{}.{table}", target.database_name)));
    tables.chain(targets.s3_targets.clone()).chain(targets.others.clone()).collect::<Vec<_>>().join(", ")
}

/// What happens to partitions; empty where the configuration does not say, or is no JSON.
fn partitions(configuration: &str) -> String {
    let read: Json = serde_json::from_str(configuration).unwrap_or_default();
    let said = &read["CrawlerOutput"]["Partitions"]["AddOrUpdateBehavior"];
    said.as_str().unwrap_or_default().to_owned()
}

/// A role is given by name or ARN, and read back by either.
fn role_name(role: &str) -> &str {
    role.rsplit('/').next().unwrap_or_default()
}
