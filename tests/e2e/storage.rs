//! Goal: a journal whose disk is full or read-only, or that somebody holds, acknowledges nothing and says so; once it can
//! be written, everything goes on without a person. A damaged one is refused. Small file systems in memory stand for
//! disks: they need root, and `scripts/test` says so where they cannot be had.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use crate::corpus::{Invoice, Random};
use crate::support::{Project, Running, SmallDisk, until};

const REFUSED: &str = "the journal cannot be written, so nothing is acknowledged";
/// What `status` says of it, after the folder.
const STATUS: &str = "cannot be written, so nothing is acknowledged";
/// More documents than the room that SQLite's log already has on the disk.
const MANY: u64 = 1_000;

fn invoice(number: u64) -> String {
    Invoice::made_up(&mut Random::new(number), number).text()
}

fn land(project: &Project, numbers: std::ops::Range<u64>) {
    for number in numbers {
        project.land_settled(&format!("{number}.txt"), &invoice(number));
    }
}

/// The same, all at one moment: a scan in the midst of it would find few of them, for which there may be room.
fn land_at_once(project: &Project, numbers: std::ops::Range<u64>) {
    for number in numbers {
        project.land_settled(&format!("../aside/{number}.txt"), &invoice(number));
    }
    fs::rename(project.path("var/aside"), project.landing().join("at once")).unwrap();
}

fn journaled(state: &Path) -> Option<u64> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(state.join("state.db"), flags).ok()?;
    connection.query_row("SELECT count(*) FROM notification", [], |row| row.get(0)).ok()
}

fn until_journaled(state: &Path, count: u64) {
    until("it is journaled", || (journaled(state)? == count).then_some(()));
}

fn until_told(running: &Running, words: &str) {
    until(words, || running.told().contains(words).then_some(()));
}

fn stop(running: Running) {
    running.signal("TERM");
    running.wait().0.exits(0);
}

/// What a service manager is told.
struct Manager(UnixDatagram);

impl Manager {
    fn over(project: &mut Project) -> Self {
        let path = project.path("manager.socket");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        project.set("NOTIFY_SOCKET", path.display().to_string());
        Self(socket)
    }

    fn until_told(&self, words: &str) {
        let mut buffer = [0; 4096];
        until(words, || {
            let size = self.0.recv(&mut buffer).unwrap();
            String::from_utf8_lossy(&buffer[..size]).contains(words).then_some(())
        });
    }
}

/// A project whose state lies on a disk of its own.
fn on_a_small_disk() -> Option<(Project, SmallDisk)> {
    let project = Project::sealing_soon().with("SLUICEGATE_STATE", "state");
    let disk = SmallDisk::at(project.path("state"), "4m")?;
    Some((project, disk))
}

#[test]
fn a_full_disk_under_the_journal_is_told_and_got_over() {
    let Some((mut project, disk)) = on_a_small_disk() else { return };
    let manager = Manager::over(&mut project);
    land(&project, 0..1);
    let listen = project.start(&["listen"]);
    manager.until_told("STATUS=journaling");
    until_journaled(&disk.path, 1);
    disk.fill();
    land_at_once(&project, 1..MANY);
    until_told(&listen, REFUSED);
    manager.until_told(REFUSED);
    assert_eq!(journaled(&disk.path), Some(1), "nothing is half there");
    project.run(&["status"]).exits(3).prints(STATUS).prints("df -h state");
    disk.free();
    until_journaled(&disk.path, MANY);
    manager.until_told("STATUS=journaling");
    stop(listen);
    assert_eq!(project.drain(0)["documents"]["loaded"], MANY);
}

/// Everything in one process: the stages behind the listener meet the same disk.
#[test]
fn a_run_gets_over_a_full_disk_too() {
    let Some((project, disk)) = on_a_small_disk() else { return };
    let run = project.start(&["run"]);
    land(&project, 0..1);
    until("it is loaded", || (project.outcome_words("0.txt") == ["loaded"]).then_some(()));
    disk.fill();
    land_at_once(&project, 1..MANY);
    until_told(&run, REFUSED);
    disk.free();
    until("all are loaded", || {
        (project.ask::<u64>("SELECT count(*) FROM sluicegate_document WHERE outcome = 'loaded'")? == MANY)
            .then_some(())
    });
    stop(run);
}

