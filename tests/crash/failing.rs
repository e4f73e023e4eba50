//! One object that keeps failing, whatever the reason, holds up no other document; and a landing that is down defers none (I10).

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Read};
use std::sync::{Arc, Mutex};

use chrono::TimeDelta;
use rusqlite::Connection;
use sluicegate::archive::{Got as Said, object_key, read_outcomes};
use sluicegate::failure::{Failure, Outcome};
use sluicegate::folder::{FolderInbox, FolderStore};
use sluicegate::pipeline::archive::ArchiveStage;
use sluicegate::pipeline::context::Context;
use sluicegate::pipeline::listener::Listener;
use sluicegate::pipeline::scheduler::run_serially;
use sluicegate::pipeline::stage::{Stage, Tick};
use sluicegate::ports::clock::Clock;
use sluicegate::ports::object_store::{
    Announced, Fetched, Got, ObjectInfo, ObjectStore, PutAnswer, ReadSeek,
};
use sluicegate_state::seam::Seam;
use sluicegate_state::{Batch, BatchState, Incarnation, Store};

use crate::landing::land;
use crate::process::{World, context, job, stages};
use crate::rows::select;
use crate::workload::first_window;

/// Failed attempts after which a batch waits no longer for single members (docs/decisions/0036).
const PATIENCE: u64 = 5;
/// Members in a row that may fail before the landing is asked about itself (docs/decisions/0036).
const IN_A_ROW: usize = 8;

/// What is wrong with an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ill {
    /// GET fails, as after an answer 500 or a reset.
    Fails,
    /// GET answers, and the body breaks off.
    BreaksOff,
}

#[derive(Default)]
struct Health {
    ill: BTreeMap<String, Ill>,
    /// GETs that are still answered; nothing is said where all are.
    answers_left: Option<usize>,
    asked: usize,
}

/// A landing folder of which some objects cannot be read.
struct IllLanding {
    store: FolderStore,
    health: Mutex<Health>,
}

struct BrokenBody(Box<dyn Read + Send>);

impl Read for BrokenBody {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let half = buffer.len().min(10);
        match self.0.read(&mut buffer[..half])? {
            0 => Err(io::Error::other("the body ended too early")),
            count => Ok(count),
        }
    }
}

impl IllLanding {
    fn ill(&self, key: &str) -> Option<Ill> {
        let mut health = self.health.lock().unwrap();
        health.asked += 1;
        if let Some(left) = &mut health.answers_left {
            if *left == 0 {
                return Some(Ill::Fails);
            }
            *left -= 1;
        }
        health.ill.get(key).copied()
    }

    fn set(&self, key: &str, ill: Option<Ill>) {
        let ill_ones = &mut self.health.lock().unwrap().ill;
        match ill {
            Some(ill) => ill_ones.insert(key.to_owned(), ill),
            None => ill_ones.remove(key),
        };
    }

    fn answers(&self, count: Option<usize>) {
        self.health.lock().unwrap().answers_left = count;
    }

    /// GETs since the last question.
    fn asked(&self) -> usize {
        std::mem::take(&mut self.health.lock().unwrap().asked)
    }
}

impl ObjectStore for IllLanding {
    fn bucket(&self) -> &str {
        self.store.bucket()
    }

    fn location(&self) -> String {
        self.store.location()
    }

    fn get_announced(&self, announced: &Announced<'_>) -> Outcome<Got> {
        match (self.ill(announced.key), self.store.get_announced(announced)?) {
            (Some(Ill::Fails), _) => {
                Err(Failure::transient(format!("reading {}: InternalError (500)", announced.key)))
            }
            (Some(Ill::BreaksOff), Got::Object(Fetched { info, body })) => {
                Ok(Got::Object(Fetched { info, body: Box::new(BrokenBody(body)) }))
            }
            (_, got) => Ok(got),
        }
    }

    fn get(&self, key: &str) -> Outcome<Option<Fetched>> {
        self.store.get(key)
    }

    fn head(&self, key: &str) -> Outcome<Option<ObjectInfo>> {
        self.store.head(key)
    }

    fn put_new(&self, key: &str, _: &mut dyn ReadSeek, _: u64, _: &str) -> Outcome<PutAnswer> {
        panic!("nothing is ever written in the landing: {key}")
    }

    fn list(&self, prefix: &str, visit: &mut dyn FnMut(ObjectInfo) -> Outcome<()>) -> Outcome<()> {
        self.store.list(prefix, visit)
    }
}

/// A machine whose landing can fall ill.
struct Machine {
    world: World,
    landing: Arc<IllLanding>,
    context: Arc<Context>,
    store: Store,
    _lives: Incarnation,
}

