//! What machines share: a ledger, an archive, a curated place whose objects are dated by the test's clock, and Glue; and
//! the judgement of what they leave.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use chrono::TimeDelta;
use rusqlite::{Connection, OpenFlags};
use sluicegate::failure::Outcome;
use sluicegate::folder::FolderStore;
use sluicegate::job::Job;
use sluicegate::ports::clock::Clock;
use sluicegate::ports::object_store::{
    Announced, Fetched, Got, ObjectInfo, ObjectStore, PutAnswer, ReadSeek,
};
use sluicegate_state::Timestamp;
use tempfile::TempDir;

use crate::corpus::{Invoice, Random};
use crate::endpoint::{Crawl, End, GlueEndpoint};
use crate::machine::Machine;
use crate::manual_clock::ManualClock;

pub(crate) const CRAWLER: &str = "nightly";
pub(crate) const DATABASE: &str = "sales";
/// How long a crawl takes here, as in Glue.
pub(crate) const RUNNING: TimeDelta = TimeDelta::minutes(9);
pub(crate) const STOPPING: TimeDelta = TimeDelta::minutes(1);
/// The steps in which time passes while machines wait.
const STEP: TimeDelta = TimeDelta::seconds(20);
/// More steps than anything here takes.
const MOST_STEPS: usize = 2_000;

/// Everything that outlives a machine.
pub(crate) struct World {
    folder: TempDir,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) glue: GlueEndpoint,
    lives: AtomicUsize,
    invoices: AtomicU64,
}

/// The shipped job, whose windows end every quarter of an hour.
pub(crate) fn job() -> Arc<Job> {
    static JOB: OnceLock<Arc<Job>> = OnceLock::new();
    let parse = || {
        let text = include_str!("../../jobs/invoices.toml");
        Arc::new(Job::parse(Path::new("jobs/invoices.toml"), text, &|_| None).unwrap())
    };
    JOB.get_or_init(parse).clone()
}

/// A folder whose objects have the test's time as Last-Modified, as S3 has its own.
struct DatedStore {
    store: FolderStore,
    root: PathBuf,
    clock: Arc<ManualClock>,
}

fn file_time(time: Timestamp) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(time.timestamp_millis() as u64)
}

impl ObjectStore for DatedStore {
    fn bucket(&self) -> &str {
        self.store.bucket()
    }

    fn location(&self) -> String {
        self.store.location()
    }

    fn get_announced(&self, announced: &Announced<'_>) -> Outcome<Got> {
        self.store.get_announced(announced)
    }

    fn get(&self, key: &str) -> Outcome<Option<Fetched>> {
        self.store.get(key)
    }

    fn head(&self, key: &str) -> Outcome<Option<ObjectInfo>> {
        self.store.head(key)
    }

    fn put_new(&self, key: &str, body: &mut dyn ReadSeek, size: u64, sha256: &str) -> Outcome<PutAnswer> {
        let answer = self.store.put_new(key, body, size, sha256)?;
        if answer == PutAnswer::Written {
            let file = File::options().write(true).open(self.root.join(key)).unwrap();
            file.set_modified(file_time(self.clock.now())).unwrap();
        }
        Ok(answer)
    }

    fn list(&self, prefix: &str, visit: &mut dyn FnMut(ObjectInfo) -> Outcome<()>) -> Outcome<()> {
        self.store.list(prefix, visit)
    }
}

