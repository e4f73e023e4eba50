//! A database that was restored to the past, and the re-entry of what it lost: it dies before and after each of its
//! effects, is run again, and all ends as if nothing had ever been lost.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::Arc;

use chrono::TimeDelta;
use sluicegate::effects::{CURATED_PUT, PROOF_COMMIT, PUBLISHED_COMMIT, WAREHOUSE_COMMIT};
use sluicegate::failure::{FailureKind, Outcome};
use sluicegate::pipeline::ledger::{check_identity, end_reentry};
use sluicegate::ports::clock::Clock;
use sluicegate::reconcile::behind::enter::{Entered, enter};
use sluicegate::reconcile::behind::look::{LostLoad, look};
use sluicegate::reconcile::mend::Person;
use sluicegate_state::effects::META;
use sluicegate_state::seam::Seam;
use sluicegate_state::{AttemptFailure, BatchState, Stage, Store};

use crate::fault::{Faults, Kind, Strike};
use crate::landing::land;
use crate::oracle;
use crate::process::{Process, World, context, job};
use crate::workload::{self, Document};

/// More effects than a re-entry of this workload has.
const MOST_MOMENTS: usize = 200;

fn end_window(world: &World) {
    let now = world.clock.now();
    let tick = job().window.next_tick(now).expect("windows go on for ever");
    world.clock.advance(tick - now);
}

/// Lands, works, and ends a window.
fn one_window(world: &World, documents: Vec<Document>) {
    for document in documents {
        land(&world.path("landing"), document.key, &document.bytes, document.landed_at);
    }
    let mut process = Process::start(world, &Faults::new(&[])).unwrap();
    process.settle().unwrap();
    end_window(world);
    process.settle().unwrap();
    process.end().unwrap();
}

/// A world in which all is done, what the oracle said of it, and whose database was then restored to what it was after so
/// many windows.
fn restored(windows: usize) -> (World, Vec<String>) {
    let world = World::new(false);
    // As the command makes them before its first drain.
    for place in ["archive", "curated"] {
        fs::create_dir_all(world.path(place)).unwrap();
    }
    let back_up = || fs::copy(world.warehouse(), world.path("backup.db")).unwrap();
    for (number, documents) in
        [Vec::new(), workload::first_window(), workload::second_window()].into_iter().enumerate()
    {
        one_window(&world, documents);
        if number == windows {
            back_up();
        }
    }
    let content = oracle::examine(&world);
    fs::rename(world.path("backup.db"), world.warehouse()).unwrap();
    for rest in ["warehouse.db-wal", "warehouse.db-shm"] {
        assert!(!world.path(rest).exists(), "the last connection wrote everything into the file");
    }
    (world, content)
}

/// One run of the command, as a process of its own.
fn reenter(world: &World, faults: &Arc<Faults>) -> Outcome<Entered> {
    reenter_in(world, faults, |_| ())
}

/// The same with the lost loads in another order.
fn reenter_in(world: &World, faults: &Arc<Faults>, order: fn(&mut Vec<LostLoad>)) -> Outcome<Entered> {
    reenter_as(world, "state", faults, order)
}

/// The same on the machine with this state folder.
fn reenter_as(
    world: &World,
    state: &str,
    faults: &Arc<Faults>,
    order: fn(&mut Vec<LostLoad>),
) -> Outcome<Entered> {
    let mut store = Store::open(&world.path(state), faults.seam())?;
    let context = context(world, state, faults.seam(), world.fresh_incarnation());
    let mut warehouse = (context.open_warehouse)()?;
    let mut lost = look(&context, &store, warehouse.as_mut())?;
    order(&mut lost);
    let person = Person {
        operator: "somebody@host".to_owned(),
        command: "reconcile --ledger-behind".to_owned(),
        reason: "a test".to_owned(),
    };
    enter(&context, &mut store, &mut warehouse, &lost, &person)
}

/// The batches that are lost, in the order in which they would be entered.
fn lost(world: &World) -> Vec<String> {
    let store = Store::open(&world.path("state"), Seam::default()).unwrap();
    let context = context(world, "state", Seam::default(), world.fresh_incarnation());
    let mut warehouse = (context.open_warehouse)().unwrap();
    look(&context, &store, warehouse.as_mut()).unwrap().into_iter().map(|load| load.batch_id).collect()
}

/// Whether a drain would be let in; then nothing may be left to do.
fn is_accepted(world: &World) -> bool {
    let mut store = Store::open(&world.path("state"), Seam::default()).unwrap();
    let context = context(world, "state", Seam::default(), world.fresh_incarnation());
    let mut warehouse = (context.open_warehouse)().unwrap();
    match check_identity(&mut store, warehouse.as_mut()) {
        Ok(()) => {
            let left = look(&context, &store, warehouse.as_mut()).unwrap();
            assert!(left.is_empty(), "accepted, and not whole: {left:?}");
            true
        }
        Err(failure) => {
            assert_eq!(failure.kind, FailureKind::WrongLedger);
            assert!(failure.message.contains("reconcile --ledger-behind"), "{failure}");
            false
        }
    }
}

