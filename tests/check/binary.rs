//! The built binary's `check`, in a folder of its own with nothing but the shipped files and the given variables.

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;
use sluicegate::check::{Finding, Level};

/// What it said, and how long it took.
pub(crate) struct Checked {
    pub(crate) status: Option<i32>,
    pub(crate) findings: Vec<Finding>,
    pub(crate) took: Duration,
    /// Everything, for messages.
    pub(crate) text: String,
}

impl Checked {
    /// Those that are not as they should be.
    pub(crate) fn troubles(&self) -> Vec<&Finding> {
        self.findings.iter().filter(|finding| finding.level != Level::Ok).collect()
    }

    /// How bad what is called so is; none where nothing is.
    pub(crate) fn level(&self, what: &str) -> Option<Level> {
        let named = self.findings.iter().filter(|finding| finding.what == what);
        named.map(|finding| finding.level).max_by_key(|level| *level as u8)
    }
}

/// Runs it.
pub(crate) fn check(variables: &[(&str, String)]) -> Checked {
    let folder = tempfile::tempdir().unwrap();
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    std::fs::create_dir(folder.path().join("jobs")).unwrap();
    for file in ["sluicegate.toml", "jobs/invoices.toml"] {
        std::fs::copy(root.join(file), folder.path().join(file)).unwrap();
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_sluicegate"));
    command.args(["check", "--output", "json"]).current_dir(folder.path()).env_clear();
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.envs(variables.iter().map(|(name, value)| (name, value)));
    let began = Instant::now();
    let output = command.output().unwrap();
    let took = began.elapsed();
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    let json: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{text}"));
    let findings = json["findings"].as_array().unwrap().iter().map(finding).collect();
    Checked { status: output.status.code(), findings, took, text }
}

fn finding(json: &Value) -> Finding {
    let text = |name: &str| json[name].as_str().unwrap().to_owned();
    let level = match json["level"].as_str() {
        Some("ok") => Level::Ok,
        Some("note") => Level::Note,
        Some("wrong") => Level::Wrong,
        other => panic!("{other:?}"),
    };
    Finding { level, what: text("what"), found: text("found"), todo: text("todo") }
}
