//! The embedded adapters on benches: what a suite needs beside the port itself.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use chrono::TimeDelta;
use rusqlite::Connection;
use sluicegate::folder::{FolderInbox, FolderStore};
use sluicegate::job::Job;
use sluicegate::ports::clock::Clock;
use sluicegate::ports::inbox::Inbox;
use sluicegate::ports::warehouse::Warehouse;
use sluicegate::sqlite::SqliteWarehouse;
use sluicegate_state::seam::Seam;
use tempfile::TempDir;

use crate::inbox::Postbox;
use crate::manual_clock::ManualClock;
use crate::object_store::Place;
use crate::rows;
use crate::warehouse::Bench;

const START: &str = "2024-05-06T10:00:00Z";

fn write(path: &Path, bytes: &[u8]) {
    fs::create_dir_all(path.parent().expect("an object lies in a folder")).unwrap();
    fs::write(path, bytes).unwrap();
}

/// A folder as an object store.
pub(crate) fn folder_place(root: PathBuf) -> Place {
    fs::create_dir_all(&root).unwrap();
    let (to, from) = (root.clone(), root.clone());
    Place {
        store: Box::new(FolderStore::new(root)),
        upload: Box::new(move |key, bytes| write(&to.join(key), bytes)),
        remove: Box::new(move |key| fs::remove_file(from.join(key)).unwrap()),
    }
}

/// A landing folder and the inbox that scans it.
pub(crate) struct FolderPostbox {
    folder: TempDir,
    clock: Arc<ManualClock>,
    job: Arc<Job>,
}

impl FolderPostbox {
    pub(crate) fn new() -> Self {
        let text = include_str!("../../jobs/invoices.toml");
        let job = Arc::new(Job::parse(Path::new("jobs/invoices.toml"), text, &|_| None).unwrap());
        Self { folder: tempfile::tempdir().unwrap(), clock: Arc::new(ManualClock::new(START)), job }
    }
}

impl Postbox for FolderPostbox {
    fn inbox(&self) -> Box<dyn Inbox> {
        Box::new(FolderInbox::new(self.job.clone(), self.folder.path(), self.clock.clone()))
    }

    fn announce(&self, key: &str, bytes: &[u8]) {
        let path = self.folder.path().join(key);
        write(&path, bytes);
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(self.clock.now().timestamp() as u64);
        fs::File::options().write(true).open(path).unwrap().set_modified(now).unwrap();
    }

    fn pass_time(&self) {
        self.clock.advance(TimeDelta::seconds(1));
    }
}

/// A warehouse in an SQLite file.
pub(crate) struct SqliteBench {
    folder: TempDir,
    clock: Arc<ManualClock>,
}

impl SqliteBench {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), clock: Arc::new(ManualClock::new(START)) }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("warehouse.db")
    }

    fn shell(&self) -> Connection {
        Connection::open(self.path()).unwrap()
    }
}

impl Bench for SqliteBench {
    fn open(&self) -> Box<dyn Warehouse> {
        let warehouse =
            SqliteWarehouse::open(&self.path(), "the-ledger", self.clock.clone(), Seam::default());
        Box::new(warehouse.unwrap())
    }

    fn clock(&self) -> &ManualClock {
        &self.clock
    }

    fn execute(&self, sql: &str) -> Result<(), String> {
        self.shell().execute_batch(sql).map_err(|error| error.to_string())
    }

    fn select(&self, sql: &str) -> Vec<Vec<String>> {
        rows::select(&self.shell(), sql)
    }

    fn ledger(&self, table: &str) -> String {
        format!("sluicegate_{table}")
    }

    fn refuse_rows(&self, table: &str, column: &str, value: &str) -> String {
        let words = format!("no {value} in {table}, says the owner");
        let trigger = format!(
            "CREATE TRIGGER refuse_{table} BEFORE INSERT ON {table} WHEN new.{column} = '{value}'
             BEGIN SELECT RAISE(ABORT, '{words}'); END"
        );
        self.execute(&trigger).unwrap();
        words
    }
}
