//! Two archives have one document, because two machines were told of it, or because a state came back as an old copy: one
//! of them holds its bytes, and the other one came too late. Whichever is loaded first, the document has one outcome.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use chrono::TimeDelta;
use rusqlite::Connection;
use sluicegate::folder::FolderInbox;
use sluicegate::pipeline::archive::ArchiveStage;
use sluicegate::pipeline::context::Context;
use sluicegate::pipeline::fleet::FleetStage;
use sluicegate::pipeline::listener::Listener;
use sluicegate::pipeline::load::LoadStage;
use sluicegate::pipeline::scheduler::run_serially;
use sluicegate::pipeline::stage::Stage;
use sluicegate_state::seam::Seam;
use sluicegate_state::{Incarnation, Store};

use crate::landing::land;
use crate::oracle::{files, select};
use crate::process::{World, context};
use crate::workload::first_window;

const KEY: &str = "a/first one.txt";

/// A machine with a state folder of its own.
struct Machine {
    context: Arc<Context>,
    _lives: Incarnation,
}

impl Machine {
    fn new(world: &World, name: &str) -> Self {
        let mut store = Store::open(&world.path(name), Seam::default()).unwrap();
        let now = sluicegate::ports::clock::Clock::now(&*world.clock);
        let id = world.fresh_incarnation();
        let lives = store.begin_incarnation(&id, "host", std::process::id(), "0", now).unwrap();
        Self { context: Arc::new(context(world, name, Seam::default(), id)), _lives: lives }
    }

    fn run(&self, stage: impl Stage + 'static) {
        run_serially(&mut [Box::new(stage) as Box<dyn Stage>]).unwrap();
    }

    fn journals(&self, world: &World) {
        let inbox = FolderInbox::new(world.job(), world.path("landing"), world.clock.clone());
        self.run(Listener::new(self.context.clone(), Box::new(inbox), false).unwrap());
    }

    fn archives(&self) {
        self.run(ArchiveStage::new(self.context.clone()).unwrap());
    }

    fn adopts(&self) {
        self.run(FleetStage::new(self.context.clone(), false).unwrap());
    }

    fn loads(&self) {
        self.run(LoadStage::new(self.context.clone()).unwrap());
    }
}

/// What happens to the document between the two readings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    Gone,
    Overwritten,
}

/// Both machines have journaled the document, the first has archived it and the second came too late.
fn archived_twice(change: Change) -> (World, Machine, Machine) {
    let world = World::new(false);
    for place in ["archive", "curated"] {
        fs::create_dir_all(world.path(place)).unwrap();
    }
    let document = first_window().into_iter().find(|document| document.key == KEY).unwrap();
    land(&world.path("landing"), KEY, &document.bytes, document.landed_at);
    let (first, second) = (Machine::new(&world, "first"), Machine::new(&world, "second"));
    first.journals(&world);
    second.journals(&world);
    first.archives();
    match change {
        Change::Gone => fs::remove_file(world.path("landing").join(KEY)).unwrap(),
        Change::Overwritten => {
            land(&world.path("landing"), KEY, b"something else", document.landed_at + TimeDelta::minutes(1));
        }
    }
    world.clock.advance(TimeDelta::minutes(1));
    second.archives();
    (world, first, second)
}

/// The archives in the order of their batches.
fn archives(world: &World) -> Vec<PathBuf> {
    let archive = world.path("archive");
    files(&archive).into_iter().filter(|key| key.ends_with(".tar.zst")).map(|key| archive.join(key)).collect()
}

/// The outcomes of the version that was archived first, and the verdicts of both batches about it.
fn told(world: &World) -> (Vec<Vec<String>>, Vec<Vec<String>>) {
    let ledger = Connection::open(world.warehouse()).unwrap();
    let documents = "SELECT key, outcome FROM sluicegate_document WHERE landed_at = '2026-03-01T09:01:00Z'";
    let verdicts = "SELECT outcome FROM sluicegate_verdict WHERE outcome <> 'rejected' ORDER BY outcome";
    (select(&ledger, documents), select(&ledger, verdicts))
}

#[track_caller]
fn has_one_outcome(world: &World) {
    let (documents, verdicts) = told(world);
    assert_eq!(documents, [[KEY, "loaded"]], "one version that landed, one outcome (I9)");
    assert_eq!(verdicts, [["again"], ["loaded"]]);
}

#[test]
fn who_came_too_late_and_loads_first_leaves_the_document_to_whom_has_read_it() {
    for change in [Change::Gone, Change::Overwritten] {
        let (world, first, second) = archived_twice(change);
        second.loads();
        assert_eq!(told(&world).0, Vec::<Vec<String>>::new(), "{change:?}: who has read it decides");
        first.loads();
        has_one_outcome(&world);
    }
}

#[test]
fn who_came_too_late_and_loads_last_finds_it_in_the_ledger() {
    for change in [Change::Gone, Change::Overwritten] {
        let (world, first, second) = archived_twice(change);
        first.loads();
        second.loads();
        has_one_outcome(&world);
    }
}

/// The first machine stood still between its GET and its archive, so the other one had nothing to ask.
#[test]
fn who_has_read_it_and_archives_after_the_other_one_was_loaded_takes_it_over() {
    for (change, too_late) in [(Change::Gone, "missing"), (Change::Overwritten, "superseded")] {
        let (world, first, second) = archived_twice(change);
        let mut archived = archives(&world);
        let (theirs, aside) = (archived.remove(0), world.path("aside"));
        fs::rename(&theirs, &aside).unwrap();
        second.loads();
        assert_eq!(told(&world).0, [[KEY, too_late]], "nobody could know better");
        fs::rename(&aside, &theirs).unwrap();
        first.loads();
        let (documents, verdicts) = told(&world);
        assert_eq!(documents, [[KEY, "loaded"]], "one version that landed, one outcome (I9)");
        assert_eq!(verdicts, [["loaded"], [too_late]], "what was said stays said");
    }
}

/// The first machine is gone for good, and what it archived is the second one's own by the time of the loads.
#[test]
fn a_batch_that_was_adopted_has_read_it() {
    for change in [Change::Gone, Change::Overwritten] {
        let (world, first, second) = archived_twice(change);
        drop(first);
        world.clock.advance(TimeDelta::minutes(2));
        second.adopts();
        second.loads();
        has_one_outcome(&world);
    }
}

/// Where nobody has read it, it is missing, once.
#[test]
fn what_nobody_has_read_is_missing_once() {
    let (world, first, second) = archived_twice(Change::Gone);
    let archive = world.path("archive");
    fs::remove_dir_all(&archive).unwrap();
    fs::create_dir(&archive).unwrap();
    drop((first, second));
    let third = Machine::new(&world, "third");
    let document = first_window().into_iter().find(|document| document.key == KEY).unwrap();
    land(&world.path("landing"), KEY, &document.bytes, document.landed_at);
    third.journals(&world);
    let fourth = Machine::new(&world, "fourth");
    fourth.journals(&world);
    fs::remove_file(world.path("landing").join(KEY)).unwrap();
    third.archives();
    world.clock.advance(TimeDelta::minutes(1));
    fourth.archives();
    fourth.loads();
    third.loads();
    let (documents, verdicts) = told(&world);
    assert_eq!(documents, [[KEY, "missing"]]);
    assert_eq!(verdicts, [["again"], ["missing"]]);
}