impl World {
    /// At a minute past ten, in a window that ends at a quarter past.
    pub(crate) fn new() -> Self {
        let clock = Arc::new(ManualClock::new("2026-03-01T10:01:00Z"));
        let folder = tempfile::tempdir().unwrap();
        let glue = GlueEndpoint::start(clock.clone());
        glue.create_crawler(CRAWLER, DATABASE);
        glue.crawls_take(RUNNING, STOPPING);
        let world = Self { folder, clock, glue, lives: AtomicUsize::new(0), invoices: AtomicU64::new(0) };
        fs::create_dir_all(world.path("curated")).unwrap();
        world.glue.place(DATABASE, world.curated());
        world
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn warehouse(&self) -> PathBuf {
        self.path("warehouse.db")
    }

    /// Where the documents of a machine land.
    pub(crate) fn landing(&self, machine: &str) -> PathBuf {
        let landing = self.path(&format!("landing-{machine}"));
        fs::create_dir_all(&landing).unwrap();
        landing
    }

    pub(crate) fn curated(&self) -> Arc<dyn ObjectStore> {
        let root = self.path("curated");
        Arc::new(DatedStore { store: FolderStore::new(&root), root, clock: self.clock.clone() })
    }

    pub(crate) fn fresh_incarnation(&self, machine: &str) -> String {
        format!("{machine}-{}", self.lives.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// One more invoice lands.
    pub(crate) fn land(&self, machine: &str) {
        let number = self.invoices.fetch_add(1, Ordering::Relaxed) + 1;
        let path = self.landing(machine).join(format!("{number}.txt"));
        fs::write(&path, Invoice::made_up(&mut Random::new(number), number).text()).unwrap();
        let modified = file_time(self.clock.now() - TimeDelta::minutes(1));
        File::options().write(true).open(&path).unwrap().set_modified(modified).unwrap();
    }

    /// An invoice is landed and published by the machine.
    pub(crate) fn publish(&self, machine: &mut Machine, name: &str) {
        // Never at the very end of a window.
        self.clock.advance(TimeDelta::seconds(1));
        self.land(name);
        machine.work().unwrap();
    }

    /// The present window ends.
    pub(crate) fn end_window(&self) {
        let now = self.clock.now();
        let tick = job().window.next_tick(now).expect("windows go on for ever");
        self.clock.advance(tick - now);
    }

    /// Works, and lets time pass, until the machine waits for nothing any more.
    pub(crate) fn settle(&self, machine: &mut Machine) {
        self.settle_all(&mut [machine]);
    }

    /// The same for several machines side by side.
    pub(crate) fn settle_all(&self, machines: &mut [&mut Machine]) {
        let mut waits = Vec::new();
        for _ in 0..MOST_STEPS {
            waits = machines.iter_mut().flat_map(|machine| machine.work().unwrap()).collect::<Vec<_>>();
            if waits.is_empty() && self.open_crawls() == 0 {
                return;
            }
            self.clock.advance(STEP);
        }
        panic!("it never settles: {waits:?}");
    }

    /// Works, and lets time pass, until the condition holds.
    pub(crate) fn work_until(&self, machine: &mut Machine, what: &str, holds: impl Fn() -> bool) {
        for _ in 0..MOST_STEPS {
            machine.work().unwrap();
            if holds() {
                return;
            }
            self.clock.advance(STEP);
        }
        panic!("it never came to that: {what}");
    }

    /// A query of the ledger, as text.
    pub(crate) fn ask(&self, sql: &str) -> Vec<Vec<String>> {
        ask(&self.warehouse(), sql)
    }

    fn open_crawls(&self) -> usize {
        self.ask("SELECT 1 FROM sluicegate_crawl WHERE state IN ('claimed', 'running', 'failed')").len()
    }

    /// State and early mark of each crawl in the ledger, in the order of windows.
    pub(crate) fn crawls(&self) -> Vec<String> {
        let rows = self.ask("SELECT state FROM sluicegate_crawl ORDER BY window_end");
        rows.into_iter().flatten().collect()
    }

    /// The states of all attempts, in order.
    pub(crate) fn attempts(&self) -> Vec<String> {
        let rows =
            self.ask("SELECT state FROM sluicegate_crawl_attempt ORDER BY started_at, crawl_id, attempt");
        rows.into_iter().flatten().collect()
    }

    pub(crate) fn history(&self) -> Vec<Crawl> {
        self.glue.history(CRAWLER)
    }

    /// Holds the ledger against Glue's own history.
    #[track_caller]
    pub(crate) fn check_covered(&self) {
        check_covered(&self.warehouse(), &self.history());
        let open = self.ask("SELECT batch_id FROM sluicegate_batch WHERE crawl_id IS NULL");
        assert!(open.is_empty(), "published, and adopted by no crawl: {open:?}");
    }
}

/// A query of a ledger, as text.
pub(crate) fn ask(warehouse: &Path, sql: &str) -> Vec<Vec<String>> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let Ok(connection) = Connection::open_with_flags(warehouse, flags) else { return Vec::new() };
    connection.busy_timeout(Duration::from_secs(30)).unwrap();
    // Before its first migration the warehouse has no such table.
    let Ok(mut statement) = connection.prepare(sql) else { return Vec::new() };
    let columns = statement.column_count();
    let text = |row: &rusqlite::Row<'_>, column| -> rusqlite::Result<String> {
        Ok(match row.get::<_, rusqlite::types::Value>(column)? {
            rusqlite::types::Value::Null => String::new(),
            rusqlite::types::Value::Integer(number) => number.to_string(),
            rusqlite::types::Value::Text(text) => text,
            other => panic!("no text: {other:?}"),
        })
    };
    let rows = statement.query_map([], |row| (0..columns).map(|column| text(row, column)).collect());
    rows.unwrap().collect::<Result<_, _>>().unwrap()
}

/// Each crawl that succeeded in the ledger has a crawl of its own in Glue's history which ended well, and which saw every
/// object of every batch that it adopted. Nothing in Glue's history is unknown to the ledger.
#[track_caller]
pub(crate) fn check_covered(warehouse: &Path, history: &[Crawl]) {
    let covers = ask(
        warehouse,
        "SELECT c.crawl_id, coalesce((SELECT group_concat(a.glue_crawl_id) FROM sluicegate_crawl_attempt AS a
                                      WHERE a.crawl_id = c.crawl_id AND a.state = 'succeeded'), '')
         FROM sluicegate_crawl AS c WHERE c.state = 'succeeded' ORDER BY c.window_end",
    );
    let mut used = BTreeSet::new();
    for row in covers {
        let (crawl_id, name) = (&row[0], &row[1]);
        // Where Glue tells neither an id nor a beginning, the next that ended well is the only one that it can be.
        let nameless =
            |crawl: &Crawl| name.is_empty() && !used.contains(&crawl.id) && crawl.end == End::Succeeds;
        let named = |crawl: &&Crawl| {
            crawl.id == *name || name.strip_prefix("started ") == Some(&stamp(crawl)) || nameless(crawl)
        };
        let crawl = history.iter().find(named);
        let crawl = crawl.unwrap_or_else(|| panic!("{crawl_id} says {name:?}: {history:#?}"));
        assert_eq!(crawl.end, End::Succeeds, "{crawl_id}");
        assert!(used.insert(crawl.id.clone()), "{name} is said to cover two windows");
        let adopted = format!(
            "SELECT t.csv_key FROM sluicegate_batch AS b JOIN sluicegate_batch_table AS t USING (batch_id)
             WHERE b.crawl_id = '{crawl_id}' AND t.csv_key IS NOT NULL"
        );
        let adopted: Vec<_> = ask(warehouse, &adopted).into_iter().flatten().collect();
        assert!(!adopted.is_empty(), "{crawl_id} covers nothing");
        for key in adopted {
            assert!(crawl.seen.contains(&key), "{crawl_id}: {key} was not there when {crawl:#?} began");
        }
    }
}

/// How the ledger names a crawl without an id.
pub(crate) fn stamp(crawl: &Crawl) -> String {
    crawl.started_at.to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
}
