//! A database that was restored to the past is refused, shown what it lost, and has it again: once, as it was.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use rusqlite::Connection;
use serde_json::Value;

use crate::corpus::Random;
use crate::support::{Project, files_under};
use crate::world::{Blocked, as_told, date, day, discrepancies, invoice, kinds, land, reconcile};

const MEND: [&str; 5] =
    ["reconcile", "--ledger-behind", "--because", "the backup of Monday, ticket 7", "--yes"];

/// All that has to be as it was, but for times.
const CONTENT: [&str; 7] = [
    "SELECT 'invoice ' || customer_id || ' ' || invoice_id || ' ' || total || ' ' || batch_id || ' ' || source_order
     FROM invoices",
    "SELECT 'item ' || customer_id || ' ' || invoice_id || ' ' || line || ' ' || price || ' ' || batch_id
     FROM invoice_items",
    "SELECT 'document ' || key || ' ' || version || ' ' || outcome || ' ' || batch_id || ' ' || ordinal || ' ' || reason
     FROM sluicegate_document",
    "SELECT 'verdict ' || batch_id || ' ' || ordinal || ' ' || outcome || ' ' || rows FROM sluicegate_verdict",
    "SELECT 'totals ' || batch_id || ' ' || table_name || ' ' || rows || ' ' || digest || ' ' || csv_sha256
     FROM sluicegate_batch_table",
    "SELECT 'batch ' || batch_id || ' ' || documents || ' ' || rows || ' ' || definition_hash FROM sluicegate_batch",
    "SELECT 'reject ' || batch_id || ' ' || ordinal || ' ' || reason FROM sluicegate_reject",
];

/// The one column of a statement, sorted; from the SQLite file or the PostgreSQL database of the project.
fn column(project: &Project, sql: &str) -> Vec<String> {
    #[cfg(feature = "postgres")]
    if let Some(url) = project.variable("SLUICEGATE_WAREHOUSE") {
        let mut shell = postgres::Client::connect(url, postgres::NoTls).unwrap();
        let rows = crate::server::select(&mut shell, &sql.replace("sluicegate_", "sluicegate."));
        let mut found: Vec<String> = rows.into_iter().map(|mut row| row.remove(0)).collect();
        found.sort();
        return found;
    }
    let warehouse = project.warehouse().unwrap();
    let mut statement = warehouse.prepare(sql).unwrap();
    let mut found: Vec<String> =
        statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    found.sort();
    found
}

fn content(project: &Project) -> Vec<String> {
    let content: Vec<String> = CONTENT.iter().flat_map(|sql| column(project, sql)).collect();
    assert!(content.len() > 7, "{content:?}");
    content
}

/// The CSV objects, and when each was written.
fn curated(project: &Project) -> BTreeMap<PathBuf, (Vec<u8>, SystemTime)> {
    let tables = ["invoices", "invoice_items"];
    let files = tables.into_iter().flat_map(|table| files_under(&project.path("var/curated").join(table)));
    files
        .map(|(_, path)| {
            let at = fs::metadata(&path).unwrap().modified().unwrap();
            (path.clone(), (fs::read(path).unwrap(), at))
        })
        .collect()
}

/// A copy of the database at one moment.
enum Backup {
    File(PathBuf),
    #[cfg(feature = "postgres")]
    Database(server::Copy),
}

impl Backup {
    fn of(project: &Project) -> Self {
        #[cfg(feature = "postgres")]
        if let Some(url) = project.variable("SLUICEGATE_WAREHOUSE") {
            return Self::Database(server::Copy::of(url));
        }
        let copy = project.path("backup.db");
        fs::copy(project.path("var/warehouse.db"), &copy).unwrap();
        assert!(!project.path("var/warehouse.db-wal").exists(), "nobody has it open");
        Self::File(copy)
    }

    fn restore(&self, project: &Project) {
        match self {
            Self::File(copy) => {
                for rest in ["var/warehouse.db-wal", "var/warehouse.db-shm"] {
                    let _ = fs::remove_file(project.path(rest));
                }
                fs::copy(copy, project.path("var/warehouse.db")).unwrap();
            }
            #[cfg(feature = "postgres")]
            Self::Database(copy) => copy.restore(),
        }
    }
}

