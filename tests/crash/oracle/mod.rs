//! The oracle: looks at the files of a run when all is over, with plain SQL, tar and CSV, and holds them against what the
//! workload says must be there. It uses nothing of the product but the file formats.

mod archive;
pub(crate) mod crawls;
pub(crate) mod curated;
mod journal;
mod ledger;
mod warehouse;

use std::fs;
use std::path::Path;

use regex::Regex;
use rusqlite::Connection;

use crate::process::World;
pub(crate) use crate::rows::select;
use crate::workload::{OVERWRITTEN, VANISHING};

/// Checks I1–I11 as far as one machine without replay shows them; answers the content of everything, without batch ids and
/// times.
pub(crate) fn examine(world: &World) -> Vec<String> {
    look_at(world, false)
}

/// The same where a state was lost and rebuilt: what only its journal knew is gone, and what is in the landing may have been
/// archived a second time, and is `again` then.
pub(crate) fn examine_rebuilt(world: &World) -> Vec<String> {
    look_at(world, true)
}

/// The rows, and the documents but for those that only a journal can know of.
pub(crate) fn without_what_may_be_lost(content: &[String]) -> Vec<String> {
    let may_be_lost = |line: &String| {
        line.starts_with("verdict ")
            || line.starts_with(&format!("document {VANISHING}"))
            || line.starts_with(&format!("document {OVERWRITTEN}")) && line.contains("superseded")
    };
    content.iter().filter(|line| !may_be_lost(line)).cloned().collect()
}

fn look_at(world: &World, rebuilt: bool) -> Vec<String> {
    let shell = |path: &Path| Connection::open(path).unwrap();
    let ledger = shell(&world.warehouse());
    let journal = shell(&world.path("state").join("state.db"));
    let catalog = shell(&world.path("curated").join(".catalog").join("catalog.db"));
    for database in [&ledger, &journal, &catalog] {
        assert_eq!(select(database, "PRAGMA integrity_check"), [["ok"]]);
    }
    let mut content = ledger::check(&ledger, rebuilt);
    content.extend(warehouse::check(&ledger));
    curated::check(world, &ledger);
    archive::check(world, &ledger);
    crawls::check(&ledger, &catalog);
    if rebuilt {
        journal::check_rebuilt(&journal, &ledger);
    } else {
        journal::check(&journal, &ledger);
    }
    // A retry may let one batch grow and another shrink, so the place in the batch goes with the id.
    let batch_id = Regex::new("[0-9]{8}T[0-9]{6}Z-[0-9a-f]{16}(/[0-9]{6})?").unwrap();
    let mut content: Vec<String> =
        content.into_iter().map(|line| batch_id.replace_all(&line, "BATCH").into_owned()).collect();
    content.sort();
    content
}

/// That a statement finds nothing: each row of it is something wrong.
fn none(connection: &Connection, what: &str, sql: &str) {
    let found = select(connection, sql);
    assert!(found.is_empty(), "{what}: {found:?}");
}

/// The files below a folder, as sorted relative paths; what begins with a dot at the top is the owner's own.
pub(crate) fn files(folder: &Path) -> Vec<String> {
    fn walk(root: &Path, folder: &Path, found: &mut Vec<String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let relative = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            if path.is_dir() {
                walk(root, &path, found);
            } else {
                found.push(relative);
            }
        }
    }
    let mut found = Vec::new();
    walk(folder, folder, &mut found);
    found.sort();
    found
}
