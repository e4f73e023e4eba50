//! Goal: an attempt's end, its batch's move and its deferrals happen together or not at all; nothing parks a batch but a
//! permanent error.

use sluicegate_state::retry::{LONGEST_BATCH_WAIT, LONGEST_DEFERRAL};
use sluicegate_state::{
    AttemptFailure, AttemptOutcome, BatchEvent, BatchState, Deferral, Moved, NotificationState, Stage,
    StateError, Timestamp,
};

use crate::support::{House, ME, at, forced};

fn transient(seconds: i64) -> AttemptFailure {
    AttemptFailure::Transient { error: "slow down".into(), next_try_at: at(seconds) }
}

impl House {
    /// A document whose batch was archived without it, and that is tried again then.
    fn deferred(&mut self, key: &str, next_try_at: Timestamp) {
        let id = self.sealed(&[key]).batch_id;
        let attempt = self.store.begin_attempt(&id, Stage::Archive, ME, at(2)).unwrap();
        let deferred = [Deferral { ordinal: 0, next_try_at }];
        self.store.complete_attempt(attempt, BatchEvent::Archived, "ok", &deferred, at(3)).unwrap();
    }
}

fn outcomes(house: &House, batch: &str) -> Vec<AttemptOutcome> {
    house.store.attempts(batch).unwrap().into_iter().map(|attempt| attempt.outcome).collect()
}

#[test]
fn a_batch_goes_its_way_through_three_attempts() {
    let mut house = House::new();
    let id = house.sealed(&["a"]).batch_id;
    for (stage, state) in [
        (Stage::Archive, BatchState::Archived),
        (Stage::Load, BatchState::Loaded),
        (Stage::Publish, BatchState::Published),
    ] {
        let due = house.store.due_batches(stage.takes(), at(2), 10).unwrap();
        assert_eq!(due.iter().map(|batch| &batch.batch_id).collect::<Vec<_>>(), [&id]);
        let attempt = house.store.begin_attempt(&id, stage, ME, at(2)).unwrap();
        assert_eq!(
            house.store.complete_attempt(attempt, stage.event(), "done", &[], at(3)).unwrap(),
            Moved::Yes
        );
        assert_eq!(house.store.batch(&id).unwrap().unwrap().state, state);
    }
    assert_eq!(outcomes(&house, &id), [AttemptOutcome::Succeeded; 3]);
    assert_eq!(house.store.batch(&id).unwrap().unwrap().attempts, 3);
    assert_eq!(house.store.transitions(&id).unwrap()[3].incarnation, ME);
}

#[test]
fn a_transient_failure_waits_in_its_state() {
    let mut house = House::new();
    let id = house.sealed(&["a"]).batch_id;
    for round in 1..=3 {
        let attempt = house.store.begin_attempt(&id, Stage::Archive, ME, at(2)).unwrap();
        house.store.fail_attempt(attempt, transient(10), at(3)).unwrap();
        house.store.fail_attempt(attempt, transient(99), at(3)).unwrap();
        let batch = house.store.batch(&id).unwrap().unwrap();
        assert_eq!((batch.state, batch.failures, batch.attempts), (BatchState::Sealed, round, round));
        assert_eq!((batch.next_try_at, batch.last_error.as_deref()), (Some(at(10)), Some("slow down")));
    }
    assert!(house.store.due_batches(BatchState::Sealed, at(9), 10).unwrap().is_empty());
    assert_eq!(house.store.next_due(at(9)).unwrap(), Some(at(10)));
    assert_eq!(house.store.next_due(at(10)).unwrap(), None, "what is due now is no future");
    assert_eq!(house.store.due_batches(BatchState::Sealed, at(10), 10).unwrap().len(), 1);

    let attempt = house.store.begin_attempt(&id, Stage::Archive, ME, at(11)).unwrap();
    house.store.complete_attempt(attempt, BatchEvent::Archived, "done", &[], at(12)).unwrap();
    let batch = house.store.batch(&id).unwrap().unwrap();
    assert_eq!((batch.failures, batch.next_try_at, batch.last_error), (0, None, None));
}

const HOUR: i64 = 3_600;

/// The clock was thirty hours ahead when the attempt failed, and is set back: a restart would not help, for the time is
/// kept.
#[test]
fn a_retry_set_by_a_clock_that_was_ahead_is_due() {
    let mut house = House::new();
    let id = house.sealed(&["a"]).batch_id;
    let attempt = house.store.begin_attempt(&id, Stage::Archive, ME, at(30 * HOUR)).unwrap();
    house.store.fail_attempt(attempt, transient(30 * HOUR + 1), at(30 * HOUR)).unwrap();
    let due = house.store.due_batches(BatchState::Sealed, at(0), 9).unwrap();
    assert_eq!(due.len(), 1);
    assert_eq!(house.store.due_batch_in_turn(BatchState::Sealed, at(0), "").unwrap(), Some(due[0].clone()));
    // What has come is not waited for.
    assert_eq!(house.store.next_waiting(BatchState::Sealed, at(0)).unwrap(), None);
    assert_eq!(house.store.next_due(at(0)).unwrap(), None);
    // Tried again, it waits like any other.
    let attempt = house.store.begin_attempt(&id, Stage::Archive, ME, at(0)).unwrap();
    house.store.fail_attempt(attempt, transient(9), at(1)).unwrap();
    assert!(house.store.due_batches(BatchState::Sealed, at(8), 9).unwrap().is_empty());
    assert_eq!(house.store.next_due(at(8)).unwrap(), Some(at(9)));
}

