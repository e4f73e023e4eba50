//! One suite for each port, as generic functions that every adapter must pass, and their runs over the embedded adapters.

mod benches;
mod catalog;
mod inbox;
mod manual_clock;
mod object_store;
mod published;
mod query_engine;
mod rows;
mod warehouse;

use std::path::PathBuf;
use std::sync::Arc;

use sluicegate::embedded::{EmbeddedCatalog, EmbeddedQueryEngine};
use sluicegate::ports::clock::SystemClock;
use tempfile::TempDir;

/// A folder for each adapter that a suite makes; all live until the test ends.
#[derive(Default)]
struct Folders(Vec<TempDir>);

impl Folders {
    fn curated(&mut self) -> PathBuf {
        let folder = tempfile::tempdir().unwrap();
        let curated = folder.path().join("curated");
        self.0.push(folder);
        curated
    }
}

#[test]
fn the_embedded_catalog() {
    let mut folders = Folders::default();
    catalog::catalog_suite(&mut || {
        let curated = folders.curated();
        let tables = published::schema().tables.into_iter().map(|table| table.name).collect();
        (Box::new(EmbeddedCatalog::new(&curated, tables, Arc::new(SystemClock))), curated)
    });
}

#[test]
fn the_embedded_query_engine() {
    let mut folders = Folders::default();
    query_engine::query_engine_suite(&mut || {
        let curated = folders.curated();
        let temporary = curated.with_file_name("temporary");
        let engine = EmbeddedQueryEngine::new(&curated, vec![published::schema()], &temporary);
        (Box::new(engine), curated)
    });
}

#[test]
fn the_folder_as_object_store() {
    let mut folders = Folders::default();
    object_store::object_store_suite(&mut || benches::folder_place(folders.curated()));
}

#[test]
fn the_folder_as_inbox() {
    inbox::inbox_suite(&mut || Box::new(benches::FolderPostbox::new()));
}

#[test]
fn the_sqlite_warehouse() {
    warehouse::warehouse_suite(&mut || Box::new(benches::SqliteBench::new()));
}