#[cfg(feature = "postgres")]
mod server {
    use postgres::{Client, NoTls};

    /// A database made from another one as a template, and the way back.
    pub(super) struct Copy {
        server: String,
        name: String,
    }

    impl Copy {
        pub(super) fn of(url: &str) -> Self {
            let name = url.rsplit_once('/').unwrap().1.to_owned();
            let copy = Self { server: crate::server::server().unwrap(), name };
            copy.make(&copy.backup(), &copy.name);
            copy
        }

        pub(super) fn restore(&self) {
            self.make(&self.name, &self.backup());
        }

        fn backup(&self) -> String {
            format!("{}_backup", self.name)
        }

        fn make(&self, database: &str, template: &str) {
            let mut admin = Client::connect(&self.server, NoTls).unwrap();
            admin.batch_execute(&format!("DROP DATABASE IF EXISTS {database} WITH (FORCE)")).unwrap();
            admin.batch_execute(&format!("CREATE DATABASE {database} TEMPLATE {template}")).unwrap();
        }
    }

    impl Drop for Copy {
        fn drop(&mut self) {
            if let Ok(mut admin) = Client::connect(&self.server, NoTls) {
                let _ = admin.batch_execute(&format!("DROP DATABASE {} WITH (FORCE)", self.backup()));
            }
        }
    }
}

/// What was before, and the database of before that.
struct Loss {
    content: Vec<String>,
    curated: BTreeMap<PathBuf, (Vec<u8>, SystemTime)>,
    backup: Backup,
}

/// Two batches before the backup; after it three, with a broken document, an invoice that came again, and one with
/// another amount; then the backup is restored.
fn loses(project: &Project) -> Loss {
    project.edit("jobs/invoices.toml", "documents = 1000\n", "documents = 2\n");
    land(project, 0..4, 2);
    project.run(&["drain", "--crawl"]).exits(0);
    let backup = Backup::of(project);
    land(project, 4..7, 1);
    project.land_settled("again.txt", &invoice(1).text());
    project.land_settled("broken.txt", "nothing that anybody could load\n");
    let mut other = invoice(4);
    other.items[0].price += 100;
    project.land_settled("zz another amount.txt", &other.text());
    project.run(&["drain", "--crawl"]).exits(3);
    let loss = Loss { content: content(project), curated: curated(project), backup };
    loss.backup.restore(project);
    assert_ne!(content(project), loss.content);
    loss
}

/// Everything is as it was, a drain is let in, and the proof balances.
#[track_caller]
fn is_whole(project: &Project, loss: &Loss) {
    assert_eq!(content(project), loss.content);
    assert!(curated(project) == loss.curated, "CSV objects are never written over");
    project.run(&["drain", "--crawl"]).exits(0);
    let report = reconcile(project, &[], 0);
    assert_eq!(report["balanced"], true, "{report:#}");
    assert_eq!(content(project), loss.content, "the drain finds nothing more to load");
    let open = "SELECT batch_id FROM sluicegate_batch WHERE crawl_id IS NULL OR published_at IS NULL";
    assert_eq!(column(project, open), Vec::<String>::new(), "the next window adopted all of them");
}

