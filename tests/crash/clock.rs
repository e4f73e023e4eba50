//! A clock that was far ahead, or far behind, and is put right: what was written down under it goes on at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use chrono::TimeDelta;
use sluicegate::failure::Failure;
use sluicegate::pipeline::ledger::LedgerConnection;
use sluicegate::ports::clock::Clock;
use sluicegate::ports::warehouse::{CrawlRequest, Warehouse};
use sluicegate::sqlite::SqliteWarehouse;
use sluicegate_state::seam::{Fault, Injected, Seam};
use sluicegate_state::time::to_text;
use sluicegate_state::{BatchState, Store};

use crate::fault::Faults;
use crate::landing::land;
use crate::manual_clock::ManualClock;
use crate::process::{Process, World, context, job};
use crate::workload;

/// How far ahead it was, or behind.
const FAR: TimeDelta = TimeDelta::hours(30);

/// The documents of the workload that are loaded whatever was loaded before them.
fn land_some(world: &World, place: usize) {
    let mut documents = workload::everything().into_iter().filter(|document| document.outcome == "loaded");
    let document = documents.nth(place).unwrap();
    land(&world.path("landing"), document.key, &document.bytes, world.clock.now() - TimeDelta::minutes(1));
}

fn end_window(world: &World) {
    let now = world.clock.now();
    world.clock.advance(job().window.next_tick(now).unwrap() - now + TimeDelta::seconds(1));
}

