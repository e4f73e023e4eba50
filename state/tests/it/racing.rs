//! Goal: several processes may share a folder; every race has one winner, and nobody does anything twice.

use std::sync::Barrier;
use std::thread;

use sluicegate_state::seam::Seam;
use sluicegate_state::{Arrival, BatchEvent, Limits, Moved, SealRequest, Store};

use crate::support::{House, ME, at, forced, limits, notification};

const RUNNERS: usize = 4;

/// Runs the same thing on several connections at once.
fn race<T: Send>(house: &House, what: impl Fn(usize, &mut Store) -> T + Sync) -> Vec<T> {
    let start = Barrier::new(RUNNERS);
    thread::scope(|scope| {
        let runner = |number| {
            let (start, what) = (&start, &what);
            let mut store = house.again(Seam::default());
            scope.spawn(move || {
                start.wait();
                what(number, &mut store)
            })
        };
        let runners: Vec<_> = (0..RUNNERS).map(runner).collect();
        runners.into_iter().map(|runner| runner.join().unwrap()).collect()
    })
}

#[test]
fn a_fresh_folder_is_opened_by_many_at_once() {
    for _ in 0..100 {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        let start = Barrier::new(RUNNERS);
        thread::scope(|scope| {
            for _ in 0..RUNNERS {
                scope.spawn(|| {
                    start.wait();
                    Store::open(&path, Seam::default()).unwrap();
                });
            }
        });
    }
}

#[test]
fn a_notification_that_many_journal_is_recorded_once() {
    let house = House::new();
    let arrivals: Vec<_> = (0..50).map(|key| Arrival::Notification(notification(&key.to_string()))).collect();
    let receipts = race(&house, |_, store| store.journal(&arrivals, at(0)).unwrap());
    assert_eq!(receipts.iter().map(|receipt| receipt.recorded).sum::<u64>(), 50);
    assert_eq!(receipts.iter().map(|receipt| receipt.redelivered).sum::<u64>(), 50 * (RUNNERS as u64 - 1));
}

#[test]
fn what_many_seal_is_sealed_once_while_more_arrives() {
    let house = House::new();
    let request = SealRequest { limits: Limits { documents: 3, ..limits() }, ..forced() };
    let sealed = race(&house, |number, store| {
        let mut sealed = 0;
        for round in 0..10 {
            let key = format!("{number}/{round}");
            store.journal(&[Arrival::Notification(notification(&key))], at(0)).unwrap();
            sealed += store.seal(&request, at(1)).unwrap().map_or(0, |batch| batch.documents);
        }
        sealed
    });
    let backlog = house.store.backlog("invoices").unwrap();
    assert_eq!(sealed.iter().sum::<u64>() + backlog.pending, 10 * RUNNERS as u64);
    assert_eq!(backlog.unfinished_members, sealed.iter().sum::<u64>());
    assert!(house.store.quick_check().unwrap().is_empty());
}

#[test]
fn a_batch_that_many_move_is_moved_once() {
    let mut house = House::new();
    for round in 0..10 {
        let id = house.sealed(&[&format!("{round}")]).batch_id;
        let moved = race(&house, |number, store| {
            // Half give it up, half say that it is archived; all but the first find it changed.
            let event = if number % 2 == 0 { BatchEvent::Failed } else { BatchEvent::Archived };
            store.apply(&id, event, "race", ME, at(2)).unwrap()
        });
        let log = house.store.transitions(&id).unwrap();
        assert_eq!(moved.iter().filter(|moved| **moved == Moved::Yes).count(), log.len() - 1);
        assert!(log.windows(2).all(|pair| pair[1].from == Some(pair[0].to)), "{log:?}");
    }
}

#[test]
fn a_dead_incarnation_is_buried_by_one() {
    let mut house = House::new();
    for id in ["one", "two", "three"] {
        drop(house.store.begin_incarnation(id, "host", 1, "0", at(0)).unwrap());
    }
    let mut buried: Vec<_> = race(&house, |_, store| store.bury_dead(at(1)).unwrap()).concat();
    // Whoever found a lock taken by another burier leaves that one to it.
    buried.extend(house.store.bury_dead(at(2)).unwrap());
    buried.sort();
    assert_eq!(buried, ["one", "three", "two"]);
}