fn is_shown_and_mended(project: &Project) {
    let loss = loses(project);
    for words in [&["drain"][..], &["reconcile"], &["reconcile", "--repair"]] {
        project.run(words).exits(2).tells("restored to the past").tells("reconcile --ledger-behind");
    }
    let before = content(project);
    let dry = ["reconcile", "--ledger-behind", "--dry-run", "--because", "looking", "--output", "json"];
    let shown: Value = project.run(&dry).exits(0).json();
    let loads = shown["loads"].as_array().unwrap();
    assert_eq!((loads.len(), &shown["documents"]), (3, &6.into()), "{shown:#}");
    let lost =
        loss.content.iter().filter(|line| line.starts_with("invoice ") && !before.contains(line)).count();
    let items =
        loss.content.iter().filter(|line| line.starts_with("item ") && !before.contains(line)).count();
    assert_eq!(shown["rows"], lost + items, "{shown:#}");
    let sums: Vec<&Value> = loads.iter().flat_map(|load| load["objects"].as_array().unwrap()).collect();
    assert!(sums.iter().any(|object| object["sums"]["total"].is_string()), "{shown:#}");
    project.run(&dry[..5]).exits(0).prints("3 loads are missing with 6 documents").prints("cannot be known");
    // Without a reason, or without anybody to ask, nothing happens.
    project.run(&["reconcile", "--ledger-behind"]).exits(2).tells("--because");
    project.run(&MEND[..4]).exits(2).tells("--yes");
    assert_eq!(content(project), before, "looking changes nothing");
    project.run(&["drain"]).exits(2);
    project.run(&MEND).exits(0).tells("3 loads entered again").tells("holds and releases");
    let reasons = "SELECT reason FROM sluicegate_operation WHERE detail LIKE '{%entered_again%'";
    assert_eq!(column(project, reasons), ["the backup of Monday, ticket 7"]);
    is_whole(project, &loss);
    project.run(&MEND).exits(0).tells("No load is missing");
    goes_on(project);
}

/// What lands from now on is loaded as ever, and the proof balances.
fn goes_on(project: &Project) {
    land(project, 20..23, 0);
    let loaded = project.run(&["drain", "--crawl", "--output", "json"]).exits(0).json();
    assert_eq!(loaded["documents"]["loaded"], 3, "{loaded}");
    let report = reconcile(project, &[], 0);
    assert_eq!(report["balanced"], true, "{report:#}");
}

/// The state folder is gone too, and the landing is empty: the archive alone knows, and a drain needs nobody.
fn is_rebuilt(project: Project) {
    let project = project.with("SLUICEGATE_STATE", "var/state");
    let loss = loses(&project);
    fs::remove_dir_all(project.path("var/state")).unwrap();
    fs::remove_dir_all(project.landing()).unwrap();
    fs::create_dir_all(project.landing()).unwrap();
    project.run(&["drain", "--crawl"]).exits(3);
    is_whole(&project, &loss);
}

#[test]
fn with_the_state_lost_and_the_landing_full_the_archive_comes_first() {
    let project = Project::new().with("SLUICEGATE_STATE", "var/state");
    let loss = loses(&project);
    fs::remove_dir_all(project.path("var/state")).unwrap();
    // What was published shows by its CSV objects; the batch without rows waits for the drain.
    project.run(&MEND).tells("another machine's").tells("2 loads entered again");
    project.run(&["drain", "--crawl"]);
    let rows = |content: &[String]| -> Vec<String> {
        let is_row = |line: &&String| line.starts_with("invoice ") || line.starts_with("item ");
        content.iter().filter(is_row).cloned().collect()
    };
    assert_eq!(rows(&content(&project)), rows(&loss.content));
    assert!(curated(&project) == loss.curated, "no object more, and none other");
    assert_eq!(reconcile(&project, &[], 0)["balanced"], true);
}

fn is_mended_after_kills(project: &Project) {
    let loss = loses(project);
    let mut random = Random::new(26);
    for _ in 0..6 {
        let mending = project.start(&MEND);
        std::thread::sleep(Duration::from_millis(random.below(120)));
        mending.kill();
    }
    project.run(&MEND).exits(0);
    is_whole(project, &loss);
}

#[test]
fn what_a_restored_database_lost_is_shown_and_entered_again() {
    is_shown_and_mended(&Project::new());
}

#[test]
fn a_mending_that_is_killed_is_run_again() {
    is_mended_after_kills(&Project::new());
}

#[test]
fn with_the_state_lost_too_the_archive_knows() {
    is_rebuilt(Project::new());
}

#[cfg(feature = "postgres")]
#[test]
fn the_same_with_postgresql() {
    let Some(database) = crate::server::Database::new() else { return };
    is_shown_and_mended(&Project::new().with("SLUICEGATE_WAREHOUSE", database.url.as_str()));
}

