//! Faults are for tests: a program that was built without the feature `faults` holds none of them, nor their switches.
//! `tests/kills` has this file too, so that the search is known to find what is there.
//!
//! The seam itself is in every build, and so is the error that a test may inject there, because most tests with faults run on
//! the ordinary build. What keeps it empty in the program is that nothing outside the feature puts anything into it.

use std::fs;
use std::path::{Path, PathBuf};

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

/// The Rust files below a folder.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn nothing_outside_the_feature_fills_the_seam() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    sources(&root.join("src"), &mut files);
    sources(&root.join("state/src"), &mut files);
    // Modules of unit tests are files named so, or are in folders named so.
    files.retain(|file| !file.iter().any(|part| part == "tests" || part == "tests.rs"));
    let holds = |file: &PathBuf, what: &str| fs::read_to_string(file).unwrap().contains(what);
    for what in ["with_fault(", "impl Fault for", "Injected {"] {
        let filled: Vec<_> = files.iter().filter(|file| holds(file, what)).collect();
        let filled: Vec<_> =
            filled.iter().map(|file| file.strip_prefix(root).unwrap().to_str().unwrap()).collect();
        let allowed = ["src/cli/seam/faults.rs", "state/src/seam.rs"];
        assert!(filled.iter().all(|file| allowed.contains(file)), "{what}: {filled:?}");
        assert!(filled.contains(&allowed[0]), "the search finds what is there: {what}");
    }
    let seam = fs::read_to_string(root.join("src/cli/seam/mod.rs")).unwrap();
    assert!(seam.contains("#[cfg(feature = \"faults\")]\nmod faults;"), "{seam}");
}
