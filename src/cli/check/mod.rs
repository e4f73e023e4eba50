//! `check`: what a job needs, tried harmlessly; each finding with what to do about it.
//!
//! Every place is asked in a thread of its own, and nothing is waited for longer than [`PATIENCE`]: a check that hangs tells
//! nothing.

mod cloud;
mod groups;
mod here;
mod warehouse;

use std::sync::Arc;
use std::time::Duration;

use crate::check::{Finding, Level};
use crate::config::Config;

use super::args::{Flags, Format};
use super::assemble;
use super::exit::{Exit, Stop};
use super::output::{Sheet, print, print_json};
use super::session::load_config;
use groups::Groups;

/// For everything together. Each question to AWS ends in ten seconds, and a service that is silent is asked once.
const PATIENCE: Duration = Duration::from_secs(60);

/// `sluicegate check`.
pub(super) fn check(flags: &Flags) -> Result<Exit, Stop> {
    let config = load_config(flags)?;
    assemble::refuse_unsupported(&config)?;
    let findings = look(config)?;
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

fn look(config: Config) -> Result<Vec<Finding>, Stop> {
    let config = Arc::new(config);
    let mut findings = vec![here::configuration(&config)];
    findings.extend(crate::check::places::places(&config));
    let mut groups = Groups::default();
    for job in &config.jobs {
        let job = job.clone();
        groups.add(format!("landing of {}", job.name), move || here::landing(&job));
    }
    let of_state = config.clone();
    groups.add("state", move || here::state(&of_state));
    for (what, location) in [("archive", &config.settings.archive), ("curated", &config.settings.curated)] {
        if let Some(folder) = assemble::folder(location) {
            groups.add(what, move || vec![here::writable(what, &folder)]);
        }
    }
    let account = cloud::ask(&config, &mut groups, &mut findings)?;
    let of_warehouse = config.clone();
    groups.add("warehouse", move || warehouse::warehouse(&of_warehouse));
    findings.extend(groups.run(PATIENCE));
    if let Some(ahead) = account.and_then(|account| account.clock_ahead()) {
        findings.push(crate::check::clock::clock("AWS", ahead));
    }
    Ok(findings)
}
