//! Goal: the configuration is found where the contract says, its variables and defaults are the contract's, and two
//! jobs that get in each other's way are refused.

use std::fs;
use std::path::{Path, PathBuf};

use super::*;

const SHIPPED: &str = include_str!("../../../sluicegate.toml");
const JOB: &str = include_str!("../../../jobs/invoices.toml");

fn none(_: &str) -> Option<String> {
    None
}

fn settings(text: &str, env: Environment<'_>) -> Result<Settings, ConfigError> {
    let file = Path::new("sluicegate.toml");
    let text = interpolate::resolve(file, text, env)?;
    settings::parse(file, &text).map(|(settings, _)| settings)
}

#[test]
fn the_shipped_settings_run_on_embedded_parts() {
    insta::assert_debug_snapshot!(settings(SHIPPED, &none).unwrap());
    assert_eq!(settings(SHIPPED, &none).unwrap().pipeline, PipelineSettings::default());
}

#[test]
fn the_shipped_settings_run_on_aws_with_the_contracts_variables() {
    let env = |name: &str| {
        let value = match name {
            "STATE_DIRECTORY" => "/var/lib/sluicegate",
            "SLUICEGATE_QUEUE" => "https://sqs.example/1/q",
            "SLUICEGATE_TOPIC" => "arn:aws:sns:eu-west-1:1:t",
            "SLUICEGATE_SNS_LISTEN" => "0.0.0.0:8080",
            "SLUICEGATE_WAREHOUSE" => "postgres://me:hunter2@db/x?sslmode=verify-full",
            "SLUICEGATE_CURATED" => "s3://data/curated/",
            "SLUICEGATE_ARCHIVE" => "s3://data/archive",
            "SLUICEGATE_DATABASE" => "finance",
            "SLUICEGATE_CRAWLER_ROLE" => "crawls",
            "SLUICEGATE_WORKGROUP" => "primary",
            "SLUICEGATE_ATHENA_OUTPUT" => "s3://data/athena",
            _ => return None,
        };
        Some(value.to_owned())
    };
    let settings = settings(SHIPPED, &env).unwrap();
    insta::assert_debug_snapshot!(settings);
    match settings.warehouse {
        WarehouseLocation::Postgres(url) => assert!(url.reveal().contains("hunter2")),
        other => panic!("{other}"),
    }
}

#[test]
fn every_mistake_in_the_settings_names_file_line_and_key() {
    let cases = [
        ("state = ", "stat = "),
        ("${SLUICEGATE_STATE:-${STATE_DIRECTORY:-var}}", ""),
        ("jobs = \"jobs\"", "jobs = \"\""),
        ("sqlite:var/warehouse.db", "postgre://me:hunter2@db/x"),
        ("[inbox]", "[inbox]\nqueu = \"\""),
        ("${SLUICEGATE_ATHENA_OUTPUT:-}", "var/athena"),
        ("fetch_concurrency = 8", "fetch_concurrency = 0"),
        ("fetch_concurrency = 8", "fetch_concurrency = \"many\""),
        ("fetch_concurrency = 8", "fetch_concurrency = 0"),
        ("archive = \"${SLUICEGATE_ARCHIVE:-var/archive}\"\n", ""),
    ];
    let mut all = String::new();
    for (from, to) in cases {
        assert!(SHIPPED.contains(from), "{from}");
        let error = settings(&SHIPPED.replacen(from, to, 1), &none).unwrap_err();
        all.push_str(&format!("{error}\n"));
    }
    assert!(!all.contains("hunter2"));
    insta::assert_snapshot!(all);
}

fn write(folder: &Path, files: &[(&str, &str)]) -> PathBuf {
    for (name, text) in files {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder.join("sluicegate.toml")
}

fn second_job() -> String {
    JOB.replace("name = \"invoices\"", "name = \"second\"")
        .replace("table = \"invoices\"", "table = \"second\"")
        .replace("table = \"invoice_items\"", "table = \"second_items\"")
}

#[test]
fn jobs_are_the_toml_files_beside_the_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let second = second_job().replace("var/landing", "var/other");
    let file = write(
        folder.path(),
        &[
            ("sluicegate.toml", SHIPPED),
            ("jobs/b.toml", JOB),
            ("jobs/a.toml", &second),
            ("jobs/notes.txt", "no job"),
        ],
    );
    let config = load(Some(&file), &none).unwrap();
    assert_eq!(config.jobs.iter().map(|job| job.name.as_str()).collect::<Vec<_>>(), ["second", "invoices"]);
    let named = |name: &str| (name == CONFIG_VARIABLE).then(|| file.display().to_string());
    assert_eq!(load(None, &named).unwrap().file, file);
    assert_eq!(
        load(Some(&file), &|name| (name == CONFIG_VARIABLE).then(|| "/nowhere".into())).unwrap().file,
        file
    );
}

