//! `check`: what a job needs, tried harmlessly; each finding with what to do about it.

use std::path::Path;
use std::sync::Arc;

use serde::Serialize;

use crate::config::Config;
use crate::folder::LOCAL_BUCKET;
use crate::job::Job;
use crate::pipeline::ledger::compare_identity;
use crate::ports::clock::{Clock, SystemClock};
use crate::ports::warehouse::Warehouse;

use super::args::{Flags, Format};
use super::assemble;
use super::exit::{Exit, Stop};
use super::output::{Sheet, counted, print, print_json};
use super::session::load_config;
use super::stored::existing_store;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Level {
    Ok,
    Note,
    Wrong,
}

#[derive(Debug, Serialize)]
struct Finding {
    level: Level,
    what: String,
    found: String,
    /// What to do; empty where there is nothing to do.
    todo: String,
}

fn finding(level: Level, what: &str, found: impl Into<String>, todo: impl Into<String>) -> Finding {
    Finding { level, what: what.to_owned(), found: found.into(), todo: todo.into() }
}

/// `sluicegate check`.
pub(super) fn check(flags: &Flags) -> Result<Exit, Stop> {
    let config = load_config(flags)?;
    assemble::refuse_unsupported(&config)?;
    let findings = look(&config);
    match flags.output {
        Format::Json => print_json(&serde_json::json!({ "findings": findings }))?,
        Format::Table => print(&table(&findings))?,
    }
    let wrong = findings.iter().any(|finding| finding.level == Level::Wrong);
    Ok(if wrong { Exit::Failed } else { Exit::Fine })
}

fn table(findings: &[Finding]) -> String {
    let mut sheet = Sheet::new(&["", "checked", "found", "what to do"]);
    for finding in findings {
        let level = match finding.level {
            Level::Ok => "ok",
            Level::Note => "note",
            Level::Wrong => "WRONG",
        };
        sheet.row([level, &finding.what, &finding.found, &finding.todo]);
    }
    sheet.text()
}

fn look(config: &Config) -> Vec<Finding> {
    let mut findings = vec![configuration(config)];
    for job in &config.jobs {
        findings.extend(landing(job));
    }
    findings.push(state(config));
    for (what, location) in [("archive", &config.settings.archive), ("curated", &config.settings.curated)] {
        if let Some(folder) = assemble::folder(location) {
            findings.push(writable(what, &folder));
        }
    }
    findings.extend(warehouse(config));
    findings
}

fn configuration(config: &Config) -> Finding {
    let jobs: Vec<&str> = config.jobs.iter().map(|job| job.name.as_str()).collect();
    finding(Level::Ok, "configuration", format!("{}, jobs: {}", config.file.display(), jobs.join(", ")), "")
}

fn landing(job: &Job) -> Vec<Finding> {
    let what = format!("landing of {}", job.name);
    let Some(root) = assemble::folder(&job.landing) else { return Vec::new() };
    if !root.is_dir() {
        return vec![finding(
            Level::Wrong,
            &what,
            format!("{} is not there", root.display()),
            format!("mkdir -p {}", root.display()),
        )];
    }
    let mut taken = 0_u64;
    let mut strangers = Vec::new();
    let listed = crate::folder::keys(&root, &mut |key| {
        if job.matches(LOCAL_BUCKET, key) {
            taken += 1;
        } else {
            strangers.push(key.to_owned());
        }
    });
    if let Err(failure) = listed {
        return vec![finding(Level::Wrong, &what, failure.message, "let this user read the folder")];
    }
    let mut findings = vec![finding(Level::Ok, &what, format!("{}: {taken} documents", root.display()), "")];
    if let Some(first) = strangers.first() {
        let found =
            format!("{} of no job, such as {first}", counted(strangers.len() as u64, "file", "files"));
        findings.push(finding(
            Level::Note,
            &what,
            found,
            format!("rename them, or change `keys` in {}", job.file.display()),
        ));
    }
    findings
}

fn state(config: &Config) -> Finding {
    let folder = config.settings.state.display();
    let sound = match existing_store(config) {
        Ok(None) => {
            return finding(
                Level::Ok,
                "state",
                format!("{folder}, not made yet; the first drain makes it"),
                "",
            );
        }
        Ok(Some(store)) => store.quick_check().map_err(|error| error.to_string()),
        Err(stop) => Err(stop.message),
    };
    match sound {
        Ok(problems) if problems.is_empty() => finding(Level::Ok, "state", format!("{folder}, sound"), ""),
        Ok(problems) => finding(
            Level::Wrong,
            "state",
            problems.join("; "),
            "stop Sluicegate and move the state folder away; a fresh one is rebuilt, and nothing is loaded twice",
        ),
        Err(message) => finding(Level::Wrong, "state", message, "see the message"),
    }
}

/// Tries to write, without leaving anything.
fn writable(what: &str, folder: &Path) -> Finding {
    if !folder.exists() {
        return finding(
            Level::Ok,
            what,
            format!("{}, not made yet; the first drain makes it", folder.display()),
            "",
        );
    }
    let probe = || tempfile::tempfile_in(folder)?.sync_all();
    match probe() {
        Ok(()) => finding(Level::Ok, what, format!("{}, writable", folder.display()), ""),
        Err(error) => finding(
            Level::Wrong,
            what,
            format!("{}: {error}", folder.display()),
            format!("let this user write to {}", folder.display()),
        ),
    }
}

fn warehouse(config: &Config) -> Vec<Finding> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let mut warehouse = match assemble::existing_warehouse(config, clock) {
        Ok(Some(warehouse)) => warehouse,
        Ok(None) => {
            return vec![finding(Level::Ok, "warehouse", "not made yet; the first drain makes it", "")];
        }
        Err(stop) => return vec![finding(Level::Wrong, "warehouse", stop.message, "see the message")],
    };
    let location = warehouse.location();
    let mut findings = vec![finding(Level::Ok, "warehouse", location, "")];
    findings.push(ledger(config, warehouse.as_mut()));
    for job in &config.jobs {
        findings.push(match warehouse.prepare(job.definition.schema()) {
            Ok(()) => finding(Level::Ok, &format!("tables of {}", job.name), "as the job describes them", ""),
            Err(failure) => {
                finding(Level::Wrong, &format!("tables of {}", job.name), failure.message, "see the message")
            }
        });
    }
    findings
}

fn ledger(config: &Config, warehouse: &mut dyn Warehouse) -> Finding {
    let store = match existing_store(config) {
        Ok(Some(store)) => store,
        Ok(None) => {
            return finding(
                Level::Ok,
                "ledger",
                "will be the one of the state that the first drain makes",
                "",
            );
        }
        Err(stop) => return finding(Level::Wrong, "ledger", stop.message, "see the message"),
    };
    match compare_identity(&store, warehouse) {
        Ok(_) => finding(Level::Ok, "ledger", "the one this state belongs to", ""),
        Err(failure) => finding(Level::Wrong, "ledger", failure.message, "see the message"),
    }
}