impl Machine {
    /// One whose batches hold so many documents.
    fn new(batch_documents: usize) -> Self {
        let world = World::new(false);
        world.edit_job(&[("documents = 4", &format!("documents = {batch_documents}"))]);
        for place in ["archive", "curated"] {
            fs::create_dir_all(world.path(place)).unwrap();
        }
        let store = FolderStore::new(world.path("landing"));
        let landing = Arc::new(IllLanding { store, health: Mutex::default() });
        let mut state = Store::open(&world.path("state"), Seam::default()).unwrap();
        let lives = state.begin_incarnation("one", "host", 1, "0", world.clock.now()).unwrap();
        let mut context = context(&world, "state", Seam::default(), "one".to_owned());
        context.landings = BTreeMap::from([(job().name.clone(), landing.clone() as Arc<dyn ObjectStore>)]);
        context.fetch_concurrency = 2;
        Self { world, landing, context: Arc::new(context), store: state, _lives: lives }
    }

    /// Lands documents that differ in their invoice's number.
    fn land(&self, keys: &[String]) {
        let lamp = first_window().remove(0);
        let text = String::from_utf8(lamp.bytes).unwrap();
        for key in keys {
            let number = key.trim_end_matches(".txt");
            let text = text.replace("Inv-ID: 1", &format!("Inv-ID: {number}"));
            land(&self.world.path("landing"), key, text.as_bytes(), lamp.landed_at);
        }
    }

    fn inbox(&self) -> FolderInbox {
        FolderInbox::new(self.world.job(), self.world.path("landing"), self.world.clock.clone())
    }

    fn journals(&self) {
        let listener = Listener::new(self.context.clone(), Box::new(self.inbox()), false).unwrap();
        run_serially(&mut [Box::new(listener) as Box<dyn Stage>]).unwrap();
    }

    /// Attempts what is due, and lets the longest pause between two attempts at a batch pass.
    fn attempts(&self, archive: &mut ArchiveStage) {
        while archive.tick().unwrap() == Tick::Worked {}
        self.world.clock.advance(TimeDelta::minutes(5));
    }

    fn archive(&self) -> ArchiveStage {
        ArchiveStage::new(self.context.clone()).unwrap()
    }

    fn only_batch(&self) -> Batch {
        let mut batches = self.store.batches(None, 2).unwrap();
        assert_eq!(batches.len(), 1, "{batches:?}");
        batches.remove(0)
    }

    /// What the archive of a batch says of its members, by key.
    fn said(&self, batch: &Batch) -> BTreeMap<String, Said> {
        let key = object_key(&batch.job, &batch.batch_id);
        let mut object = File::open(self.world.path("archive").join(key)).unwrap();
        let outcomes = read_outcomes(&mut object).unwrap().members;
        let members = self.store.members(&batch.batch_id).unwrap();
        members.into_iter().map(|member| (member.key, outcomes[member.ordinal as usize].got)).collect()
    }

    fn ledger(&self, sql: &str) -> Vec<Vec<String>> {
        let path = self.world.warehouse();
        if path.exists() { select(&Connection::open(path).unwrap(), sql) } else { Vec::new() }
    }

    /// The pipeline works, and time passes, until `done`.
    fn works_until(&self, what: &str, done: impl Fn(&Self) -> bool) {
        let mut stages = stages(&self.world, &self.context, Box::new(self.inbox())).unwrap();
        for _ in 0..60 {
            let idles = run_serially(&mut stages).unwrap();
            if done(self) {
                return;
            }
            let wake_at = idles.iter().filter_map(|idle| idle.wake_at).min();
            let wait = wake_at.map_or(TimeDelta::zero(), |at| at - self.world.clock.now());
            self.world.clock.advance(wait.max(TimeDelta::seconds(1)));
        }
        panic!("{what} in vain");
    }
}

fn numbered(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|number| format!("{number:04}.txt")).collect()
}

const DOCUMENTS: &str = "SELECT key, outcome FROM sluicegate_document ORDER BY key";

