//! Goal: one object of a bucket that S3 never hands over, or never whole, holds up no other (I10).

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use sluicegate::archive::{Got, object_key, read_outcomes};
use sluicegate::aws::S3Store;
use sluicegate::failure::Failure;
use sluicegate::folder::FolderStore;
use sluicegate::job::Job;
use sluicegate::pipeline::archive::ArchiveStage;
use sluicegate::pipeline::context::Context;
use sluicegate::pipeline::handover::Handover;
use sluicegate::pipeline::stage::{Stage, Tick};
use sluicegate::pipeline::tally::Tally;
use sluicegate::ports::clock::Clock;
use sluicegate::ports::object_store::ObjectStore;
use sluicegate_state::seam::Seam;
use sluicegate_state::{
    Arrival, AttemptFailure, Batch, BatchState, Limits, Notification, SealRequest, Stage as Step, Store,
};

use crate::emulator::clients;
use crate::fake::{FakeServer, Reply, Request};
use crate::lost_answers::about;
use crate::manual_clock::ManualClock;

const DOCUMENTS: usize = 40;
/// Failed attempts after which a batch waits no longer for single members (docs/decisions/0036).
const PATIENCE: usize = 5;

fn key(number: usize) -> String {
    format!("in/{number}.txt")
}

fn announced(job: &Job, number: usize, at: sluicegate_state::Timestamp) -> Arrival {
    Arrival::Notification(Notification {
        job: job.name.clone(),
        bucket: "landing".to_owned(),
        key: key(number),
        version_id: None,
        etag: "0123abcd".to_owned(),
        sequencer: Some(format!("{number:016X}")),
        size: Some(8),
        event_time: at,
        event_name: "ObjectCreated:Put".to_owned(),
        source: "sqs".to_owned(),
        expires_at: None,
    })
}

fn context(folder: &Path, job: &Arc<Job>, clock: &Arc<ManualClock>, landing: S3Store) -> Context {
    let spool = folder.join("spool");
    std::fs::create_dir_all(&spool).unwrap();
    std::fs::create_dir_all(folder.join("archive")).unwrap();
    Context {
        landings: BTreeMap::from([(job.name.clone(), Arc::new(landing) as Arc<dyn ObjectStore>)]),
        scanned_jobs: BTreeSet::new(),
        jobs: BTreeMap::from([(job.name.clone(), job.clone())]),
        clock: clock.clone(),
        seam: Seam::default(),
        incarnation: "one".to_owned(),
        host: "host".to_owned(),
        archive: Arc::new(FolderStore::new(folder.join("archive"))),
        curated: Arc::new(FolderStore::new(folder.join("curated"))),
        open_warehouse: Box::new(|| Err(Failure::transient("nothing is loaded here"))),
        state: folder.join("state"),
        spool,
        fetch_concurrency: 8,
        seal_at_once: true,
        tally: Tally::default(),
        handover: Handover::default(),
    }
}

/// A sealed batch of all documents, which has failed so often that it waits no longer.
fn batch_that_has_waited(store: &mut Store, job: &Job, clock: &ManualClock) -> Batch {
    let now = clock.now();
    let arrivals: Vec<Arrival> = (0..DOCUMENTS).map(|number| announced(job, number, now)).collect();
    store.journal(&arrivals, now).unwrap();
    let request = SealRequest {
        job: &job.name,
        limits: Limits {
            documents: 1_000,
            bytes: 1 << 20,
            rows: 100_000,
            bytes_per_row: 1,
            max_age: Duration::from_secs(1),
        },
        force: true,
        incarnation: "one",
        definition_hash: &job.hash,
    };
    let batch = store.seal(&request, now).unwrap().unwrap();
    for _ in 0..PATIENCE {
        let attempt = store.begin_attempt(&batch.batch_id, Step::Archive, "one", now).unwrap();
        let failure = AttemptFailure::Transient { error: "a test".to_owned(), next_try_at: now };
        store.fail_attempt(attempt, failure, now).unwrap();
    }
    clock.advance(TimeDelta::minutes(1));
    batch
}

#[test]
fn an_object_that_never_comes_whole_is_deferred_and_all_others_are_archived() {
    let server = FakeServer::start_concurrent(|request: &Request| match request.target.as_str() {
        target if target.contains("lifecycle") => Reply::error(404, "NoSuchLifecycleConfiguration"),
        target if target.contains("/in/7.txt") => Reply::error(500, "InternalError"),
        target if target.contains("/in/23.txt") => {
            Reply::Cut(200, about(b"12345678"), b"12345678".to_vec(), 3)
        }
        target if target.contains("/in/31.txt") => Reply::Nothing,
        _ => Reply::Full(200, about(b"12345678"), b"12345678".to_vec()),
    });
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::new("2026-03-01T10:01:00Z"));
    let job =
        Job::parse(Path::new("jobs/invoices.toml"), include_str!("../../jobs/invoices.toml"), &|_| None);
    let job = Arc::new(job.unwrap());
    let mut store = Store::open(&folder.path().join("state"), Seam::default()).unwrap();
    let _lives = store.begin_incarnation("one", "host", 1, "0", clock.now()).unwrap();
    let batch = batch_that_has_waited(&mut store, &job, &clock);

    let landing = S3Store::landing(clients(&server.endpoint), "landing");
    let context = Arc::new(context(folder.path(), &job, &clock, landing));
    let mut archive = ArchiveStage::new(context).unwrap();
    assert_eq!(archive.tick().unwrap(), Tick::Worked);

    let batch = store.batch(&batch.batch_id).unwrap().unwrap();
    assert_eq!((batch.state, batch.deferred), (BatchState::Archived, 3), "{batch:?}");
    let object = folder.path().join("archive").join(object_key(&batch.job, &batch.batch_id));
    let outcomes = read_outcomes(&mut File::open(object).unwrap()).unwrap().members;
    for (member, outcome) in store.members(&batch.batch_id).unwrap().iter().zip(outcomes) {
        let is_ill = [7, 23, 31].map(key).contains(&member.key);
        assert_eq!(outcome.got, if is_ill { Got::Deferred } else { Got::Ok }, "{}: {outcome:?}", member.key);
    }
}
