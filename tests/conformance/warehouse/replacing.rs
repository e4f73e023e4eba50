//! `on_conflict = "replace"`: the record with the later `source_order` wins, whatever the order of loading (§3), and the
//! CSV objects without what was replaced are the tables (I7).

use sluicegate::curated::RowDigest;
use sluicegate::ports::warehouse::{Verdict, Warehouse};

use super::batches::{Batch, Bill, Member, batch, bill, bills, bills_there, count, fates, ready};
use super::{Bench, cases};

cases![
    the_later_record_wins_whatever_the_order_of_loading,
    every_order_of_three_loads_ends_the_same,
    the_last_member_of_a_batch_wins,
    the_last_member_is_compared_with_what_is_there,
    a_document_is_superseded_once_all_its_records_are_replaced,
    the_same_content_said_later_replaces,
    a_key_twice_in_one_document_is_refused_as_ever,
    a_refused_document_frees_its_keys,
];

const OLD: [[&str; 3]; 2] = [["1", "lamp", "1.00"], ["2", "wire", "0.50"]];
const NEW: [[&str; 3]; 1] = [["1", "torch", "2.00"]];

/// The batch's number decides how late its records are.
fn replacing(number: u32, members: &[Member]) -> Batch {
    let mut batch = batch(number, members);
    batch.request.replace = true;
    batch
}

fn load(batch: &Batch, warehouse: &mut dyn Warehouse, bench: &dyn Bench) -> Vec<Verdict> {
    let verdicts = batch.load(warehouse);
    assert_csv_without_replaced_is_the_table(bench);
    verdicts
}

/// I7, over the digests of the ledger and of the live rows.
fn assert_csv_without_replaced_is_the_table(bench: &dyn Bench) {
    let own =
        "customer, number, dated, CASE WHEN paid THEN 'true' ELSE 'false' END, total, batch_id, source_order";
    let items = "customer, number, line, description, price, batch_id, source_order";
    for (table, columns) in [("bills", own), ("bill_items", items)] {
        let sum = |ledger: &str| {
            let sql = format!("SELECT digest FROM {} WHERE table_name = '{table}'", bench.ledger(ledger));
            let digests = bench.select(&sql);
            digests.iter().fold(0, |sum: u128, row| {
                sum.wrapping_add(u128::from_str_radix(&row[0], 16).expect("a digest is hex"))
            })
        };
        let mut live = RowDigest::default();
        for row in bench.select(&format!("SELECT {columns} FROM {table}")) {
            live.add_row(row.iter().map(String::as_str));
        }
        let left = sum("batch_table").wrapping_sub(sum("replaced"));
        assert_eq!(format!("{left:032x}"), live.hex(), "CSV − replaced = {table} (I7)");
    }
}

fn items_there(bench: &dyn Bench) -> Vec<String> {
    let rows = bench.select("SELECT number, line, description FROM bill_items ORDER BY number, line");
    rows.iter().map(|row| row.join(" ")).collect()
}

fn outcome(warehouse: &mut dyn Warehouse, key: &str) -> String {
    warehouse.documents_by_key(key).unwrap().remove(0).outcome
}

