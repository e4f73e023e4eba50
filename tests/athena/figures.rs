//! Goal: the named queries give the same figures on Athena, on the embedded engine and in PostgreSQL: digit for digit, over
//! the same CSV objects and the rows that were loaded with them.

use std::path::Path;

use serde_json::Value;
use sluicegate::job::Job;

use crate::corpus::corpus;
use crate::emulator::{Emulator, Kind, REGION, SECRET, emulator};
use crate::glue_tables;
use crate::server::{Database, select};
use crate::support::Project;

const QUERIES: [&str; 3] = ["spend-by-customer-and-month", "tax-by-month", "top-items"];

fn shipped() -> Job {
    let text = include_str!("../../jobs/invoices.toml");
    Job::parse(Path::new("jobs/invoices.toml"), text, &|_| None).unwrap()
}

/// The answer's values as text, NULL as the empty text.
fn figures(project: &Project, words: &[&str]) -> Vec<Vec<String>> {
    let words: Vec<&str> = words.iter().copied().chain(["--output", "json"]).collect();
    let answer = project.run(&words).exits(0).json();
    let text = |value: &Value| match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        number => number.to_string(),
    };
    let row = |row: &Value| row.as_object().unwrap().values().map(text).collect();
    answer["rows"].as_array().unwrap().iter().map(row).collect()
}

/// Every object of the curated bucket, as a folder.
fn download(emulator: &Emulator, bucket: &str, folder: &Path) {
    let request = emulator.clients.s3().list_objects_v2().bucket(bucket).prefix("csv/");
    let listed = emulator.clients.block_on(request.send()).unwrap();
    assert_eq!(listed.is_truncated, Some(false));
    for object in listed.contents() {
        let key = object.key().unwrap();
        let path = folder.join(key.strip_prefix("csv/").unwrap());
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let request = emulator.clients.s3().get_object().bucket(bucket).key(key);
        let body = emulator.clients.block_on(async { request.send().await.unwrap().body.collect().await });
        std::fs::write(path, body.unwrap().into_bytes()).unwrap();
    }
}

#[test]
fn the_named_queries_give_the_same_figures_everywhere() {
    let (Some(emulator), Some(database)) = (emulator(Kind::Ministack), Database::new()) else { return };
    let bucket = emulator.bucket();
    let curated = format!("s3://{bucket}/csv");
    let job = shipped();
    let glue = glue_tables::create(&emulator, job.definition.schema(), &curated);
    let mut project = Project::with_batches_of(60)
        .with("SLUICEGATE_WAREHOUSE", &database.url)
        .with("SLUICEGATE_CURATED", &curated)
        .with("SLUICEGATE_WORKGROUP", "primary")
        .with("SLUICEGATE_DATABASE", glue)
        .with("SLUICEGATE_ATHENA_OUTPUT", format!("s3://{bucket}/results/"))
        .with("AWS_ENDPOINT_URL", &emulator.endpoint)
        .with("AWS_REGION", REGION)
        .with("AWS_ACCESS_KEY_ID", "testkey")
        .with("AWS_SECRET_ACCESS_KEY", SECRET);
    project.land_all(&corpus(18, 200));
    // The corpus holds documents that are turned away.
    project.drain(3);
    let waiting =
        "await a crawl; the answer holds them, except on a date that the catalog does not know before it";
    project.run(&["query", "SELECT count(*) FROM invoices"]).exits(0).tells(waiting);
    let query = |project: &Project, name: &str| figures(project, &["query", "--named", name]);
    let athena = QUERIES.map(|name| query(&project, name));
    download(&emulator, &bucket, &project.path("downloaded"));
    project.set("SLUICEGATE_CURATED", "downloaded");
    let embedded = QUERIES.map(|name| query(&project, name));
    let mut shell = database.shell();
    for (index, name) in QUERIES.into_iter().enumerate() {
        let sql = &job.queries.iter().find(|query| query.name == name).unwrap().sql;
        assert!(athena[index].len() > 1, "{name} has something to compare");
        assert_eq!(athena[index], embedded[index], "{name}: Athena and the embedded engine");
        assert_eq!(athena[index], select(&mut shell, sql), "{name}: Athena and PostgreSQL");
    }
    let cents = |text: &String| text.split_once('.').is_some_and(|(_, places)| places.len() == 2);
    assert!(athena[0].iter().all(|row| row[3..].iter().all(cents)), "{:?}", athena[0]);
}
