//! A folder as a user has it: the shipped configuration, `var/`, and a landing.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use rusqlite::{Connection, OpenFlags};
use serde_json::Value;
use tempfile::TempDir;

use super::process::{Ended, Running};
use crate::corpus::Document;

const SHIPPED_SETTINGS: &str = include_str!("../../../sluicegate.toml");
const SHIPPED_JOB: &str = include_str!("../../../jobs/invoices.toml");
/// Windows that end once a year, at its beginning. The shipped ones end every quarter of an hour, which would come upon one
/// test or another; those that wait for the end of a window say so.
const WINDOW: &str = "0 0 0 1 1 *";

/// One installation of its own.
pub(crate) struct Project {
    root: TempDir,
    output: TempDir,
    runs: AtomicU64,
    batch_documents: u64,
    variables: Vec<(String, String)>,
}

impl Project {
    /// The shipped files, and an empty landing.
    pub(crate) fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let output = tempfile::tempdir().unwrap();
        let project =
            Self { root, output, runs: AtomicU64::new(0), batch_documents: 1_000, variables: Vec::new() };
        fs::create_dir_all(project.path("jobs")).unwrap();
        fs::create_dir_all(project.landing()).unwrap();
        fs::write(project.path("sluicegate.toml"), SHIPPED_SETTINGS).unwrap();
        fs::write(project.path("jobs/invoices.toml"), SHIPPED_JOB).unwrap();
        project
    }

    /// The same with batches of at most so many documents, so that a small corpus makes many batches.
    pub(crate) fn with_batches_of(documents: usize) -> Self {
        let project = Self { batch_documents: documents as u64, ..Self::new() };
        let limit = format!("documents = {documents}\n");
        project.edit("jobs/invoices.toml", "documents = 1000\n", &limit);
        project
    }

    /// The same with batches that are sealed after a second, for tests that watch.
    pub(crate) fn sealing_soon() -> Self {
        let project = Self::new();
        project.edit("jobs/invoices.toml", "seconds = 5\n", "seconds = 1\n");
        project
    }

    /// How many documents a batch may have.
    pub(crate) fn batch_documents(&self) -> u64 {
        self.batch_documents
    }

    /// The same with an environment variable set.
    pub(crate) fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.variables.push((name.to_owned(), value.into()));
        self
    }

    /// Sets a variable for the runs that follow.
    pub(crate) fn set(&mut self, name: &str, value: impl Into<String>) {
        self.variables.retain(|(known, _)| known != name);
        self.variables.push((name.to_owned(), value.into()));
    }

    /// The value of a variable that is set.
    #[allow(dead_code, reason = "only the tests of the reconciliation ask")]
    pub(crate) fn variable(&self, name: &str) -> Option<&str> {
        self.variables.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// A path in the project's folder.
    pub(crate) fn path(&self, relative: &str) -> PathBuf {
        self.root.path().join(relative)
    }

    pub(crate) fn root(&self) -> &Path {
        self.root.path()
    }

    pub(crate) fn landing(&self) -> PathBuf {
        self.path("var/landing")
    }

    /// Replaces a text that a configuration file must hold.
    pub(crate) fn edit(&self, file: &str, from: &str, to: &str) {
        let text = fs::read_to_string(self.path(file)).unwrap();
        assert!(text.contains(from), "{file} holds {from:?}");
        fs::write(self.path(file), text.replacen(from, to, 1)).unwrap();
    }

    /// Puts a file with a modification time into the landing.
    pub(crate) fn land(&self, key: &str, bytes: &[u8], modified: SystemTime) {
        let path = self.landing().join(key);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        File::options().write(true).open(&path).unwrap().set_modified(modified).unwrap();
    }

    /// Puts a file that nobody will take for a growing one into the landing.
    pub(crate) fn land_settled(&self, key: &str, text: &str) {
        self.land(key, text.as_bytes(), SystemTime::now() - Duration::from_secs(60));
    }

    /// Lands a whole corpus.
    pub(crate) fn land_all(&self, documents: &[Document]) {
        for document in documents {
            self.land(&document.key, &document.bytes, document.modified);
        }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sluicegate"));
        command.current_dir(self.root.path()).env_clear();
        command.env("SLUICEGATE_WINDOW", WINDOW);
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Starts the binary.
    pub(crate) fn start(&self, words: &[&str]) -> Running {
        let run = self.runs.fetch_add(1, Ordering::Relaxed);
        Running::start(self.command(), words, self.output.path().join(run.to_string()))
    }

    /// Runs the binary to its end.
    pub(crate) fn run(&self, words: &[&str]) -> Ended {
        self.start(words).wait().0
    }

    /// Runs a drain that must end with `code`; its summary.
    #[track_caller]
    pub(crate) fn drain(&self, code: i32) -> Value {
        self.run(&["drain", "--output", "json"]).exits(code).json()
    }

    /// The warehouse, for reading only; none before it is made.
    pub(crate) fn warehouse(&self) -> Option<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(self.path("var/warehouse.db"), flags).ok()?;
        connection.busy_timeout(Duration::from_secs(30)).unwrap();
        Some(connection)
    }

    /// One value out of the warehouse; none where it, or the table, is not made yet.
    pub(crate) fn ask<T: rusqlite::types::FromSql>(&self, sql: &str) -> Option<T> {
        self.warehouse()?.query_row(sql, [], |row| row.get(0)).ok()
    }

    /// Outcome and reason of each version of a document, the newest last.
    pub(crate) fn outcomes(&self, key: &str) -> Vec<(String, String)> {
        let Some(warehouse) = self.warehouse() else { return Vec::new() };
        let sql =
            "SELECT outcome, reason FROM sluicegate_document WHERE key = ?1 ORDER BY landed_at, outcome";
        // Before its first migration the warehouse has no such table.
        let Ok(mut statement) = warehouse.prepare(sql) else { return Vec::new() };
        let rows = statement.query_map([key], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        rows.collect::<Result<_, _>>().unwrap()
    }

    /// The outcomes alone.
    pub(crate) fn outcome_words(&self, key: &str) -> Vec<String> {
        self.outcomes(key).into_iter().map(|(outcome, _)| outcome).collect()
    }
}