#[test]
fn what_keeps_failing_holds_up_no_neighbour_and_has_its_own_outcome_in_the_end() {
    let machine = Machine::new(4);
    let keys = numbered(0..12);
    machine.land(&keys);
    let ill = [(&keys[1], Ill::Fails), (&keys[5], Ill::BreaksOff), (&keys[6], Ill::Fails)];
    ill.iter().for_each(|(key, ill)| machine.landing.set(key, Some(*ill)));
    let began = machine.world.clock.now();
    let loaded = |machine: &Machine| {
        let rows =
            machine.ledger("SELECT key FROM sluicegate_document WHERE outcome = 'loaded' ORDER BY key");
        rows.into_iter().flatten().collect::<BTreeSet<_>>()
    };
    let good: BTreeSet<String> =
        keys.iter().filter(|key| !ill.iter().any(|(ill, _)| ill == key)).cloned().collect();
    machine.works_until("all neighbours are loaded", |machine| loaded(machine) == good);
    let took = machine.world.clock.now() - began;
    assert!(took < TimeDelta::minutes(2), "neighbours do not wait long: {took}");
    assert_eq!(machine.ledger(DOCUMENTS).len(), good.len(), "what was deferred has no outcome");

    // What joins them later does not wait at all.
    machine.world.clock.advance(TimeDelta::hours(1));
    let more = numbered(100..102);
    machine.land(&more);
    machine.journals();
    machine.attempts(&mut machine.archive());
    let sealed = machine.store.batches_in(BatchState::Sealed, 10).unwrap();
    assert!(sealed.is_empty(), "{sealed:?}");
    let joined = machine.store.batches(None, 1).unwrap().remove(0);
    assert!(joined.deferred > 0 && joined.deferred < joined.documents, "{joined:?}");

    // One can be read again, one is taken by somebody, and the last stays as it is.
    machine.landing.set(&keys[5], None);
    fs::remove_file(machine.world.path("landing").join(&keys[1])).unwrap();
    machine.landing.set(&keys[1], None);
    let expected: Vec<Vec<String>> = keys
        .iter()
        .chain(&more)
        .filter(|key| *key != &keys[6])
        .map(|key| vec![key.clone(), if key == &keys[1] { "missing" } else { "loaded" }.to_owned()])
        .collect();
    machine.works_until("the others have their outcomes", |machine| machine.ledger(DOCUMENTS) == expected);
    let deferred = machine.ledger("SELECT DISTINCT key FROM sluicegate_verdict WHERE outcome = 'deferred'");
    assert_eq!(deferred.len(), ill.len());
}

#[test]
fn a_landing_that_is_down_defers_nothing_and_is_asked_little() {
    let machine = Machine::new(1_000);
    machine.land(&numbered(0..300));
    machine.journals();
    let mut archive = machine.archive();
    for attempt in 0..2 * PATIENCE {
        // It goes down in the midst of the batch, once between two chunks of what is read at a time.
        let answers = if attempt % 2 == 0 { 3 } else { 256 };
        machine.landing.answers(Some(answers));
        machine.attempts(&mut archive);
        let asked = machine.landing.asked() - answers;
        let most = if attempt < PATIENCE { 2 } else { IN_A_ROW + 2 };
        assert!((1..=most).contains(&asked), "attempt {attempt}: {asked} of them were in vain");
        let batch = machine.only_batch();
        assert_eq!((batch.state, batch.deferred), (BatchState::Sealed, 0), "attempt {attempt}: {batch:?}");
    }
    machine.landing.answers(None);
    machine.attempts(&mut archive);
    let batch = machine.only_batch();
    assert_eq!((batch.state, batch.deferred), (BatchState::Archived, 0));
    assert!(machine.said(&batch).values().all(|said| *said == Said::Ok));
}

#[test]
fn many_that_fail_one_after_the_other_hold_up_none_behind_them() {
    for ill in [0..40, 30..290, 270..300] {
        let machine = Machine::new(1_000);
        let keys = numbered(0..300);
        machine.land(&keys);
        keys[ill.clone()].iter().for_each(|key| machine.landing.set(key, Some(Ill::Fails)));
        // Where nothing of the batch has been read yet, only what lies beside it can tell.
        machine.journals();
        machine.land(&["beside.txt".to_owned()]);
        let mut archive = machine.archive();
        for attempt in 0..=PATIENCE {
            let sealed = attempt == 0 || machine.only_batch().state == BatchState::Sealed;
            assert!(sealed, "{ill:?} before attempt {attempt}");
            machine.attempts(&mut archive);
        }
        let batch = machine.only_batch();
        assert_eq!((batch.state, batch.deferred), (BatchState::Archived, ill.len() as u64), "{ill:?}");
        let said = machine.said(&batch);
        for (index, key) in keys.iter().enumerate() {
            let expected = if ill.contains(&index) { Said::Deferred } else { Said::Ok };
            assert_eq!(said[key], expected, "{ill:?}: {key}");
        }
    }
}

#[test]
fn one_that_fails_alone_is_deferred_only_where_something_else_can_be_read() {
    let machine = Machine::new(1);
    let keys = numbered(0..5);
    machine.land(&keys);
    machine.journals();
    keys.iter().for_each(|key| machine.landing.set(key, Some(Ill::Fails)));
    let mut archive = machine.archive();
    for _ in 0..10 * PATIENCE {
        machine.attempts(&mut archive);
    }
    let waiting = machine.store.batches_in(BatchState::Sealed, 10).unwrap();
    assert_eq!(waiting.len(), 4, "nothing can be read, so sealing pauses: {waiting:?}");
    assert!(waiting.iter().all(|batch| batch.failures > PATIENCE), "{waiting:?}");

    machine.land(&["good.txt".to_owned()]);
    machine.journals();
    let archived = |machine: &Machine| {
        let batches = machine.store.batches_in(BatchState::Archived, 100).unwrap();
        batches.iter().any(|batch| machine.said(batch).get("good.txt") == Some(&Said::Ok))
    };
    for _ in 0..10 * PATIENCE {
        machine.attempts(&mut archive);
        if archived(&machine) {
            return;
        }
    }
    panic!("one that can be read is held up by those that cannot");
}
