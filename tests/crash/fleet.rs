//! The fleet stage while something of it fails: a turn that was taken is not lost, trouble with one job is not another's,
//! who rests after a failure lives, and what machines that live work on is not waited for.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use chrono::TimeDelta;
use sluicegate::failure::{Failure, Outcome};
use sluicegate::folder::FolderStore;
use sluicegate::job::Job;
use sluicegate::pipeline::context::Context;
use sluicegate::pipeline::fleet::FleetStage;
use sluicegate::pipeline::listener::Listener;
use sluicegate::pipeline::scheduler::run_serially;
use sluicegate::pipeline::stage::{Idle, Stage, Tick};
use sluicegate::ports::clock::Clock;
use sluicegate::ports::inbox::{Inbox, Poll};
use sluicegate::ports::object_store::{
    Announced, Fetched, Got, ObjectInfo, ObjectStore, PutAnswer, ReadSeek,
};
use sluicegate_state::seam::Seam;
use sluicegate_state::{Incarnation, JournalTotals, Store};

use crate::landing::land;
use crate::process::{World, context, stages_up_to_the_archive};

/// A folder that cannot be listed so many times.
struct Unlisted {
    store: FolderStore,
    failures: AtomicU32,
}

impl Unlisted {
    fn new(folder: &Path, failures: u32) -> Arc<Self> {
        Arc::new(Self { store: FolderStore::new(folder), failures: AtomicU32::new(failures) })
    }
}

impl ObjectStore for Unlisted {
    fn bucket(&self) -> &str {
        self.store.bucket()
    }

    fn location(&self) -> String {
        self.store.location()
    }

    fn get_announced(&self, announced: &Announced<'_>) -> Outcome<Got> {
        self.store.get_announced(announced)
    }

    fn get(&self, key: &str) -> Outcome<Option<Fetched>> {
        self.store.get(key)
    }

    fn head(&self, key: &str) -> Outcome<Option<ObjectInfo>> {
        self.store.head(key)
    }

    fn put_new(&self, key: &str, body: &mut dyn ReadSeek, size: u64, sha256: &str) -> Outcome<PutAnswer> {
        self.store.put_new(key, body, size, sha256)
    }

    fn list(&self, prefix: &str, visit: &mut dyn FnMut(ObjectInfo) -> Outcome<()>) -> Outcome<()> {
        let left = self.failures.load(Ordering::SeqCst);
        if left > 0 {
            self.failures.store(left - 1, Ordering::SeqCst);
            return Err(Failure::transient("a page of the listing did not come"));
        }
        self.store.list(prefix, visit)
    }
}

fn begin(world: &World, id: &str) -> (Context, Incarnation) {
    std::fs::create_dir_all(world.path("archive")).unwrap();
    let mut store = Store::open(&world.path(id), Seam::default()).unwrap();
    let lives = store.begin_incarnation(id, "host", std::process::id(), "0", world.clock.now()).unwrap();
    (context(world, id, Seam::default(), id.to_owned()), lives)
}

fn totals(world: &World, id: &str) -> JournalTotals {
    Store::open(&world.path(id), Seam::default()).unwrap().notification_totals("invoices").unwrap()
}

fn land_missed(world: &World) {
    land(&world.path("landing"), "missed.txt", b"missed", "2026-03-01T09:00:00Z".parse().unwrap());
}

fn idle(tick: Tick) -> Idle {
    match tick {
        Tick::Idle(idle) | Tick::Aside(idle) => idle,
        Tick::Worked => Idle::default(),
    }
}

#[test]
fn a_turn_to_list_that_failed_is_taken_again() {
    let world = World::new(true);
    land_missed(&world);
    let (mut context, _lives) = begin(&world, "ours");
    context.landings.insert("invoices".to_owned(), Unlisted::new(&world.path("landing"), 1));
    let mut fleet = FleetStage::new(Arc::new(context), false).unwrap();
    let failed = idle(fleet.tick().unwrap());
    assert!(failed.wake_at.is_none_or(|at| at > world.clock.now()), "{failed:?}");
    world.clock.advance(TimeDelta::minutes(2));
    run_serially(&mut [Box::new(fleet) as Box<dyn Stage>]).unwrap();
    assert_eq!(totals(&world, "ours").missed, 1);
}

#[test]
fn a_landing_that_cannot_be_listed_is_no_trouble_of_another_job() {
    let world = World::new(true);
    land_missed(&world);
    let (mut context, _lives) = begin(&world, "ours");
    let text = include_str!("../../jobs/invoices.toml");
    let text = text.replace("name = \"invoices\"\n", "name = \"a_first\"\n");
    let first = Arc::new(Job::parse(Path::new("jobs/a_first.toml"), &text, &|_| None).unwrap());
    context.landings.insert(first.name.clone(), Unlisted::new(&world.path("landing"), u32::MAX));
    context.jobs.insert(first.name.clone(), first);
    let mut fleet = FleetStage::new(Arc::new(context), false).unwrap();
    fleet.tick().unwrap();
    assert_eq!(totals(&world, "ours").missed, 1);
    let setback = idle(fleet.tick().unwrap());
    assert!(setback.waiting_for.unwrap().contains("did not come"));
}

