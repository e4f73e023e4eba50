//! The built program at work under the shim: drains on embedded parts, in folders that it has to make itself.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use sluicegate_state::canary::{Canary, VARIABLE};
use tempfile::TempDir;

use crate::corpus::{Document, corpus};
use crate::log::{Line, read};
use crate::shim::Shim;

/// What the program keeps lies below this folder, which is not there when it starts.
const KEPT: &str = "kept";
/// Documents that land before a drain.
const DOCUMENTS: usize = 6;
/// Members of a batch, so that there are several.
const BATCH: &str = "documents = 3\n";

/// What was written down, and where the program kept what counts.
pub(crate) struct Drains {
    pub(crate) lines: Vec<Line>,
    pub(crate) kept: PathBuf,
    _folder: TempDir,
}

/// Drains, the second of which finds tables, journal and archive; with a canary that sings in them. None where the shim
/// cannot be had.
pub(crate) fn drains(count: usize, canary: Option<Canary>) -> Option<Drains> {
    let shim = Shim::new()?;
    let folder = tempfile::tempdir().unwrap();
    // As the system names it: the log has paths without links.
    let root = folder.path().canonicalize().unwrap();
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR"));
    fs::create_dir_all(root.join("jobs")).unwrap();
    fs::copy(shipped.join("sluicegate.toml"), root.join("sluicegate.toml")).unwrap();
    let job = fs::read_to_string(shipped.join("jobs/invoices.toml")).unwrap();
    assert!(job.contains("documents = 1000\n"));
    fs::write(root.join("jobs/invoices.toml"), job.replace("documents = 1000\n", BATCH)).unwrap();
    let mut lines = Vec::new();
    for (process, documents) in corpus(38, DOCUMENTS * count).chunks(DOCUMENTS).take(count).enumerate() {
        land(&root.join("var/landing"), documents);
        let log = root.join(format!("log-{process}"));
        drain(&root, &shim, &log, canary);
        let before = lines.len();
        lines.extend(
            read(&log, process).into_iter().map(|line| Line { number: line.number + before, ..line }),
        );
    }
    Some(Drains { lines, kept: root.join(KEPT), _folder: folder })
}

fn land(landing: &Path, documents: &[Document]) {
    for document in documents {
        let path = landing.join(&document.key);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, &document.bytes).unwrap();
        File::options().write(true).open(&path).unwrap().set_modified(document.modified).unwrap();
    }
}

fn drain(root: &Path, shim: &Shim, log: &Path, canary: Option<Canary>) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sluicegate"));
    command.args(["drain", "--crawl"]).current_dir(root).env_clear();
    for (name, place) in [
        ("SLUICEGATE_STATE", "the/state"),
        ("SLUICEGATE_ARCHIVE", "the/archive"),
        ("SLUICEGATE_CURATED", "curated"),
        ("SLUICEGATE_WAREHOUSE", "ware/house.db"),
    ] {
        let scheme = if name == "SLUICEGATE_WAREHOUSE" { "sqlite:" } else { "" };
        command.env(name, format!("{scheme}{KEPT}/{place}"));
    }
    command.env("SLUICEGATE_TRACE", root.join("trace")).envs(shim.logging(log));
    command.envs(canary.map(|canary| (VARIABLE, canary.name())));
    let output = command.output().unwrap();
    // 3: some documents of the corpus are not good.
    assert!(matches!(output.status.code(), Some(0 | 3)), "{output:?}");
}