#[cfg(feature = "postgres")]
#[test]
fn a_mending_of_postgresql_that_is_killed_is_run_again() {
    let Some(database) = crate::server::Database::new() else { return };
    is_mended_after_kills(&Project::new().with("SLUICEGATE_WAREHOUSE", database.url.as_str()));
}

#[cfg(feature = "postgres")]
#[test]
fn with_postgresql_and_the_state_lost_too_the_archive_knows() {
    let Some(database) = crate::server::Database::new() else { return };
    is_rebuilt(Project::new().with("SLUICEGATE_WAREHOUSE", database.url.as_str()));
}

#[test]
fn one_machine_mends_for_all() {
    let mut project = Project::new().with("SLUICEGATE_STATE", "var/one");
    land(&project, 0..2, 2);
    project.run(&["drain", "--crawl"]).exits(0);
    let backup = Backup::of(&project);
    land(&project, 2..4, 1);
    project.run(&["drain", "--crawl"]).exits(0);
    project.set("SLUICEGATE_STATE", "var/two");
    land(&project, 4..6, 1);
    project.run(&["drain", "--crawl"]).exits(0);
    let loss = Loss { content: content(&project), curated: curated(&project), backup };
    loss.backup.restore(&project);
    for state in ["var/one", "var/two"] {
        project.set("SLUICEGATE_STATE", state);
        project.run(&["drain"]).exits(2);
    }
    project.set("SLUICEGATE_STATE", "var/one");
    project.run(&MEND).exits(0).tells("another machine's").tells("2 loads entered again");
    assert_eq!(content(&project), loss.content);
    // The other one finds its newest load in the ledger, and works as every day.
    project.set("SLUICEGATE_STATE", "var/two");
    is_whole(&project, &loss);
    project.run(&MEND).exits(0).tells("No load is missing");
}

#[test]
fn the_definition_of_then_decides_and_not_the_one_of_today() {
    let project = Project::new();
    land(&project, 0..2, 2);
    project.run(&["drain", "--crawl"]).exits(0);
    let backup = Backup::of(&project);
    // Sealed and archived under one definition, loaded under the next, and a third one is there today.
    project.edit("jobs/invoices.toml", "[\"%b %d %Y\", \"%B %d %Y\"]", "[\"%Y-%m-%d\"]");
    land(&project, 2..4, 1);
    project.run(&["jobs", "hold", "invoices", "--because", "the dates"]).exits(0);
    project.run(&["drain"]);
    assert_eq!(column(&project, "SELECT batch_id FROM sluicegate_batch").len(), 1, "held, and archived");
    project.edit("jobs/invoices.toml", "[\"%Y-%m-%d\"]", "[\"%b %d %Y\", \"%B %d %Y\"]");
    project.run(&["jobs", "release", "invoices", "--because", "mended"]).exits(0);
    project.run(&["drain", "--crawl"]).exits(0);
    let loss = Loss { content: content(&project), curated: curated(&project), backup };
    assert_eq!(column(&project, "SELECT key FROM sluicegate_document WHERE outcome = 'loaded'").len(), 4);
    loss.backup.restore(&project);
    project.edit("jobs/invoices.toml", "[\"%b %d %Y\", \"%B %d %Y\"]", "[\"%d.%m.%Y\"]");
    // Neither the definition of the sealing nor today's makes these objects; the ledger still has the one that does.
    project.run(&MEND).exits(0);
    is_whole(&project, &loss);
}

