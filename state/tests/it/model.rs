//! Goal: whatever is asked of the store, in whatever order, legal or not, and wherever its connection is dropped, it holds
//! exactly what a few lines of plain collections hold.
//!
//! `SLUICEGATE_FULL=1` tries many more sequences.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest};
use rusqlite::Connection;
use sluicegate_state::seam::Seam;
use sluicegate_state::{
    Arrival, AttemptFailure, AttemptOutcome, BatchEvent as Event, BatchState as State, Deferral, Incarnation,
    Limits, Moved, ReplayMember, ReplaySeal, SealRequest, Stage, Store,
};
use tempfile::TempDir;

use crate::support::{at, limits, notification};

const JOB: &str = "invoices";
/// How long a transient failure or a deferral is put off, in steps.
const DELAY: i64 = 3;

/// One thing that is asked. Indices are taken modulo what there is; where there is nothing, it is not asked.
#[derive(Debug, Clone)]
enum Ask {
    Journal(Vec<u8>),
    Seal {
        force: bool,
        documents: u64,
    },
    Begin {
        batch: usize,
        stage: Stage,
    },
    Complete {
        attempt: usize,
        event: Event,
        defer_first: bool,
    },
    Fail {
        attempt: usize,
        permanent: bool,
    },
    Apply {
        batch: usize,
        event: Event,
    },
    Replay {
        parents: Vec<usize>,
    },
    /// The process dies and another one begins: nothing is said, attempts are buried.
    Die,
    /// The connection is dropped, politely or in the middle of a transaction, and opened again.
    Reopen {
        torn: bool,
    },
    /// The process says farewell and another one begins.
    Farewell,
}

/// What an ask is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Answer {
    Nothing,
    Journaled { recorded: u64, redelivered: u64 },
    Sealed(Option<Vec<String>>),
    Moved(Moved),
    Done,
    Refused,
}

#[derive(Debug, Clone)]
struct Document {
    /// The batch and place that it is in, unless it is pending.
    place: Option<(usize, u32)>,
    redeliveries: u64,
    tries: u64,
    next_try: Option<i64>,
    /// Its number: documents are numbered in the order of their arrival.
    number: usize,
}

#[derive(Debug, Clone)]
struct Batch {
    state: State,
    failed_from: Option<State>,
    members: Vec<String>,
    tries: Vec<u64>,
    deferred: u64,
    failures: u64,
    next_try: Option<i64>,
    replay: u64,
    parents: Vec<usize>,
    log: Vec<(Option<State>, State)>,
}

#[derive(Debug, Clone)]
struct Attempt {
    batch: usize,
    stage: Stage,
    outcome: AttemptOutcome,
}

/// The store as plain collections.
#[derive(Debug, Clone)]
struct Model {
    now: i64,
    documents: BTreeMap<String, Document>,
    batches: Vec<Batch>,
    attempts: Vec<Attempt>,
    received: u64,
    redeliveries: u64,
    answer: Answer,
}

/// The table of `docs/state-machine.md`, written once more.
fn table(state: State, from: Option<State>, event: Event) -> Option<State> {
    match (event, state, from) {
        (Event::Archived, State::Sealed, _) => Some(State::Archived),
        (Event::Loaded, State::Archived, _) => Some(State::Loaded),
        (Event::Published, State::Loaded, _) => Some(State::Published),
        (Event::Failed, State::Sealed | State::Archived | State::Loaded, _) => Some(State::Failed),
        (Event::Resumed, State::Failed, from) => from,
        (Event::Abandoned, State::Sealed | State::Archived, _)
        | (Event::Abandoned, State::Failed, Some(State::Sealed | State::Archived)) => Some(State::Abandoned),
        _ => None,
    }
}

/// What is said of an event that moves nothing: that it has been so already, or that it does not apply any more.
fn standing(batch: &Batch, event: Event) -> Moved {
    let steps = [State::Sealed, State::Archived, State::Loaded, State::Published];
    let reached = steps.iter().position(|step| *step == batch.failed_from.unwrap_or(batch.state));
    let there = match event {
        Event::Archived => reached >= Some(1),
        Event::Loaded => reached >= Some(2),
        Event::Published => reached >= Some(3),
        Event::Failed => batch.state == State::Failed,
        Event::Resumed => steps.contains(&batch.state),
        Event::Abandoned => batch.state == State::Abandoned,
    };
    if there { Moved::AlreadyThere } else { Moved::Lost }
}