/// Goes on as every day, and looks at everything.
fn is_as_before(world: &World, content: &[String]) {
    world.clock.advance(TimeDelta::minutes(2));
    one_window(world, Vec::new());
    oracle::crawls::nothing_waits(world);
    assert!(oracle::examine(world) == content, "it ends with other content");
}

/// The re-entry dies before and after its n-th effect, n = 1, 2, …, each time in a copy of the same world.
fn dies_at_each_moment(windows: usize) -> (usize, BTreeSet<(&'static str, bool)>) {
    let (world, content) = restored(windows);
    let mut struck = BTreeSet::new();
    let mut points = 0;
    for after in [false, true] {
        for moment in 1..MOST_MOMENTS {
            let world = world.copy();
            assert!(!is_accepted(&world));
            let faults = Faults::new(&[Strike { moment, after, kind: Kind::Dies }]);
            let first = reenter(&world, &faults);
            if !faults.all_met() {
                assert!(first.unwrap().refused.is_empty());
                break;
            }
            let died = first.err().is_some_and(|failure| failure.kind == FailureKind::Died);
            assert!(died, "nobody goes on after a death at moment {moment} (after: {after})");
            points += 1;
            struck.extend(faults.struck());
            is_accepted(&world);
            let again = reenter(&world, &Faults::new(&[])).unwrap();
            assert!(again.refused.is_empty(), "{:?}", again.refused);
            assert!(is_accepted(&world));
            assert!(reenter(&world, &Faults::new(&[])).unwrap().entered.is_empty(), "there is nothing left");
            is_as_before(&world, &content);
        }
    }
    (points, struck)
}

#[test]
fn a_re_entry_that_dies_at_each_moment_enters_everything_once() {
    for windows in [0, 1] {
        let (points, struck) = dies_at_each_moment(windows);
        println!("{points} points: death before and after each effect of a re-entry");
        for effect in [META, PROOF_COMMIT, WAREHOUSE_COMMIT, CURATED_PUT, PUBLISHED_COMMIT] {
            for after in [false, true] {
                assert!(struck.contains(&(effect, after)), "no death met {effect} (after: {after})");
            }
        }
    }
}

/// The workload has duplicates and a conflict over its windows, so the order of the loads is part of its content.
#[test]
fn where_the_clocks_are_wrong_the_objects_decide_the_order() {
    let (world, content) = restored(0);
    let mut backwards = lost(&world);
    backwards.reverse();
    let entered = reenter_in(&world, &Faults::new(&[]), |lost| lost.reverse()).unwrap();
    assert!(entered.refused.is_empty(), "{:?}", entered.refused);
    assert_eq!(entered.entered.len(), backwards.len());
    assert_ne!(entered.entered, backwards, "what does not fit waits for what comes before it");
    assert!(is_accepted(&world));
    is_as_before(&world, &content);
}

/// The state of the newest batch of this machine, once a process that looks at what landed dies at this moment.
fn dies_at(world: &World, moment: usize) -> Option<BatchState> {
    let faults = Faults::new(&[Strike { moment, after: false, kind: Kind::Dies }]);
    let died = Process::start(world, &faults).and_then(|mut process| process.settle());
    assert!(died.is_err(), "no process of this workload has fewer than {moment} effects");
    let store = Store::open(&world.path("state"), Seam::default()).unwrap();
    let batches = store.batches_page("invoices", "", 100).unwrap();
    batches.last().filter(|_| batches.len() == 2).map(|batch| batch.state)
}

/// A world in which a copy of a loaded document was loaded and not published, and whose database was then restored to what
/// it was before both: without rows the copy has no objects.
fn restored_with_a_copy_that_was_only_loaded() -> World {
    let world = World::new(false);
    for place in ["archive", "curated"] {
        fs::create_dir_all(world.path(place)).unwrap();
    }
    one_window(&world, Vec::new());
    fs::copy(world.warehouse(), world.path("backup.db")).unwrap();
    let original = workload::first_window().into_iter().find(|one| !one.invoices.is_empty()).unwrap();
    let copy = original.bytes.clone();
    one_window(&world, vec![original]);
    land(&world.path("landing"), "z/copy.txt", &copy, "2026-03-01T09:55:00Z".parse().unwrap());
    let world = (1..MOST_MOMENTS)
        .map(|moment| (world.copy(), moment))
        .find(|(world, moment)| dies_at(world, *moment) == Some(BatchState::Loaded))
        .expect("at some moment it is loaded and not published")
        .0;
    fs::rename(world.path("backup.db"), world.warehouse()).unwrap();
    for rest in ["warehouse.db-wal", "warehouse.db-shm"] {
        if world.path(rest).exists() {
            fs::remove_file(world.path(rest)).unwrap();
        }
    }
    world
}

/// As long as it is not published, it looks like a load whose objects were not written yet; entered before the other one,
/// it would take the other's rows.
#[test]
fn a_copy_that_was_only_loaded_is_entered_after_what_it_is_a_copy_of() {
    let world = restored_with_a_copy_that_was_only_loaded();
    let in_order = lost(&world);
    let entered = reenter_in(&world, &Faults::new(&[]), |lost| lost.reverse()).unwrap();
    assert!(entered.refused.is_empty(), "{:?}", entered.refused);
    assert_eq!(entered.entered, in_order, "the copy waits for what it is a copy of");
    assert!(is_accepted(&world));
}

/// Another machine sees the objects of the original, and nothing of the copy.
#[test]
fn a_load_that_no_other_machine_could_see_is_refused_like_the_newest_one() {
    let world = restored_with_a_copy_that_was_only_loaded();
    let [original, copy] = lost(&world).try_into().unwrap();
    let entered = reenter_as(&world, "other", &Faults::new(&[]), |_| ()).unwrap();
    assert_eq!(entered.entered, std::slice::from_ref(&original));
    // As if the original had been the last one to be loaded here.
    let mut store = Store::open(&world.path("state"), Seam::default()).unwrap();
    store.set_meta("ledger.newest_load", &original).unwrap();
    drop(store);
    assert!(!is_accepted(&world));
    assert_eq!(reenter(&world, &Faults::new(&[])).unwrap().entered, [copy]);
    assert!(is_accepted(&world));
}

/// The CSV objects, with what is in them.
fn objects(world: &World) -> BTreeMap<String, Vec<u8>> {
    let curated = world.path("curated");
    let keys = oracle::files(&curated).into_iter().filter(|key| !key.starts_with(".catalog/"));
    keys.map(|key| (key.clone(), fs::read(curated.join(key)).unwrap())).collect()
}

/// The first of two loads is lost with its state and its objects, and the second one, which knew an invoice from it, is
/// not what it was without it. The archive of the first is enough to have both again, byte by byte.
#[test]
fn a_load_of_which_only_the_archive_is_left_is_entered_where_another_one_needs_it() {
    let world = World::new(false);
    for place in ["archive", "curated"] {
        fs::create_dir_all(world.path(place)).unwrap();
    }
    one_window(&world, Vec::new());
    fs::copy(world.warehouse(), world.path("backup.db")).unwrap();
    let document = |key| workload::first_window().into_iter().find(|document| document.key == key).unwrap();
    one_window(&world, vec![document("c/two in one.txt")]);
    let first = objects(&world);
    one_window(&world, vec![document("c/partly known.txt")]);
    let all = objects(&world);
    assert!(!first.is_empty() && first.len() < all.len(), "both bring rows");

    fs::rename(world.path("backup.db"), world.warehouse()).unwrap();
    world.lose_state();
    for key in first.keys() {
        fs::remove_file(world.path("curated").join(key)).unwrap();
    }
    assert_eq!(lost(&world).len(), 1, "nothing says of the first one that it was ever loaded");
    let entered = reenter(&world, &Faults::new(&[])).unwrap();
    assert!(entered.refused.is_empty(), "{:?}", entered.refused);
    assert_eq!(entered.entered.len(), 2, "the one that left its archive comes before the other");
    assert!(objects(&world) == all, "the objects are others than before");
    assert!(is_accepted(&world));
}

/// The state that knew the load is lost too, and its archive is older than those that are looked at every minute. The last look
/// at all of them found it loaded: after the re-entry all are looked at again.
#[test]
fn a_load_of_which_only_an_old_archive_is_left_is_made_again_soon_after_the_re_entry() {
    let world = World::new(false);
    for place in ["archive", "curated"] {
        fs::create_dir_all(world.path(place)).unwrap();
    }
    one_window(&world, Vec::new());
    fs::copy(world.warehouse(), world.path("backup.db")).unwrap();
    let document = |key| workload::first_window().into_iter().find(|document| document.key == key).unwrap();
    one_window(&world, vec![document("c/two in one.txt")]);
    let first = objects(&world);
    // A landing empties itself: nobody is told of the document again.
    fs::remove_file(world.path("landing/c/two in one.txt")).unwrap();
    world.lose_state();
    world.clock.advance(TimeDelta::days(5));
    one_window(&world, vec![document("a/first one.txt")]);
    let all = objects(&world);
    assert!(!first.is_empty() && first.len() < all.len(), "both bring rows");

    fs::rename(world.path("backup.db"), world.warehouse()).unwrap();
    for key in first.keys() {
        fs::remove_file(world.path("curated").join(key)).unwrap();
    }
    let entered = reenter(&world, &Faults::new(&[])).unwrap();
    assert_eq!((entered.entered.len(), entered.refused.len()), (1, 0), "{entered:?}");
    assert!(is_accepted(&world));
    world.clock.advance(TimeDelta::minutes(2));
    one_window(&world, Vec::new());
    assert!(objects(&world) == all, "the objects are others than before");
}

/// A parked batch keeps what it had reached: the load is as lost as any other.
#[test]
fn a_parked_load_that_no_other_machine_could_see_is_refused_too() {
    let world = restored_with_a_copy_that_was_only_loaded();
    let [original, copy] = lost(&world).try_into().unwrap();
    reenter_as(&world, "other", &Faults::new(&[]), |_| ()).unwrap();
    let mut store = Store::open(&world.path("state"), Seam::default()).unwrap();
    store.set_meta("ledger.newest_load", &original).unwrap();
    let now = world.clock.now();
    let lives = store.begin_incarnation("parks", "host", std::process::id(), "0", now).unwrap();
    let attempt = store.begin_attempt(&copy, Stage::Publish, "parks", now).unwrap();
    let failure = AttemptFailure::Permanent { error: "a test".to_owned() };
    store.fail_attempt(attempt, failure, now).unwrap();
    let batch = store.batch(&copy).unwrap().unwrap();
    assert_eq!((batch.state, batch.failed_from), (BatchState::Failed, Some(BatchState::Loaded)));
    drop((lives, store));
    assert!(!is_accepted(&world));
    assert_eq!(reenter(&world, &Faults::new(&[])).unwrap().entered, [copy]);
    assert!(is_accepted(&world));
}

/// Two loads that cannot be entered, and of which each look shows only one: the second look takes back nothing.
#[test]
fn what_a_person_knows_to_be_lost_stays_given_up() {
    let world = restored_with_a_copy_that_was_only_loaded();
    let [original, copy] = lost(&world).try_into().unwrap();
    let mut store = Store::open(&world.path("state"), Seam::default()).unwrap();
    let context = context(&world, "state", Seam::default(), world.fresh_incarnation());
    let mut warehouse = (context.open_warehouse)().unwrap();
    for refused in [&copy, &original] {
        end_reentry(&mut store, warehouse.as_mut(), &[refused]).unwrap();
    }
    let mut both = [original, copy];
    both.sort();
    assert_eq!(store.meta("ledger.given_up").unwrap(), Some(both.join(" ")));
    check_identity(&mut store, warehouse.as_mut()).unwrap();
}

/// It was another machine's load, and this one has adopted it and never loaded anything: still it knows better.
#[test]
fn a_load_that_was_only_adopted_is_refused_too() {
    let world = restored_with_a_copy_that_was_only_loaded();
    reenter_as(&world, "other", &Faults::new(&[]), |_| ()).unwrap();
    let mut store = Store::open(&world.path("state"), Seam::default()).unwrap();
    store.set_meta("ledger.newest_load", "").unwrap();
    drop(store);
    assert!(!is_accepted(&world));
    assert_eq!(reenter(&world, &Faults::new(&[])).unwrap().entered.len(), 1);
    assert!(is_accepted(&world));
}

/// The load is in the backup, and its publishing is not: every machine knows the load, and this one has done its work.
#[test]
fn a_ledger_of_between_load_and_publishing_is_told_again() {
    let world = World::new(false);
    for place in ["archive", "curated"] {
        fs::create_dir_all(world.path(place)).unwrap();
    }
    one_window(&world, workload::first_window());
    one_window(&world, workload::second_window());
    let content = oracle::examine(&world);
    let ledger = rusqlite::Connection::open(world.warehouse()).unwrap();
    // The only batch of the last window that brought rows; its crawl had not been either.
    ledger
        .execute_batch(
            "CREATE TEMP TABLE last AS SELECT crawl_id FROM sluicegate_crawl ORDER BY window_end DESC LIMIT 1;
             UPDATE sluicegate_batch SET published_at = NULL, crawl_id = NULL WHERE crawl_id IN (SELECT * FROM last);
             DELETE FROM sluicegate_crawl_attempt WHERE crawl_id IN (SELECT * FROM last);
             DELETE FROM sluicegate_crawl WHERE crawl_id IN (SELECT * FROM last);",
        )
        .unwrap();
    drop(ledger);
    is_as_before(&world, &content);
}