#[test]
fn a_load_whose_originals_are_gone_is_named_and_does_not_stop_the_others() {
    let project = Project::new();
    let loss = loses(&project);
    let loaded = loss.content.iter().find(|line| line.starts_with("document in/6.txt")).unwrap();
    let batch = loaded.split(' ').find(|word| word.contains("T") && word.len() == 33).unwrap();
    let archives = files_under(&project.path("var/archive"));
    let (_, archive) = archives.into_iter().find(|(name, _)| name.contains(batch)).unwrap();
    let aside = project.path("aside.tar.zst");
    fs::rename(&archive, &aside).unwrap();
    project.run(&MEND).exits(3).tells("2 loads entered again").tells("is gone: put it back");
    // The machine goes on, and the proof tells what is lost until it is entered.
    project.run(&["drain", "--crawl"]).exits(0);
    let report = reconcile(&project, &[], 3);
    let lost = discrepancies(&report).into_iter().find(|found| found["kind"] == "lost_batch").unwrap();
    assert_eq!(lost["batch_id"], batch);
    fs::rename(&aside, &archive).unwrap();
    as_told(&project, &format!("{} --yes", lost["command"].as_str().unwrap())).exits(0);
    is_whole(&project, &loss);
}

/// One batch with documents of two days: both miss something, both say so, and one acceptance serves for both.
#[test]
fn a_lost_batch_is_told_on_each_of_its_days() {
    let project = Project::new();
    land(&project, 0..1, 3);
    project.run(&["drain", "--crawl"]).exits(0);
    let backup = Backup::of(&project);
    land(&project, 1..2, 2);
    land(&project, 2..3, 1);
    project.run(&["drain", "--crawl"]).exits(0);
    let batch = column(&project, "SELECT batch_id FROM sluicegate_batch ORDER BY load_number DESC LIMIT 1");
    backup.restore(&project);
    let archives = files_under(&project.path("var/archive"));
    let (_, archive) = archives.into_iter().find(|(name, _)| name.contains(&batch[0])).unwrap();
    fs::remove_file(archive).unwrap();
    project.run(&MEND).exits(3).tells("is gone: put it back");
    project.run(&["drain", "--crawl"]).exits(0);
    let report = reconcile(&project, &[], 3);
    let id_on = |date: &str| {
        let told = day(&report, date)["discrepancies"].as_array().unwrap().clone();
        let lost = told.into_iter().find(|found| found["kind"] == "lost_batch").expect("it is told");
        assert_eq!(day(&report, date)["balance"]["difference"], 1);
        lost["id"].as_str().unwrap().to_owned()
    };
    let ids: BTreeSet<String> = [date(2), date(1)].iter().map(|date| id_on(date)).collect();
    assert_eq!(ids.len(), 1, "{report:#}");
    // What is accepted besides explains nothing of what is in no place.
    let (lost, others): (BTreeSet<String>, BTreeSet<String>) = discrepancies(&report)
        .into_iter()
        .map(|found| found["id"].as_str().unwrap().to_owned())
        .partition(|id| ids.contains(id));
    assert!(!others.is_empty(), "its CSV objects are nobody's");
    for id in others {
        reconcile(&project, &["--accept", &id, "--because", "a test"], 3);
    }
    let id = lost.first().unwrap();
    let report = reconcile(&project, &["--accept", id, "--because", "the originals are gone"], 0);
    assert_eq!(report["balanced"], true, "{report:#}");
}

#[test]
fn objects_that_differ_are_never_written_over() {
    let project = Project::new();
    let loss = loses(&project);
    let loaded = loss.content.iter().find(|line| line.starts_with("document in/6.txt")).unwrap();
    let batch = loaded.split(' ').find(|word| word.contains("T") && word.len() == 33).unwrap();
    let mine = |path: &&PathBuf| {
        path.to_str().unwrap().contains(&format!("/invoices/dt={}", date_of(batch)))
            && path.to_str().unwrap().contains(batch)
    };
    let object = loss.curated.keys().find(mine).unwrap();
    let aside = project.path("aside.csv");
    fs::rename(object, &aside).unwrap();
    fs::write(object, "somebody else's\n").unwrap();
    project.run(&MEND).exits(3).tells(&format!("not entered: {batch}")).tells("would make another one");
    assert_eq!(fs::read_to_string(object).unwrap(), "somebody else's\n");
    // An object that is gone is written again.
    fs::remove_file(object).unwrap();
    project.run(&MEND).exits(0).tells("1 load entered again");
    assert_eq!(fs::read(object).unwrap(), fs::read(&aside).unwrap());
    assert_eq!(content(&project), loss.content);
    project.run(&["drain", "--crawl"]).exits(0);
    assert_eq!(reconcile(&project, &[], 0)["balanced"], true);
}