impl Model {
    fn start() -> Self {
        Self {
            now: 1,
            documents: BTreeMap::new(),
            batches: Vec::new(),
            attempts: Vec::new(),
            received: 0,
            redeliveries: 0,
            answer: Answer::Nothing,
        }
    }

    fn journal(&mut self, keys: &[u8]) -> Answer {
        let (mut recorded, mut redelivered) = (0, 0);
        for key in keys.iter().map(key) {
            let number = self.documents.len();
            let known = self.documents.get_mut(&key);
            match known {
                Some(document) => {
                    document.redeliveries += 1;
                    redelivered += 1;
                }
                None => {
                    let fresh = Document { place: None, redeliveries: 0, tries: 0, next_try: None, number };
                    self.documents.insert(key, fresh);
                    recorded += 1;
                }
            }
        }
        self.received += recorded;
        self.redeliveries += redelivered;
        Answer::Journaled { recorded, redelivered }
    }

    fn seal(&mut self, force: bool, documents: u64) -> Answer {
        let now = self.now;
        let mut waiting: Vec<(usize, String)> = self
            .documents
            .iter()
            .filter(|(_, document)| document.place.is_none() && document.next_try.is_none_or(|at| at <= now))
            .map(|(key, document)| (document.number, key.clone()))
            .collect();
        waiting.sort();
        let full = waiting.len() as u64 >= documents;
        if waiting.is_empty() || !(full || force) {
            return Answer::Sealed(None);
        }
        waiting.truncate(usize::try_from(documents).unwrap());
        let members: Vec<String> = waiting.into_iter().map(|(_, key)| key).collect();
        self.add_batch(members.clone(), Vec::new(), 0);
        Answer::Sealed(Some(members))
    }

    fn add_batch(&mut self, members: Vec<String>, parents: Vec<usize>, replay: u64) {
        let index = self.batches.len();
        let tries = members.iter().map(|key| self.documents[key].tries).collect();
        for (ordinal, key) in (0..).zip(&members) {
            let document = self.documents.get_mut(key).unwrap();
            if document.place.is_none() {
                document.place = Some((index, ordinal));
                document.next_try = None;
            }
        }
        self.batches.push(Batch {
            state: State::Sealed,
            failed_from: None,
            members,
            tries,
            deferred: 0,
            failures: 0,
            next_try: None,
            replay,
            parents,
            log: vec![(None, State::Sealed)],
        });
    }

    fn move_batch(&mut self, batch: usize, event: Event) -> Moved {
        let batch = &mut self.batches[batch];
        let Some(next) = table(batch.state, batch.failed_from, event) else { return standing(batch, event) };
        batch.log.push((Some(batch.state), next));
        batch.failed_from = (next == State::Failed).then_some(batch.state);
        (batch.state, batch.failures, batch.next_try) = (next, 0, None);
        Moved::Yes
    }

    fn begin(&mut self, batch: usize, stage: Stage) -> Answer {
        if self.batches[batch].state != stage.takes() {
            return Answer::Refused;
        }
        self.attempts.push(Attempt { batch, stage, outcome: AttemptOutcome::Running });
        Answer::Done
    }

    fn complete(&mut self, attempt: usize, event: Event, defer_first: bool) -> Answer {
        let Attempt { batch, stage, outcome } = self.attempts[attempt];
        if event != stage.event() {
            return Answer::Refused;
        }
        if outcome != AttemptOutcome::Running {
            return Answer::Moved(standing(&self.batches[batch], event));
        }
        let before = self.clone();
        let moved = self.move_batch(batch, event);
        let lost = moved == Moved::Lost;
        self.attempts[attempt].outcome = if lost { AttemptOutcome::Lost } else { AttemptOutcome::Succeeded };
        if moved == Moved::Yes && defer_first && !self.defer(batch) {
            // All or nothing: a member that is not its own takes the whole completion back.
            *self = before;
            return Answer::Refused;
        }
        Answer::Moved(moved)
    }

    /// Whether the first member is there to be deferred.
    fn defer(&mut self, batch: usize) -> bool {
        let key = self.batches[batch].members[0].clone();
        let document = self.documents.get_mut(&key).unwrap();
        if document.place.is_none_or(|(owner, _)| owner != batch) {
            return false;
        }
        document.place = None;
        document.tries += 1;
        document.next_try = Some(self.now + DELAY);
        self.batches[batch].deferred += 1;
        true
    }

