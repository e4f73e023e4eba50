//! Real processes whose effects fail instead of killing them: before they happen, after they happened, or late.

use crate::deaths::{FAULT, TRACE, restart_until_done};
use crate::embedded::{DRAIN, all_is_done, copy_of, half_way};
use crate::support::Project;

/// Other services: the stage waits and does it over again, in the same process.
const REMOTE: [&str; 6] =
    ["landing.get", "archive.put", "warehouse.commit", "curated.put", "published.commit", "crawl.start"];

/// The process's own journal: where it cannot be written a drain may end, with status 1, and is started again.
const OWN: [&str; 5] =
    ["journal.commit", "seal.commit", "attempt.commit", "transition.commit", "meta.commit"];

/// A drain that meets these faults, and then, if it was ended by them, another one in peace.
fn drain_through(prepared: &Project, effects: &[&str], word: &str, ends: &[i32]) {
    let mut project = copy_of(prepared);
    let faults: Vec<String> = effects.iter().map(|name| format!("{name}:1:{word}")).collect();
    let trace = project.path("trace");
    project.set(FAULT, faults.join(","));
    project.set(TRACE, trace.to_str().unwrap());
    let ended = project.run(DRAIN);
    let told = std::fs::read_to_string(&trace).unwrap();
    assert!(ended.status.code().is_some_and(|code| ends.contains(&code)), "{faults:?}: {ended:#?} {told}");
    for effect in effects {
        let at =
            if word == "slowly" { format!("\t{effect}\t") } else { format!("\t{effect}\tfailed {word}") };
        assert!(told.contains(&at), "{effect} {word}: {told}");
    }
    project.set(FAULT, "");
    restart_until_done(&project, DRAIN);
    all_is_done(&project);
}

#[test]
fn services_that_fail_before_after_or_slowly_are_asked_again() {
    let prepared = half_way();
    for word in ["before", "after", "slowly"] {
        drain_through(&prepared, &REMOTE, word, &[0, 3]);
    }
}

#[test]
fn a_journal_that_fails_before_after_or_slowly_loses_nothing() {
    let prepared = half_way();
    for effect in OWN {
        for word in ["before", "after"] {
            drain_through(&prepared, &[effect], word, &[0, 1, 3]);
        }
    }
    drain_through(&prepared, &OWN, "slowly", &[0, 3]);
}
