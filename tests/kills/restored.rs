//! The state folder is gone, or comes back as an old copy, while documents are in every stage; and the landing may have
//! emptied itself meanwhile. The built program finds what was done from ledger and archive, and does the rest, once.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use rusqlite::Connection;

use crate::checker::{Landing, check_after};
use crate::corpus::{Document, Invoice, Meaning, Random, landed};
use crate::covered::needless_crawls;
use crate::deaths::{counted, must_die, restart_until_done, side_by_side};
use crate::documents::{BATCH, windows};
use crate::embedded::{DRAIN, copy_of, full};
use crate::oracle::Expected;
use crate::support::{Project, Snapshot, files_under};

const WORKERS: usize = 2;

/// Where the second window was when the copy was made, by the effect after which everything stood still.
const COPIED_AT: [(&str, &str); 7] = [
    ("pending", "journal.commit:1"),
    ("sealed", "seal.commit:1"),
    ("an archive that the state does not know of", "archive.put:1"),
    ("archived", "transition.commit:1"),
    ("a load that the state does not know of", "warehouse.commit:1"),
    ("loaded, and half of its CSV objects there", "curated.put:1"),
    ("published", "published.commit:2"),
];

/// What was done between the copy and the loss of the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meanwhile {
    /// Everything.
    Finished,
    /// The ledger was away: everything is archived, and no more.
    Archived,
}

/// What comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Back {
    /// Nothing.
    Nothing,
    /// A copy of an hour ago.
    Recent,
    /// A copy of yesterday.
    OfYesterday,
}

#[derive(Debug, Clone, Copy)]
struct Loss {
    copied: (&'static str, &'static str),
    meanwhile: Meanwhile,
    back: Back,
    landing_emptied: bool,
}

/// Documents that have nothing to do with each other: a batch that is sealed once more may overtake another one.
fn strangers() -> Vec<Document> {
    let mut random = Random::new(4_711);
    let stranger = |index: usize| {
        let invoice = Invoice::made_up(&mut random, 10_000 + index as u64);
        let (bytes, modified) = (invoice.text().into_bytes(), landed(2_000 + index));
        let meaning = Meaning::Invoices(vec![invoice]);
        Document { key: format!("stranger {index}.txt"), bytes, modified, meaning }
    };
    (0..2 * BATCH).map(stranger).collect()
}

/// A first window is done, and two batches' worth of strangers have landed.
fn prepared() -> Project {
    let project = Project::with_batches_of(BATCH);
    project.land_all(&windows()[0]);
    restart_until_done(&project, DRAIN);
    project.land_all(&strangers());
    project
}

fn state_files(project: &Project) -> Vec<PathBuf> {
    let files = files_under(&project.path("var")).into_iter();
    files.filter(|(name, _)| name.starts_with("state.db")).map(|(_, path)| path).collect()
}

fn copy_into(files: &[PathBuf], folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    for file in files {
        fs::copy(file, folder.join(file.file_name().unwrap())).unwrap();
    }
}

/// As if a day had passed since the last look at the fleet.
fn make_older(copy: &Path) {
    let state = Connection::open(copy.join("state.db")).unwrap();
    let sql = "UPDATE meta SET value = '2020-01-01T00:00:00+00:00' WHERE key IN ('fleet.scanned_at', 'fleet.whole_scan_at')";
    assert_eq!(state.execute(sql, []).unwrap(), 2);
}

/// Nobody who was seen before counts as alive: the loss took with it what would have told so at once.
fn run_out(project: &Project) {
    let ledger = Connection::open(project.path("var/warehouse.db")).unwrap();
    ledger.execute("UPDATE sluicegate_machine SET seen_at = '2020-01-01T00:00:00Z'", []).unwrap();
}

/// Archives everything while a folder lies where the warehouse belongs.
fn without_ledger(project: &Project) {
    let (warehouse, away) = (project.path("var/warehouse.db"), project.path("away"));
    let files: Vec<_> = files_under(&project.path("var"))
        .into_iter()
        .filter(|(name, _)| name.starts_with("warehouse.db"))
        .collect();
    fs::create_dir(&away).unwrap();
    for (name, path) in &files {
        fs::rename(path, away.join(name)).unwrap();
    }
    fs::create_dir(&warehouse).unwrap();
    project.run(&["drain", "--patience", "0s"]).exits(1);
    fs::remove_dir(&warehouse).unwrap();
    for (name, path) in &files {
        fs::rename(away.join(name), path).unwrap();
    }
}

