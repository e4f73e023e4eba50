//! The switch of the built program: the environment chooses for the whole process, and a wrong name is told.

use std::path::Path;
use std::process::{Command, Output};

use sluicegate_state::canary::{Canary, VARIABLE};

/// Runs the demo with a canary, or with none.
fn demo(folder: &Path, canary: Option<&str>) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sluicegate"));
    command.arg("demo").current_dir(folder).env_clear();
    command.envs(canary.map(|name| (VARIABLE, name)));
    command.output().unwrap()
}

/// The names of the CSV objects of the demo's invoices.
fn objects(folder: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for day in std::fs::read_dir(folder.join("var/demo/curated/invoices")).unwrap() {
        for object in std::fs::read_dir(day.unwrap().path()).unwrap() {
            names.push(object.unwrap().file_name().into_string().unwrap());
        }
    }
    names
}

#[test]
fn the_environment_chooses_a_canary_for_the_program() {
    for (canary, by_the_clock) in [(None, false), (Some(Canary::CsvKeyFromClock.name()), true)] {
        let folder = tempfile::tempdir().unwrap();
        let output = demo(folder.path(), canary);
        assert!(output.status.success(), "{output:?}");
        let names = objects(folder.path());
        assert!(!names.is_empty());
        assert!(names.iter().all(|name| name.contains("SystemTime") == by_the_clock), "{names:?}");
    }
}

#[test]
fn a_canary_that_nobody_knows_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let output = demo(folder.path(), Some("nightingale"));
    assert!(!output.status.success(), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("there is no canary \"nightingale\""), "{said}");
}