#[test]
fn who_rests_after_a_failure_lives() {
    let world = World::new(true);
    let (mut context, _lives) = begin(&world, "ours");
    context.archive = Unlisted::new(&world.path("archive"), u32::MAX);
    let context = Arc::new(context);
    let mut fleet = FleetStage::new(context.clone(), false).unwrap();
    let mut ledger = (context.open_warehouse)().unwrap();
    fleet.tick().unwrap();
    for second in (10..1_200).step_by(10) {
        world.clock.advance(TimeDelta::seconds(10));
        assert!(ledger.live_incarnations().unwrap().contains("ours"), "after {second} s");
        fleet.tick().unwrap();
    }
}

#[test]
fn what_machines_that_live_work_on_is_not_waited_for_longer_than_a_lease() {
    machines_that_live(TimeDelta::zero(), TimeDelta::minutes(2));
}

#[test]
fn the_same_where_the_clock_is_set_back_meanwhile() {
    // The archive object has the date of a day to come, which only the look at the whole archive finds.
    machines_that_live(TimeDelta::hours(-30), TimeDelta::hours(25));
}

/// The clock jumps after the first looks. What machines that die leave is adopted after that long at the latest.
fn machines_that_live(jump: TimeDelta, adopted_after: TimeDelta) {
    let world = World::new(true);
    land_missed(&world);
    let (theirs, _they) = begin(&world, "theirs");
    let theirs = Arc::new(theirs);
    let mut stages = stages_up_to_the_archive(&world, &theirs);
    run_serially(&mut stages).unwrap();
    let they_live = || (theirs.open_warehouse)().unwrap().heartbeat("theirs", "elsewhere").unwrap();

    let (ours, _we) = begin(&world, "ours");
    let mut fleet = FleetStage::new(Arc::new(ours), false).unwrap();
    let mut waits = Vec::new();
    for look in 0..30 {
        if look == 3 {
            world.clock.advance(jump);
        }
        they_live();
        waits.push(idle(fleet.tick().unwrap()).waiting_for.is_some());
        world.clock.advance(TimeDelta::seconds(5));
    }
    // Nobody knows at first whether they live.
    assert!(waits[..12].iter().all(|waits| *waits), "{waits:?}");
    assert!(!waits[29], "{waits:?}");
    assert_eq!(totals(&world, "ours").received, 0);
    // And when they die, what they left is adopted.
    world.clock.advance(adopted_after);
    run_serially(&mut [Box::new(fleet) as Box<dyn Stage>]).unwrap();
    assert_eq!(totals(&world, "ours").received, 1);
}

/// Fails once.
struct FailsOnce(u32);

impl Inbox for FailsOnce {
    fn poll(&mut self) -> Outcome<Poll> {
        self.0 += 1;
        if self.0 == 1 { Err(Failure::transient("a test")) } else { Ok(Poll::default()) }
    }

    fn acknowledge(&mut self, _: &[String]) -> Outcome<()> {
        Ok(())
    }

    fn is_listing(&self) -> bool {
        false
    }
}

#[test]
fn a_clock_that_is_set_back_does_not_make_a_rest_longer() {
    let world = World::new(false);
    let (context, _lives) = begin(&world, "ours");
    let mut listener = Listener::new(Arc::new(context), Box::new(FailsOnce(0)), false).unwrap();
    assert!(idle(listener.tick().unwrap()).waiting_for.is_some());
    assert!(idle(listener.tick().unwrap()).waiting_for.is_some());
    world.clock.advance(TimeDelta::hours(-3));
    assert_eq!(idle(listener.tick().unwrap()), Idle::default());
}

#[test]
fn an_archive_that_cannot_be_read_keeps_no_other_from_being_adopted() {
    let world = World::new(false);
    let (theirs, they) = begin(&world, "theirs");
    land_missed(&world);
    let theirs = Arc::new(theirs);
    let mut stages = stages_up_to_the_archive(&world, &theirs);
    run_serially(&mut stages).unwrap();
    drop((stages, they));
    let folder = world.path("archive").join("invoices/dt=2026-03-01");
    let damaged = folder.join("20260301T000000Z-0123456789abcdef.tar.zst");
    std::fs::write(damaged, b"no archive").unwrap();

    let (ours, _we) = begin(&world, "ours");
    let mut fleet = FleetStage::new(Arc::new(ours), false).unwrap();
    fleet.tick().unwrap();
    assert_eq!(totals(&world, "ours").received, 1);
    let setback = idle(fleet.tick().unwrap());
    assert!(setback.waiting_for.as_ref().is_some_and(|why| why.contains("0123456789abcdef")), "{setback:?}");
}