fn survives(prepared: &Project, loss: &Loss) {
    let mut project = copy_of(prepared);
    must_die(&mut project, DRAIN, &format!("{}:after", loss.copied.1));
    let copy = project.path("copy");
    copy_into(&state_files(&project), &copy);
    match loss.meanwhile {
        Meanwhile::Finished => drop(restart_until_done(&project, DRAIN)),
        Meanwhile::Archived => without_ledger(&project),
    }
    let taken = project.path("taken by the lifecycle");
    let landed = Snapshot::of(&project.landing());
    if loss.landing_emptied {
        fs::rename(project.landing(), &taken).unwrap();
        fs::create_dir(project.landing()).unwrap();
    }
    state_files(&project).iter().for_each(|path| fs::remove_file(path).unwrap());
    if loss.back == Back::OfYesterday {
        make_older(&copy);
    }
    if loss.back != Back::Nothing {
        copy_into(&files_in(&copy), &project.path("var"));
    }
    run_out(&project);
    restart_until_done(&project, DRAIN);
    if loss.landing_emptied {
        fs::remove_dir(project.landing()).unwrap();
        fs::rename(&taken, project.landing()).unwrap();
    }
    let landing = if loss.landing_emptied { Landing::Emptied } else { Landing::Kept };
    is_whole(&project, landing, &landed);
}

/// Everything is done, once, covered and proven.
fn is_whole(project: &Project, landing: Landing, landed: &Snapshot) {
    // The report of a mending lies beside the CSV objects, and the checker knows only those.
    let _ = fs::remove_dir_all(project.path("var/curated/.reports"));
    let documents = [windows()[0].clone(), strangers()].concat();
    check_after(landing, project, &Expected::of(&documents), landed);
    let open = "SELECT count(*) FROM sluicegate_batch WHERE crawl_id IS NULL";
    assert_eq!(project.ask::<u64>(open), Some(0), "every batch is covered, or has nothing to crawl");
    // A ledger that was put back does not know all crawls.
    needless_crawls(project);
    project.run(&["reconcile"]).exits(0).prints("BALANCED");
}

/// The ledger is put back to where it was before the second window, which had come as far as `copied` says. Where the
/// state remembers a load that is lost, nothing goes on before a person has had it entered again.
fn survives_an_old_ledger(prepared: &Project, (stage, effect): (&str, &str)) {
    let mut project = copy_of(prepared);
    must_die(&mut project, DRAIN, &format!("{effect}:after"));
    for (name, path) in files_under(&project.path("var")) {
        if name.starts_with("warehouse.db") {
            fs::remove_file(path).unwrap();
        }
    }
    fs::copy(prepared.path("var/warehouse.db"), project.path("var/warehouse.db")).unwrap();
    let state = Connection::open(project.path("var/state.db")).unwrap();
    let newest = "SELECT value FROM meta WHERE key = 'ledger.newest_load'";
    let newest: String = state.query_row(newest, [], |row| row.get(0)).unwrap();
    drop(state);
    let known = format!("SELECT count(*) FROM sluicegate_batch WHERE batch_id = '{newest}'");
    if project.ask::<u64>(&known) == Some(0) {
        project.run(DRAIN).exits(2).tells("restored to the past").tells("reconcile --ledger-behind");
        project.run(&["reconcile", "--ledger-behind", "--because", "a backup", "--yes"]).exits(0);
    } else {
        assert!(!["loaded, and half of its CSV objects there", "published"].contains(&stage), "{stage}");
    }
    let landed = Snapshot::of(&project.landing());
    restart_until_done(&project, DRAIN);
    is_whole(&project, Landing::Kept, &landed);
}

fn files_in(folder: &Path) -> Vec<PathBuf> {
    files_under(folder).into_iter().map(|(_, path)| path).collect()
}

/// All of them, or a sample in which everything occurs with everything else, but not all at once.
fn losses() -> Vec<Loss> {
    let mut losses = Vec::new();
    for (number, copied) in COPIED_AT.into_iter().enumerate() {
        for (turn, (meanwhile, landing_emptied)) in [
            (Meanwhile::Archived, true),
            (Meanwhile::Finished, false),
            (Meanwhile::Finished, true),
            (Meanwhile::Archived, false),
        ]
        .into_iter()
        .enumerate()
        {
            for (place, back) in [Back::OfYesterday, Back::Nothing, Back::Recent].into_iter().enumerate() {
                if full() || place == (number + turn) % 3 {
                    losses.push(Loss { copied, meanwhile, back, landing_emptied });
                }
            }
        }
    }
    losses
}

#[test]
fn a_state_that_is_gone_or_old_is_made_good_from_ledger_and_archive() {
    let prepared = prepared();
    let survived = AtomicUsize::new(0);
    let losses = losses();
    side_by_side(WORKERS, &losses, |loss| {
        let told = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| survives(&prepared, loss)));
        assert!(told.is_ok(), "{loss:?}: see above");
        survived.fetch_add(1, Ordering::Relaxed);
    });
    let survived = survived.into_inner();
    counted(
        "kills-restored",
        survived,
        "state folders lost, or put back as an old copy, with documents in each stage",
    );
    assert_eq!(survived, losses.len());
}

#[test]
fn a_ledger_that_is_old_is_refused_and_mended_with_documents_in_each_stage() {
    let prepared = prepared();
    assert!(
        !prepared.path("var/warehouse.db-wal").exists(),
        "the last connection wrote everything into the file"
    );
    side_by_side(WORKERS, &COPIED_AT, |copied| survives_an_old_ledger(&prepared, *copied));
    counted(
        "kills-old-ledger",
        COPIED_AT.len(),
        "ledgers put back as an old copy, with documents in each stage",
    );
}
