//! What a peaceful drain never meets: deaths after deaths, failures, lost states, and the other commands.

use std::fs;
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, SystemTime};

use rusqlite::Connection;

use crate::corpus::{Document, Invoice, Meaning, Random};
use crate::covered::needless_crawls;
use crate::deaths::{FAULT, Kills, advance, counted, moment, must_die, restart_until_done, side_by_side};
use crate::documents::BATCH;
use crate::embedded::{DRAIN, all_is_done, copy_of, full, half_way};
use crate::oracle::Expected;
use crate::support::{Project, files_under};

/// Every how many moments of a replay are tried by default.
const SAMPLE: usize = 6;
const WORKERS: usize = 2;

/// A question with an answer.
pub(crate) const QUERY: &[&str] = &["query", "SELECT count(*) AS n FROM invoices"];

/// A scenario, given what everybody starts from and whether the kill comes after the effect.
type Scenario = fn(&Project, bool) -> Project;

const SCENARIOS: [Scenario; 8] =
    [a_query, a_burial, a_failure_to_record, a_lost_state, a_proof, a_repair, a_repair_on_record, an_alert];

/// The kills of all of them.
pub(crate) fn kills() -> &'static Kills {
    static KILLS: OnceLock<Kills> = OnceLock::new();
    KILLS.get_or_init(|| {
        let prepared = half_way();
        let kills = Mutex::new(Kills::default());
        let tasks: Vec<(Scenario, bool)> =
            SCENARIOS.iter().flat_map(|scenario| [(*scenario, false), (*scenario, true)]).collect();
        side_by_side(WORKERS, &tasks, |(scenario, after)| {
            let project = scenario(&prepared, *after);
            kills.lock().unwrap().add(&Kills::traced(&project.path("trace")));
        });
        let mut kills = kills.into_inner().unwrap();
        kills.add(&replays());
        kills
    })
}

#[test]
fn rarer_moments_and_other_commands() {
    let kills = kills();
    counted("kills-commands", kills.count(), "kills in recoveries, failures, lost states and other commands");
}

/// A query that dies is asked again.
fn a_query(prepared: &Project, after: bool) -> Project {
    let mut project = copy_of(prepared);
    must_die(&mut project, QUERY, &format!("query.run:1:{}", moment(after)));
    project.run(QUERY).exits(0).prints("n");
    project
}

/// A death, and a second one while the first is buried.
fn a_burial(prepared: &Project, after: bool) -> Project {
    let mut project = copy_of(prepared);
    must_die(&mut project, DRAIN, "curated.put:1:after");
    must_die(&mut project, DRAIN, &format!("bury.commit:1:{}", moment(after)));
    restart_until_done(&project, DRAIN);
    all_is_done(&project);
    project
}

/// A CSV object cannot be written, and the process dies while it notes that.
fn a_failure_to_record(prepared: &Project, after: bool) -> Project {
    let mut project = copy_of(prepared);
    project.set(FAULT, "curated.put:1:before");
    must_die(&mut project, DRAIN, &format!("attempt_failed.commit:1:{}", moment(after)));
    project.set(FAULT, "");
    restart_until_done(&project, DRAIN);
    all_is_done(&project);
    project
}

/// The state folder is gone, and the lease of the dead process has run out.
pub(crate) fn lose_state(project: &Project) {
    for (name, path) in files_under(&project.path("var")) {
        if name.starts_with("state.db") {
            fs::remove_file(path).unwrap();
        }
    }
    run_out(project);
}

/// The minute passes after which a dead machine is taken for dead.
fn run_out(project: &Project) {
    let ledger = Connection::open(project.path("var/warehouse.db")).unwrap();
    ledger.execute("UPDATE sluicegate_machine SET seen_at = '2020-01-01T00:00:00Z'", []).unwrap();
}

/// A death after a load, the state lost, and a second death while what was loaded is taken in.
fn a_lost_state(prepared: &Project, after: bool) -> Project {
    let mut project = copy_of(prepared);
    must_die(&mut project, DRAIN, "warehouse.commit:1:after");
    lose_state(&project);
    must_die(&mut project, DRAIN, &format!("adopt.commit:1:{}", moment(after)));
    run_out(&project);
    restart_until_done(&project, DRAIN);
    all_is_done(&project);
    project
}

/// A proof that dies as it is recorded, and as files of its report are written and put.
fn a_proof(prepared: &Project, after: bool) -> Project {
    let mut project = copy_of(prepared);
    restart_until_done(&project, DRAIN);
    for at in ["proof.commit:1", "report.write:1", "report.put:1", "report.write:3", "report.put:2"] {
        must_die(&mut project, &["reconcile"], &format!("{at}:{}", moment(after)));
    }
    project.run(&["reconcile"]).exits(0).prints("BALANCED");
    project
}

/// A CSV object was deleted by hand, and the repair dies as it writes it again.
fn a_repair(prepared: &Project, after: bool) -> Project {
    repaired(prepared, "curated.put:1", after)
}

/// The same, and it dies as it records what it found.
fn a_repair_on_record(prepared: &Project, after: bool) -> Project {
    repaired(prepared, "proof.commit:1", after)
}

