//! Goal: what a failover does to sessions costs time: backends that are killed, a server that dies at any moment and at a
//! COMMIT, a deadlock with somebody else's session. Nothing is lost and nothing is loaded twice.

use std::collections::BTreeSet;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use postgres::{Client, NoTls};
use sluicegate::config::Secret;
use sluicegate::effects;
use sluicegate::failure::{Failure, FailureKind};
use sluicegate::ports::warehouse::{DocumentOutcome, Warehouse};
use sluicegate::postgres::{PostgresWarehouse, Recent};
use sluicegate_state::seam::{Fault, Injected, Seam};

use crate::published::schema;
use crate::server::{Database, select, server};
use crate::support::{Batch, batch, document};

/// The longest that anything here may take.
const DEADLINE: Duration = Duration::from_secs(120);

fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < DEADLINE, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Loads a batch, over a new connection after each failure; what each failure was.
fn load_through(load: &Batch, url: &str, recent: &Recent, seam: &Seam) -> Vec<Failure> {
    let mut failures = Vec::new();
    let secret = Secret::new(url);
    until("the batch is loaded", || {
        let opened = PostgresWarehouse::open(&secret, "ledger", "test", recent, seam.clone());
        match opened.and_then(|mut warehouse| load.load(&mut warehouse)) {
            Ok(_) => Some(()),
            Err(failure) => {
                assert_eq!(failure.kind, FailureKind::Transient, "{failure}");
                failures.push(failure);
                None
            }
        }
    });
    failures
}

/// So many batches of so many bills, none of which has a key of another.
fn batches(count: u32, bills: u64) -> Vec<Batch> {
    let numbers = |number: u32| u64::from(number) * bills..u64::from(number + 1) * bills;
    (0..count).map(|number| batch(number + 1, &[document("a", numbers(number))])).collect()
}

/// Every batch is there, once, with all of its rows and no others.
fn check_all_there(url: &str, batches: u32, bills: u64) {
    let mut shell = Client::connect(url, NoTls).unwrap();
    let mut number = |sql: &str| select(&mut shell, sql)[0][0].parse::<u64>().unwrap();
    let (count, all) = (u64::from(batches), u64::from(batches) * bills);
    assert_eq!(number("SELECT count(*) FROM sluicegate.batch"), count);
    assert_eq!(number("SELECT count(*) FROM sluicegate.verdict WHERE outcome = 'loaded'"), count);
    assert_eq!(number("SELECT count(*) FROM bills"), all);
    assert_eq!(number("SELECT count(*) FROM bill_items"), 2 * all);
    let strangers = "SELECT count(*) FROM bills b WHERE NOT EXISTS (SELECT 1 FROM sluicegate.batch_table t
                     WHERE t.batch_id = b.batch_id AND t.table_name = 'bills')";
    assert_eq!(number(strangers), 0);
    assert_eq!(number("SELECT sum(rows) FROM sluicegate.batch_table"), 3 * all);
}

fn ready(url: &str) {
    let secret = Secret::new(url);
    let opened = PostgresWarehouse::open(&secret, "ledger", "test", &Recent::default(), Seam::default());
    opened.unwrap().prepare(&schema()).unwrap();
}

