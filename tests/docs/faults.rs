//! Faults are for tests: a program that was built without the feature `faults` holds none of them, nor their switches.
//! `tests/kills` has this file too, so that the search is known to find what is there.

use std::fs;
use std::path::Path;

use regex::Regex;

/// The environment variables that choose a fault, and the names of all canaries as their source has them.
fn names() -> (Vec<String>, Vec<String>) {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/state/src/canary.rs");
    let source = fs::read_to_string(source).unwrap();
    let name = Regex::new(r#"=> "([a-z-]+)","#).unwrap();
    let canaries: Vec<String> = name.captures_iter(&source).map(|found| found[1].to_owned()).collect();
    assert!(canaries.len() >= 10, "{canaries:?}");
    let switches = ["SLUICEGATE_CANARY", "SLUICEGATE_KILL_AT", "SLUICEGATE_FAULT", "SLUICEGATE_TRACE"];
    (switches.map(str::to_owned).to_vec(), canaries)
}

/// Those of `names` that stand in a file.
fn found_in(file: &Path, names: &[String]) -> Vec<String> {
    let bytes = fs::read(file).unwrap();
    let holds = |name: &str| regex::bytes::Regex::new(&regex::escape(name)).unwrap().is_match(&bytes);
    names.iter().filter(|name| holds(name)).cloned().collect()
}

#[test]
fn faults_are_in_the_build_for_tests_alone() {
    let (switches, canaries) = names();
    let program = Path::new(env!("CARGO_BIN_EXE_sluicegate"));
    if cfg!(feature = "faults") {
        assert_eq!(found_in(program, &switches), switches);
        assert_eq!(found_in(program, &canaries), canaries);
    } else {
        assert_eq!(found_in(program, &[switches, canaries].concat()), Vec::<String>::new());
    }
}