#[test]
fn the_longest_waits_that_are_ever_set_are_kept() {
    let mut house = House::new();
    let longest = LONGEST_BATCH_WAIT.num_seconds();
    let id = house.sealed(&["a"]).batch_id;
    let attempt = house.store.begin_attempt(&id, Stage::Archive, ME, at(0)).unwrap();
    house.store.fail_attempt(attempt, transient(longest), at(0)).unwrap();
    for now in [-60, 0, longest - 1] {
        assert!(house.store.due_batches(BatchState::Sealed, at(now), 9).unwrap().is_empty(), "{now}");
        assert_eq!(house.store.next_due(at(now)).unwrap(), Some(at(longest)));
    }
    let mut house = House::new();
    let longest = LONGEST_DEFERRAL.num_seconds();
    house.deferred("a", at(longest));
    for now in [-60, 3, longest - 1] {
        assert_eq!(house.store.seal(&forced(), at(now)).unwrap(), None, "{now}");
        assert_eq!(house.store.next_deferred(at(now)).unwrap(), Some(("a".to_owned(), at(longest))));
    }
}

#[test]
fn a_document_deferred_by_a_clock_that_was_ahead_is_due() {
    let mut house = House::new();
    house.deferred("a", at(30 * HOUR));
    assert_eq!(house.store.next_deferred(at(9)).unwrap(), None);
    assert_eq!(house.store.next_due(at(9)).unwrap(), None);
    let batch = house.store.seal(&forced(), at(9)).unwrap().unwrap();
    assert_eq!(batch.documents, 1);
}

#[test]
fn a_permanent_failure_parks_the_batch_and_a_person_resumes_it() {
    let mut house = House::new();
    let id = house.batch_in("a", BatchState::Archived, None).batch_id;
    let attempt = house.store.begin_attempt(&id, Stage::Load, ME, at(2)).unwrap();
    house
        .store
        .fail_attempt(attempt, AttemptFailure::Permanent { error: "no such table".into() }, at(3))
        .unwrap();
    let batch = house.store.batch(&id).unwrap().unwrap();
    assert_eq!((batch.state, batch.failed_from), (BatchState::Failed, Some(BatchState::Archived)));
    assert_eq!(batch.last_error.as_deref(), Some("no such table"));
    assert!(house.store.due_batches(BatchState::Archived, at(99), 10).unwrap().is_empty());
    assert_eq!(house.store.apply(&id, BatchEvent::Resumed, "made it", ME, at(9)).unwrap(), Moved::Yes);
    assert_eq!(house.store.due_batches(BatchState::Archived, at(99), 10).unwrap().len(), 1);
    let attempt = &house.store.attempts(&id).unwrap()[0];
    assert_eq!(attempt.error.as_deref(), Some("no such table"), "retry erases nothing");
}

#[test]
fn deferred_members_are_pending_again_and_join_a_later_batch() {
    let mut house = House::new();
    let first = house.sealed(&["a", "b", "c"]).batch_id;
    let attempt = house.store.begin_attempt(&first, Stage::Archive, ME, at(2)).unwrap();
    let deferred = [Deferral { ordinal: 1, next_try_at: at(60) }];
    for expected in [Moved::Yes, Moved::AlreadyThere] {
        let moved =
            house.store.complete_attempt(attempt, BatchEvent::Archived, "ok", &deferred, at(3)).unwrap();
        assert_eq!(moved, expected);
    }
    let entry = house.store.notifications_for_key("b").unwrap().remove(0);
    assert_eq!((entry.state, entry.tries, entry.next_try_at), (NotificationState::Pending, 1, Some(at(60))));
    assert_eq!(house.store.members(&first).unwrap().len(), 3, "I3: the first batch keeps its members");
    assert_eq!(house.store.batch(&first).unwrap().unwrap().deferred, 1);
    assert_eq!(house.store.seal(&forced(), at(59)).unwrap(), None);
    assert_eq!(house.store.next_due(at(3)).unwrap(), Some(at(60)));

    let second = house.store.seal(&forced(), at(60)).unwrap().unwrap().batch_id;
    let members = house.store.members(&second).unwrap();
    assert_eq!((members[0].key.as_str(), members[0].tries), ("b", 1));
    assert_eq!(house.store.members(&first).unwrap()[1].tries, 0);
    let story = house.store.batches_of_notification(entry.notification_id).unwrap();
    assert_eq!(story, [(first, 1), (second, 0)]);
}