    fn fail(&mut self, attempt: usize, permanent: bool) -> Answer {
        let Attempt { batch, stage, outcome } = self.attempts[attempt];
        if outcome != AttemptOutcome::Running {
            return Answer::Done;
        }
        let present = self.batches[batch].state == stage.takes();
        if permanent {
            self.attempts[attempt].outcome = AttemptOutcome::Permanent;
            if present {
                self.move_batch(batch, Event::Failed);
            }
        } else {
            self.attempts[attempt].outcome = AttemptOutcome::Transient;
            if present {
                self.batches[batch].failures += 1;
                self.batches[batch].next_try = Some(self.now + DELAY);
            }
        }
        Answer::Done
    }

    fn replay(&mut self, parents: &[usize]) -> Answer {
        let mut members: Vec<String> = Vec::new();
        for key in parents.iter().flat_map(|parent| &self.batches[*parent].members) {
            if !members.contains(key) {
                members.push(key.clone());
            }
        }
        let replay = 1 + parents.iter().map(|parent| self.batches[*parent].replay).max().unwrap();
        self.add_batch(members.clone(), parents.to_vec(), replay);
        Answer::Sealed(Some(members))
    }

    fn end_attempts(&mut self) -> Answer {
        for attempt in &mut self.attempts {
            if attempt.outcome == AttemptOutcome::Running {
                attempt.outcome = AttemptOutcome::Died;
            }
        }
        Answer::Done
    }

    /// Indices that point at something; nothing where there is nothing.
    fn aimed(&self, ask: &Ask) -> Option<Ask> {
        let mut ask = ask.clone();
        let (batches, attempts) = (self.batches.len(), self.attempts.len());
        match &mut ask {
            Ask::Begin { batch, .. } | Ask::Apply { batch, .. } => *batch = batch.checked_rem(batches)?,
            Ask::Complete { attempt, .. } | Ask::Fail { attempt, .. } => {
                // The youngest attempts are the ones that still run.
                let aim = attempt.checked_rem(attempts)?;
                *attempt = attempts - 1 - aim;
            }
            Ask::Replay { parents } => {
                for parent in parents.iter_mut() {
                    *parent = parent.checked_rem(batches)?;
                }
                parents.sort_unstable();
                parents.dedup();
            }
            _ => {}
        }
        Some(ask)
    }
}

fn key(number: &u8) -> String {
    format!("{number:03}")
}

fn stages() -> impl Strategy<Value = Stage> {
    prop::sample::select(vec![Stage::Archive, Stage::Load, Stage::Publish])
}

fn events() -> impl Strategy<Value = Event> {
    prop::sample::select(Event::ALL.to_vec())
}

impl ReferenceStateMachine for Model {
    type State = Self;
    type Transition = Ask;

    fn init_state() -> BoxedStrategy<Self> {
        Just(Self::start()).boxed()
    }

    fn transitions(model: &Self) -> BoxedStrategy<Ask> {
        let index = 0..1000_usize;
        // What goes well is asked often, so that batches get far; then come the wrong asks.
        let next = |attempt: &Attempt| attempt.stage.event();
        let well = model.attempts.last().map_or(Event::Archived, next);
        let stage = model.batches.last().and_then(|batch| match batch.state {
            State::Sealed => Some(Stage::Archive),
            State::Archived => Some(Stage::Load),
            State::Loaded => Some(Stage::Publish),
            _ => None,
        });
        let newest = model.batches.len().saturating_sub(1);
        prop_oneof![
            5 => prop::collection::vec(0..40_u8, 1..6).prop_map(Ask::Journal),
            4 => (any::<bool>(), 1..5_u64).prop_map(|(force, documents)| Ask::Seal { force, documents }),
            6 => Just(Ask::Begin { batch: newest, stage: stage.unwrap_or(Stage::Archive) }),
            2 => (index.clone(), stages()).prop_map(|(batch, stage)| Ask::Begin { batch, stage }),
            6 => prop::bool::weighted(0.2)
                .prop_map(move |defer_first| Ask::Complete { attempt: 0, event: well, defer_first }),
            2 => (index.clone(), events(), any::<bool>())
                .prop_map(|(attempt, event, defer_first)| Ask::Complete { attempt, event, defer_first }),
            3 => (index.clone(), any::<bool>()).prop_map(|(attempt, permanent)| Ask::Fail { attempt, permanent }),
            4 => (index.clone(), events()).prop_map(|(batch, event)| Ask::Apply { batch, event }),
            2 => prop::collection::vec(index, 1..3).prop_map(|parents| Ask::Replay { parents }),
            1 => Just(Ask::Die),
            1 => any::<bool>().prop_map(|torn| Ask::Reopen { torn }),
            1 => Just(Ask::Farewell),
        ]
        .boxed()
    }