fn date_of(batch: &str) -> String {
    format!("{}-{}-{}", &batch[..4], &batch[4..6], &batch[6..8])
}

#[test]
fn a_lost_load_that_was_not_published_goes_on_from_there() {
    let project = Project::new();
    land(&project, 0..2, 2);
    project.run(&["drain", "--crawl"]).exits(0);
    let backup = Backup::of(&project);
    land(&project, 2..4, 1);
    let blocked = Blocked::new(project.path("var/curated"));
    project.run(&["drain", "--patience", "100ms"]).exits(1);
    blocked.free();
    let before = content(&project);
    assert_eq!(column(&project, "SELECT batch_id FROM sluicegate_batch").len(), 2);
    backup.restore(&project);
    project.run(&MEND).exits(0).tells("1 load entered again");
    assert_eq!(content(&project), before);
    project.run(&["drain", "--crawl"]).exits(0);
    let loss = Loss { content: before, curated: curated(&project), backup };
    assert_eq!(loss.curated.len(), 4, "two batches with an object for each table");
    is_whole(&project, &loss);
}

#[test]
fn another_ledger_is_no_past_of_this_one() {
    let mut project = Project::new();
    land(&project, 0..2, 2);
    project.run(&["drain", "--crawl"]).exits(0);
    project.set("SLUICEGATE_WAREHOUSE", "sqlite:var/other.db");
    project.set("SLUICEGATE_STATE", "var/other");
    land(&project, 2..3, 1);
    project.run(&["drain", "--crawl"]).exits(0);
    project.set("SLUICEGATE_STATE", "var");
    project.run(&MEND).exits(2).tells("belongs to the ledger");
    let other = Connection::open(project.path("var/other.db")).unwrap();
    let operations: i64 =
        other.query_row("SELECT count(*) FROM sluicegate_operation", [], |row| row.get(0)).unwrap();
    assert_eq!(operations, 0, "nothing was written into a stranger's ledger");
}

#[test]
fn a_load_that_only_the_proof_misses_is_mended_too() {
    let project = Project::new();
    let loss = loses(&project);
    project.run(&MEND).exits(0);
    assert_eq!(column(&project, "SELECT batch_id FROM sluicegate_batch").len(), 5);
    // A batch in the middle is forgotten, as where two loads committed in the other order at the moment of the backup.
    let warehouse = Connection::open(project.path("var/warehouse.db")).unwrap();
    let second = "SELECT batch_id FROM sluicegate_batch ORDER BY load_number LIMIT 1 OFFSET 1";
    let batch = column(&project, second).remove(0);
    warehouse
        .execute_batch(&format!(
            "DROP TRIGGER sluicegate_verdict_never_deleted;
             DELETE FROM sluicegate_verdict WHERE batch_id = '{batch}';
             DELETE FROM sluicegate_document WHERE batch_id = '{batch}';
             DELETE FROM sluicegate_batch_table WHERE batch_id = '{batch}';
             DELETE FROM sluicegate_batch WHERE batch_id = '{batch}';
             DELETE FROM invoices WHERE batch_id = '{batch}';
             DELETE FROM invoice_items WHERE batch_id = '{batch}';
             CREATE TRIGGER sluicegate_verdict_never_deleted BEFORE DELETE ON sluicegate_verdict
             BEGIN SELECT RAISE(ABORT, 'verdicts are append-only'); END;"
        ))
        .unwrap();
    drop(warehouse);
    project.run(&["drain"]).exits(0);
    let report = reconcile(&project, &[], 3);
    let kinds = kinds(&report);
    assert!(kinds.contains(&"lost_batch".to_owned()), "{report:#}");
    project.run(&MEND).exits(0).tells("1 load entered again");
    is_whole(&project, &loss);
}
