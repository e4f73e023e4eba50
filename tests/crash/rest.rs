//! A stage rests until time can help, and no longer: what is due and may not be taken, because its job is held or its
//! sealing pauses, neither wakes it nor keeps a drain from its end.

use std::sync::Arc;

use chrono::TimeDelta;
use sluicegate::pipeline::archive::ArchiveStage;
use sluicegate::pipeline::context::Context;
use sluicegate::pipeline::load::LoadStage;
use sluicegate::pipeline::scheduler::run_serially;
use sluicegate::pipeline::stage::{Idle, Stage, Tick};
use sluicegate::ports::clock::Clock;
use sluicegate::ports::decisions::hold_detail;
use sluicegate::ports::proof::Operation;
use sluicegate_state::seam::Seam;
use sluicegate_state::{
    Arrival, AttemptFailure, Batch, BatchEvent, BatchState, Deferral, Incarnation, Limits, Notification,
    SealRequest, Stage as Step, Store,
};

use crate::landing::land;
use crate::process::{World, context, job, stages_up_to_the_archive};
use crate::workload;

const ID: &str = "one";

fn begin(world: &World) -> (Arc<Context>, Store, Incarnation) {
    let mut store = Store::open(&world.path("state"), Seam::default()).unwrap();
    let lives = store.begin_incarnation(ID, "host", std::process::id(), "0", world.clock.now()).unwrap();
    (Arc::new(context(world, "state", Seam::default(), ID.to_owned())), store, lives)
}

/// An attempt at `batch` that failed, and is made again after `delay`.
fn fails(world: &World, store: &mut Store, batch: &Batch, step: Step, delay: TimeDelta) {
    let now = world.clock.now();
    let attempt = store.begin_attempt(&batch.batch_id, step, ID, now).unwrap();
    let failure = AttemptFailure::Transient { error: "a test".to_owned(), next_try_at: now + delay };
    store.fail_attempt(attempt, failure, now).unwrap();
}

#[test]
fn the_retry_of_a_held_batch_wakes_nobody() {
    let world = World::new(false);
    let (context, mut store, _lives) = begin(&world);
    let document = workload::first_window().into_iter().next().unwrap();
    land(&world.path("landing"), document.key, &document.bytes, document.landed_at);
    let mut stages = stages_up_to_the_archive(&world, &context);
    run_serially(&mut stages).unwrap();
    let batch = store.batches(None, 1).unwrap().pop().unwrap();
    assert_eq!(batch.state, BatchState::Archived);
    fails(&world, &mut store, &batch, Step::Load, TimeDelta::seconds(1));
    world.clock.advance(TimeDelta::minutes(1));

    let operate = |hold: bool| {
        let mut warehouse = (context.open_warehouse)().unwrap();
        let operation = Operation {
            operator: "ann@desk".to_owned(),
            at: String::new(),
            command: "sluicegate jobs hold".to_owned(),
            reason: "year end".to_owned(),
            detail: hold_detail(&job().name, hold).to_string(),
        };
        warehouse.proof().record_operation(&operation).unwrap();
    };
    operate(true);
    let mut load = LoadStage::new(context.clone()).unwrap();
    assert_eq!(load.tick().unwrap(), Tick::Idle(Idle::default()));
    operate(false);
    assert_eq!(load.tick().unwrap(), Tick::Worked);
}

#[test]
fn a_deferred_document_that_is_due_while_sealing_pauses_wakes_nobody() {
    let world = World::new(false);
    let (context, mut store, _lives) = begin(&world);
    let now = world.clock.now();
    let job = job();
    let request = SealRequest {
        job: &job.name,
        limits: Limits {
            documents: 1,
            bytes: 1,
            rows: 1,
            bytes_per_row: 1,
            max_age: std::time::Duration::from_secs(1),
        },
        force: true,
        incarnation: ID,
        definition_hash: &job.hash,
    };
    let mut sealed = Vec::new();
    for number in 0..5 {
        store.journal(&[announced(&world, number)], now).unwrap();
        sealed.push(store.seal(&request, now).unwrap().unwrap());
    }
    let first = sealed.remove(0);
    let attempt = store.begin_attempt(&first.batch_id, Step::Archive, ID, now).unwrap();
    let deferral = Deferral { ordinal: 0, next_try_at: now + TimeDelta::seconds(30) };
    store.complete_attempt(attempt, BatchEvent::Archived, "a test", &[deferral], now).unwrap();
    for batch in &sealed {
        fails(&world, &mut store, batch, Step::Archive, TimeDelta::minutes(5));
    }
    world.clock.advance(TimeDelta::minutes(1));

    let mut archive = ArchiveStage::new(context).unwrap();
    let Tick::Idle(idle) = archive.tick().unwrap() else { panic!("sealing pauses") };
    assert_eq!(idle.wake_at, Some(now + TimeDelta::minutes(5)));
    assert!(idle.waiting_for.is_some());
}

fn announced(world: &World, number: u32) -> Arrival {
    Arrival::Notification(Notification {
        job: job().name.clone(),
        bucket: "local".to_owned(),
        key: format!("{number}.txt"),
        version_id: None,
        etag: "1-1".to_owned(),
        sequencer: None,
        size: Some(1),
        event_time: world.clock.now(),
        event_name: "Folder:Found".to_owned(),
        source: "folder".to_owned(),
        expires_at: None,
    })
}