    fn apply(mut model: Self, ask: &Ask) -> Self {
        model.now += 1;
        model.answer = match model.aimed(ask) {
            None => Answer::Nothing,
            Some(Ask::Journal(keys)) => model.journal(&keys),
            Some(Ask::Seal { force, documents }) => model.seal(force, documents),
            Some(Ask::Begin { batch, stage }) => model.begin(batch, stage),
            Some(Ask::Complete { attempt, event, defer_first }) => {
                model.complete(attempt, event, defer_first)
            }
            Some(Ask::Fail { attempt, permanent }) => model.fail(attempt, permanent),
            Some(Ask::Apply { batch, event }) => Answer::Moved(model.move_batch(batch, event)),
            Some(Ask::Replay { parents }) => model.replay(&parents),
            Some(Ask::Die | Ask::Farewell) => model.end_attempts(),
            Some(Ask::Reopen { .. }) => Answer::Done,
        };
        model
    }
}

/// The real store, and the names that it gave.
struct Real {
    folder: TempDir,
    store: Option<Store>,
    incarnation: Option<Incarnation>,
    lives: usize,
    batches: Vec<String>,
    attempts: Vec<i64>,
}

impl Real {
    fn store(&mut self) -> &mut Store {
        self.store.as_mut().unwrap()
    }

    fn me(&self) -> String {
        format!("me-{}", self.lives)
    }

    fn open(&mut self) {
        self.store = Some(Store::open(self.folder.path(), Seam::default()).unwrap());
    }

    fn live(&mut self, now: i64) {
        self.lives += 1;
        let me = self.me();
        self.incarnation = Some(self.store().begin_incarnation(&me, "host", 1, "0", at(now)).unwrap());
    }

