//! Do the tests bite? Eighteen deliberate defects, each behind a switch that no release has (`sluicegate_state::canary`), and
//! each has to be noticed. The layers of the tests are asked one after the other, and the table in
//! docs/decisions/0030-canaries.md says which of them notices first: the claim is held against what happens.

#[allow(dead_code, reason = "not every kind of fault is tried here")]
#[path = "../crash/fault.rs"]
mod fault;
#[path = "../crash/landing.rs"]
mod landing;
#[path = "../conformance/manual_clock.rs"]
mod manual_clock;
#[path = "../crash/oracle/mod.rs"]
mod oracle;
#[expect(dead_code, reason = "the crash tests use more of it")]
#[path = "../crash/process.rs"]
mod process;
#[path = "../conformance/rows.rs"]
mod rows;
#[allow(dead_code, reason = "a report says more than is asked here")]
#[path = "../crash/run.rs"]
mod run;
#[path = "../crash/workload.rs"]
mod workload;

#[path = "../conformance/benches.rs"]
mod benches;
#[path = "../conformance/inbox.rs"]
mod inbox;
#[path = "../conformance/object_store.rs"]
mod object_store;
#[allow(dead_code, reason = "the suites that publish are not asked here")]
#[path = "../conformance/published.rs"]
mod published;
#[path = "../conformance/warehouse/mod.rs"]
mod warehouse;

#[allow(dead_code, unused_imports)]
#[path = "../e2e/corpus/mod.rs"]
mod corpus;
#[path = "../durability/drains.rs"]
mod drains;
#[path = "../durability/log.rs"]
mod log;
#[allow(dead_code, reason = "the canary is caught or not")]
#[path = "../durability/rules.rs"]
mod rules;
#[allow(dead_code, reason = "no disk turns read-only here")]
#[path = "../durability/shim.rs"]
mod shim;

#[allow(dead_code, reason = "only the model is asked here")]
#[path = "../../state/tests/it/support.rs"]
mod support;

#[cfg(feature = "aws")]
#[path = "../postgres/bench.rs"]
mod bench;
#[cfg(feature = "aws")]
#[path = "../aws/emulator.rs"]
#[allow(dead_code, reason = "the tests of the adapters use more of it")]
mod emulator;
#[cfg(feature = "aws")]
#[path = "../postgres/server.rs"]
mod server;

mod layers;
mod notice;
mod program;
#[cfg(feature = "aws")]
mod servers;

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use layers::{Noticed, noticed};
use sluicegate_state::canary::Canary;

/// Where the table stands that says who notices each canary first.
const PAGE: &str = "docs/decisions/0030-canaries.md";

/// As many workers as this machine's tests may count on.
const WORKERS: usize = 2;

/// Those that only a shim under the built program can notice.
const OF_THE_DISK: [Canary; 2] = [Canary::JournalNotSynced, Canary::LinkedUnsynced];

/// All canaries; without those that nothing on this machine could notice, which is said.
fn canaries() -> Vec<Canary> {
    let noticeable = shim::Shim::new().is_some();
    let all = Canary::ALL.iter().copied();
    all.filter(|canary| noticeable || !OF_THE_DISK.contains(canary)).collect()
}

/// The rows of the table for these: canary, layer, and who speaks up there.
fn table(canaries: &[Canary]) -> Vec<[String; 3]> {
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE)).unwrap();
    let rows = page.lines().filter(|line| line.starts_with("| `"));
    let cells = |line: &str| -> Vec<String> {
        line.trim_matches('|')
            .split('|')
            .map(|cell| cell.trim().trim_matches('`').to_owned())
            .take(3)
            .collect()
    };
    let rows = rows.map(|line| <[String; 3]>::try_from(cells(line)).expect("three cells"));
    rows.filter(|[name, ..]| Canary::ALL.iter().all(|known| known.name() != name || canaries.contains(known)))
        .collect()
}

#[test]
fn every_canary_is_noticed_by_the_layer_that_the_table_names() {
    layers::calm();
    let canaries = canaries();
    let (next, told) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                while let Some(canary) = canaries.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let noticed = noticed(*canary);
                    eprintln!("{}", line(*canary, noticed.as_ref()));
                    told.lock().unwrap().push((*canary, noticed));
                }
            });
        }
    });
    let mut told = told.into_inner().unwrap();
    told.sort_by_key(|(canary, _)| Canary::ALL.iter().position(|known| known == canary));
    let caught = told.iter().filter(|(_, noticed)| noticed.is_some()).count();
    println!("{} canaries, {caught} caught", told.len());
    count("canaries", caught);
    let found: Vec<[String; 3]> =
        told.iter().map(|(canary, noticed)| row(*canary, noticed.as_ref())).collect();
    let as_page: Vec<String> =
        found.iter().map(|[name, layer, voice]| format!("| `{name}` | {layer} | {voice} |")).collect();
    assert_eq!(found, table(&canaries), "{PAGE} says otherwise; what was found:\n{}", as_page.join("\n"));
    assert_eq!(
        caught,
        canaries.len(),
        "a canary that nobody notices is a hole in the tests: write the check"
    );
}

fn row(canary: Canary, noticed: Option<&Noticed>) -> [String; 3] {
    let (layer, voice) = noticed.map_or_else(
        || ("nobody".to_owned(), String::new()),
        |noticed| (noticed.layer.to_string(), noticed.voice.to_string()),
    );
    [canary.name().to_owned(), layer, voice]
}

fn line(canary: Canary, noticed: Option<&Noticed>) -> String {
    let Some(Noticed { layer, voice, points, words }) = noticed else {
        return format!("{:<31} → nobody notices it", canary.name());
    };
    format!("{:<31} → {layer}: {voice}, point {points}: {words}", canary.name())
}

/// For the summary of `scripts/test`.
fn count(name: &str, number: usize) {
    use std::io::Write;
    let Some(path) = std::env::var_os("SLUICEGATE_COUNTS") else { return };
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
    writeln!(file, "{name}\t{number}\tdeliberate defects, each noticed by the layer that the test names")
        .unwrap();
}