#[test]
fn backends_that_are_killed_at_any_moment() {
    const BATCHES: u32 = 24;
    const BILLS: u64 = 400;
    /// Kills one after the other between which nothing was loaded.
    const MOST_IN_VAIN: u32 = 5;
    let Some(database) = Database::new() else { return };
    ready(&database.url);
    let (loads, done) = (batches(BATCHES, BILLS), AtomicBool::new(false));
    let met = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        let (met, url) = (&met, database.url.as_str());
        let work = |part: &'_ [Batch]| {
            for load in part {
                let failures = load_through(load, url, &Recent::default(), &Seam::default());
                met.lock().unwrap().extend(failures);
            }
        };
        let (first, second) = loads.split_at(loads.len() / 2);
        let workers = [scope.spawn(move || work(first)), scope.spawn(move || work(second))];
        scope.spawn(|| {
            let mut shell = database.shell();
            let (mut pause, mut loaded, mut vain, mut stretch) = (7, 0, 0_u32, 1);
            while !done.load(Ordering::SeqCst) {
                // From a few milliseconds to a hundred, and never twice in the same step with the loads.
                pause = (pause * 31 + 17) % 97;
                std::thread::sleep(Duration::from_millis((3 + pause) * stretch));
                let kill = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                            WHERE datname = current_database() AND application_name = 'sluicegate test'";
                shell.simple_query(kill).unwrap();
                // A machine on which no load fits between two kills gets more time, until one does.
                let now =
                    select(&mut shell, "SELECT count(*) FROM sluicegate.batch")[0][0].parse::<u32>().unwrap();
                if now > loaded {
                    (vain, stretch) = (0, 1);
                } else {
                    vain += 1;
                    stretch *= if vain.is_multiple_of(MOST_IN_VAIN) { 2 } else { 1 };
                }
                loaded = now;
            }
        });
        // Whatever comes of the work, the killing ends.
        let ended = workers.map(|worker| worker.join());
        done.store(true, Ordering::SeqCst);
        ended.into_iter().for_each(|ended| ended.unwrap());
    });
    let met = met.into_inner().unwrap();
    println!("{BATCHES} batches loaded through {} killed sessions", met.len());
    assert!(met.len() >= 5, "{met:?}");
    check_all_there(&database.url, BATCHES, BILLS);
}

/// A server of the test's own, which may die.
struct OwnServer {
    folder: tempfile::TempDir,
    url: String,
    /// One crash at a time: a server that is not up again yet cannot be restarted.
    crashes: Mutex<()>,
}

impl OwnServer {
    /// None where there is no PostgreSQL at all.
    fn start() -> Option<Self> {
        server()?;
        let folder = tempfile::tempdir().unwrap();
        let url = script(folder.path(), "start");
        Some(Self { folder, url, crashes: Mutex::default() })
    }

    /// As in a power cut; it is back at the same address when this returns.
    fn crash(&self) {
        let _one_at_a_time = self.crashes.lock().unwrap();
        script(self.folder.path(), "crash");
    }
}

impl Drop for OwnServer {
    fn drop(&mut self) {
        script(self.folder.path(), "stop");
    }
}