fn the_later_record_wins_whatever_the_order_of_loading(bench: &dyn Bench) {
    let mut warehouse = ready(bench);
    let old = replacing(3, &[bills("old", &[bill("1", "1.50", &OLD)])]);
    let new = replacing(4, &[bills("new", &[bill("1", "2.00", &NEW)])]);
    load(&old, &mut *warehouse, bench);
    assert_eq!(fates(&load(&new, &mut *warehouse, bench)), [("loaded", 2)]);
    assert_eq!((bills_there(bench), items_there(bench)), (vec!["1 2.00".into()], vec!["1 1 torch".into()]));
    assert_eq!(outcome(&mut *warehouse, "old"), "superseded");
    let sql = format!(
        "SELECT batch_id, table_name, record_key, rows, by_batch_id FROM {} ORDER BY table_name",
        bench.ledger("replaced")
    );
    let key = r#"{"customer":"a","number":"1"}"#;
    let expected = [[old.id(), "bill_items", key, "2", new.id()], [old.id(), "bills", key, "1", new.id()]];
    assert_eq!(bench.select(&sql), expected);
    // Verdicts are append-only: what the old batch said stays.
    assert_eq!(warehouse.verdicts_by_key("old").unwrap()[0].outcome, "loaded");
    // And an older one that comes later still.
    let oldest = replacing(2, &[bills("oldest", &[bill("1", "0.00", &[])])]);
    let verdicts = load(&oldest, &mut *warehouse, bench);
    assert_eq!(fates(&verdicts), [("superseded", 0)]);
    assert!(verdicts[0].reason.contains(new.id()), "{}", verdicts[0].reason);
    assert_eq!(bills_there(bench), ["1 2.00"]);
    let sql = format!("SELECT batch_id, reason, other_batch_id, record_key FROM {}", bench.ledger("refused"));
    assert_eq!(bench.select(&sql), [[oldest.id(), "older", new.id(), key]]);
}

fn every_order_of_three_loads_ends_the_same(bench: &dyn Bench) {
    let mut warehouse = ready(bench);
    // The last says again what the first said.
    let contents = [("1.00", &OLD[..]), ("2.00", &NEW[..]), ("1.00", &OLD[..])];
    let orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
    for (round, (order, number)) in orders.iter().zip(["1", "2", "3", "4", "5", "6"]).enumerate() {
        for &which in order {
            let (total, items) = contents[which];
            let key: &'static str = Box::leak(format!("{round}-{which}").into_boxed_str());
            let member = bills(key, &[bill(number, total, items)]);
            load(&replacing(10 * round as u32 + which as u32 + 1, &[member]), &mut *warehouse, bench);
        }
        let wanted = format!("{number} 1.00");
        assert!(bills_there(bench).contains(&wanted), "{order:?}: {:?}", bills_there(bench));
        let last = outcome(&mut *warehouse, &format!("{round}-2"));
        assert_eq!(last, "loaded", "{order:?}");
        // What was said last in the same words before is a duplicate, else it was overtaken.
        for older in [0, 1] {
            assert_ne!(outcome(&mut *warehouse, &format!("{round}-{older}")), "loaded", "{order:?}");
        }
    }
    assert_eq!(count(bench, "bill_items"), 12);
}

fn the_last_member_of_a_batch_wins(bench: &dyn Bench) {
    let mut warehouse = ready(bench);
    let members = [
        bills("z", &[bill("1", "1.00", &OLD), bill("2", "2.00", &[])]),
        bills("y", &[bill("1", "1.10", &OLD)]),
        bills("x", &[bill("1", "1.20", &NEW)]),
    ];
    let one = replacing(1, &members);
    let verdicts = load(&one, &mut *warehouse, bench);
    assert_eq!(fates(&verdicts), [("loaded", 1), ("superseded", 0), ("loaded", 2)]);
    assert_eq!(verdicts[0].refused, [0]);
    assert_eq!(
        (bills_there(bench), count(bench, &bench.ledger("replaced"))),
        (vec!["1 1.20".to_owned(), "2 2.00".to_owned()], 0)
    );
    let found = warehouse.loaded_batch(one.id()).unwrap().unwrap();
    assert_eq!((found.rows, found.verdicts[0].refused.clone()), (3, vec![0]));
}

fn the_last_member_is_compared_with_what_is_there(bench: &dyn Bench) {
    let mut warehouse = ready(bench);
    load(&replacing(5, &[bills("there", &[bill("1", "5.00", &NEW)])]), &mut *warehouse, bench);
    let both = [bills("a", &[bill("1", "1.00", &OLD)]), bills("b", &[bill("1", "2.00", &OLD)])];
    assert_eq!(
        fates(&load(&replacing(3, &both), &mut *warehouse, bench)),
        [("superseded", 0), ("superseded", 0)]
    );
    let both = [bills("c", &[bill("1", "6.00", &OLD)]), bills("d", &[bill("1", "7.00", &OLD)])];
    assert_eq!(
        fates(&load(&replacing(7, &both), &mut *warehouse, bench)),
        [("superseded", 0), ("loaded", 3)]
    );
    assert_eq!(bills_there(bench), ["1 7.00"]);
}

