//! The embedded catalog: knows which partitions of a curated folder have been crawled, in a small SQLite file in
//! `<curated>/.catalog`. A crawl runs to its end inside the call that starts it, and only ever adds partitions.
//!
//! Whether a crawl that is recorded as running still runs is told by a kernel file lock, which any death frees; so one
//! that died is never waited for.

use std::collections::BTreeSet;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chrono::{SecondsFormat, TimeDelta};
use rusqlite::{Connection, OptionalExtension, Row, params};
use sluicegate_state::Timestamp;
use sluicegate_state::disk::create_folder;

use super::sqlite_failure;
use crate::curated::{io_failure, published_objects};
use crate::failure::{Failure, Outcome};
use crate::ports::catalog::{Catalog, CrawlProgress, CrawlReport, StartAnswer};
use crate::ports::clock::Clock;

/// Several jobs, and so several crawlers, can share one curated folder: hence the crawler in each crawl.
const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS partition (
        table_name    TEXT NOT NULL,
        dt            TEXT NOT NULL,
        registered_at TEXT NOT NULL,
        PRIMARY KEY (table_name, dt)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS crawl (
        number      INTEGER PRIMARY KEY AUTOINCREMENT,
        crawl_id    TEXT NOT NULL UNIQUE,
        crawler     TEXT NOT NULL,
        state       TEXT NOT NULL CHECK (state IN ('running', 'succeeded', 'failed')),
        started_at  TEXT NOT NULL,
        finished_at TEXT CHECK ((finished_at IS NULL) = (state = 'running')),
        message     TEXT
    ) STRICT;
    CREATE INDEX IF NOT EXISTS crawl_by_start ON crawl (crawler, started_at);
    CREATE UNIQUE INDEX IF NOT EXISTS crawl_running ON crawl (crawler) WHERE state = 'running';
";

const DIED: &str = "the process that ran this crawl died";

/// The catalog and the crawler of one job over a curated folder.
pub struct EmbeddedCatalog {
    curated: PathBuf,
    tables: Vec<String>,
    clock: Arc<dyn Clock>,
}

impl EmbeddedCatalog {
    /// The crawler of the job with these target tables, parent first. Touches nothing yet: a curated folder that is not
    /// there has no partitions.
    ///
    /// # Panics
    /// Without a table, because the parent's name is the crawler's.
    pub fn new(curated: &Path, tables: Vec<String>, clock: Arc<dyn Clock>) -> Self {
        assert!(!tables.is_empty(), "a job has at least one table");
        Self { curated: curated.to_owned(), tables, clock }
    }

    fn crawler(&self) -> &str {
        &self.tables[0]
    }

    fn folder(&self) -> PathBuf {
        self.curated.join(".catalog")
    }

    /// The database, where there is one.
    fn open_existing(&self) -> Outcome<Option<Connection>> {
        let there = self.folder().join("catalog.db").is_file();
        if there { self.open().map(Some) } else { Ok(None) }
    }

    fn open(&self) -> Outcome<Connection> {
        let path = self.folder().join("catalog.db");
        let connect = || {
            let connection = Connection::open(&path)?;
            connection.busy_timeout(Duration::from_secs(5))?;
            connection.execute_batch(TABLES)?;
            Ok(connection)
        };
        connect().map_err(|error| sqlite_failure(&error).while_doing(format!("open {}", path.display())))
    }

    /// The crawler's lock; none where a living process holds it.
    fn try_lock(&self) -> Outcome<Option<File>> {
        let path = self.folder().join(format!("{}.lock", self.crawler()));
        let failed = |error: std::io::Error| io_failure(&error, format!("lock {}: {error}", path.display()));
        let options = File::options().create(true).truncate(false).write(true).open(&path);
        let file = options.map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(failed(error)),
        }
    }

    fn now(&self) -> String {
        text_of(self.clock.now())
    }

    /// Records the start of a crawl and tells its number. Only the holder of the lock may call it.
    fn begin(&self, connection: &mut Connection) -> rusqlite::Result<i64> {
        let now = self.clock.now();
        let transaction = connection.transaction()?;
        bury_the_dead(&transaction, self.crawler(), &text_of(now))?;
        let last = "SELECT seq FROM sqlite_sequence WHERE name = 'crawl'";
        let last: Option<i64> = transaction.query_row(last, [], |row| row.get(0)).optional()?;
        let number = last.unwrap_or(0) + 1;
        let id = format!("{}-{}-{number}", self.crawler(), now.format("%Y%m%dT%H%M%SZ"));
        transaction.execute(
            "INSERT INTO crawl (number, crawl_id, crawler, state, started_at) VALUES (?1, ?2, ?3, 'running', ?4)",
            params![number, id, self.crawler(), text_of(now)],
        )?;
        transaction.commit()?;
        Ok(number)
    }

    /// What lies in the curated folder, as (table, dt).
    fn list(&self) -> std::io::Result<BTreeSet<(&str, String)>> {
        let mut found = BTreeSet::new();
        for table in &self.tables {
            let objects = published_objects(&self.curated, table)?;
            found.extend(objects.into_iter().map(|object| (table.as_str(), object.dt)));
        }
        Ok(found)
    }

    /// Registers what is new, and records the end of the crawl in the same transaction.
    fn register(
        &self,
        connection: &mut Connection,
        number: i64,
        found: &BTreeSet<(&str, String)>,
    ) -> rusqlite::Result<()> {
        let now = self.now();
        let transaction = connection.transaction()?;
        let mut new = 0;
        for (table, dt) in found {
            let insert = "INSERT INTO partition (table_name, dt, registered_at) VALUES (?1, ?2, ?3)
                          ON CONFLICT DO NOTHING";
            new += transaction.execute(insert, params![table, dt, now])?;
        }
        end(&transaction, number, "succeeded", &now, &format!("{} partitions, {new} new", found.len()))?;
        transaction.commit()
    }

    /// Where a crawl is recorded as running and no process holds the lock, it died: records that.
    fn settle(&self, connection: &Connection) -> Outcome<()> {
        let running = "SELECT EXISTS (SELECT 1 FROM crawl WHERE crawler = ?1 AND state = 'running')";
        let running: bool =
            connection.query_row(running, [self.crawler()], |row| row.get(0)).map_err(database_failure)?;
        if !running {
            return Ok(());
        }
        // Held until the row is changed, so that no crawl can begin in between.
        let Some(_lock) = self.try_lock()? else { return Ok(()) };
        bury_the_dead(connection, self.crawler(), &self.now()).map_err(database_failure)
    }
}

