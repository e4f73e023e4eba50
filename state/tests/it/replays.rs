//! Goal: all replays of one wish are sealed, or none; sealed, they are work like any other, take nothing away from the
//! batches that had their documents, and are known until they have come to their ends.

use sluicegate_state::seam::{Fault, Injected, Seam};
use sluicegate_state::{BatchEvent, BatchState, ReplayMember, ReplaySeal, StateError, Store, effects};

use crate::support::{House, ME, at, forced, notification};

fn member(key: &str) -> ReplayMember {
    ReplayMember { notification: notification(key), tries: 0 }
}

fn seal(
    store: &mut Store,
    members: &[ReplayMember],
    parents: &[String],
    number: u64,
) -> Result<String, StateError> {
    let seal = ReplaySeal {
        job: "invoices",
        members,
        parents,
        replay: number,
        estimated_rows: 1,
        incarnation: ME,
        definition_hash: "abc",
        cause: "ann@desk replays it",
    };
    Ok(store.seal_replays(&[seal], at(9))?.remove(0))
}

#[test]
fn a_replay_is_work_and_leaves_its_parents_as_they_were() {
    let mut house = House::new();
    let parent = house.batch_in("a", BatchState::Published, None).batch_id;
    let id =
        seal(&mut house.store, &[member("a"), member("never seen here")], std::slice::from_ref(&parent), 1)
            .unwrap();
    assert_ne!(id, parent);
    let batch = house.store.batch(&id).unwrap().unwrap();
    assert_eq!((batch.state, batch.parents, batch.replay), (BatchState::Sealed, vec![parent.clone()], 1));
    assert_eq!(house.store.members(&parent).unwrap().len(), 1);
    assert_eq!(house.store.notifications_for_key("a").unwrap()[0].batch_id.as_ref(), Some(&parent));
    // What a lost journal did not know has its batch with this, and is not sealed again.
    assert!(house.store.seal(&forced(), at(10)).unwrap().is_none());
    assert!(house.store.quick_check().unwrap().is_empty());
}

#[test]
fn a_replay_is_known_until_its_end() {
    let mut house = House::new();
    let parent = house.batch_in("a", BatchState::Published, None).batch_id;
    let id = seal(&mut house.store, &[member("a")], std::slice::from_ref(&parent), 1).unwrap();
    let unfinished = |house: &House| house.store.unfinished_replays().unwrap().len();
    for event in [BatchEvent::Archived, BatchEvent::Failed, BatchEvent::Resumed, BatchEvent::Loaded] {
        assert_eq!(unfinished(&house), 1, "before {event}");
        house.store.apply(&id, event, "test", ME, at(10)).unwrap();
    }
    house.store.apply(&id, BatchEvent::Published, "test", ME, at(11)).unwrap();
    assert_eq!(unfinished(&house), 0);
}

#[test]
fn the_id_is_made_of_members_parents_and_number() {
    let mut house = House::new();
    let parents = ["a", "b"].map(|key| house.batch_in(key, BatchState::Published, None).batch_id);
    let store = &mut house.store;
    let id = seal(store, &[member("a")], &parents[..1], 1).unwrap();
    assert_eq!(seal(store, &[member("a")], &parents[..1], 1).unwrap(), id, "the same again is the same");
    let others = [
        seal(store, &[member("a")], &parents[..1], 2).unwrap(),
        seal(store, &[member("a")], &parents, 1).unwrap(),
        seal(store, &[member("b")], &parents[..1], 1).unwrap(),
    ];
    assert!(!others.contains(&id) && others[0] != others[1] && others[1] != others[2]);
    assert_eq!(store.unfinished_replays().unwrap().len(), 4);
}

#[test]
fn the_same_wish_after_its_end_is_another_replay_even_in_the_same_second() {
    let mut house = House::new();
    let parent = house.batch_in("a", BatchState::Published, None).batch_id;
    let first = seal(&mut house.store, &[member("a")], std::slice::from_ref(&parent), 1).unwrap();
    house.store.apply(&first, BatchEvent::Failed, "test", ME, at(9)).unwrap();
    house.store.apply(&first, BatchEvent::Abandoned, "test", ME, at(9)).unwrap();
    let second = seal(&mut house.store, &[member("a")], std::slice::from_ref(&parent), 1).unwrap();
    assert_ne!(first, second);
    assert_eq!(house.store.batch(&second).unwrap().unwrap().state, BatchState::Sealed);
    assert_eq!(seal(&mut house.store, &[member("a")], std::slice::from_ref(&parent), 1).unwrap(), second);
}

/// Each seal fails.
struct NoSeal {
    after: bool,
}

impl Fault for NoSeal {
    fn before(&self, effect: &'static str) -> Result<(), Injected> {
        self.strike(effect, false)
    }

    fn after(&self, effect: &'static str) -> Result<(), Injected> {
        self.strike(effect, true)
    }
}

impl NoSeal {
    fn strike(&self, effect: &'static str, after: bool) -> Result<(), Injected> {
        if effect == effects::SEAL && after == self.after {
            return Err(Injected { effect, after, transient: false });
        }
        Ok(())
    }
}

#[test]
fn a_death_before_the_commit_leaves_nothing_and_after_it_everything() {
    for after in [false, true] {
        let mut house = House::new();
        let parent = house.batch_in("a", BatchState::Published, None).batch_id;
        let mut dying = house.again(Seam::with_fault(std::sync::Arc::new(NoSeal { after })));
        let members = [member("a"), member("b")];
        seal(&mut dying, &members, std::slice::from_ref(&parent), 1).unwrap_err();
        assert_eq!(house.store.unfinished_replays().unwrap().len(), usize::from(after));
        let id = seal(&mut house.store, &members, std::slice::from_ref(&parent), 1).unwrap();
        let unfinished = house.store.unfinished_replays().unwrap();
        assert_eq!(unfinished.iter().map(|batch| &batch.batch_id).collect::<Vec<_>>(), [&id], "once");
        assert_eq!(house.store.members(&id).unwrap().len(), 2);
    }
}