#[test]
fn the_same_notification_alone_makes_another_batch_id_after_a_deferral_in_the_same_second() {
    let mut house = House::new();
    let first = house.sealed(&["a"]).batch_id;
    let attempt = house.store.begin_attempt(&first, Stage::Archive, ME, at(1)).unwrap();
    let deferred = [Deferral { ordinal: 0, next_try_at: at(1) }];
    house.store.complete_attempt(attempt, BatchEvent::Archived, "ok", &deferred, at(1)).unwrap();
    let second = house.store.seal(&forced(), at(1)).unwrap().unwrap().batch_id;
    assert_eq!(first[..16], second[..16]);
    assert_ne!(first, second);
}

#[test]
fn a_deferral_of_a_stranger_undoes_the_whole_step() {
    let mut house = House::new();
    let id = house.sealed(&["a"]).batch_id;
    let attempt = house.store.begin_attempt(&id, Stage::Archive, ME, at(1)).unwrap();
    let deferred = [Deferral { ordinal: 0, next_try_at: at(1) }, Deferral { ordinal: 1, next_try_at: at(1) }];
    let error =
        house.store.complete_attempt(attempt, BatchEvent::Archived, "ok", &deferred, at(1)).unwrap_err();
    assert!(matches!(error, StateError::Illegal(_)));
    assert_eq!(house.store.batch(&id).unwrap().unwrap().state, BatchState::Sealed);
    assert_eq!(outcomes(&house, &id), [AttemptOutcome::Running]);
}

#[test]
fn of_two_attempts_at_one_batch_one_moves_it_and_the_other_hears_so() {
    let mut house = House::new();
    let id = house.sealed(&["a"]).batch_id;
    let [one, other, late] =
        [(); 3].map(|()| house.store.begin_attempt(&id, Stage::Archive, ME, at(1)).unwrap());
    let done = |house: &mut House, attempt, deferred: &[Deferral]| {
        house.store.complete_attempt(attempt, BatchEvent::Archived, "ok", deferred, at(2)).unwrap()
    };
    assert_eq!(done(&mut house, one, &[]), Moved::Yes);
    let deferred = [Deferral { ordinal: 0, next_try_at: at(9) }];
    assert_eq!(done(&mut house, other, &deferred), Moved::AlreadyThere);
    let state = house.store.notifications_for_key("a").unwrap()[0].state;
    assert_eq!(state, NotificationState::Batched, "only who moves the batch defers its members");
    house.store.fail_attempt(late, AttemptFailure::Permanent { error: "403".into() }, at(3)).unwrap();
    assert_eq!(
        house.store.batch(&id).unwrap().unwrap().state,
        BatchState::Archived,
        "a late failure parks nothing"
    );
    let expected = [AttemptOutcome::Succeeded, AttemptOutcome::Succeeded, AttemptOutcome::Permanent];
    assert_eq!(outcomes(&house, &id), expected);
}

#[test]
fn an_attempt_at_a_batch_that_was_abandoned_meanwhile_is_lost() {
    let mut house = House::new();
    let id = house.sealed(&["a"]).batch_id;
    let attempt = house.store.begin_attempt(&id, Stage::Archive, ME, at(1)).unwrap();
    house.store.apply(&id, BatchEvent::Abandoned, "test data", ME, at(2)).unwrap();
    let deferred = [Deferral { ordinal: 0, next_try_at: at(9) }];
    let moved = house.store.complete_attempt(attempt, BatchEvent::Archived, "ok", &deferred, at(3)).unwrap();
    assert_eq!((moved, outcomes(&house, &id)), (Moved::Lost, vec![AttemptOutcome::Lost]));
    assert_eq!(house.store.notifications_for_key("a").unwrap()[0].state, NotificationState::Batched);
}

#[test]
fn what_makes_no_sense_is_refused_with_its_reason() {
    let mut house = House::new();
    let id = house.sealed(&["a"]).batch_id;
    let attempt = house.store.begin_attempt(&id, Stage::Archive, ME, at(1)).unwrap();
    let errors = [
        house.store.begin_attempt(&id, Stage::Load, ME, at(1)).map(drop).unwrap_err(),
        house.store.begin_attempt("nothing", Stage::Load, ME, at(1)).map(drop).unwrap_err(),
        house.store.complete_attempt(attempt, BatchEvent::Loaded, "", &[], at(1)).map(drop).unwrap_err(),
        house.store.complete_attempt(99, BatchEvent::Archived, "", &[], at(1)).map(drop).unwrap_err(),
        house.store.apply("nothing", BatchEvent::Failed, "", ME, at(1)).map(drop).unwrap_err(),
    ];
    for error in errors {
        assert!(matches!(error, StateError::Illegal(_)), "{error}");
        assert!(!error.is_transient());
    }
}