impl Catalog for EmbeddedCatalog {
    /// It has the clock of the machine that holds the folder.
    fn clock_margin(&self) -> TimeDelta {
        TimeDelta::zero()
    }

    fn start_crawl(&mut self) -> Outcome<StartAnswer> {
        let folder = self.folder();
        create_folder(&folder)
            .map_err(|error| io_failure(&error, format!("make {}: {error}", folder.display())))?;
        let Some(_lock) = self.try_lock()? else { return Ok(StartAnswer::AlreadyRunning) };
        let mut connection = self.open()?;
        let number = self.begin(&mut connection).map_err(database_failure)?;
        // A listing that fails is a crawl that failed, and no failure to start one.
        match self.list() {
            Ok(found) => self.register(&mut connection, number, &found),
            Err(error) => end(&connection, number, "failed", &self.now(), &error.to_string()),
        }
        .map_err(database_failure)?;
        Ok(StartAnswer::Started)
    }

    fn crawls(&mut self, since: Timestamp) -> Outcome<Vec<CrawlReport>> {
        let Some(connection) = self.open_existing()? else { return Ok(Vec::new()) };
        self.settle(&connection)?;
        let read = || {
            let mut statement = connection.prepare(
                "SELECT crawl_id, state, started_at, finished_at, message FROM crawl
                 WHERE crawler = ?1 AND (started_at >= ?2 OR state = 'running') ORDER BY started_at, number",
            )?;
            let rows = statement.query_map(params![self.crawler(), text_of(since)], report)?;
            let now = self.clock.now();
            // A beginning in the future was told before the clock was set back. It says nothing of what began before what.
            let told = |report: CrawlReport| {
                let started_at = report.started_at.filter(|began| *began <= now);
                CrawlReport { started_at, ..report }
            };
            rows.map(|report| report.map(told)).collect::<Result<_, _>>()
        };
        read().map_err(database_failure)
    }

