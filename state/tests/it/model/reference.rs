//! The store as plain collections: what every ask has to come to.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest_state_machine::ReferenceStateMachine;
use sluicegate_state::{AttemptOutcome, BatchEvent as Event, BatchState as State, Moved, Stage};

use super::{Answer, Ask, DELAY, key};

#[derive(Debug, Clone)]
pub(super) struct Document {
    /// The batch and place that it is in, unless it is pending.
    pub(super) place: Option<(usize, u32)>,
    pub(super) redeliveries: u64,
    pub(super) tries: u64,
    pub(super) next_try: Option<i64>,
    /// Its number: documents are numbered in the order of their arrival.
    pub(super) number: usize,
}

#[derive(Debug, Clone)]
pub(super) struct Batch {
    pub(super) state: State,
    pub(super) failed_from: Option<State>,
    pub(super) members: Vec<String>,
    pub(super) tries: Vec<u64>,
    pub(super) deferred: u64,
    pub(super) failures: u64,
    pub(super) next_try: Option<i64>,
    pub(super) replay: u64,
    pub(super) parents: Vec<usize>,
    pub(super) log: Vec<(Option<State>, State)>,
}

#[derive(Debug, Clone)]
pub(super) struct Attempt {
    pub(super) batch: usize,
    pub(super) stage: Stage,
    pub(super) outcome: AttemptOutcome,
}

/// The store as plain collections.
#[derive(Debug, Clone)]
pub(super) struct Model {
    pub(super) now: i64,
    pub(super) documents: BTreeMap<String, Document>,
    pub(super) batches: Vec<Batch>,
    pub(super) attempts: Vec<Attempt>,
    pub(super) received: u64,
    pub(super) redeliveries: u64,
    pub(super) answer: Answer,
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

    /// What is journaled and pending goes into the batch; what another batch has stays there.
    fn adopt(&mut self, keys: &[u8], loaded: bool, defer_first: bool) -> Answer {
        let mut members: Vec<String> = Vec::new();
        for key in keys.iter().map(key) {
            if !members.contains(&key) {
                members.push(key);
            }
        }
        for key in &members {
            let number = self.documents.len();
            let fresh = || Document { place: None, redeliveries: 0, tries: 0, next_try: None, number };
            let known = self.documents.contains_key(key);
            self.documents.entry(key.clone()).or_insert_with(fresh);
            self.received += u64::from(!known);
        }
        let first = members[0].clone();
        let before = self.documents[&first].clone();
        self.add_batch(members.clone(), Vec::new(), 0);
        if defer_first {
            self.documents.insert(first, before);
        }
        let index = self.batches.len() - 1;
        self.batches[index].tries = vec![0; members.len()];
        self.move_batch(index, Event::Archived);
        if loaded {
            self.move_batch(index, Event::Loaded);
        }
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
    pub(super) fn aimed(&self, ask: &Ask) -> Option<Ask> {
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
            2 => (prop::collection::vec(0..40_u8, 1..4), any::<bool>(), any::<bool>())
                .prop_map(|(keys, loaded, defer_first)| Ask::Adopt { keys, loaded, defer_first }),
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
            Some(Ask::Adopt { keys, loaded, defer_first }) => model.adopt(&keys, loaded, defer_first),
            Some(Ask::Die | Ask::Farewell) => model.end_attempts(),
            Some(Ask::Reopen { .. }) => Answer::Done,
        };
        model
    }
}
