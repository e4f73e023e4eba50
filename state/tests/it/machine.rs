//! Goal: the state machine allows just what is written here, in another style than the code's.

use sluicegate_state::{BatchEvent, BatchState, Moved, transition};

use crate::support::{House, ME, at, standings};

/// Everything that may happen. `failed<x` is a batch that failed from x.
const ALLOWED: &str = "
    sealed+archived=archived  archived+loaded=loaded  loaded+published=published
    sealed+failed=failed      archived+failed=failed  loaded+failed=failed
    failed<sealed+resumed=sealed      failed<archived+resumed=archived    failed<loaded+resumed=loaded
    sealed+abandoned=abandoned        archived+abandoned=abandoned
    failed<sealed+abandoned=abandoned failed<archived+abandoned=abandoned
";

fn name(state: BatchState, from: Option<BatchState>) -> String {
    from.map_or(state.to_string(), |from| format!("{state}<{from}"))
}

fn oracle(state: BatchState, from: Option<BatchState>, event: BatchEvent) -> Option<BatchState> {
    let wanted = format!("{}+{event}=", name(state, from));
    ALLOWED.split_whitespace().find_map(|line| line.strip_prefix(&wanted)).map(|next| next.parse().unwrap())
}

#[test]
fn the_table_allows_what_the_oracle_allows() {
    let mut seen = 0;
    for state in BatchState::ALL {
        for from in std::iter::once(None).chain(BatchState::ALL.iter().copied().map(Some)) {
            for event in BatchEvent::ALL {
                let next = transition(*state, *event, from);
                assert_eq!(next, oracle(*state, from, *event), "{}+{event}", name(*state, from));
                seen += usize::from(next.is_some());
            }
        }
    }
    assert_eq!(seen, ALLOWED.split_whitespace().count(), "the oracle has a line that nothing reaches");
}

#[test]
fn the_store_moves_batches_by_the_table_and_says_when_it_cannot() {
    let mut house = House::new();
    for (index, (state, from)) in standings().into_iter().enumerate() {
        for event in BatchEvent::ALL {
            let batch = house.batch_in(&format!("{index}/{event}"), state, from);
            let moved = house.store.apply(&batch.batch_id, *event, "why", ME, at(9)).unwrap();
            let after = house.store.batch(&batch.batch_id).unwrap().unwrap();
            let next = oracle(state, from, *event);
            assert_eq!(moved == Moved::Yes, next.is_some(), "{}+{event}", name(state, from));
            assert_eq!(after.state, next.unwrap_or(state));
            let expected_from = if next == Some(BatchState::Failed) { Some(state) } else { from };
            assert_eq!(after.failed_from, expected_from.filter(|_| after.state == BatchState::Failed));
        }
    }
}

#[test]
fn a_batch_that_is_there_already_is_told_from_one_that_is_elsewhere() {
    let mut house = House::new();
    for (state, from, event, expected) in [
        ("archived", None, "archived", Moved::AlreadyThere),
        ("published", None, "archived", Moved::AlreadyThere),
        ("published", None, "loaded", Moved::AlreadyThere),
        ("failed", Some("loaded"), "archived", Moved::AlreadyThere),
        ("failed", Some("sealed"), "archived", Moved::Lost),
        ("failed", Some("sealed"), "failed", Moved::AlreadyThere),
        ("sealed", None, "loaded", Moved::Lost),
        ("abandoned", None, "archived", Moved::Lost),
        ("abandoned", None, "abandoned", Moved::AlreadyThere),
        ("loaded", None, "abandoned", Moved::Lost),
        ("archived", None, "resumed", Moved::AlreadyThere),
        ("abandoned", None, "resumed", Moved::Lost),
    ] {
        let from = from.map(|from: &str| from.parse().unwrap());
        let key = format!("{state}/{from:?}/{event}");
        let batch = house.batch_in(&key, state.parse().unwrap(), from);
        let moved = house.store.apply(&batch.batch_id, event.parse().unwrap(), "why", ME, at(9)).unwrap();
        assert_eq!(moved, expected, "{key}");
    }
}

#[test]
fn every_move_is_logged_with_its_cause() {
    let mut house = House::new();
    let id = house.batch_in("a", BatchState::Failed, Some(BatchState::Archived)).batch_id;
    house.store.apply(&id, BatchEvent::Resumed, "fixed the disk", "another", at(7)).unwrap();
    let log = house.store.transitions(&id).unwrap();
    let told: Vec<_> = log.iter().map(|line| (line.from, line.to, line.event)).collect();
    use {BatchEvent as E, BatchState as S};
    assert_eq!(
        told,
        [
            (None, S::Sealed, None),
            (Some(S::Sealed), S::Archived, Some(E::Archived)),
            (Some(S::Archived), S::Failed, Some(E::Failed)),
            (Some(S::Failed), S::Archived, Some(E::Resumed)),
        ]
    );
    let last = log.last().unwrap();
    assert_eq!(
        (last.cause.as_str(), last.incarnation.as_str(), last.at),
        ("fixed the disk", "another", at(7))
    );
    assert_eq!(log[0].cause, "forced");
}
