//! Goal: the built binary with a server that takes everything and says nothing: documents are journaled and archived all
//! the same (I11), every command ends, and what was under way goes on by itself when the server answers again.

use std::time::{Duration, Instant, SystemTime};

use crate::corpus::{Invoice, Random};
use crate::mute::Mute;
use crate::program::{Project, files_under, until};
use crate::server::Database;

/// Far above what any command here may take, and far below a hang.
const BOUND: Duration = Duration::from_secs(100);
/// In a batch.
const DOCUMENTS: usize = 10;

/// A project of so many documents, one invoice each, with the database behind `mute`.
fn project(mute: &Mute, database: &Database, documents: u64) -> Project {
    let project = Project::with_batches_of(DOCUMENTS).with("SLUICEGATE_WAREHOUSE", mute.url(&database.url));
    let mut random = Random::new(35);
    let long_ago = SystemTime::now() - Duration::from_secs(3_600);
    for number in 0..documents {
        let text = Invoice::made_up(&mut random, number).text();
        project.land(&format!("{number}.txt"), text.as_bytes(), long_ago);
    }
    project
}

fn archives(project: &Project) -> usize {
    files_under(&project.path("var/archive")).iter().filter(|(name, _)| name.ends_with(".tar.zst")).count()
}

/// One number out of the database; 0 while the table is not there.
fn number(database: &Database, sql: &str) -> i64 {
    database.shell().query_one(sql, &[]).map_or(0, |row| row.get(0))
}

/// Every document is loaded, once, and the books balance.
fn check_balanced(project: &Project, database: &Database, documents: i64) {
    assert_eq!(number(database, "SELECT count(*) FROM invoices"), documents);
    let loaded = "SELECT count(*) FROM sluicegate.document WHERE outcome = 'loaded'";
    assert_eq!(number(database, loaded), documents);
    assert_eq!(number(database, "SELECT count(*) FROM sluicegate.verdict"), documents);
    project.run(&["reconcile"]).exits(0).prints("BALANCED");
}

#[test]
fn from_before_the_start() {
    let Some(database) = Database::new() else { return };
    let mute = Mute::start(&database.url);
    mute.fall_silent();
    let project = project(&mute, &database, 40);
    let began = Instant::now();
    let stuck = project.run(&["drain", "--patience", "1s", "--output", "json"]).exits(1);
    println!("the drain took {:?}", began.elapsed());
    assert!(began.elapsed() < BOUND, "{:?}", began.elapsed());
    assert!(stuck.json()["waiting"].to_string().contains("says nothing"), "{stuck:#?}");
    assert_eq!(archives(&project), 40 / DOCUMENTS, "everything is archived");
    for (words, code) in [(&["status"][..], 3), (&["reconcile"], 1), (&["query", "SELECT 1 AS one"], 0)] {
        let began = Instant::now();
        let told = project.run(words);
        assert!(began.elapsed() < BOUND, "{words:?}: {:?}", began.elapsed());
        assert!(format!("{told:?}").contains("says nothing"), "{words:?}: {told:#?}");
        assert_eq!(told.status.code(), Some(code), "{told:#?}");
    }

    // The landing has emptied itself meanwhile.
    std::fs::remove_dir_all(project.landing()).unwrap();
    std::fs::create_dir_all(project.landing()).unwrap();
    mute.speak();
    project.drain(0);
    check_balanced(&project, &database, 40);
}

#[test]
fn in_the_midst_of_the_work() {
    let Some(database) = Database::new() else { return };
    let mute = Mute::start(&database.url);
    let project = project(&mute, &database, 600);
    let mut drain = project.start(&["drain", "--output", "json"]);
    let loaded = || number(&database, "SELECT count(*) FROM sluicegate.batch");
    until("some of it is loaded", || (loaded() >= 3 || drain.has_ended()).then_some(()));
    mute.fall_silent();
    assert!(!drain.has_ended() && loaded() < 60, "it fell silent in the midst of the work");
    until("everything is archived all the same", || (archives(&project) == 60).then_some(()));
    until("it is given up", || drain.told().contains("says nothing").then_some(()));
    mute.speak();
    drain.wait().0.exits(0);
    check_balanced(&project, &database, 600);
}
