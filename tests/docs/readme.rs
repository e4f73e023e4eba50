//! README.md against the built program and the shipped files.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use crate::{blocks, page, quoted, root, section_of, sluicegate, stdout, table};

#[test]
fn the_demo_prints_what_the_readme_shows() {
    let page = page("README.md");
    let (_, rest) = page.split_once("<!-- output of: cargo demo -->").expect("the README shows the demo");
    let shown = blocks(rest, "text")[0];
    let folder = tempfile::tempdir().unwrap();
    let output = sluicegate(folder.path(), &["demo"]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(shown, stdout(&output), "paste what `cargo demo` prints into README.md");
}

#[test]
fn the_demo_that_is_killed_prints_what_the_readme_shows() {
    let page = page("README.md");
    let (_, rest) = page.split_once("<!-- output of: cargo demo --kill 20 -->").expect("the README shows it");
    let shown = blocks(rest, "text")[0];
    let folder = tempfile::tempdir().unwrap();
    let output = sluicegate(folder.path(), &["demo", "--kill", "20"]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(shown, stdout(&output), "paste what `cargo demo --kill 20` prints into README.md");
}

#[test]
fn a_second_demo_prints_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let first = stdout(&sluicegate(folder.path(), &["demo"]));
    assert_eq!(first, stdout(&sluicegate(folder.path(), &["demo"])));
}

#[test]
fn every_command_of_the_program_is_in_the_readme() {
    let page = page("README.md");
    let rows = table(section_of(&page, "## Commands").split("Options of `drain`").next().unwrap());
    let told: BTreeSet<String> = rows.iter().flat_map(|row| quoted(&row[0])).map(command_words).collect();
    let (mut there, jobs) = (commands_of(&["--help"]), commands_of(&["jobs", "--help"]));
    assert!(there.remove("jobs"));
    there.extend(jobs.iter().map(|command| format!("jobs {command}")));
    assert_eq!(told, there);
}

/// The commands that a help text lists.
fn commands_of(words: &[&str]) -> BTreeSet<String> {
    let help = stdout(&sluicegate(root(), words));
    let commands = help.split("Commands:\n").nth(1).and_then(|rest| rest.split("\n\n").next()).unwrap();
    let lines = commands.lines().filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    lines.map(first_word).collect()
}

/// A command without what it takes.
fn command_words(text: String) -> String {
    let words = text.split_whitespace().take_while(|word| word.starts_with(char::is_lowercase));
    words.collect::<Vec<_>>().join(" ")
}

fn first_word(text: impl AsRef<str>) -> String {
    text.as_ref().split_whitespace().next().unwrap_or_default().to_owned()
}

#[test]
fn every_variable_of_the_shipped_files_is_in_the_readme() {
    let page = page("README.md");
    let rows = table(section_of(&page, "## Configuration"));
    let told: BTreeSet<String> = rows.iter().flat_map(|row| quoted(&row[0])).collect();
    let shipped = crate::page("sluicegate.toml") + &crate::page("jobs/invoices.toml");
    let end = |character: char| !(character.is_ascii_uppercase() || character == '_');
    for rest in shipped.split("${").skip(1) {
        let name = rest.split(end).next().unwrap();
        assert!(told.contains(name), "README.md says nothing about ${name}");
    }
}

/// The status of a drain with this variable set, in a folder of its own that stays empty where it is refused.
fn drained_with(name: &str, value: &str) -> (Option<i32>, bool) {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_sluicegate"));
    command.args(["drain", "--patience", "0s", "--config"]).arg(root().join("sluicegate.toml"));
    let output = command.current_dir(folder.path()).env_clear().env(name, value).output().unwrap();
    let untouched = std::fs::read_dir(folder.path()).unwrap().next().is_none();
    (output.status.code(), untouched)
}

/// The names and values that a table of variables calls refused: always, or without one of the features `missing`. What is
/// accepted is not tried here, because it would be looked for on the network.
fn refused_values(missing: &[&str]) -> Vec<(String, String)> {
    let page = page("README.md");
    let mut refused = Vec::new();
    for row in table(section_of(&page, "## Configuration")) {
        let text = row[2].as_str();
        let feature = text.split_once("needs the feature ").map(|(_, feature)| quoted(feature)[0].clone());
        let is_missing = feature.is_some_and(|feature| missing.contains(&feature.as_str()));
        if text != "refused" && !is_missing {
            continue;
        }
        let kinds = quoted(text).into_iter().filter(|value| value.ends_with('…'));
        let mut values: Vec<String> = kinds.map(|kind| kind.replace('…', "h/x")).collect();
        if values.is_empty() {
            values.push("https://example.com/x".to_owned());
        }
        let names = quoted(&row[0]).into_iter();
        refused.extend(names.flat_map(|name| values.iter().map(move |value| (name.clone(), value.clone()))));
    }
    refused
}

#[test]
fn the_table_of_variables_can_be_read() {
    let names = |missing: &[&str]| -> BTreeSet<String> {
        refused_values(missing).into_iter().map(|(name, _)| name).collect()
    };
    assert_eq!(names(&[]), BTreeSet::new());
    let aws = [
        "SLUICEGATE_ALERT_TOPIC",
        "SLUICEGATE_ARCHIVE",
        "SLUICEGATE_CRAWLER",
        "SLUICEGATE_CURATED",
        "SLUICEGATE_LANDING",
        "SLUICEGATE_QUEUE",
        "SLUICEGATE_SNS_LISTEN",
    ];
    assert_eq!(names(&["aws"]), aws.map(str::to_owned).into());
    assert_eq!(names(&["postgres"]), ["SLUICEGATE_WAREHOUSE".to_owned()].into());
}

#[test]
fn what_the_readme_calls_refused_is_refused() {
    let mut missing = Vec::new();
    if cfg!(not(feature = "aws")) {
        missing.push("aws");
    }
    if cfg!(not(feature = "postgres")) {
        missing.push("postgres");
    }
    for (name, value) in refused_values(&missing) {
        let (status, untouched) = drained_with(&name, &value);
        assert_eq!(status, Some(2), "{name}={value}");
        // A warehouse is refused by what would open it, and by then there is a state.
        assert!(untouched || name == "SLUICEGATE_WAREHOUSE", "{name}={value} made something");
    }
}

#[test]
fn what_only_other_commands_use_is_accepted() {
    let page = page("README.md");
    let rows = table(section_of(&page, "## Configuration"));
    let row = rows.iter().find(|row| row[0].contains("SLUICEGATE_CRAWLER_ROLE")).unwrap();
    for name in quoted(&row[0]) {
        // There is no landing folder, so the drain cannot finish; but it begins.
        assert_eq!(drained_with(&name, "s3://bucket/x"), (Some(1), false), "{name}");
    }
}

/// The commands that README.md gives for the first steps, run one after the other.
#[test]
fn the_quick_start_works() {
    let page = page("README.md");
    let start = blocks(section_of(&page, "## Quick start by hand"), "sh")[0];
    let folder = tempfile::tempdir().unwrap();
    for name in ["sluicegate.toml", "jobs"] {
        std::os::unix::fs::symlink(root().join(name), folder.path().join(name)).unwrap();
    }
    assert!(sluicegate(folder.path(), &["demo"]).status.success());
    let program = Path::new(env!("CARGO_BIN_EXE_sluicegate")).parent().unwrap();
    let script: String =
        start.lines().filter(|line| !line.starts_with("cargo ")).collect::<Vec<_>>().join("\n");
    let output = Command::new("sh")
        .args(["-e", "-c", &script])
        .current_dir(folder.path())
        .env_clear()
        .env("PATH", format!("{}:/usr/bin:/bin", program.display()))
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let said = stdout(&output);
    assert!(said.contains("documents  1 loaded") && said.contains("5958.00"), "{said}");
    assert!(said.contains("OK: everything received is decided"), "{said}");
}