fn script(folder: &std::path::Path, word: &str) -> String {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/postgres");
    let output = Command::new(script).arg(word).env("CARGO_TARGET_DIR", folder).output().unwrap();
    assert!(output.status.success(), "scripts/postgres {word}: {output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Lets the server die while some of the COMMITs of loads are on their way.
struct DiesAtCommit {
    server: Arc<OwnServer>,
    commits: AtomicU32,
    crashing: Mutex<Vec<std::thread::JoinHandle<()>>>,
}

impl Fault for DiesAtCommit {
    fn before(&self, effect: &'static str) -> Result<(), Injected> {
        if effect == effects::WAREHOUSE_COMMIT && self.commits.fetch_add(1, Ordering::SeqCst) % 3 == 1 {
            let server = self.server.clone();
            self.crashing.lock().unwrap().push(std::thread::spawn(move || server.crash()));
            // The COMMIT goes out at one moment or another of the server's end.
            let moment = u64::from(self.commits.load(Ordering::SeqCst)) * 7 % 40;
            std::thread::sleep(Duration::from_millis(moment));
        }
        Ok(())
    }

    fn after(&self, _: &'static str) -> Result<(), Injected> {
        Ok(())
    }
}

#[test]
fn a_server_that_dies_in_the_middle_of_loads_and_of_commits() {
    const BATCHES: u32 = 12;
    const BILLS: u64 = 300;
    let Some(server) = OwnServer::start().map(Arc::new) else { return };
    ready(&server.url);
    let fault = Arc::new(DiesAtCommit {
        server: server.clone(),
        commits: AtomicU32::new(0),
        crashing: Mutex::default(),
    });
    let seam = Seam::with_fault(fault.clone());
    let mut failures = Vec::new();
    for (number, load) in batches(BATCHES, BILLS).iter().enumerate() {
        std::thread::scope(|scope| {
            if number % 4 == 2 {
                // In the middle of a load, wherever that is then.
                scope.spawn(|| server.crash());
            }
            failures.extend(load_through(load, &server.url, &Recent::default(), &seam));
        });
        for crash in fault.crashing.lock().unwrap().drain(..) {
            crash.join().unwrap();
        }
    }
    println!("{BATCHES} batches loaded, {} failures on the way", failures.len());
    assert!(failures.len() >= 4, "{failures:?}");
    check_all_there(&server.url, BATCHES, BILLS);
}

/// The retry after a deadlock waits for its turn: for the advisory lock that all loads of the job take then.
#[test]
fn after_a_deadlock_the_retry_waits_for_its_turn() {
    let Some(database) = Database::new() else { return };
    ready(&database.url);
    let load = batch(1, &[document("a", 10..13)]);
    let recent = Recent::default();
    let mut shell = database.shell();
    let mut waits = |what: &str, condition: &str| {
        let sql = format!("SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid)
            WHERE a.application_name = 'sluicegate test' AND a.datname = current_database() AND NOT l.granted {condition}");
        until(what, || (select(&mut shell, &sql)[0][0] == "1").then_some(()));
    };
    // A stranger has inserted a key that the load needs, and will then want the batch key that the load has.
    let mut stranger = database.shell();
    stranger.batch_execute("SET deadlock_timeout = '100s'; BEGIN").unwrap();
    let key = "INSERT INTO bills SELECT 'customer 004', 11, date '2024-05-06', true, 1, 'x', 'x'";
    stranger.batch_execute(key).unwrap();
    let failure = std::thread::scope(|scope| {
        let loading = scope.spawn(|| {
            // The server looks for a deadlock once, this long after the load began to wait: there has to be one by then.
            let secret = Secret::new(format!("{}?options=-c%20deadlock_timeout%3D10s", database.url));
            let opened = PostgresWarehouse::open(&secret, "ledger", "test", &recent, Seam::default());
            load.load(&mut opened.unwrap()).unwrap_err()
        });
        waits("the load waits for the stranger's key", "");
        let batch_key = format!(
            "INSERT INTO sluicegate.batch (batch_id, job, documents, rows, sealed_at, loaded_at, definition_hash,
                                           archive_key, incarnation, parents, replay)
             VALUES ('{}', 'bills', 0, 0, now(), now(), 'hash', 'k', 'i', '[]', 0); ROLLBACK",
            load.id()
        );
        stranger.batch_execute(&batch_key).unwrap();
        loading.join().unwrap()
    });
    assert!(failure.message.contains("40P01"), "{failure}");
    assert_eq!(failure.kind, FailureKind::Transient);

    // Somebody else is at a retry of the same job.
    let turn = "SELECT pg_advisory_lock(hashtextextended('sluicegate load bills', 0))";
    stranger.batch_execute(turn).unwrap();
    let verdicts = std::thread::scope(|scope| {
        let retrying = scope.spawn(|| {
            let secret = database.secret();
            let opened = PostgresWarehouse::open(&secret, "ledger", "test", &recent, Seam::default());
            load.load(&mut opened.unwrap()).unwrap().expect("the deadlocked load left nothing").0
        });
        waits("the retry waits for its turn", "AND l.locktype = 'advisory'");
        stranger.batch_execute("SELECT pg_advisory_unlock_all()").unwrap();
        retrying.join().unwrap()
    });
    let outcomes: BTreeSet<&str> = verdicts.iter().map(|verdict| verdict.outcome.as_str()).collect();
    assert_eq!(outcomes, BTreeSet::from([DocumentOutcome::Loaded.as_str()]));
    check_all_there(&database.url, 1, 3);
}
