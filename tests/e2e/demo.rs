//! Goal: the demo works anywhere, whatever the environment says, again and again, and harms nobody's folder.

use std::fs;

use serde_json::json;

use crate::support::{Project, files_under};

/// A folder without any configuration, and an environment that would lead astray whoever listened to it.
fn bare() -> Project {
    let mut project = Project::new();
    fs::remove_dir_all(project.path("jobs")).unwrap();
    fs::remove_dir_all(project.path("var")).unwrap();
    fs::write(project.path("sluicegate.toml"), "nonsense").unwrap();
    let astray = [
        ("SLUICEGATE_CONFIG", "nowhere.toml"),
        ("SLUICEGATE_STATE", "astray/state"),
        ("STATE_DIRECTORY", "astray/state"),
        ("SLUICEGATE_LANDING", "s3://bucket/in"),
        ("SLUICEGATE_WAREHOUSE", "postgres://nobody@nowhere/nothing"),
        ("SLUICEGATE_CURATED", "s3://bucket/curated"),
        ("SLUICEGATE_ARCHIVE", "astray/archive"),
        ("SLUICEGATE_QUEUE", "https://sqs.nowhere/1/queue"),
        ("SLUICEGATE_CRAWLER", "crawler"),
        ("SLUICEGATE_DATABASE", "database"),
        ("SLUICEGATE_WORKGROUP", "workgroup"),
        ("SLUICEGATE_WINDOW", "never"),
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:1"),
    ];
    for (name, value) in astray {
        project.set(name, value);
    }
    project
}

#[test]
fn the_demo_runs_twice_and_ignores_the_environment() {
    let project = bare();
    let first = project.run(&["demo"]).exits(0);
    let first =
        first.prints("7 files landed in var/demo/landing").prints("3 loaded, 3 rejected, 1 duplicate");
    let first = first.prints("$ sluicegate query").prints("HL-0042").prints("crawls     1");
    let second = project.run(&["demo"]).exits(0);
    assert_eq!(first.stdout, second.stdout, "the README shows this text");
    let strangers: Vec<_> = files_under(project.root())
        .into_iter()
        .map(|(name, _)| name)
        .filter(|name| !name.starts_with("var/demo/") && name != "sluicegate.toml")
        .collect();
    assert!(strangers.is_empty(), "the demo stays in its folder: {strangers:?}");
}

#[test]
fn the_demo_in_json_is_the_drains_summary() {
    let project = bare();
    let summary = project.run(&["demo", "--output", "json"]).exits(0).json();
    assert_eq!((&summary["documents"]["loaded"], &summary["crawls"]), (&json!(3), &json!(1)));
}

#[test]
fn the_demo_empties_no_folder_that_it_did_not_make() {
    let project = bare();
    fs::create_dir_all(project.path("var/demo")).unwrap();
    fs::write(project.path("var/demo/thesis.txt"), "ten years of work").unwrap();
    project.run(&["demo"]).exits(1).tells("var/demo was not made by the demo");
    assert_eq!(fs::read_to_string(project.path("var/demo/thesis.txt")).unwrap(), "ten years of work");
    assert_eq!(files_under(&project.path("var/demo")).len(), 1);
}

#[test]
fn drains_that_are_killed_lose_and_double_nothing() {
    let project = bare();
    let proof = project.run(&["demo", "--kill", "5", "--seed", "7"]).exits(0);
    let proof = proof.tells("seed 7").prints("72 documents landed; 5 drains killed with SIGKILL");
    proof.prints("\nbalanced: everything is there once\n");
    let proof = project.run(&["demo", "--kill", "5", "--output", "json"]).exits(0).json();
    assert_eq!(
        (&proof["kills"], &proof["documents"], &proof["balanced"]),
        (&json!(5), &json!(72), &json!(true))
    );
    let places: Vec<_> = proof["balance"].as_array().unwrap().iter().map(|line| &line["place"]).collect();
    assert_eq!(places, ["warehouse", "CSV", "archive", "outcomes", "crawls"]);
    for line in proof["balance"].as_array().unwrap() {
        assert_eq!(line["ok"], line["expected"], "{line}");
        assert_eq!(
            (&line["lost"], &line["duplicated"], &line["unexpected"]),
            (&json!(0), &json!(0), &json!(0))
        );
    }
}