    /// A connection that dies between its first write and its commit.
    fn tear(&self) {
        let mut connection = Connection::open(self.folder.path().join("state.db")).unwrap();
        let tx = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).unwrap();
        tx.execute("UPDATE notification SET redeliveries = redeliveries + 7", []).unwrap();
        tx.execute("INSERT INTO meta (key, value) VALUES ('torn', 'yes')", []).unwrap();
        // Dropped without a commit.
    }

    fn ask(&mut self, ask: Ask, model: &Model) -> Answer {
        let (now, me) = (at(model.now), self.me());
        let done = |result: Result<_, _>| if result.is_ok() { Answer::Done } else { Answer::Refused };
        match ask {
            Ask::Journal(keys) => {
                let arrivals: Vec<_> =
                    keys.iter().map(|number| Arrival::Notification(notification(&key(number)))).collect();
                let receipt = self.store().journal(&arrivals, now).unwrap();
                Answer::Journaled { recorded: receipt.recorded, redelivered: receipt.redelivered }
            }
            Ask::Seal { force, documents } => {
                // Age never seals here: the model's clock runs for less than an hour.
                let limits = Limits { documents, max_age: std::time::Duration::from_secs(3600), ..limits() };
                let request =
                    SealRequest { job: JOB, limits, force, incarnation: &me, definition_hash: "abc" };
                let sealed = self.store().seal(&request, now).unwrap();
                Answer::Sealed(sealed.map(|batch| self.learn(batch.batch_id)))
            }
            Ask::Begin { batch, stage } => {
                let id = self.batches[batch].clone();
                let begun = self.store().begin_attempt(&id, stage, &me, now);
                self.attempts.extend(begun.as_ref().ok());
                done(begun.map(drop))
            }
            Ask::Complete { attempt, event, defer_first } => {
                let first = Deferral { ordinal: 0, next_try_at: at(model.now + DELAY) };
                let deferred = if defer_first { vec![first] } else { Vec::new() };
                let attempt = self.attempts[attempt];
                let moved = self.store().complete_attempt(attempt, event, "test", &deferred, now);
                moved.map_or(Answer::Refused, Answer::Moved)
            }
            Ask::Fail { attempt, permanent } => {
                let attempt = self.attempts[attempt];
                let error = "test".to_owned();
                let failure = if permanent {
                    AttemptFailure::Permanent { error }
                } else {
                    AttemptFailure::Transient { error, next_try_at: at(model.now + DELAY) }
                };
                done(self.store().fail_attempt(attempt, failure, now))
            }
            Ask::Apply { batch, event } => {
                let id = self.batches[batch].clone();
                Answer::Moved(self.store().apply(&id, event, "test", &me, now).unwrap())
            }
            Ask::Replay { parents } => self.replay(&parents, model),
            Ask::Die => {
                self.store = None;
                self.incarnation = None;
                self.open();
                assert!(self.store().check_after_death().unwrap(), "a death was not seen");
                assert_eq!(self.store().bury_dead(now).unwrap(), [me]);
                self.live(model.now);
                Answer::Done
            }
            Ask::Reopen { torn } => {
                self.store = None;
                if torn {
                    self.tear();
                }
                self.open();
                Answer::Done
            }
            Ask::Farewell => {
                let incarnation = self.incarnation.take().unwrap();
                self.store().end_incarnation(incarnation, now).unwrap();
                assert!(!self.store().check_after_death().unwrap(), "a farewell was taken for a death");
                self.live(model.now);
                Answer::Done
            }
        }
    }

    fn replay(&mut self, parents: &[usize], model: &Model) -> Answer {
        // The batch that the model has just made.
        let made = model.batches.last().unwrap();
        let members: Vec<_> = made
            .members
            .iter()
            .zip(&made.tries)
            .map(|(key, tries)| ReplayMember { notification: notification(key), tries: *tries })
            .collect();
        let parents: Vec<String> = parents.iter().map(|parent| self.batches[*parent].clone()).collect();
        let seal = ReplaySeal {
            job: JOB,
            members: &members,
            parents: &parents,
            replay: made.replay,
            estimated_rows: 1,
            incarnation: &self.me(),
            definition_hash: "abc",
            cause: "test",
        };
        let id = self.store().seal_replays(&[seal], at(model.now)).unwrap().remove(0);
        Answer::Sealed(Some(self.learn(id)))
    }

    /// Notes a new batch; the keys of its members.
    fn learn(&mut self, batch_id: String) -> Vec<String> {
        assert!(!self.batches.contains(&batch_id), "no two batches share an id (I3)");
        let members = self.store().members(&batch_id).unwrap();
        self.batches.push(batch_id);
        members.into_iter().map(|member| member.key).collect()
    }

    /// Everything that the store says about documents.
    fn compare_documents(&mut self, model: &Model) {
        for (key, document) in &model.documents {
            let mut entries = self.store().notifications_for_key(key).unwrap();
            let entry = entries.pop().expect("what was journaled is there");
            assert!(entries.is_empty(), "{key} is there twice");
            let place = document.place.map(|(batch, ordinal)| (self.batches[batch].clone(), ordinal));
            assert_eq!(entry.batch_id.zip(entry.ordinal), place, "{key}");
            assert_eq!((entry.redeliveries, entry.tries), (document.redeliveries, document.tries), "{key}");
            assert_eq!(entry.next_try_at, document.next_try.map(at), "{key}");
        }
        let totals = self.store().notification_totals(JOB).unwrap();
        assert_eq!((totals.received, totals.redeliveries), (model.received, model.redeliveries));
        assert_eq!(self.store().meta("torn").unwrap(), None);
    }

    /// Everything that it says about batches.
    fn compare_batches(&mut self, model: &Model) {
        assert_eq!(self.batches.len(), model.batches.len());
        for (id, expected) in self.batches.clone().iter().zip(&model.batches) {
            let batch = self.store().batch(id).unwrap().unwrap();
            assert_eq!((batch.state, batch.failed_from), (expected.state, expected.failed_from), "{id}");
            assert_eq!((batch.deferred, batch.failures), (expected.deferred, expected.failures), "{id}");
            assert_eq!(batch.next_try_at, expected.next_try.map(at), "{id}");
            let parents: Vec<_> =
                expected.parents.iter().map(|parent| self.batches[*parent].clone()).collect();
            assert_eq!((batch.parents, batch.replay), (parents, expected.replay), "{id}");
            let members = self.store().members(id).unwrap();
            let members: Vec<_> = members.into_iter().map(|member| (member.key, member.tries)).collect();
            let sealed: Vec<_> =
                expected.members.iter().cloned().zip(expected.tries.iter().copied()).collect();
            assert_eq!(members, sealed, "members and order never change (I3): {id}");
            let log = self.store().transitions(id).unwrap();
            let log: Vec<_> = log.into_iter().map(|record| (record.from, record.to)).collect();
            assert_eq!(log, expected.log, "{id}");
        }
    }

    fn compare_attempts(&mut self, model: &Model) {
        for (index, id) in self.batches.clone().iter().enumerate() {
            let attempts = self.store().attempts(id).unwrap();
            let found: Vec<_> =
                attempts.into_iter().map(|attempt| (attempt.stage, attempt.outcome)).collect();
            let expected = model.attempts.iter().filter(|attempt| attempt.batch == index);
            assert_eq!(found, expected.map(|a| (a.stage, a.outcome)).collect::<Vec<_>>(), "{id}");
        }
    }

    /// The summaries, and the work that is due.
    fn compare_counts(&mut self, model: &Model) {
        let mut counts: BTreeMap<State, u64> = BTreeMap::new();
        for batch in &model.batches {
            *counts.entry(batch.state).or_default() += 1;
        }
        assert_eq!(self.store().batch_counts(JOB).unwrap(), counts);
        let backlog = self.store().backlog(JOB).unwrap();
        let pending = model.documents.values().filter(|document| document.place.is_none()).count();
        assert_eq!(backlog.pending, pending as u64);
        let open = |batch: &&Batch| batch.state.is_unfinished();
        assert_eq!(backlog.unfinished_batches, model.batches.iter().filter(open).count() as u64);
        assert_eq!(backlog.failed_batches, counts.get(&State::Failed).copied().unwrap_or(0));
        for state in [State::Sealed, State::Archived, State::Loaded] {
            let is_due =
                |batch: &Batch| batch.state == state && batch.next_try.is_none_or(|t| t <= model.now);
            let expected: Vec<_> = self
                .batches
                .iter()
                .zip(&model.batches)
                .filter(|(_, b)| is_due(b))
                .map(|(id, _)| id.clone())
                .collect();
            let due = self.store().due_batches(state, at(model.now), 1000).unwrap();
            assert_eq!(due.into_iter().map(|batch| batch.batch_id).collect::<Vec<_>>(), expected);
        }
        let replays = self.store().unfinished_replays().unwrap().len();
        let unfinished = |batch: &&Batch| {
            batch.replay > 0 && (batch.state.is_unfinished() || batch.state == State::Failed)
        };
        assert_eq!(replays, model.batches.iter().filter(unfinished).count());
    }
}

