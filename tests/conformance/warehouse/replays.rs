//! Replays: a batch may take over what its own parents could not load, and nothing else (§8).

use sluicegate::ports::warehouse::DocumentOutcome;

use super::batches::{Batch, Content, Member, batch, bill, bills, bills_there, count, fates, member, ready};
use super::{Bench, cases};

cases![
    a_replay_takes_over_what_its_parent_could_not_load,
    a_replay_takes_nothing_from_strangers,
    a_replay_of_a_replay_names_both,
    a_replay_that_fails_again_owns_the_failure,
    what_is_still_missing_is_missing_again,
];

fn replay(number: u32, parents: &[&Batch], members: &[Member]) -> Batch {
    let mut batch = batch(number, members);
    batch.request.parents = parents.iter().map(|parent| parent.id().to_owned()).collect();
    batch.request.replay = 1;
    batch
}

fn broken(key: &'static str) -> Member {
    member(key, Content::Broken(vec![], "a bad line"))
}

fn a_replay_takes_over_what_its_parent_could_not_load(bench: &dyn Bench) {
    use DocumentOutcome::{Expired, Missing, Superseded};
    let mut warehouse = ready(bench);
    let unread = |key, outcome| member(key, Content::Unread(outcome, "why"));
    let parent = batch(
        1,
        &[
            bills("loaded", &[bill("1", "1.00", &[])]),
            broken("rejected"),
            bills("conflict", &[bill("1", "2.00", &[])]),
            bills("duplicate", &[bill("1", "1.00", &[])]),
            unread("missing", Missing),
            unread("expired", Expired),
            unread("superseded", Superseded),
        ],
    );
    parent.load(&mut *warehouse);
    let verdicts_before = warehouse.verdicts(parent.id()).unwrap();
    // A person has repaired the definition; the conflict is still one.
    let members = [
        bills("loaded", &[bill("1", "1.00", &[])]),
        bills("rejected", &[bill("2", "2.00", &[])]),
        bills("conflict", &[bill("1", "2.00", &[])]),
        bills("duplicate", &[bill("1", "1.00", &[])]),
        bills("missing", &[bill("3", "3.00", &[])]),
        bills("expired", &[bill("4", "4.00", &[])]),
        bills("superseded", &[bill("5", "5.00", &[])]),
    ];
    let second = replay(2, &[&parent], &members);
    let words: Vec<&str> = fates(&second.load(&mut *warehouse)).into_iter().map(|(word, _)| word).collect();
    assert_eq!(words, ["again", "loaded", "conflict", "again", "loaded", "loaded", "again"]);
    assert_eq!(bills_there(bench), ["1 1.00", "2 2.00", "3 3.00", "4 4.00"]);
    let row = warehouse.documents_by_key("rejected").unwrap().remove(0);
    assert_eq!((&*row.outcome, &*row.batch_id, &*row.reason, row.rows), ("loaded", second.id(), "", 1));
    assert_eq!(row.line, None, "what was wrong with it once is no part of its present outcome");
    assert_eq!(warehouse.documents_by_key("loaded").unwrap()[0].batch_id, parent.id());
    assert_eq!(
        warehouse.verdicts(parent.id()).unwrap(),
        verdicts_before,
        "what a batch said is never changed"
    );
    assert_eq!(count(bench, &bench.ledger("document")), 7);
}

fn a_replay_takes_nothing_from_strangers(bench: &dyn Bench) {
    let mut warehouse = ready(bench);
    let (parent, stranger) = (batch(1, &[broken("mine")]), batch(2, &[broken("other")]));
    parent.load(&mut *warehouse);
    stranger.load(&mut *warehouse);
    let members = [bills("mine", &[bill("1", "1.00", &[])]), bills("other", &[bill("2", "2.00", &[])])];
    let verdicts = replay(3, &[&parent], &members).load(&mut *warehouse);
    assert_eq!(fates(&verdicts), [("loaded", 1), ("again", 0)]);
    // Without parents nothing at all is taken over.
    let verdicts = batch(4, &members[1..]).load(&mut *warehouse);
    assert_eq!(fates(&verdicts), [("again", 0)]);
}

fn a_replay_of_a_replay_names_both(bench: &dyn Bench) {
    let mut warehouse = ready(bench);
    let first = batch(1, &[broken("x")]);
    first.load(&mut *warehouse);
    let second = replay(2, &[&first], &[broken("x")]);
    second.load(&mut *warehouse);
    let good = [bills("x", &[bill("1", "1.00", &[])])];
    // The first batch does not own the document any more.
    assert_eq!(fates(&replay(3, &[&first], &good).load(&mut *warehouse)), [("again", 0)]);
    assert_eq!(fates(&replay(4, &[&first, &second], &good).load(&mut *warehouse)), [("loaded", 1)]);
}

fn a_replay_that_fails_again_owns_the_failure(bench: &dyn Bench) {
    let mut warehouse = ready(bench);
    let first = batch(1, &[broken("x")]);
    first.load(&mut *warehouse);
    let second = replay(2, &[&first], &[member("x", Content::Broken(vec![], "another bad line"))]);
    assert_eq!(fates(&second.load(&mut *warehouse)), [("rejected", 0)]);
    let rows = warehouse.documents_by_key("x").unwrap();
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].batch_id, second.id());
    assert!(rows[0].reason.contains("another bad line"));
    assert_eq!(warehouse.verdicts_by_key("x").unwrap().len(), 2);
}

fn what_is_still_missing_is_missing_again(bench: &dyn Bench) {
    let mut warehouse = ready(bench);
    let content = |reason| Content::Unread(DocumentOutcome::Missing, reason);
    let first = batch(1, &[member("x", content("gone"))]);
    first.load(&mut *warehouse);
    let second = replay(2, &[&first], &[member("x", content("still gone"))]);
    assert_eq!(fates(&second.load(&mut *warehouse)), [("missing", 0)]);
    let row = warehouse.documents_by_key("x").unwrap().remove(0);
    assert_eq!((&*row.batch_id, &*row.reason), (second.id(), "still gone"));
    // A stranger's batch has nothing to say about it.
    let third = batch(3, &[member("x", content("gone"))]);
    assert_eq!(fates(&third.load(&mut *warehouse)), [("again", 0)]);
}