    fn partitions(&mut self, table: &str) -> Outcome<BTreeSet<String>> {
        let Some(connection) = self.open_existing()? else { return Ok(BTreeSet::new()) };
        let read = || {
            let mut statement = connection.prepare("SELECT dt FROM partition WHERE table_name = ?1")?;
            statement.query_map([table], |row| row.get(0))?.collect::<Result<_, _>>()
        };
        read().map_err(database_failure)
    }
}

/// Ends every crawl of `crawler` that is recorded as running. Only the holder of the lock may call it.
fn bury_the_dead(connection: &Connection, crawler: &str, now: &str) -> rusqlite::Result<()> {
    connection.execute(
        "UPDATE crawl SET state = 'failed', finished_at = ?2, message = ?3 WHERE crawler = ?1 AND state = 'running'",
        params![crawler, now, DIED],
    )?;
    Ok(())
}

fn end(connection: &Connection, number: i64, state: &str, now: &str, message: &str) -> rusqlite::Result<()> {
    let changed = connection.execute(
        "UPDATE crawl SET state = ?2, finished_at = ?3, message = ?4 WHERE number = ?1 AND state = 'running'",
        params![number, state, now, message],
    )?;
    assert_eq!(changed, 1, "the lock keeps everybody else from a running crawl");
    Ok(())
}

fn report(row: &Row<'_>) -> rusqlite::Result<CrawlReport> {
    let state: String = row.get(1)?;
    let progress = match state.as_str() {
        "running" => CrawlProgress::Running,
        "succeeded" => CrawlProgress::Succeeded,
        _ => CrawlProgress::Failed,
    };
    let finished: Option<String> = row.get(3)?;
    Ok(CrawlReport {
        id: row.get(0)?,
        progress,
        started_at: Some(time_of(2, &row.get::<_, String>(2)?)?),
        finished_at: finished.map(|text| time_of(3, &text)).transpose()?,
        message: row.get(4)?,
    })
}

/// Times have one width, so that SQLite compares them as text.
fn text_of(time: Timestamp) -> String {
    time.to_rfc3339_opts(SecondsFormat::Nanos, true)
}

fn time_of(column: usize, text: &str) -> rusqlite::Result<Timestamp> {
    let parsed = chrono::DateTime::parse_from_rfc3339(text).map(|time| time.to_utc());
    parsed.map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, Box::new(error))
    })
}