#[test]
fn what_is_not_there_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let text =
        |error: ConfigError| error.to_string().replace(&folder.path().display().to_string(), "<folder>");
    let missing = folder.path().join("missing.toml");
    let mut all = vec![text(load(Some(&missing), &none).unwrap_err())];
    let file = write(folder.path(), &[("sluicegate.toml", SHIPPED)]);
    all.push(text(load(Some(&file), &none).unwrap_err()));
    write(folder.path(), &[("jobs/readme.md", "")]);
    all.push(text(load(Some(&file), &none).unwrap_err()));
    write(folder.path(), &[("jobs/a.toml", "name = 1")]);
    all.push(text(load(Some(&file), &none).unwrap_err()));
    insta::assert_snapshot!(all.join("\n"));
}

#[test]
fn the_demo_keeps_everything_under_its_root() {
    let config = demo(Path::new("var/demo"));
    let places = [
        config.settings.state.display().to_string(),
        config.settings.warehouse.to_string(),
        config.settings.curated.to_string(),
        config.settings.archive.to_string(),
        config.jobs[0].landing.to_string(),
    ];
    insta::assert_debug_snapshot!(places);
    assert_eq!(config.settings.inbox, InboxSettings::default());
    assert_eq!((config.settings.athena_workgroup, config.jobs[0].crawler.clone()), (None, None));
}

/// What is replaced by what in a job file.
type Changes<'a> = &'a [(&'a str, &'a str)];

/// Loads the shipped job and a second one, changed by `change`.
fn two_jobs(first: Changes<'_>, second: Changes<'_>) -> Result<Config, String> {
    let folder = tempfile::tempdir().unwrap();
    let change = |text: String, changes: Changes<'_>| {
        changes.iter().fold(text, |text, (from, to)| {
            assert!(text.contains(from), "{from}");
            text.replace(from, to)
        })
    };
    let (first, second) = (change(JOB.to_owned(), first), change(second_job(), second));
    let file = write(
        folder.path(),
        &[("sluicegate.toml", SHIPPED), ("jobs/a.toml", &first), ("jobs/b.toml", &second)],
    );
    load(Some(&file), &none)
        .map_err(|error| error.to_string().replace(&folder.path().display().to_string(), "<folder>"))
}

const LANDING: &str = "${SLUICEGATE_LANDING:-var/landing}";
const KEYS: &str = r"\.txt(\.gz)?$";

#[test]
fn two_jobs_that_share_something_are_refused() {
    let crawler = ("${SLUICEGATE_CRAWLER:-}", "crawler");
    let cases: [(Changes<'_>, Changes<'_>); 9] = [
        (&[], &[("name = \"second\"", "name = \"invoices\"")]),
        (&[], &[("table = \"second_items\"", "table = \"invoice_items\"")]),
        (&[crawler], &[crawler, (LANDING, "var/other")]),
        (&[], &[]),
        (&[], &[(LANDING, "./var//landing/deeper/"), (KEYS, "^[a-c]+[.]t")]),
        (&[(LANDING, "s3://b/in")], &[(LANDING, "s3://b/in/sub/"), (KEYS, "^in/sub/x.*gz$")]),
        (&[(LANDING, "s3://b")], &[(LANDING, "s3://b/in"), (KEYS, "invoice")]),
        (&[], &[(KEYS, r"\b(?:invoice)\b")]),
        (&[(KEYS, "a[^/]{25}$")], &[(KEYS, "[a-z]")]),
    ];
    let errors: Vec<_> = cases.iter().map(|(first, second)| two_jobs(first, second).unwrap_err()).collect();
    insta::assert_snapshot!(errors.join("\n"));
}

#[test]
fn jobs_whose_keys_differ_may_share_a_landing() {
    let cases: [(Changes<'_>, Changes<'_>); 7] = [
        (&[], &[(KEYS, r"\.csv$")]),
        (&[], &[(KEYS, r"\.txt\.gz\.done$")]),
        (&[(KEYS, "^a/")], &[(KEYS, "^b/")]),
        (&[(KEYS, "^a/$")], &[(KEYS, "^a/")]),
        (&[(LANDING, "s3://b/in")], &[(LANDING, "s3://b/inner")]),
        (&[(LANDING, "s3://b/in")], &[(LANDING, "s3://c/in")]),
        (&[(LANDING, "s3://b/in"), (KEYS, "^in/[^/]*$")], &[(LANDING, "s3://b/in/sub")]),
    ];
    for (first, second) in cases {
        assert_eq!(two_jobs(first, second).map(|_| ()), Ok(()), "{first:?} {second:?}");
    }
}
