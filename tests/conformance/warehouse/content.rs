//! What is the same and what is other content, and what the database itself refuses (§3, I10).

use sluicegate::ports::warehouse::Verdict;

use super::batches::{Bill, Content, batch, bill, bills, bills_there, count, fates, member, ready};
use super::{Bench, cases};

cases![
    what_is_all_there_is_a_duplicate,
    what_is_partly_there_is_loaded_in_part,
    other_content_is_a_conflict_of_the_whole_document,
    each_difference_of_children_is_a_conflict,
    empty_equals_empty_and_nothing_else,
    the_order_of_children_does_not_matter,
    a_key_twice_in_one_document,
    inside_a_batch_the_first_member_wins,
    a_broken_document_leaves_no_row,
    a_reject_comes_before_what_was_found_meanwhile,
    a_row_that_the_database_refuses_takes_only_its_document,
    a_child_key_twice_takes_only_its_document,
];

fn load_two(bench: &dyn Bench, first: Bill, second: Bill) -> Verdict {
    let mut warehouse = ready(bench);
    batch(1, &[bills("first", &[first])]).load(&mut *warehouse);
    batch(2, &[bills("second", &[second])]).load(&mut *warehouse).remove(0)
}

const ITEMS: [[&str; 3]; 2] = [["1", "lamp", "1.00"], ["2", "", ""]];

fn what_is_all_there_is_a_duplicate(bench: &dyn Bench) {
    let verdict = load_two(bench, bill("1", "1.00", &ITEMS), bill("1", "1.00", &ITEMS));
    assert_eq!((verdict.outcome.as_str(), verdict.rows), ("duplicate", 0));
    assert!(verdict.reason.contains(batch(1, &[]).id()), "it says from which batch: {}", verdict.reason);
    assert_eq!(count(bench, "bill_items"), 2);
}

fn what_is_partly_there_is_loaded_in_part(bench: &dyn Bench) {
    let mut warehouse = ready(bench);
    let known = bill("1", "1.00", &ITEMS);
    batch(1, &[bills("x", std::slice::from_ref(&known))]).load(&mut *warehouse);
    let mixed = batch(2, &[bills("y", &[bill("0", "", &[]), known, bill("2", "2.00", &ITEMS)])]);
    let verdicts = mixed.load(&mut *warehouse);
    assert_eq!((fates(&verdicts), &*verdicts[0].refused), (vec![("loaded", 4)], &[1][..]));
    let sql =
        format!("SELECT batch_id, ordinal, record, reason, other_batch_id FROM {}", bench.ledger("refused"));
    assert_eq!(bench.select(&sql), [[mixed.id(), "0", "1", "duplicate", batch(1, &[]).id()]]);
    let tables = mixed.tables(&verdicts);
    assert_eq!(
        (tables[0].totals.rows, tables[1].totals.rows),
        (2, 2),
        "what was skipped is not in the CSV (I7)"
    );
    let own = bench.select(&format!("SELECT number FROM bills WHERE batch_id = '{}' ORDER BY 1", mixed.id()));
    assert_eq!(own, [["0"], ["2"]]);
}

fn other_content_is_a_conflict_of_the_whole_document(bench: &dyn Bench) {
    let mut warehouse = ready(bench);
    batch(1, &[bills("x", &[bill("2", "2.00", &ITEMS)])]).load(&mut *warehouse);
    let other = [bill("1", "1.00", &[]), bill("2", "2.50", &ITEMS), bill("3", "3.00", &[])];
    let verdicts = batch(2, &[bills("y", &other), bills("z", &other[2..])]).load(&mut *warehouse);
    assert_eq!(fates(&verdicts), [("conflict", 0), ("loaded", 1)]);
    let reason = &verdicts[0].reason;
    for word in ["line 20", "a/2", batch(1, &[]).id(), "total", "2.00", "2.50"] {
        assert!(reason.contains(word), "{word} in: {reason}");
    }
    assert_eq!(bills_there(bench), ["2 2.00", "3 3.00"]);
    let row = warehouse.documents_by_key("y").unwrap().remove(0);
    assert_eq!((&*row.outcome, row.line), ("conflict", Some(20)));
}

