//! One account with an empty catalog, and the program in front of it.

use std::process::{Command, Output};
use std::sync::Arc;

use serde_json::{Value, json};

use crate::athena::{Athena, Mood};
use crate::endpoint::GlueEndpoint;
use crate::manual_clock::ManualClock;

pub(crate) const DATABASE: &str = "finance";

pub(crate) struct World {
    pub(crate) glue: GlueEndpoint,
    pub(crate) athena: Athena,
    folder: tempfile::TempDir,
    variables: Vec<(String, String)>,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with_athena(Mood::Keeps)
    }

    pub(crate) fn with_athena(mood: Mood) -> Self {
        let glue = GlueEndpoint::start(Arc::new(ManualClock::new("2026-03-01T10:00:00Z")));
        let athena = Athena::start(glue.clone(), mood);
        let own = [
            ("AWS_ENDPOINT_URL_ATHENA", athena.url.as_str()),
            // Nothing is asked twice that a test wants to see once.
            ("AWS_MAX_ATTEMPTS", "2"),
            ("SLUICEGATE_CURATED", "s3://books/csv/"),
            ("SLUICEGATE_DATABASE", DATABASE),
            ("SLUICEGATE_CRAWLER", "nightly"),
            ("SLUICEGATE_CRAWLER_ROLE", "arn:aws:iam::123456789012:role/service/crawls"),
            ("SLUICEGATE_WORKGROUP", "books"),
            ("SLUICEGATE_ATHENA_OUTPUT", "s3://books/answers"),
        ];
        let own = own.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let variables = glue.variables().into_iter().chain(own).collect();
        Self { glue, athena, folder: tempfile::tempdir().unwrap(), variables }
    }

    /// With another value of a variable, or without it.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.variables.retain(|(known, _)| known != name);
        if !value.is_empty() {
            self.variables.push((name.to_owned(), value.to_owned()));
        }
    }

    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = program(self.folder.path(), words);
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    pub(crate) fn run(&self, words: &[&str]) -> Ended {
        Ended::of(self.command(words).output().unwrap())
    }

    pub(crate) fn catalog(&self) -> Ended {
        self.run(&["catalog", "--output", "json"])
    }

    pub(crate) fn apply(&self) -> Ended {
        self.run(&["catalog", "--apply", "--output", "json"])
    }

    /// A table as it is in the catalog.
    pub(crate) fn table(&self, name: &str) -> Value {
        let input = json!({ "DatabaseName": DATABASE, "Name": name });
        self.glue.ask("GetTable", &input).unwrap()["Table"].take()
    }

    /// Changes a table as a person would.
    pub(crate) fn edit(&self, name: &str, edit: impl FnOnce(&mut Value)) {
        let mut table = self.table(name);
        edit(&mut table);
        self.glue.ask("UpdateTable", &json!({ "DatabaseName": DATABASE, "TableInput": table })).unwrap();
    }

    /// Everything that the catalog holds.
    pub(crate) fn content(&self) -> Vec<Value> {
        let tables = self.glue.ask("GetTables", &json!({ "DatabaseName": DATABASE })).unwrap();
        let crawler = self.glue.ask("GetCrawler", &json!({ "Name": "nightly" })).unwrap_or_default();
        vec![tables, crawler]
    }

    /// How many requests may have changed something.
    pub(crate) fn writes(&self) -> usize {
        self.glue.requests().iter().filter(|request| !request.starts_with("Get")).count()
            + self.athena.statements().len()
    }
}

/// The built program with nothing in its environment.
pub(crate) fn program(folder: &std::path::Path, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sluicegate"));
    let config = concat!(env!("CARGO_MANIFEST_DIR"), "/sluicegate.toml");
    command.args(words).args(["--config", config]).current_dir(folder).env_clear();
    command
}

/// How a run ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    pub(crate) fn of(output: Output) -> Self {
        Self {
            status: output.status.code().expect("it ended by itself"),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    pub(crate) fn exits(self, status: i32) -> Self {
        assert_eq!(self.status, status, "{self:?}");
        self
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The only job's part of the answer.
    pub(crate) fn job(&self) -> Value {
        self.json()["jobs"][0].take()
    }

    /// The differences as `thing: property (remedy)`.
    pub(crate) fn differences(&self) -> Vec<String> {
        let job = self.job();
        let all = job["differences"].as_array().unwrap().iter();
        all.map(|of| {
            let [thing, property, remedy] =
                ["thing", "property", "remedy"].map(|name| of[name].as_str().unwrap().to_owned());
            format!("{thing}: {property} ({remedy})")
        })
        .collect()
    }

    pub(crate) fn list(&self, name: &str) -> Vec<String> {
        let job = self.job();
        let all = job[name].as_array().unwrap().iter();
        all.map(|text| text.as_str().unwrap().to_owned()).collect()
    }
}