impl StateMachineTest for Real {
    type SystemUnderTest = Self;
    type Reference = Model;

    fn init_test(_: &Model) -> Self {
        // A file like any other, and thousands of commits wait for no disk where there is a folder in memory.
        let memory = std::path::Path::new("/dev/shm");
        let folder =
            if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap();
        let mut real = Self {
            folder,
            store: None,
            incarnation: None,
            lives: 0,
            batches: Vec::new(),
            attempts: Vec::new(),
        };
        real.open();
        real.live(0);
        real
    }

    fn apply(mut real: Self, model: &Model, ask: Ask) -> Self {
        // Indices are aimed at what there was before: the model has made at most one batch or attempt since.
        let mut before = model.clone();
        before.batches.truncate(real.batches.len());
        before.attempts.truncate(real.attempts.len());
        let answer = match before.aimed(&ask) {
            None => Answer::Nothing,
            Some(ask) => real.ask(ask, model),
        };
        assert_eq!(answer, model.answer, "{ask:?}");
        real
    }

    fn check_invariants(real: &Self, model: &Model) {
        // A second connection sees what is committed, and nothing else.
        let mut view = Self {
            folder: tempfile::tempdir().unwrap(),
            store: Some(Store::open(real.folder.path(), Seam::default()).unwrap()),
            incarnation: None,
            lives: 0,
            batches: real.batches.clone(),
            attempts: Vec::new(),
        };
        view.compare_documents(model);
        view.compare_batches(model);
        view.compare_attempts(model);
        view.compare_counts(model);
    }

    fn teardown(real: Self, _: Model) {
        real.store.unwrap().integrity_check().unwrap();
    }
}

fn config() -> ProptestConfig {
    let full = std::env::var("SLUICEGATE_FULL").is_ok_and(|full| full == "1");
    ProptestConfig {
        cases: if full { 2_000 } else { 30 },
        max_shrink_iters: 2_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest_state_machine::prop_state_machine! {
    #![proptest_config(config())]

    #[test]
    fn the_store_holds_what_its_model_holds(sequential 1..50 => Real);
}
