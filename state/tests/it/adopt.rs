//! Goal: a batch that was found in the archive or in the ledger is taken in whole, once, and never takes a notification
//! away from a batch that has it.

use sluicegate_state::{
    AdoptedMember, Adoption, AdoptionReach, BatchState, NotificationState, StateError, Store,
};

use crate::support::{House, ME, at, forced, notification};

const BATCH: &str = "20260101T000000Z-0123456789abcdef";

fn member(key: &str, deferred: bool) -> AdoptedMember {
    AdoptedMember { notification: notification(key), tries: 2, deferred }
}

pub(crate) fn adopt(
    store: &mut Store,
    members: &[AdoptedMember],
    reach: AdoptionReach,
) -> Result<bool, StateError> {
    adopt_as(store, BATCH, members, reach)
}

fn adopt_as(
    store: &mut Store,
    batch_id: &str,
    members: &[AdoptedMember],
    reach: AdoptionReach,
) -> Result<bool, StateError> {
    let adoption = Adoption {
        batch_id,
        job: "invoices",
        sealed_at: at(-3_600),
        members,
        definition_hash: "abc",
        parents: &[],
        replay: 0,
        incarnation: ME,
        reach,
        cause: "found",
    };
    store.adopt(&adoption, at(5))
}

#[test]
fn an_archived_batch_is_work_for_the_load() {
    let mut house = House::new();
    assert!(
        adopt(&mut house.store, &[member("a", false), member("b", false)], AdoptionReach::Archived).unwrap()
    );
    let due = house.store.due_batches(BatchState::Archived, at(6), 9).unwrap();
    assert_eq!(due.len(), 1);
    assert_eq!((due[0].documents, due[0].bytes, due[0].sealed_at), (2, 200, at(-3_600)));
    let members = house.store.members(BATCH).unwrap();
    let told: Vec<_> = members.iter().map(|m| (m.ordinal, m.key.as_str(), m.tries)).collect();
    assert_eq!(told, [(0, "a", 2), (1, "b", 2)]);
    assert_eq!(house.store.notification_totals("invoices").unwrap().received, 2);
    assert!(house.store.seal(&forced(), at(6)).unwrap().is_none(), "its documents are not sealed again");
    assert!(house.store.quick_check().unwrap().is_empty());
}

/// Two machines seal the same document within the same second of their clocks, and one of them dies.
#[test]
fn what_was_sealed_elsewhere_within_this_second_is_another_batch() {
    let mut theirs = House::new();
    theirs.journal(&["a"]);
    let adopted = theirs.store.seal(&forced(), at(6)).unwrap().unwrap().batch_id;
    let mut ours = House::new();
    ours.journal(&["a"]);
    assert!(
        adopt_as(&mut ours.store, &adopted, &[member("a", true)], AdoptionReach::Archived).unwrap(),
        "and its document waits for another try"
    );
    let sealed = ours.store.seal(&forced(), at(6)).unwrap().unwrap().batch_id;
    assert_ne!(sealed, adopted);
    assert_eq!(sealed[..16], adopted[..16]);
}

#[test]
fn a_loaded_batch_is_work_for_the_publisher() {
    let mut house = House::new();
    assert!(adopt(&mut house.store, &[member("a", false)], AdoptionReach::Loaded).unwrap());
    assert_eq!(house.store.batch(BATCH).unwrap().unwrap().state, BatchState::Loaded);
    let states: Vec<_> = house.store.transitions(BATCH).unwrap().iter().map(|t| t.to).collect();
    assert_eq!(states, [BatchState::Sealed, BatchState::Archived, BatchState::Loaded]);
}

#[test]
fn a_batch_that_is_here_stays_as_it_is() {
    let mut house = House::new();
    assert!(adopt(&mut house.store, &[member("a", false)], AdoptionReach::Archived).unwrap());
    assert!(!adopt(&mut house.store, &[member("a", false)], AdoptionReach::Loaded).unwrap());
    assert_eq!(house.store.batch(BATCH).unwrap().unwrap().state, BatchState::Archived);
}

#[test]
fn pending_members_are_taken_and_those_of_other_batches_are_left() {
    let mut house = House::new();
    let other = house.sealed(&["theirs"]);
    house.journal(&["mine"]);
    let members = [member("theirs", false), member("mine", false)];
    assert!(adopt(&mut house.store, &members, AdoptionReach::Archived).unwrap());
    let batch_of = |key| house.store.notifications_for_key(key).unwrap()[0].batch_id.clone();
    assert_eq!(batch_of("theirs"), Some(other.batch_id));
    assert_eq!(batch_of("mine"), Some(BATCH.to_owned()));
}

#[test]
fn deferred_members_are_tried_again_in_a_later_batch() {
    let mut house = House::new();
    assert!(
        adopt(&mut house.store, &[member("a", true), member("b", false)], AdoptionReach::Archived).unwrap()
    );
    assert_eq!(house.store.notifications_for_key("a").unwrap()[0].state, NotificationState::Pending);
    let batch = house.store.seal(&forced(), at(6)).unwrap().unwrap();
    assert_eq!(batch.documents, 1);
}

#[test]
fn a_member_of_another_batch_is_refused_to_whoever_does_not_adopt() {
    let mut house = House::new();
    let batch = house.sealed(&["a"]);
    let id = house.store.notifications_for_key("a").unwrap()[0].notification_id;
    let other = house.sealed(&["b", "c"]);
    let shell = house.shell();
    let sql = "INSERT INTO member (batch_id, ordinal, notification_id, tries) VALUES (?1, 0, ?2, 0)";
    assert!(shell.execute(sql, (&other.batch_id, id)).is_err());
    assert_eq!(house.store.members(&batch.batch_id).unwrap().len(), 1);
}