fn database_failure(error: rusqlite::Error) -> Failure {
    sqlite_failure(&error).while_doing("the embedded catalog")
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::Mutex;

    use chrono::{TimeDelta, TimeZone, Utc};

    use super::*;

    /// A clock that moves on by a second whenever it is read.
    struct Ticking(Mutex<Timestamp>);

    impl Clock for Ticking {
        fn now(&self) -> Timestamp {
            let mut now = self.0.lock().unwrap();
            *now += TimeDelta::seconds(1);
            *now
        }
    }

    fn catalog(root: &Path, table: &str) -> EmbeddedCatalog {
        let start = Utc.with_ymd_and_hms(2024, 1, 1, 0, 0, 0).unwrap();
        EmbeddedCatalog::new(root, vec![table.to_owned()], Arc::new(Ticking(Mutex::new(start))))
    }

    fn leave_a_crawl_running(catalog: &EmbeddedCatalog) {
        fs::create_dir_all(catalog.folder()).unwrap();
        catalog.begin(&mut catalog.open().unwrap()).unwrap();
    }

    #[test]
    fn looking_touches_nothing() {
        let root = tempfile::tempdir().unwrap();
        let curated = root.path().join("curated");
        let mut catalog = catalog(&curated, "t");
        assert!(catalog.partitions("t").unwrap().is_empty());
        assert!(catalog.crawls(Timestamp::MIN_UTC).unwrap().is_empty());
        assert!(!curated.exists());
    }

    #[test]
    fn a_crawl_that_died_is_failed_at_the_next_start() {
        let root = tempfile::tempdir().unwrap();
        let mut catalog = catalog(root.path(), "t");
        leave_a_crawl_running(&catalog);
        assert_eq!(catalog.start_crawl().unwrap(), StartAnswer::Started);
        let crawls = catalog.crawls(Timestamp::UNIX_EPOCH).unwrap();
        let seen: Vec<_> = crawls.iter().map(|crawl| (crawl.progress, crawl.message.as_deref())).collect();
        assert_eq!(
            seen,
            [(CrawlProgress::Failed, Some(DIED)), (CrawlProgress::Succeeded, Some("0 partitions, 0 new"))]
        );
        assert!(crawls[0].finished_at <= crawls[1].started_at);
    }

    #[test]
    fn a_crawl_that_died_is_not_waited_for() {
        let root = tempfile::tempdir().unwrap();
        let mut catalog = catalog(root.path(), "t");
        leave_a_crawl_running(&catalog);
        let crawls = catalog.crawls(Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!(crawls[0].progress, CrawlProgress::Failed);
    }

    #[test]
    fn a_living_crawl_is_running_and_not_started_twice() {
        let root = tempfile::tempdir().unwrap();
        let mut catalog = catalog(root.path(), "t");
        leave_a_crawl_running(&catalog);
        let lock = catalog.try_lock().unwrap().unwrap();
        assert_eq!(catalog.start_crawl().unwrap(), StartAnswer::AlreadyRunning);
        let later = Utc.with_ymd_and_hms(2025, 1, 1, 0, 0, 0).unwrap();
        let running = catalog.crawls(later).unwrap();
        assert_eq!((running.len(), running[0].progress), (1, CrawlProgress::Running));
        drop(lock);
        assert_eq!(catalog.start_crawl().unwrap(), StartAnswer::Started);
    }

    #[test]
    fn the_crawlers_of_one_folder_do_not_see_each_other() {
        let root = tempfile::tempdir().unwrap();
        let (mut one, mut two) = (catalog(root.path(), "one"), catalog(root.path(), "two"));
        let lock = one.try_lock();
        assert_eq!(two.start_crawl().unwrap(), StartAnswer::Started);
        drop(lock);
        assert!(one.crawls(Timestamp::UNIX_EPOCH).unwrap().is_empty());
    }

    #[test]
    fn a_folder_that_cannot_be_listed_fails_the_crawl_and_registers_nothing() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("t"), "a file where the table's folder belongs").unwrap();
        let mut catalog = catalog(root.path(), "t");
        assert_eq!(catalog.start_crawl().unwrap(), StartAnswer::Started);
        let crawl = catalog.crawls(Timestamp::UNIX_EPOCH).unwrap().remove(0);
        assert_eq!(crawl.progress, CrawlProgress::Failed);
        assert!(crawl.message.unwrap().contains("list "));
    }

    #[test]
    fn ids_differ_and_starts_are_in_order() {
        let root = tempfile::tempdir().unwrap();
        let mut catalog = catalog(root.path(), "t");
        catalog.start_crawl().unwrap();
        catalog.start_crawl().unwrap();
        let crawls = catalog.crawls(Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!(crawls[0].id.as_deref(), Some("t-20240101T000001Z-1"));
        assert!(crawls[0].id != crawls[1].id && crawls[0].started_at < crawls[1].started_at);
    }
}