fn a_document_is_superseded_once_all_its_records_are_replaced(bench: &dyn Bench) {
    let mut warehouse = ready(bench);
    let two = [bill("1", "1.00", &OLD), bill("2", "2.00", &OLD)];
    load(&replacing(1, &[bills("two", &two)]), &mut *warehouse, bench);
    load(&replacing(2, &[bills("first", &[bill("1", "1.10", &[])])]), &mut *warehouse, bench);
    assert_eq!(outcome(&mut *warehouse, "two"), "loaded");
    let last = replacing(3, &[bills("second", &[bill("2", "2.20", &[])])]);
    load(&last, &mut *warehouse, bench);
    let row = warehouse.documents_by_key("two").unwrap().remove(0);
    assert_eq!(row.outcome, "superseded");
    assert!(row.reason.contains(last.id()), "{}", row.reason);
}

fn the_same_content_said_later_replaces(bench: &dyn Bench) {
    let mut warehouse = ready(bench);
    let same = bill("1", "1.00", &OLD);
    load(&replacing(2, &[bills("second", std::slice::from_ref(&same))]), &mut *warehouse, bench);
    let earlier = replacing(1, &[bills("first", std::slice::from_ref(&same))]);
    assert_eq!(fates(&load(&earlier, &mut *warehouse, bench)), [("duplicate", 0)]);
    let later = replacing(3, &[bills("third", &[same])]);
    assert_eq!(fates(&load(&later, &mut *warehouse, bench)), [("loaded", 3)]);
    assert_eq!(outcome(&mut *warehouse, "second"), "superseded");
}

fn a_key_twice_in_one_document_is_refused_as_ever(bench: &dyn Bench) {
    let mut warehouse = ready(bench);
    load(&replacing(5, &[bills("there", &[bill("1", "5.00", &NEW)])]), &mut *warehouse, bench);
    let (one, other) = (bill("1", "1.00", &OLD), bill("1", "1.00", &NEW));
    let two = Bill { number: "2", ..one.clone() };
    let members = [
        bills("a", &[two.clone(), two]),
        bills("b", &[bill("3", "3.00", &[]), one.clone(), other]),
        bills("c", &[bill("3", "3.30", &[]), one.clone(), one]),
    ];
    let verdicts = load(&replacing(3, &members), &mut *warehouse, bench);
    assert_eq!(fates(&verdicts), [("loaded", 3), ("rejected", 0), ("loaded", 1)]);
    assert!(verdicts[1].reason.starts_with("line 30: "), "{}", verdicts[1].reason);
    assert!(
        verdicts[1].reason.contains("twice") && verdicts[1].reason.contains("bill_items"),
        "{verdicts:?}"
    );
    assert_eq!((&verdicts[0].refused, &verdicts[2].refused), (&vec![1], &vec![1, 2]));
    assert_eq!(bills_there(bench), ["1 5.00", "2 1.00", "3 3.30"]);
}

fn a_refused_document_frees_its_keys(bench: &dyn Bench) {
    let mut warehouse = ready(bench);
    load(&replacing(1, &[bills("there", &[bill("1", "1.00", &OLD)])]), &mut *warehouse, bench);
    let words = bench.refuse_rows("bill_items", "description", "broken");
    let members = [
        bills("good", &[bill("1", "2.00", &NEW), bill("2", "2.00", &[])]),
        bills(
            "bad",
            &[bill("1", "3.00", &NEW), bill("2", "3.00", &[]), bill("9", "9.00", &[["1", "broken", ""]])],
        ),
    ];
    let verdicts = load(&replacing(2, &members), &mut *warehouse, bench);
    assert_eq!(fates(&verdicts), [("loaded", 3), ("rejected", 0)]);
    assert!(verdicts[1].reason.contains(&words), "{}", verdicts[1].reason);
    assert_eq!(bills_there(bench), ["1 2.00", "2 2.00"]);
}
