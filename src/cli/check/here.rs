//! What is on this machine: configuration, folders, state.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::check::{Finding, machine};
use crate::config::Config;
use crate::folder::LOCAL_BUCKET;
use crate::job::Job;

use super::super::assemble;
use super::super::output::counted;
use super::super::stored::existing_store;

pub(super) fn configuration(config: &Config) -> Finding {
    let jobs: Vec<&str> = config.jobs.iter().map(|job| job.name.as_str()).collect();
    Finding::ok("configuration", format!("{}, jobs: {}", config.file.display(), jobs.join(", ")))
}

/// A landing that is a folder.
pub(super) fn landing(job: &Job) -> Vec<Finding> {
    let what = format!("landing of {}", job.name);
    let Some(root) = assemble::folder(&job.landing) else { return Vec::new() };
    let shown = root.display();
    if !root.is_dir() {
        return vec![Finding::wrong(what, format!("{shown} is not there"), format!("mkdir -p {shown}"))];
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
        return vec![Finding::wrong(what, failure.message, "let this user read the folder")];
    }
    let mut findings = vec![Finding::ok(&what, format!("{shown}: {taken} documents"))];
    if let Some(first) = strangers.first() {
        let count = counted(strangers.len() as u64, "file", "files");
        let todo = format!("rename them, or change `keys` in {}", job.file.display());
        findings.push(Finding::note(what, format!("{count} of no job, such as {first}"), todo));
    }
    findings
}

/// The state folder, and the disk it lies on.
pub(super) fn state(config: &Config) -> Vec<Finding> {
    let mut findings = vec![soundness(config)];
    if let Some(folder) = nearest_folder(&config.settings.state) {
        let mounts = std::fs::read_to_string("/proc/mounts").unwrap_or_default();
        findings.extend(machine::disk(machine::file_system(&mounts, &folder), free_kib(&folder)));
    }
    findings
}

fn soundness(config: &Config) -> Finding {
    const WHAT: &str = "state";
    let folder = config.settings.state.display();
    let sound = match existing_store(config) {
        Ok(None) => return Finding::ok(WHAT, format!("{folder}, not made yet; the first drain makes it")),
        Ok(Some(store)) => store.quick_check().map_err(|error| error.to_string()),
        Err(stop) => Err(stop.message),
    };
    match sound {
        Ok(problems) if problems.is_empty() => Finding::ok(WHAT, format!("{folder}, sound")),
        Ok(problems) => Finding::wrong(WHAT, problems.join("; "), sluicegate_state::REBUILD),
        Err(message) => Finding::wrong(WHAT, message, "see the message"),
    }
}

/// The folder, or the one above it in which it would be made, without links.
fn nearest_folder(folder: &Path) -> Option<PathBuf> {
    let absolute = std::path::absolute(folder).ok()?;
    absolute.ancestors().find_map(|folder| folder.canonicalize().ok())
}

/// The standard library does not tell how full a disk is; `df` does, on every system that has a shell.
fn free_kib(folder: &Path) -> Option<u64> {
    let output = Command::new("df").arg("-Pk").arg(folder).env("LC_ALL", "C").output().ok()?;
    machine::free_kib(&String::from_utf8_lossy(&output.stdout))
}

/// Tries to write, without leaving anything.
pub(super) fn writable(what: &str, folder: &Path) -> Finding {
    let shown = folder.display();
    if !folder.exists() {
        return Finding::ok(what, format!("{shown}, not made yet; the first drain makes it"));
    }
    let probe = || tempfile::tempfile_in(folder)?.sync_all();
    match probe() {
        Ok(()) => Finding::ok(what, format!("{shown}, writable")),
        Err(error) => {
            Finding::wrong(what, format!("{shown}: {error}"), format!("let this user write to {shown}"))
        }
    }
}