#[test]
fn a_read_only_disk_is_refused_at_the_start_and_told() {
    let Some((project, disk)) = on_a_small_disk() else { return };
    land(&project, 0..1);
    project.run(&["drain"]).exits(0);
    disk.remount("ro");
    land(&project, 1..2);
    project.run(&["listen"]).exits(1).tells("may write");
    project.run(&["drain"]).exits(1).tells("may write");
    project.run(&["status"]).exits(1).tells("may write");
    disk.remount("rw");
    assert_eq!(project.drain(0)["documents"]["loaded"], 1);
}

/// Somebody looks into the database with a tool, and leaves a transaction open.
#[test]
fn a_locked_journal_is_told_and_got_over() {
    let project = Project::sealing_soon();
    land(&project, 0..1);
    let listen = project.start(&["listen"]);
    let state = project.path("var");
    until_journaled(&state, 1);
    let mut holder = Connection::open(state.join("state.db")).unwrap();
    let held = holder.transaction_with_behavior(rusqlite::TransactionBehavior::Exclusive).unwrap();
    land(&project, 1..2);
    until_told(&listen, REFUSED);
    assert_eq!(journaled(&state), Some(1));
    project.run(&["status"]).exits(3).prints(STATUS).prints("fuser -v");
    drop(held);
    until_journaled(&state, 2);
    stop(listen);
    assert_eq!(project.drain(0)["documents"]["loaded"], 2);
}

#[test]
fn full_disks_behind_the_journal_lose_nothing() {
    for (variable, value) in
        [("SLUICEGATE_ARCHIVE", "small"), ("SLUICEGATE_WAREHOUSE", "sqlite:small/warehouse.db")]
    {
        let project = Project::new().with(variable, value);
        let Some(disk) = SmallDisk::at(project.path("small"), "2m") else { return };
        disk.fill();
        land(&project, 0..50);
        let full = project.run(&["drain", "--patience", "0s"]).exits(1);
        let words = ["No space left", "full"];
        assert!(words.iter().any(|words| full.stderr.contains(words)), "{variable}: {full:#?}");
        disk.free();
        project.run(&["drain"]).exits(0);
        project.run(&["drain", "--crawl"]).exits(0);
        let answer =
            project.run(&["query", "SELECT count(*) AS n FROM invoices", "--output", "json"]).exits(0);
        assert!(answer.stdout.contains("50"), "{variable}: {answer:#?}");
    }
}

#[test]
fn a_damaged_state_is_refused_after_a_death_and_rebuilt_as_it_says() {
    let project = Project::sealing_soon();
    land(&project, 0..40);
    project.drain(0);
    let listen = project.start(&["listen"]);
    let state = project.path("var");
    until("it has begun", || {
        let connection = Connection::open(state.join("state.db")).ok()?;
        let sql = "SELECT count(*) FROM incarnation WHERE ended_at IS NULL";
        (connection.query_row(sql, [], |row| row.get::<_, u64>(0)).ok()? == 1).then_some(())
    });
    listen.kill();
    damage(&state);
    for _ in 0..2 {
        let refused = project.run(&["drain"]).exits(1).tells("the state database is damaged");
        refused.tells("move state.db, state.db-wal and state.db-shm out of it");
    }
    for name in ["state.db", "state.db-wal", "state.db-shm"] {
        let _ = fs::rename(state.join(name), project.path(name));
    }
    land(&project, 40..41);
    project.run(&["drain"]).exits(0);
    assert_eq!(project.ask("SELECT count(*) FROM invoices"), Some(41));
    project.run(&["reconcile"]).exits(0);
}

/// The leaves of each index point at other rows, which only `integrity_check` sees.
fn damage(state: &Path) {
    let path = state.join("state.db");
    Connection::open(&path).unwrap().execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    let mut bytes = fs::read(&path).unwrap();
    let page_bytes = usize::from(u16::from_be_bytes([bytes[16], bytes[17]]));
    let leaves = bytes.chunks_mut(page_bytes).skip(1).filter(|page| page[0] == 0x0a && page[3..5] != [0, 0]);
    assert!(leaves.map(|page| page[page_bytes - 1] ^= 0x3f).count() > 0);
    fs::write(&path, bytes).unwrap();
}
