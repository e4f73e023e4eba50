//! Replays: a batch may take over what its own parents could not load, and nothing else (§8).

use sluicegate::ports::decisions::is_left_loaded;
use sluicegate::ports::warehouse::DocumentOutcome;

use super::batches::{
    Batch, Content, JOB, Member, batch, bill, bills, bills_there, count, fates, member, ready,
};
use super::{Bench, cases};
use crate::published::schema;

cases![
    a_replay_takes_over_what_its_parent_could_not_load,
    a_replay_takes_nothing_from_strangers,
    a_replay_of_a_replay_names_both,
    a_replay_that_fails_again_owns_the_failure,
    what_is_still_missing_is_missing_again,
    where_the_later_wins_a_replay_takes_over_what_is_loaded,
    what_a_replay_loads_no_better_stays_as_it_was_loaded,
    a_loaded_document_is_taken_over_from_a_parent_alone,
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

fn replacing(mut batch: Batch) -> Batch {
    batch.request.replace = true;
    batch
}

fn where_the_later_wins_a_replay_takes_over_what_is_loaded(bench: &dyn Bench) {
    let mut warehouse = ready(bench);
    let items: &[[&'static str; 3]] = &[["1", "lamp", "1.00"], ["2", "wire", "0.50"]];
    let members = [
        bills("misread", &[bill("1", "1.00", items), bill("2", "2.00", &[])]),
        bills("same", &[bill("3", "3.00", &[])]),
        broken("rejected"),
    ];
    let parent = replacing(batch(1, &members));
    parent.load(&mut *warehouse);
    // Today's job file reads other amounts, and fewer items.
    let members = [
        bills("misread", &[bill("1", "1.10", &items[..1]), bill("2", "2.20", &[])]),
        bills("same", &[bill("3", "3.00", &[])]),
        bills("rejected", &[bill("4", "4.00", &[])]),
    ];
    let second = replacing(replay(2, &[&parent], &members));
    assert_eq!(fates(&second.load(&mut *warehouse)), [("loaded", 3), ("loaded", 1), ("loaded", 1)]);
    assert_eq!(bills_there(bench), ["1 1.10", "2 2.20", "3 3.00", "4 4.00"]);
    assert_eq!(count(bench, "bill_items"), 1, "the rows of the parent are gone, children too");
    for key in ["misread", "same", "rejected"] {
        let row = warehouse.documents_by_key(key).unwrap().remove(0);
        assert_eq!((&*row.outcome, &*row.batch_id, &*row.reason), ("loaded", second.id(), ""), "{key}");
    }
    let replaced = format!("SELECT DISTINCT batch_id, by_batch_id FROM {}", bench.ledger("replaced"));
    assert_eq!(bench.select(&replaced), [[parent.id(), second.id()]]);
    assert_eq!(warehouse.verdicts(parent.id()).unwrap()[0].outcome, "loaded", "history stays");
    assert_eq!(warehouse.proof().unsettled_documents(JOB, 9).unwrap(), []);
    // The parent has no document any more, and its CSV objects still belong to the day.
    let day = "2024-05-06".parse().unwrap();
    let mut seen = Vec::new();
    let schemas = [("hash one".to_owned(), schema())].into();
    warehouse
        .proof()
        .batches(JOB, &schemas, Some(day), &mut |batch| {
            seen.push((batch.batch_id, batch.days.iter().map(|count| count.documents).sum::<u64>()));
            for table in &batch.tables {
                assert_eq!(table.fixed.rows - table.replaced.rows(), table.live.rows(), "{}", table.table);
            }
            Ok(())
        })
        .unwrap();
    assert_eq!(seen, [(parent.id().to_owned(), 0), (second.id().to_owned(), 3)]);
}

fn what_a_replay_loads_no_better_stays_as_it_was_loaded(bench: &dyn Bench) {
    let mut warehouse = ready(bench);
    let members = ["a", "b", "c"].map(|key| match key {
        "a" => bills(key, &[bill("1", "1.00", &[])]),
        "b" => bills(key, &[bill("2", "2.00", &[])]),
        _ => bills(key, &[bill("3", "3.00", &[])]),
    });
    let parent = replacing(batch(1, &members));
    parent.load(&mut *warehouse);
    let words = bench.refuse_rows("bill_items", "description", "broken");
    // One is rejected now, one refused by the database, and one says just what a later document says of its key.
    let later = replacing(batch(7, &[bills("later", &[bill("4", "4.00", &[])])]));
    later.load(&mut *warehouse);
    let members = [
        broken("a"),
        bills("b", &[bill("2", "2.20", &[]), bill("9", "9.00", &[["1", "broken", ""]])]),
        bills("c", &[bill("4", "4.40", &[])]),
    ];
    let verdicts = replacing(replay(2, &[&parent], &members)).load(&mut *warehouse);
    assert_eq!(fates(&verdicts), [("again", 0), ("again", 0), ("again", 0)]);
    assert!(
        verdicts[0].reason.contains("read again, it would be rejected: line 7: a bad line"),
        "{verdicts:?}"
    );
    assert!(verdicts[1].reason.contains(&words), "{verdicts:?}");
    assert!(verdicts[2].reason.contains("would be superseded"), "{verdicts:?}");
    for verdict in &verdicts {
        assert!(is_left_loaded(verdict.outcome.as_str(), &verdict.reason), "{verdict:?}");
        assert!(verdict.reason.contains(parent.id()), "{verdict:?}");
    }
    assert_eq!(bills_there(bench), ["1 1.00", "2 2.00", "3 3.00", "4 4.00"]);
    for key in ["a", "b", "c"] {
        let row = warehouse.documents_by_key(key).unwrap().remove(0);
        assert_eq!((&*row.outcome, &*row.batch_id), ("loaded", parent.id()), "{key}");
    }
    // Nothing of it was in the way: the next one takes over what it can.
    let members = [bills("a", &[bill("1", "1.10", &[])]), broken("b"), broken("c")];
    let verdicts = replacing(replay(3, &[&parent], &members)).load(&mut *warehouse);
    assert_eq!(fates(&verdicts), [("loaded", 1), ("again", 0), ("again", 0)]);
    assert_eq!(bills_there(bench), ["1 1.10", "2 2.00", "3 3.00", "4 4.00"]);
}

fn a_loaded_document_is_taken_over_from_a_parent_alone(bench: &dyn Bench) {
    let mut warehouse = ready(bench);
    let parent = replacing(batch(1, &[broken("mine")]));
    parent.load(&mut *warehouse);
    let stranger = replacing(batch(2, &[bills("theirs", &[bill("1", "1.00", &[])])]));
    stranger.load(&mut *warehouse);
    let theirs = [bills("theirs", &[bill("1", "1.10", &[])])];
    assert_eq!(fates(&replacing(replay(3, &[&parent], &theirs)).load(&mut *warehouse)), [("again", 0)]);
    // A replay that is given up gives up nothing that is loaded.
    let given_up = [member("theirs", Content::Unread(DocumentOutcome::Abandoned, "why"))];
    assert_eq!(fates(&replacing(replay(4, &[&stranger], &given_up)).load(&mut *warehouse)), [("again", 0)]);
    // The same document twice in one replay is one document.
    let twice = [theirs[0].clone(), theirs[0].clone()];
    let verdicts = replacing(replay(5, &[&stranger], &twice)).load(&mut *warehouse);
    assert_eq!(fates(&verdicts), [("loaded", 1), ("again", 0)]);
    // Where a known key with other content is a conflict, what is loaded stays.
    let loaded = batch(6, &[bills("kept", &[bill("2", "2.00", &[])])]);
    loaded.load(&mut *warehouse);
    let kept = [bills("kept", &[bill("2", "2.20", &[])])];
    assert_eq!(fates(&replay(7, &[&loaded], &kept).load(&mut *warehouse)), [("again", 0)]);
    assert_eq!(bills_there(bench), ["1 1.10", "2 2.00"]);
}
