//! Goal: death is noticed by the kernel's word, is recorded as an attempt's outcome, and parks nothing.

use sluicegate_state::seam::Seam;
use sluicegate_state::{AttemptOutcome, BatchState, DrainerLock, Stage, StateError};

use crate::support::{House, at};

#[test]
fn the_attempts_of_a_dead_process_died_and_its_batch_is_due() {
    let mut house = House::new();
    let id = house.sealed(&["a"]).batch_id;
    let mut other = house.again(Seam::default());
    let incarnation = other.begin_incarnation("other", "host", 1, "0", at(0)).unwrap();
    other.begin_attempt(&id, Stage::Archive, incarnation.id(), at(2)).unwrap();
    let command = other.command_started(incarnation.id(), &["drain".into(), "é".into()], at(2)).unwrap();
    let lock = house.folder().join("incarnations/other.lock");

    assert!(house.store.bury_dead(at(3)).unwrap().is_empty(), "it lives");
    assert!(lock.exists());
    drop((incarnation, other));
    assert_eq!(house.store.bury_dead(at(4)).unwrap(), ["other"]);
    assert!(house.store.bury_dead(at(5)).unwrap().is_empty());
    assert!(!lock.exists());

    let attempt = house.store.attempts(&id).unwrap().remove(0);
    assert_eq!((attempt.outcome, attempt.ended_at), (AttemptOutcome::Died, Some(at(4))));
    let batch = house.store.batch(&id).unwrap().unwrap();
    assert_eq!((batch.state, batch.failures), (BatchState::Sealed, 0));
    assert_eq!(house.store.due_batches(BatchState::Sealed, at(4), 9).unwrap().len(), 1);
    let logged = house.store.commands(1).unwrap().remove(0);
    assert_eq!((logged.command_id, logged.exit, logged.ended_at), (command, None, Some(at(4))));
    assert_eq!(logged.argv, ["drain", "é"]);
}

#[test]
fn an_incarnation_that_ended_is_not_buried() {
    let mut house = House::new();
    let incarnation = house.store.begin_incarnation("other", "host", 1, "0", at(0)).unwrap();
    let command = house.store.command_started("other", &[], at(0)).unwrap();
    house.store.command_ended(command, 3, at(1)).unwrap();
    house.store.end_incarnation(incarnation, at(2)).unwrap();
    assert!(house.store.bury_dead(at(3)).unwrap().is_empty());
    assert!(!house.folder().join("incarnations/other.lock").exists());
    let logged = house.store.commands(1).unwrap().remove(0);
    assert_eq!((logged.exit, logged.ended_at), (Some(3), Some(at(1))));
}

#[test]
fn a_missing_lock_file_is_a_free_lock() {
    let mut house = House::new();
    drop(house.store.begin_incarnation("other", "host", 1, "0", at(0)).unwrap());
    std::fs::remove_file(house.folder().join("incarnations/other.lock")).unwrap();
    assert_eq!(house.store.bury_dead(at(1)).unwrap(), ["other"]);
}

#[test]
fn an_id_is_used_once_and_is_no_path() {
    let mut house = House::new();
    let alive = house.store.begin_incarnation("other", "host", 1, "0", at(0)).unwrap();
    let again = house.store.begin_incarnation("other", "host", 1, "0", at(0));
    assert!(matches!(again.unwrap_err(), StateError::Illegal(_)));
    house.store.end_incarnation(alive, at(1)).unwrap();
    house.store.begin_incarnation("other", "host", 1, "0", at(2)).unwrap_err();
    for id in ["", "../x", "a/b", ".", "a b"] {
        let refused = house.store.begin_incarnation(id, "host", 1, "0", at(0));
        assert!(matches!(refused.unwrap_err(), StateError::Illegal(_)), "{id}");
    }
}

#[test]
fn one_drainer_a_folder_and_the_second_hears_who() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("state");
    let first = DrainerLock::acquire(&folder, "a much longer description of drain, pid 12").unwrap().unwrap();
    let second = DrainerLock::acquire(&folder, "run, pid 13").unwrap();
    assert_eq!(second.unwrap_err(), "a much longer description of drain, pid 12");
    drop(first);
    let third = DrainerLock::acquire(&folder, "run, pid 13").unwrap().unwrap();
    assert_eq!(DrainerLock::acquire(&folder, "x").unwrap().unwrap_err(), "run, pid 13");
    drop(third);
}
