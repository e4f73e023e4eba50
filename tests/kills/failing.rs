//! Real processes whose effects fail instead of killing them: before they happen, after they happened, or late. Every
//! effect that the program has a name for meets each of the three, and nothing is lost or done twice.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::{Mutex, OnceLock};

use crate::commands::{QUERY, lose_state, near_its_end};
use crate::deaths::{FAULT, TRACE, counted, must_die, restart_until_done, side_by_side, trace_of};
use crate::documents::windows;
use crate::embedded::{DRAIN, all_is_done, copy_of, half_way, landed};
use crate::kinds::Kind;
use crate::support::Project;

/// Lives that it may take until each of some effects has failed once: several in one life, but for those that end it.
const MOST_LIVES: usize = 12;
/// Projects at a time. They mostly wait for the next try.
const WORKERS: usize = 4;

/// How an effect goes wrong, as the environment says it.
pub(crate) const WAYS: [&str; 3] = ["before", "after", "slowly"];

/// Effects that have gone wrong, and how.
pub(crate) type Failures = BTreeSet<(String, &'static str)>;

/// Other services: the stage waits and does it over again, in the same process.
const REMOTE: [&str; 6] =
    ["landing.get", "archive.put", "warehouse.commit", "curated.put", "published.commit", "crawl.start"];

/// The process's own journal: where it cannot be written a drain may end, with status 1, and is started again.
const OWN: [&str; 5] =
    ["journal.commit", "seal.commit", "attempt.commit", "transition.commit", "meta.commit"];

/// What a drain on embedded parts meets on its way.
pub(crate) const ON_THE_WAY: &[&str] = &[
    "migrate.commit",
    "incarnation.commit",
    "command.commit",
    "ledger.migrate",
    "target.create",
    "machine.heartbeat",
    "journal.commit",
    "inbox.acknowledge",
    "seal.commit",
    "attempt.commit",
    "landing.get",
    "archive.put",
    "transition.commit",
    "warehouse.commit",
    "meta.commit",
    "curated.put",
    "published.commit",
    "crawl.claim",
    "crawl.attempt",
    "crawl.start",
    "crawl.seen",
    "crawl.renew",
    "crawl.finish",
    "machine.farewell",
    "incarnation_ended.commit",
    "command_ended.commit",
];

/// The failures that a trace tells of.
pub(crate) fn traced(trace: &Path) -> Failures {
    let mut failures = Failures::new();
    for line in trace_of(trace) {
        let way = match line.moment.as_str() {
            "failed before" => "before",
            "failed after" => "after",
            "late" => "slowly",
            _ => continue,
        };
        failures.insert((line.effect, way));
    }
    failures
}

/// Gives a command in as many lives as it takes until each of `effects` has once gone wrong in this way, and leaves the
/// project in peace then.
pub(crate) fn fail_each(project: &mut Project, command: &[&str], effects: &[&str], way: &'static str) {
    fail_with(project, command, effects, way, "");
}

/// The same with one more fault that leads there.
pub(crate) fn fail_with(
    project: &mut Project,
    command: &[&str],
    effects: &[&str],
    way: &'static str,
    more: &str,
) {
    let trace = project.path("trace");
    project.set(TRACE, trace.to_str().unwrap());
    let mut left: Vec<&str> = effects.to_vec();
    for _ in 0..MOST_LIVES {
        let named = left.iter().map(|name| format!("{name}:1:{way}"));
        let faults: Vec<String> = named.chain((!more.is_empty()).then(|| more.to_owned())).collect();
        project.set(FAULT, faults.join(","));
        let ended = project.run(command);
        assert!(matches!(ended.status.code(), Some(0 | 1 | 3)), "{faults:?}: {ended:#?}");
        let met = traced(&trace);
        left.retain(|name| !met.contains(&((*name).to_owned(), way)));
        if left.is_empty() {
            project.set(FAULT, "");
            return;
        }
    }
    panic!("`{}` never meets {left:?} ({way})", command.join(" "));
}

/// Everything that a drain meets, from its very first start.
fn on_the_way(_: &Project, way: &'static str) -> Project {
    let mut project = copy_of(&landed());
    fail_each(&mut project, DRAIN, ON_THE_WAY, way);
    restart_until_done(&project, DRAIN);
    project.land_all(&windows()[1]);
    restart_until_done(&project, DRAIN);
    all_is_done(&project);
    project
}

/// The dead are buried.
fn after_a_death(prepared: &Project, way: &'static str) -> Project {
    let mut project = copy_of(prepared);
    must_die(&mut project, DRAIN, "archive.put:1:after");
    fail_each(&mut project, DRAIN, &["bury.commit"], way);
    restart_until_done(&project, DRAIN);
    all_is_done(&project);
    project
}

/// A CSV object cannot be written, and that is noted.
fn a_failure_to_note(prepared: &Project, way: &'static str) -> Project {
    let mut project = copy_of(prepared);
    fail_with(&mut project, DRAIN, &["attempt_failed.commit"], way, "curated.put:1:before");
    restart_until_done(&project, DRAIN);
    all_is_done(&project);
    project
}

/// What a lost state left is adopted.
fn after_a_loss(prepared: &Project, way: &'static str) -> Project {
    let mut project = copy_of(prepared);
    must_die(&mut project, DRAIN, "warehouse.commit:1:after");
    lose_state(&project);
    fail_each(&mut project, DRAIN, &["adopt.commit"], way);
    restart_until_done(&project, DRAIN);
    all_is_done(&project);
    project
}

/// A query, a proof, and its report.
fn a_proof(prepared: &Project, way: &'static str) -> Project {
    let mut project = copy_of(prepared);
    restart_until_done(&project, DRAIN);
    fail_each(&mut project, QUERY, &["query.run"], way);
    project.run(QUERY).exits(0);
    fail_each(&mut project, &["reconcile"], &["proof.commit", "report.put", "report.write"], way);
    project.run(&["reconcile"]).exits(0).prints("BALANCED");
    fs::remove_dir_all(project.path("var/curated/.reports")).unwrap();
    all_is_done(&project);
    project
}

/// A person is told of a document that is near its end: again where nobody knows whether that was heard.
fn an_alert(_: &Project, way: &'static str) -> Project {
    let mut project = near_its_end("soon.txt");
    let drain = ["drain", "--patience", "0s"];
    fail_each(&mut project, &drain, &["alert.push"], way);
    project.run(&drain).exits(1);
    let told = fs::read_to_string(project.path("alerts.jsonl")).unwrap().lines().count();
    assert_eq!(told, 1 + usize::from(way == "after"));
    fs::remove_file(project.path("var/archive")).unwrap();
    restart_until_done(&project, DRAIN);
    assert_eq!(project.outcome_words("soon.txt"), ["loaded"]);
    project
}

/// Everything that can be met without a network.
pub(crate) fn embedded() -> &'static Failures {
    static FAILURES: OnceLock<Failures> = OnceLock::new();
    FAILURES.get_or_init(|| {
        type Scenario = fn(&Project, &'static str) -> Project;
        let scenarios: [Scenario; 6] =
            [on_the_way, after_a_death, a_failure_to_note, after_a_loss, a_proof, an_alert];
        let prepared = half_way();
        let tasks: Vec<_> =
            scenarios.iter().flat_map(|scenario| WAYS.iter().map(move |way| (*scenario, *way))).collect();
        let failures = Mutex::new(Failures::new());
        side_by_side(WORKERS, &tasks, |(scenario, way)| {
            let project = scenario(&prepared, way);
            failures.lock().unwrap().extend(traced(&project.path("trace")));
        });
        failures.into_inner().unwrap()
    })
}

/// The proof of completeness, on each kind of deployment.
#[test]
fn every_effect_fails_before_it_after_it_and_happens_late() {
    #[cfg_attr(not(feature = "aws"), allow(unused_mut))]
    let mut all = vec![(Kind::Embedded, embedded().clone())];
    #[cfg(feature = "aws")]
    {
        let mut failures = crate::stopping::failures().clone();
        let servers = [crate::failing_cloud::failures(), crate::rarer_cloud::failures()];
        failures.extend(servers.into_iter().flatten().flatten().cloned());
        all.push((Kind::Aws, failures));
    }
    counted(
        "failures",
        all.iter().map(|(_, failures)| failures.len()).sum(),
        "failures of the built binary's effects, without its death: before, after and late, on each kind of deployment",
    );
    for (kind, failures) in all {
        let moments = kind.effects().flat_map(|name| WAYS.iter().map(move |way| (name.to_owned(), *way)));
        let missed: Vec<_> = moments.filter(|moment| !failures.contains(moment)).collect();
        assert!(missed.is_empty(), "no failure met (name, way) on {kind:?}: {missed:?}");
        let strangers: Vec<_> = failures.iter().filter(|(name, _)| kind.lacks(name).is_some()).collect();
        assert!(strangers.is_empty(), "said not to exist on {kind:?}, and met: {strangers:?}");
    }
}

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
        let how = if word == "slowly" { "late".to_owned() } else { format!("failed {word}") };
        let at = format!("\t{effect}\t{how}");
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
