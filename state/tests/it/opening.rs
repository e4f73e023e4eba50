//! Goal: a database is opened as it should be, or refused and left alone.

use std::fs;

use rusqlite::Connection;
use sluicegate_state::seam::Seam;
use sluicegate_state::{StateError, Store};

use crate::support::House;

#[test]
fn the_folder_is_made_with_its_parents() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("deep/state");
    let store = Store::open(&folder, Seam::default()).unwrap();
    assert_eq!(store.folder(), folder);
    assert!(store.quick_check().unwrap().is_empty());
}

#[test]
fn it_is_opened_again_with_everything_in_it() {
    let mut house = House::new();
    house.store.set_meta("ledger", "one").unwrap();
    house.store.set_meta("ledger", "two").unwrap();
    let again = house.again(Seam::default());
    assert_eq!(again.meta("ledger").unwrap().as_deref(), Some("two"));
    assert_eq!(again.meta("other").unwrap(), None);
    let mode: String = house.shell().query_row("PRAGMA journal_mode", [], |row| row.get(0)).unwrap();
    assert_eq!(mode, "wal");
}

#[test]
fn a_newer_database_is_refused_and_not_a_byte_of_it_changes() {
    let house = House::new();
    let folder = house.folder();
    let shell = house.shell();
    shell.pragma_update(None, "user_version", 99).unwrap();
    // The newer program was killed: its last commits are still in the write-ahead log.
    let copy = tempfile::tempdir().unwrap();
    for name in ["state.db", "state.db-wal"] {
        fs::copy(folder.join(name), copy.path().join(name)).unwrap();
    }
    let bytes = || ["state.db", "state.db-wal"].map(|name| fs::read(copy.path().join(name)).unwrap());
    let before = bytes();
    assert!(!before[1].is_empty());
    for _ in 0..2 {
        let error = Store::open(copy.path(), Seam::default()).unwrap_err();
        assert!(matches!(error, StateError::NewerSchema { found: 99, .. }), "{error}");
        assert!(error.to_string().contains("state.db has schema version 99"), "{error}");
        assert_eq!(bytes(), before);
    }
}

#[test]
fn another_program_s_database_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    Connection::open(&path).unwrap().execute_batch("CREATE TABLE thing (x)").unwrap();
    let before = fs::read(&path).unwrap();
    assert!(matches!(Store::open(folder.path(), Seam::default()).unwrap_err(), StateError::Illegal(_)));
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn what_is_no_database_is_named_with_the_next_step() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("state.db"), vec![b'x'; 5_000]).unwrap();
    let error = Store::open(folder.path(), Seam::default()).unwrap_err();
    assert!(!error.is_transient());
    assert!(error.to_string().contains("rebuilt from the ledger"), "{error}");
    fs::write(folder.path().join("file"), "").unwrap();
    let error = Store::open(&folder.path().join("file/below"), Seam::default()).unwrap_err();
    assert!(error.to_string().contains("file/below"), "{error}");
}

#[test]
fn the_check_finds_a_batch_that_lost_members() {
    let mut house = House::new();
    house.sealed(&["a", "b"]);
    let shell = house.shell();
    shell.execute_batch("DROP TRIGGER member_is_kept; DELETE FROM member WHERE ordinal = 1").unwrap();
    let problems = house.store.quick_check().unwrap();
    assert!(problems.iter().any(|problem| problem.contains("lost members")), "{problems:?}");
}
