//! The real store, asked the same, and held against the model by a second connection.

use std::collections::BTreeMap;

use proptest_state_machine::StateMachineTest;
use rusqlite::Connection;
use sluicegate_state::seam::Seam;
use sluicegate_state::{
    AdoptedMember, Adoption, AdoptionReach, Arrival, AttemptFailure, BatchState as State, Deferral,
    Incarnation, Limits, ReplayMember, ReplaySeal, SealRequest, Store,
};
use tempfile::TempDir;

use super::reference::{Batch, Model};
use super::{Answer, Ask, DELAY, JOB, key};
use crate::support::{at, limits, notification};

/// The real store, and the names that it gave.
pub(super) struct Real {
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
            Ask::Adopt { loaded, defer_first, .. } => self.adopt(loaded, defer_first, model),
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

    fn adopt(&mut self, loaded: bool, defer_first: bool, model: &Model) -> Answer {
        let (now, made) = (at(model.now), model.batches.last().unwrap());
        let batch_id = format!("{}-{:016x}", now.format("%Y%m%dT%H%M%SZ"), self.batches.len());
        let member = |(place, key): (usize, &String)| {
            let deferred = defer_first && place == 0;
            AdoptedMember { notification: notification(key), tries: 0, deferred }
        };
        let members: Vec<_> = made.members.iter().enumerate().map(member).collect();
        let adoption = Adoption {
            batch_id: &batch_id,
            job: JOB,
            sealed_at: now,
            members: &members,
            definition_hash: "abc",
            parents: &[],
            replay: 0,
            incarnation: &self.me(),
            reach: if loaded { AdoptionReach::Loaded } else { AdoptionReach::Archived },
            cause: "test",
        };
        assert!(self.store().adopt(&adoption, now).unwrap());
        assert!(!self.store().adopt(&adoption, now).unwrap(), "a batch that is here stays as it is");
        Answer::Sealed(Some(self.learn(batch_id)))
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