fn each_difference_of_children_is_a_conflict(bench: &dyn Bench) {
    let mut warehouse = ready(bench);
    batch(1, &[bills("x", &[bill("1", "1.00", &ITEMS)])]).load(&mut *warehouse);
    let others: [&[[&'static str; 3]]; 6] = [
        &[],
        &ITEMS[..1],
        &[ITEMS[0], ITEMS[1], ["3", "", ""]],
        &[["1", "lamp", "1.01"], ITEMS[1]],
        &[["1", "Lamp", "1.00"], ITEMS[1]],
        &[ITEMS[0], ["3", "", ""]],
    ];
    let keys = ["0", "1", "2", "3", "4", "5"];
    let members: Vec<_> =
        keys.iter().zip(others).map(|(key, items)| bills(key, &[bill("1", "1.00", items)])).collect();
    let verdicts = batch(2, &members).load(&mut *warehouse);
    for verdict in &verdicts {
        assert_eq!(verdict.outcome.as_str(), "conflict", "{verdict:?}");
        assert!(verdict.reason.contains("bill_items"), "{verdict:?}");
    }
    assert_eq!(count(bench, "bill_items"), 2);
}

fn empty_equals_empty_and_nothing_else(bench: &dyn Bench) {
    let mut warehouse = ready(bench);
    batch(1, &[bills("x", &[bill("1", "", &[["1", "", ""]])])]).load(&mut *warehouse);
    let members = [
        bills("same", &[bill("1", "", &[["1", "", ""]])]),
        bills("zero", &[bill("1", "0.00", &[["1", "", ""]])]),
        bills("child", &[bill("1", "", &[["1", "", "0.00"]])]),
    ];
    let verdicts = batch(2, &members).load(&mut *warehouse);
    assert_eq!(fates(&verdicts), [("duplicate", 0), ("conflict", 0), ("conflict", 0)]);
    assert_eq!(count(bench, "bills WHERE total IS NULL"), 1, "empty is stored as NULL");
}

fn the_order_of_children_does_not_matter(bench: &dyn Bench) {
    let verdict = load_two(bench, bill("1", "1.00", &ITEMS), bill("1", "1.00", &[ITEMS[1], ITEMS[0]]));
    assert_eq!(verdict.outcome.as_str(), "duplicate", "{verdict:?}");
}

fn a_key_twice_in_one_document(bench: &dyn Bench) {
    let mut warehouse = ready(bench);
    let (one, other) = (bill("1", "1.00", &ITEMS), bill("1", "2.00", &ITEMS));
    let two = Bill { number: "2", ..one.clone() };
    let members = [
        bills("same", &[one.clone(), one.clone()]),
        bills("other", &[two.clone(), Bill { number: "2", ..other }]),
    ];
    let verdicts = batch(1, &members).load(&mut *warehouse);
    assert_eq!(fates(&verdicts), [("loaded", 3), ("rejected", 0)]);
    assert_eq!(verdicts[0].refused, [1], "the second of two equal ones is skipped");
    assert!(verdicts[1].reason.contains("twice"), "{}", verdicts[1].reason);
    assert_eq!(bills_there(bench), ["1 1.00"]);
}

fn inside_a_batch_the_first_member_wins(bench: &dyn Bench) {
    let mut warehouse = ready(bench);
    // In the order of keys `z` comes last: it is the order of the members that counts.
    let members = [
        bills("z", &[bill("1", "1.00", &[])]),
        bills("a", &[bill("1", "1.00", &[])]),
        bills("b", &[bill("1", "2.00", &[])]),
    ];
    let verdicts = batch(1, &members).load(&mut *warehouse);
    assert_eq!(fates(&verdicts), [("loaded", 1), ("duplicate", 0), ("conflict", 0)]);
}

fn a_broken_document_leaves_no_row(bench: &dyn Bench) {
    let mut warehouse = ready(bench);
    let one = bill("1", "1.00", &ITEMS);
    let members = [member("x", Content::Broken(vec![one.clone()], "a bad line")), bills("y", &[one])];
    let verdicts = batch(1, &members).load(&mut *warehouse);
    assert_eq!(fates(&verdicts), [("rejected", 0), ("loaded", 3)]);
    let sql = format!("SELECT ordinal, key, line, reason, text FROM {}", bench.ledger("reject"));
    assert_eq!(bench.select(&sql), [["0", "x", "7", "a bad line", "the line"]]);
}

fn a_reject_comes_before_what_was_found_meanwhile(bench: &dyn Bench) {
    let mut warehouse = ready(bench);
    batch(1, &[bills("x", &[bill("1", "1.00", &[])])]).load(&mut *warehouse);
    let members = [
        member("other", Content::Broken(vec![bill("1", "2.00", &[])], "a bad line")),
        member("same", Content::Broken(vec![bill("1", "1.00", &[])], "a bad line")),
    ];
    let verdicts = batch(2, &members).load(&mut *warehouse);
    assert_eq!(fates(&verdicts), [("rejected", 0), ("rejected", 0)]);
    assert!(verdicts.iter().all(|verdict| verdict.refused.is_empty()));
    assert_eq!(count(bench, &bench.ledger("refused")), 0, "a document turned away skipped nothing");
}

fn a_row_that_the_database_refuses_takes_only_its_document(bench: &dyn Bench) {
    for (number, table, column, value) in
        [(1, "bills", "total", "13.00"), (2, "bill_items", "description", "cursed")]
    {
        let mut warehouse = ready(bench);
        let words = bench.refuse_rows(table, column, value);
        let [before, refused, after] = if number == 1 { ["1", "2", "3"] } else { ["4", "5", "6"] };
        let total = if number == 1 { "13.00" } else { "1.00" };
        let cursed = bill(refused, total, &[["1", "fine", "1.00"], ["2", "cursed", "1.00"]]);
        let keys = if number == 1 { ["p", "q", "r"] } else { ["s", "t", "u"] };
        let members = [
            bills(keys[0], &[bill(before, "1.00", &[])]),
            bills(keys[1], &[bill("0", "1.00", &[]), cursed]),
            bills(keys[2], &[bill(after, "1.00", &[])]),
        ];
        let verdicts = batch(number, &members).load(&mut *warehouse);
        assert_eq!(fates(&verdicts), [("loaded", 1), ("rejected", 0), ("loaded", 1)], "{table}");
        let reason = &verdicts[1].reason;
        assert!(reason.contains(&words) && reason.contains("line 20"), "in the database's words: {reason}");
    }
    assert_eq!(bills_there(bench), ["1 1.00", "3 1.00", "4 1.00", "6 1.00"]);
    assert_eq!(count(bench, "bill_items"), 0);
}

fn a_child_key_twice_takes_only_its_document(bench: &dyn Bench) {
    let mut warehouse = ready(bench);
    let twice = bill("1", "1.00", &[["1", "one", "1.00"], ["1", "two", "1.00"]]);
    let members = [bills("x", &[twice]), bills("y", &[bill("2", "1.00", &ITEMS)])];
    let verdicts = batch(1, &members).load(&mut *warehouse);
    assert_eq!(fates(&verdicts), [("rejected", 0), ("loaded", 3)]);
    assert_eq!((bills_there(bench), count(bench, "bill_items")), (vec!["2 1.00".to_owned()], 2));
}