fn repaired(prepared: &Project, at: &str, after: bool) -> Project {
    let mut project = copy_of(prepared);
    restart_until_done(&project, DRAIN);
    let (_, lost) = files_under(&project.path("var/curated/invoices")).remove(0);
    let (bytes, written) = (fs::read(&lost).unwrap(), fs::metadata(&lost).unwrap().modified().unwrap());
    fs::remove_file(&lost).unwrap();
    must_die(&mut project, &["reconcile", "--repair"], &format!("{at}:{}", moment(after)));
    project.run(&["reconcile", "--repair"]);
    assert!(fs::read(&lost).is_ok_and(|found| found == bytes), "the same bytes again: {}", lost.display());
    // The crawl that saw it began after the first time.
    fs::File::options().write(true).open(&lost).unwrap().set_modified(written).unwrap();
    restart_until_done(&project, DRAIN);
    project.run(&["reconcile"]).exits(0).prints("BALANCED");
    // The reports lie beside the CSV objects, and the checker knows only those.
    fs::remove_dir_all(project.path("var/curated/.reports")).unwrap();
    all_is_done(&project);
    project
}

/// A document that is near its end and cannot be archived; whoever tells of it dies. It is told twice rather than never.
fn an_alert(_: &Project, after: bool) -> Project {
    let mut project = near_its_end("soon.txt");
    let drain = ["drain", "--patience", "0s"];
    must_die(&mut project, &drain, &format!("alert.push:1:{}", moment(after)));
    project.run(&drain).exits(1);
    let told = fs::read_to_string(project.path("alerts.jsonl")).unwrap().lines().count();
    assert_eq!(told, 1 + usize::from(after));
    fs::remove_file(project.path("var/archive")).unwrap();
    restart_until_done(&project, DRAIN);
    assert_eq!(project.outcome_words("soon.txt"), ["loaded"]);
    project
}

/// A document that landed nearly a day ago, and that cannot be archived while a file lies in the way.
pub(crate) fn near_its_end(key: &str) -> Project {
    let project = Project::new().with("SLUICEGATE_ALERT_FILE", "alerts.jsonl");
    project.edit("jobs/invoices.toml", "format = ", "expires_after_hours = 24\nformat = ");
    let modified = SystemTime::now() - Duration::from_secs(20 * 3_600);
    project.land(key, Invoice::made_up(&mut Random::new(20), 20).text().as_bytes(), modified);
    fs::write(project.path("var/archive"), "in the way").unwrap();
    project
}

/// Documents that were all rejected by a wrong job file, which is mended; the landing is empty.
fn rejected_then_mended(documents: &[Document]) -> Project {
    const RIGHT: &str = r#"label = "Customer-ID""#;
    const WRONG: &str = r#"label = "Customer-No""#;
    let project = Project::with_batches_of(BATCH);
    project.edit("jobs/invoices.toml", RIGHT, WRONG);
    project.land_all(documents);
    project.run(DRAIN).exits(3);
    fs::remove_dir_all(project.landing()).unwrap();
    fs::create_dir(project.landing()).unwrap();
    project
}

/// A replay of rejected documents dies at its moments, and is asked for again.
fn replays() -> Kills {
    let mut random = Random::new(77);
    let document = |number: u64| {
        let invoice = Invoice::made_up(&mut random, number);
        let (bytes, key) = (invoice.text().into_bytes(), format!("{number}.txt"));
        let modified = crate::corpus::landed(number as usize);
        Document { key, bytes, modified, meaning: Meaning::Invoices(vec![invoice]) }
    };
    let documents: Vec<Document> = (0..4).map(document).collect();
    let prepared = rejected_then_mended(&documents);
    let kills = Mutex::new(Kills::default());
    const REPLAY: &[&str] = &["jobs", "replay", "--rejected", "--yes", "--output", "json"];
    let points = advance(WORKERS, if full() { 1 } else { SAMPLE }, |number, after| {
        let mut project = copy_of(&prepared);
        let met = crate::deaths::dies(&mut project, REPLAY, &format!("{number}:{}", moment(after)));
        restart_until_done(&project, REPLAY);
        restart_until_done(&project, DRAIN);
        loaded_once(&project, &documents);
        kills.lock().unwrap().add(&Kills::traced(&project.path("trace")));
        met
    });
    let kills = kills.into_inner().unwrap();
    assert_eq!(kills.count(), points);
    assert!(points >= if full() { 60 } else { 10 }, "a replay has more moments: {kills:?}");
    kills
}

/// Every document is loaded, with one verdict that says so, and its rows are there once, in tables and CSV objects.
#[track_caller]
fn loaded_once(project: &Project, documents: &[Document]) {
    let expected = Expected::of(documents);
    let count = |sql: &str| project.ask::<u64>(sql).unwrap();
    let rows = count("SELECT (SELECT count(*) FROM invoices) + (SELECT count(*) FROM invoice_items)");
    assert_eq!(rows, expected.rows());
    for table in ["document", "verdict"] {
        let loaded = format!("SELECT count(*) FROM sluicegate_{table} WHERE outcome = 'loaded'");
        assert_eq!(count(&loaded), documents.len() as u64, "{table}");
    }
    let lines = files_under(&project.path("var/curated")).into_iter();
    let lines = lines.filter(|(name, _)| name.ends_with(".csv"));
    // A quoted value holds no line break: they became spaces.
    let lines: usize = lines.map(|(_, path)| fs::read_to_string(path).unwrap().lines().count() - 1).sum();
    assert_eq!(lines as u64, rows, "the CSV objects hold what the warehouse holds (I7)");
    assert_eq!(needless_crawls(project), 0, "crawls that cover nothing");
    project.run(&["reconcile"]).exits(0).prints("BALANCED");
}
