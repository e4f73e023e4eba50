//! A drain ends when nothing is left to do, as the scheduler with its threads sees it: what was done before something
//! failed is work for the other stages too.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chrono::TimeDelta;
use rusqlite::Connection;
use sluicegate::effects;
use sluicegate::failure::{Failure, Outcome};
use sluicegate::folder::FolderInbox;
use sluicegate::pipeline::bell::Bell;
use sluicegate::pipeline::context::Context;
use sluicegate::pipeline::scheduler::{self, RunOptions};
use sluicegate::ports::clock::{Clock, SystemClock};
use sluicegate::ports::inbox::{Inbox, Poll};
use sluicegate_state::Store;
use sluicegate_state::seam::{Fault, Injected, Seam};

use crate::landing::land;
use crate::process::{World, context, job, stages};
use crate::workload;

/// A queue: what it has handed out it hides, and what was deleted in it is gone though the answer to that was lost.
struct Queue {
    content: FolderInbox,
    /// Looks that find only what is hidden, so that the other stages have looked for work before it comes.
    hidden: u32,
    is_empty: bool,
    loses_an_answer: bool,
}

impl Inbox for Queue {
    fn poll(&mut self) -> Outcome<Poll> {
        if self.hidden > 0 {
            self.hidden -= 1;
            return Ok(Poll { unsettled: 1, ..Poll::default() });
        }
        if std::mem::replace(&mut self.is_empty, true) { Ok(Poll::default()) } else { self.content.poll() }
    }

    fn acknowledge(&mut self, receipts: &[String]) -> Outcome<()> {
        self.content.acknowledge(receipts)?;
        if std::mem::take(&mut self.loses_an_answer) {
            return Err(Failure::transient("the connection ended before an answer came"));
        }
        Ok(())
    }

    fn is_listing(&self) -> bool {
        false
    }
}

/// The first effect of this name has its effect, and its answer is lost.
struct LosesOne(&'static str, AtomicBool);

impl Fault for LosesOne {
    fn before(&self, _: &'static str) -> Result<(), Injected> {
        Ok(())
    }

    fn after(&self, effect: &'static str) -> Result<(), Injected> {
        if effect == self.0 && !self.1.swap(true, Ordering::SeqCst) {
            return Err(Injected { effect, after: true, transient: true });
        }
        Ok(())
    }
}

/// A world with one good document.
fn world() -> World {
    let world = World::new(false);
    std::fs::create_dir_all(world.path("archive")).unwrap();
    let document = workload::first_window().into_iter().next().unwrap();
    land(&world.path("landing"), document.key, &document.bytes, document.landed_at);
    world
}

/// What a drain is made of here.
#[derive(Debug)]
struct Drain {
    /// Of the stages, in the order of a document's way.
    stages: usize,
    /// Whether the queue has told of the document long ago.
    is_told: bool,
    /// Whether the queue does what it is asked, and its answer is lost.
    loses_an_answer: bool,
    /// The effect whose success is not told.
    loses: Option<&'static str>,
}

const WHOLE: Drain = Drain { stages: usize::MAX, is_told: false, loses_an_answer: false, loses: None };

/// Drains with the scheduler and its threads.
fn drain(world: &World, drain: &Drain) {
    let seam = drain.loses.map_or_else(Seam::default, |effect| {
        Seam::with_fault(Arc::new(LosesOne(effect, AtomicBool::new(false))))
    });
    let mut store = Store::open(&world.path("state"), Seam::default()).unwrap();
    let id = world.fresh_incarnation();
    let incarnation =
        store.begin_incarnation(&id, "host", std::process::id(), "0", world.clock.now()).unwrap();
    // Threads rest in real time.
    let context = Context { clock: Arc::new(SystemClock), ..context(world, "state", seam, id) };
    let context = Arc::new(context);
    let content = FolderInbox::new(job(), world.path("landing"), world.clock.clone());
    let inbox = Queue { content, hidden: 3, is_empty: drain.is_told, loses_an_answer: drain.loses_an_answer };
    let mut stages = stages(world, &context, Box::new(inbox)).unwrap();
    stages.truncate(drain.stages);
    let bell = Arc::new(Bell::new(stages.len()));
    let options = RunOptions { watch: false, patience: Duration::from_secs(120) };
    let waiting = scheduler::run(&context, &bell, stages, options).unwrap();
    assert_eq!(waiting, Vec::<String>::new());
    store.end_incarnation(incarnation, world.clock.now()).unwrap();
}

fn loaded(world: &World) -> i64 {
    let ledger = Connection::open(world.warehouse()).unwrap();
    ledger.query_row("SELECT count(*) FROM sluicegate_document", [], |row| row.get(0)).unwrap()
}

#[test]
fn what_was_journaled_is_drained_though_its_acknowledgement_failed() {
    for met in [
        Drain { loses_an_answer: true, ..WHOLE },
        Drain { loses: Some(effects::INBOX_ACKNOWLEDGE), ..WHOLE },
        Drain { loses: Some(sluicegate_state::effects::JOURNAL), ..WHOLE },
    ] {
        let world = world();
        drain(&world, &met);
        assert_eq!(loaded(&world), 1, "{met:?}");
    }
}

#[test]
fn what_was_adopted_is_drained_though_that_failed() {
    let world = world();
    drain(&world, &Drain { stages: 3, ..WHOLE });
    world.lose_state();
    // Longer than a sign of life is believed.
    world.clock.advance(TimeDelta::minutes(5));
    let adopts = Drain { is_told: true, loses: Some(sluicegate_state::effects::ADOPT), ..WHOLE };
    drain(&world, &adopts);
    assert_eq!(loaded(&world), 1);
}
