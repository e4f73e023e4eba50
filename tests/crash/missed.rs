//! What a listing of the landing finds in its turn: what journal, ledger and the archives of other machines do not know, and
//! what landed long enough ago. Only that was missed.

use std::sync::Arc;

use chrono::TimeDelta;
use sluicegate::failure::Failure;
use sluicegate::folder::FolderStore;
use sluicegate::pipeline::context::Context;
use sluicegate::pipeline::fleet::FleetStage;
use sluicegate::pipeline::missed::{Witness, is_journaled};
use sluicegate::pipeline::scheduler::run_serially;
use sluicegate::pipeline::stage::Stage;
use sluicegate::ports::clock::Clock;
use sluicegate::ports::object_store::{ObjectInfo, ObjectStore, VersionSource};
use sluicegate_state::seam::Seam;
use sluicegate_state::{Incarnation, Store};

use crate::fault::Faults;
use crate::landing::land;
use crate::process::{Process, World, context, stages_up_to_the_archive};

fn landed(world: &World, key: &str, at: &str) {
    land(&world.path("landing"), key, key.as_bytes(), at.parse().unwrap());
}

/// A process makes itself known to its state.
fn lives(world: &World, state: &str, incarnation: &str) -> Incarnation {
    let mut store = Store::open(&world.path(state), Seam::default()).unwrap();
    store.begin_incarnation(incarnation, "host", std::process::id(), "0", world.clock.now()).unwrap()
}

#[test]
fn only_what_nobody_knows_and_nobody_will_announce_was_missed() {
    let world = World::new(true);
    landed(&world, "archived by another machine.txt", "2026-03-01T09:00:00Z");
    let theirs = Arc::new(context(&world, "their state", Seam::default(), "theirs".to_owned()));
    let _they = lives(&world, "their state", "theirs");
    let mut stages = stages_up_to_the_archive(&world, &theirs);
    run_serially(&mut stages).unwrap();
    // They live, and have not loaded what they archived.
    let they_live = || (theirs.open_warehouse)().unwrap().heartbeat("theirs", "elsewhere").unwrap();
    landed(&world, "missed.txt", "2026-03-01T09:05:00Z");
    landed(&world, "may still be announced.txt", "2026-03-01T09:45:00Z");

    let ours = Arc::new(context(&world, "our state", Seam::default(), "ours".to_owned()));
    let _we = lives(&world, "our state", "ours");
    let look = || {
        they_live();
        let fleet = FleetStage::new(ours.clone(), false).unwrap();
        run_serially(&mut [Box::new(fleet) as Box<dyn Stage>]).unwrap();
        let store = Store::open(&world.path("our state"), Seam::default()).unwrap();
        let totals = store.notification_totals("invoices").unwrap();
        (totals.received, totals.missed)
    };
    assert_eq!(look(), (1, 1));
    // Their manifest tells of the first one, and the last one is young.
    let store = Store::open(&world.path("our state"), Seam::default()).unwrap();
    assert_eq!(store.notifications_for_key("missed.txt").unwrap().len(), 1);
    drop(store);

    // The turn to list comes once an hour.
    world.clock.advance(TimeDelta::minutes(30));
    assert_eq!(look(), (1, 1));
    world.clock.advance(TimeDelta::minutes(31));
    assert_eq!(look(), (2, 2), "it is young no more, and nobody has told of it");

    // They are gone: what they archived is adopted, and was not missed.
    world.clock.advance(TimeDelta::minutes(2));
    let fleet = FleetStage::new(ours.clone(), false).unwrap();
    run_serially(&mut [Box::new(fleet) as Box<dyn Stage>]).unwrap();
    let store = Store::open(&world.path("our state"), Seam::default()).unwrap();
    let totals = store.notification_totals("invoices").unwrap();
    assert_eq!((totals.received, totals.missed), (3, 2));
}

/// Drains of a timer, each of which ends at once because the ledger is away, list the landing between them.
#[test]
fn while_the_ledger_is_away_the_landing_is_listed_whatever_process_is_there_then() {
    let world = World::new(true);
    std::fs::create_dir_all(world.path("archive")).unwrap();
    let mut ours = context(&world, "state", Seam::default(), "ours".to_owned());
    let _we = lives(&world, "state", "ours");
    let look = |context: Context| {
        let context = Arc::new(context);
        let fleet = FleetStage::new(context.clone(), false).unwrap();
        run_serially(&mut [Box::new(fleet) as Box<dyn Stage>]).unwrap();
        let missed = Store::open(&world.path("state"), Seam::default()).unwrap();
        let missed = missed.notification_totals("invoices").unwrap().missed;
        world.clock.advance(TimeDelta::minutes(1));
        (Arc::into_inner(context).expect("the stage has ended"), missed)
    };
    ours = look(ours).0;
    ours.open_warehouse = Box::new(|| Err(Failure::transient("away")));
    landed(&world, "nobody told of it.txt", "2026-03-01T10:02:00Z");
    let mut found = Vec::new();
    for _ in 0..130 {
        let missed;
        (ours, missed) = look(ours);
        found.push(missed);
    }
    assert_eq!(found[..59], [0; 59], "the ledger was there less than an hour ago");
    assert_eq!(found[61..], [1; 69]);

    // It comes back, and goes again: the hour begins anew.
    ours.open_warehouse = context(&world, "state", Seam::default(), "ours".to_owned()).open_warehouse;
    ours = look(ours).0;
    landed(&world, "nor of this.txt", "2026-03-01T11:30:00Z");
    ours.open_warehouse = Box::new(|| Err(Failure::transient("away")));
    assert_eq!(look(ours).1, 1);
}

/// Without a sequencer, what has come to its end may have done so with an earlier upload of the same content (I2).
#[test]
fn where_no_sequencer_tells_the_ledger_is_asked_about_what_has_come_to_its_end() {
    let world = World::new(false);
    landed(&world, "ended.txt", "2026-03-01T09:00:00Z");
    let mut process = Process::start(&world, &Faults::new(&[])).unwrap();
    process.settle().unwrap();
    process.end().unwrap();
    let store = Store::open(&world.path("state"), Seam::default()).unwrap();
    let landing = FolderStore::new(world.path("landing"));
    let info = landing.head("ended.txt").unwrap().unwrap();
    let is_certain = |info: &ObjectInfo, witness| is_journaled(&store, &landing, info, witness).unwrap();
    assert!(is_certain(&info, Witness::Ledger), "a file's eTag has its time in it");
    // As in a bucket without versions.
    let info = ObjectInfo { version: VersionSource::ETag(info.etag.clone()), ..info };
    assert!(is_certain(&info, Witness::Journal));
    assert!(!is_certain(&info, Witness::Ledger));
}