fn ask(world: &World, sql: &str) -> Vec<String> {
    let warehouse = rusqlite::Connection::open(world.warehouse()).unwrap();
    let mut statement = warehouse.prepare(sql).unwrap();
    statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

const UNCOVERED: &str = "
    SELECT b.batch_id || ': ' || coalesce(c.state, 'no crawl') FROM sluicegate_batch AS b
    LEFT JOIN sluicegate_crawl AS c USING (crawl_id) WHERE b.rows > 0 AND c.state IS NOT 'succeeded'";

/// One batch is crawled under the wrong clock and one is only published; then it is put right, and one more lands.
fn windows_under_a_wrong_clock(wrong: TimeDelta, restart: bool) {
    let world = World::new(false);
    world.clock.advance(wrong);
    let no_faults = Faults::new(&[]);
    let mut process = Process::start(&world, &no_faults).unwrap();
    land_some(&world, 0);
    process.settle().unwrap();
    end_window(&world);
    process.settle().unwrap();
    land_some(&world, 1);
    process.settle().unwrap();
    assert_eq!(
        (ask(&world, UNCOVERED).len(), ask(&world, "SELECT crawl_id FROM sluicegate_crawl").len()),
        (1, 1)
    );

    world.clock.advance(-wrong);
    if restart {
        drop(process);
        process = Process::start(&world, &no_faults).unwrap();
    }
    land_some(&world, 2);
    process.settle().unwrap();
    end_window(&world);
    process.settle().unwrap();
    assert_eq!(ask(&world, UNCOVERED), [""; 0], "off by {wrong}, restart: {restart}");
    assert_eq!(ask(&world, "SELECT batch_id FROM sluicegate_batch WHERE rows > 0").len(), 3);
    let attempts = ask(&world, "SELECT state FROM sluicegate_crawl_attempt");
    // The batch that was only published belongs to a window that has ended by the right clock too.
    assert_eq!(attempts, ["succeeded"; 3], "off by {wrong}, restart: {restart}");
}

#[test]
fn what_was_published_under_a_clock_that_is_put_right_is_covered() {
    for wrong in [FAR, -FAR] {
        for restart in [false, true] {
            windows_under_a_wrong_clock(wrong, restart);
        }
    }
}

/// Four batches that wait for a retry pause the sealing of their job.
#[test]
fn retries_of_a_clock_that_was_ahead_do_not_pause_sealing() {
    let world = World::new(false);
    world.clock.advance(FAR);
    let mut process = Process::start(&world, &Faults::new(&[])).unwrap();
    let archive = world.path("archive");
    // A file in the place of the folder: every archive object is refused, and tried again later.
    std::fs::remove_dir_all(&archive).ok();
    std::fs::write(&archive, b"").unwrap();
    let sealed = |process: &Process| process.store.batches_in(BatchState::Sealed, 99).unwrap();
    for place in 0..4 {
        land_some(&world, place);
        process.settle().unwrap_err();
        assert_eq!(sealed(&process).len(), place + 1);
    }
    std::fs::remove_file(&archive).unwrap();
    world.clock.advance(-FAR);
    let back = world.clock.now();
    land_some(&world, 4);
    process.settle().unwrap();
    assert!(sealed(&process).is_empty(), "{:#?}", sealed(&process));
    assert_eq!(ask(&world, "SELECT batch_id FROM sluicegate_batch").len(), 5);
    assert!(world.clock.now() - back < TimeDelta::minutes(5), "nothing was waited for");
}

#[test]
fn the_warehouse_is_tried_again_though_the_clock_was_set_back() {
    let world = World::new(false);
    world.clock.advance(FAR);
    let mut store = Store::open(&world.path("state"), Seam::default()).unwrap();
    let mut context = context(&world, "state", Seam::default(), "one".to_owned());
    let is_away = Arc::new(AtomicBool::new(true));
    let (away, open) = (is_away.clone(), context.open_warehouse);
    context.open_warehouse = Box::new(move || match away.load(Ordering::Relaxed) {
        true => Err(Failure::transient("a test")),
        false => open(),
    });
    let mut ledger = LedgerConnection::new(Arc::new(context));
    assert!(ledger.unreachable(&mut store).unwrap().is_some());
    is_away.store(false, Ordering::Relaxed);
    assert!(ledger.unreachable(&mut store).unwrap().is_some(), "it waits a moment before it tries again");
    world.clock.advance(-FAR);
    assert_eq!(ledger.unreachable(&mut store).unwrap(), None);
}

const UNPUBLISHED: &str = "UPDATE sluicegate_batch SET published_at = NULL WHERE batch_id = ";

/// A machine stands still before it claims a window, and another one publishes meanwhile.
struct StandsStill {
    clock: Arc<ManualClock>,
    world: std::path::PathBuf,
}

impl Fault for StandsStill {
    fn before(&self, effect: &'static str) -> Result<(), Injected> {
        if effect == sluicegate::effects::CRAWL_CLAIM {
            self.clock.advance(TimeDelta::minutes(80));
            let warehouse = rusqlite::Connection::open(&self.world).unwrap();
            let publish = "UPDATE sluicegate_batch SET published_at = ?1 WHERE published_at IS NULL";
            warehouse.execute(publish, [to_text(self.clock.now())]).unwrap();
        }
        Ok(())
    }

    fn after(&self, _: &'static str) -> Result<(), Injected> {
        Ok(())
    }
}

/// What is published while a machine stands still lies in no future: it is the next window's (I8).
#[test]
fn what_was_published_while_a_machine_stood_still_waits_for_the_next_window() {
    let world = World::new(false);
    let mut process = Process::start(&world, &Faults::new(&[])).unwrap();
    for place in 0..2 {
        land_some(&world, place);
        process.settle().unwrap();
    }
    drop(process);
    let batches = ask(&world, "SELECT batch_id FROM sluicegate_batch ORDER BY batch_id");
    let [first, second] = &batches[..] else { panic!("{batches:?}") };
    let warehouse = rusqlite::Connection::open(world.warehouse()).unwrap();
    warehouse.execute(&format!("{UNPUBLISHED} '{second}'"), []).unwrap();
    end_window(&world);
    let stands_still = StandsStill { clock: world.clock.clone(), world: world.warehouse() };
    let seam = Seam::with_fault(Arc::new(stands_still));
    let mut claiming =
        SqliteWarehouse::open(&world.warehouse(), "the-ledger", world.clock.clone(), seam).unwrap();
    let is_gone = |_: &str| true;
    let request = CrawlRequest {
        job: &job().name,
        window_end: world.clock.now(),
        early: false,
        owner: "one",
        is_gone: &is_gone,
    };
    assert_eq!(claiming.claim_crawl(&request).unwrap().unwrap().batches, 1);
    let adopted = "SELECT batch_id FROM sluicegate_batch WHERE crawl_id IS NOT NULL";
    assert_eq!(&ask(&world, adopted), std::slice::from_ref(first));
}
