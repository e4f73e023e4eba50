//! Goal: a database is opened as it should be, or refused and left alone.

use std::fs;
use std::path::Path;

use rusqlite::Connection;
use sluicegate_state::seam::Seam;
use sluicegate_state::{Arrival, StateError, Store};

use crate::support::{House, at, notification};

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

/// Changes the last byte of each leaf of an index: what the leaf points at is another row then.
fn damage_indices(folder: &Path) -> usize {
    let path = folder.join("state.db");
    Connection::open(&path).unwrap().execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    let mut bytes = fs::read(&path).unwrap();
    let page_bytes = usize::from(u16::from_be_bytes([bytes[16], bytes[17]]));
    let leaves = bytes.chunks_mut(page_bytes).skip(1).filter(|page| page[0] == 0x0a && page[3..5] != [0, 0]);
    let damaged = leaves.map(|page| page[page_bytes - 1] ^= 0x3f).count();
    fs::write(&path, bytes).unwrap();
    damaged
}

/// The store of a process that was killed, and damage that reading does not stumble over.
fn damaged_after_a_death() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut store = Store::open(folder.path(), Seam::default()).unwrap();
    let killed = store.begin_incarnation("killed", "host", 1, "0", at(0)).unwrap();
    let arrivals: Vec<_> =
        (0..50).map(|n| Arrival::Notification(notification(&format!("{n}.txt")))).collect();
    store.journal(&arrivals, at(0)).unwrap();
    // The kernel frees the lock of the dead; nobody says farewell.
    drop((killed, store));
    assert!(damage_indices(folder.path()) > 0);
    folder
}

#[test]
fn damage_after_a_death_is_refused_at_each_start_with_what_to_do() {
    let folder = damaged_after_a_death();
    for _ in 0..2 {
        let store = Store::open(folder.path(), Seam::default()).unwrap();
        assert!(store.quick_check().unwrap().is_empty(), "a quick check compares no index with its table");
        let error = store.check_after_death().unwrap_err();
        assert!(matches!(error, StateError::Corrupt(_)) && !error.is_transient(), "{error:?}");
        let text = error.to_string();
        for words in
            ["state.db", "index", "move state.db, state.db-wal and state.db-shm", "rebuilt from the ledger"]
        {
            assert!(text.contains(words), "{words}: {text}");
        }
    }
    // What the message says to do.
    for name in ["state.db", "state.db-wal", "state.db-shm"] {
        let _ = fs::rename(folder.path().join(name), folder.path().join(format!("{name}.damaged")));
    }
    let store = Store::open(folder.path(), Seam::default()).unwrap();
    assert!(!store.check_after_death().unwrap());
}

#[test]
fn what_ended_well_is_not_read_through_at_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = Store::open(folder.path(), Seam::default()).unwrap();
    assert!(!store.check_after_death().unwrap(), "a new one");
    let first = store.begin_incarnation("first", "host", 1, "0", at(0)).unwrap();
    assert!(!store.check_after_death().unwrap(), "one that lives");
    store.end_incarnation(first, at(1)).unwrap();
    assert!(!store.check_after_death().unwrap(), "one that said farewell");
    drop(store.begin_incarnation("second", "host", 1, "0", at(2)).unwrap());
    assert!(store.check_after_death().unwrap(), "one that died");
    store.bury_dead(at(3)).unwrap();
    assert!(!store.check_after_death().unwrap(), "it was checked and buried");
}
