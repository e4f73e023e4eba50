//! The proof port: live control totals beside those that loads fixed, and what people do by hand.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use sluicegate::curated::Counted;
use sluicegate::ports::proof::{
    FixedObject, GivenUp, LostRow, ObjectsOf, Operation, ProofBatch, Reconciliation,
};
use sluicegate::ports::warehouse::{DocumentOutcome, Warehouse};

use super::batches::{Batch, Content, JOB, batch, bill, bills, count, member, ready};
use super::{Bench, cases};
use crate::published::schema;

cases![
    live_totals_are_those_that_the_load_fixed,
    a_hand_in_a_table_changes_the_live_totals,
    what_was_replaced_is_taken_off,
    a_day_shows_only_its_batches,
    rows_of_no_batch_are_found,
    rows_come_as_the_transformation_wrote_them,
    lost_rows_come_back_and_others_stay,
    lost_rows_of_a_record_that_another_batch_has_stay_away,
    a_document_without_its_row_is_unsettled,
    documents_that_were_turned_away_are_told_with_their_reasons,
    the_newest_revision_of_a_day_counts,
    a_batch_is_freed_from_its_crawl,
    one_document_is_given_up_with_its_record_or_not_at_all,
    the_objects_that_should_be_there_come_page_by_page,
];

const ITEMS: [[&str; 3]; 2] = [["1", "lämp, \"large\"", "1.00"], ["2", "", ""]];

fn day() -> NaiveDate {
    "2024-05-06".parse().unwrap()
}

fn schemas() -> BTreeMap<String, sluicegate::schema::Schema> {
    [("hash one".to_owned(), schema())].into()
}

fn proofs(warehouse: &mut dyn Warehouse, day: Option<NaiveDate>) -> Vec<ProofBatch> {
    let mut batches = Vec::new();
    let mut visit = |batch| {
        batches.push(batch);
        Ok(())
    };
    warehouse.proof().batches(JOB, &schemas(), day, &mut visit).unwrap();
    batches
}

fn operation() -> Operation {
    Operation {
        operator: "ann@desk".to_owned(),
        at: String::new(),
        command: "sluicegate reconcile".to_owned(),
        reason: "it's right".to_owned(),
        detail: "{\"accepted\":\"abc\"}".to_owned(),
    }
}

/// Two bills, one of them with items and one without a total.
fn loaded(warehouse: &mut dyn Warehouse) -> Batch {
    let batch = batch(1, &[bills("x", &[bill("1", "12.50", &ITEMS), bill("2", "", &[])])]);
    batch.load(warehouse);
    batch
}

fn live_totals_are_those_that_the_load_fixed(bench: &dyn Bench) {
    let mut warehouse = ready(bench);
    let first = loaded(&mut *warehouse);
    batch(2, &[bills("y", &[bill("3", "-0.01", &ITEMS)])]).load(&mut *warehouse);
    let all = proofs(&mut *warehouse, None);
    assert_eq!(all.len(), 2);
    assert_eq!(all[0].batch_id, first.id());
    for proof in &all {
        assert_eq!(
            proof.tables.iter().map(|table| table.table.as_str()).collect::<Vec<_>>(),
            ["bills", "bill_items"]
        );
        for table in &proof.tables {
            assert!(Counted::from(&table.fixed).is_same(&table.live), "{table:?}");
            assert_eq!(
                (table.live.rows(), table.live.digest()),
                (table.fixed.rows, table.fixed.digest.clone())
            );
            assert_eq!(table.live.sums(), table.fixed.sums);
        }
        assert_eq!((proof.members, proof.verdicts), (1, 1));
        assert_eq!((proof.days.len(), proof.days[0].documents, proof.days[0].day), (1, 1, day()));
        assert_eq!(proof.days[0].outcome, "loaded");
    }
    let hashes: Vec<String> =
        warehouse.proof().definitions(JOB).unwrap().into_iter().map(|definition| definition.hash).collect();
    assert_eq!(hashes, ["hash one"]);
}

fn a_hand_in_a_table_changes_the_live_totals(bench: &dyn Bench) {
    let mut warehouse = ready(bench);
    loaded(&mut *warehouse);
    let mut is_same = |sql: &str| {
        bench.execute(sql).unwrap();
        let table = proofs(&mut *warehouse, None).remove(0).tables.remove(0);
        let fixed = Counted::from(&table.fixed);
        (fixed.has_same_sums(&table.live), fixed.is_same(&table.live))
    };
    assert_eq!(is_same("UPDATE bills SET paid = NULL WHERE number = 1"), (true, false));
    assert_eq!(is_same("UPDATE bills SET total = '12.51' WHERE number = 1"), (false, false));
    assert_eq!(is_same("DELETE FROM bills"), (false, false));
}

fn what_was_replaced_is_taken_off(bench: &dyn Bench) {
    let mut warehouse = ready(bench);
    for (number, total) in [(1, "1.00"), (2, "2.00"), (3, "3.00")] {
        let mut batch =
            batch(number, &[bills(["", "x", "y", "z"][number as usize], &[bill("1", total, &ITEMS)])]);
        batch.request.replace = true;
        batch.load(&mut *warehouse);
    }
    for (index, proof) in proofs(&mut *warehouse, None).iter().enumerate() {
        for table in &proof.tables {
            let left = Counted::from(&table.fixed).without(&table.replaced);
            assert!(left.is_same(&table.live), "CSV − replaced = table (I7): {table:?}");
            assert_eq!(left.rows() > 0, index == 2);
        }
    }
    let keys = warehouse.proof().replaced_keys(batch(1, &[]).id()).unwrap();
    assert_eq!(keys.into_iter().collect::<Vec<_>>(), ["{\"customer\":\"a\",\"number\":\"1\"}"]);
}

fn a_day_shows_only_its_batches(bench: &dyn Bench) {
    let mut warehouse = ready(bench);
    loaded(&mut *warehouse);
    let mut other = batch(2, &[bills("y", &[bill("3", "3.00", &[])])]);
    other.request.documents[0].day = day().succ_opt().unwrap();
    other.load(&mut *warehouse);
    let found = proofs(&mut *warehouse, Some(day().succ_opt().unwrap()));
    assert_eq!(found.iter().map(|proof| proof.batch_id.as_str()).collect::<Vec<_>>(), [other.id()]);
    assert!(Counted::from(&found[0].tables[0].fixed).is_same(&found[0].tables[0].live));
    assert!(proofs(&mut *warehouse, day().pred_opt()).is_empty());
}

fn rows_of_no_batch_are_found(bench: &dyn Bench) {
    let mut warehouse = ready(bench);
    loaded(&mut *warehouse);
    assert!(warehouse.proof().strange_rows(&schema(), 10).unwrap().is_empty());
    for (table, column, number) in
        [("bills", "dated", 7), ("bill_items", "line", 7), ("bill_items", "line", 8)]
    {
        let value = if column == "dated" { "'2024-05-06'" } else { "1" };
        let sql = format!(
            "INSERT INTO {table} (customer, number, {column}, batch_id, source_order) VALUES ('b', {number}, {value}, 'me', 's')"
        );
        bench.execute(&sql).unwrap();
    }
    let found = warehouse.proof().strange_rows(&schema(), 1).unwrap();
    let told: Vec<_> =
        found.iter().map(|rows| (rows.table.as_str(), rows.batch_id.as_str(), rows.rows)).collect();
    assert_eq!(told, [("bills", "me", 1), ("bill_items", "me", 2)]);
    let record = vec![("customer".to_owned(), "b".to_owned()), ("number".to_owned(), "7".to_owned())];
    assert_eq!(found[1].records, [record]);
}

fn rows_come_as_the_transformation_wrote_them(bench: &dyn Bench) {
    let mut warehouse = ready(bench);
    let batch = loaded(&mut *warehouse);
    let mut rows = Vec::new();
    for table in 0..2 {
        let mut visit = |row: &[String]| {
            rows.push(row[..5].join("|"));
            assert_eq!(row[5], batch.id());
            Ok(())
        };
        warehouse.proof().rows_of_batch(&schema(), table, batch.id(), &mut visit).unwrap();
    }
    rows.sort();
    assert_eq!(
        rows,
        ["a|1|1|lämp, \"large\"|1.00", "a|1|2024-05-06|true|12.50", "a|1|2||", "a|2|2024-05-06|true|"]
    );
}

fn lost_rows_come_back_and_others_stay(bench: &dyn Bench) {
    let mut warehouse = ready(bench);
    let batch = loaded(&mut *warehouse);
    let mut rows = Vec::new();
    for table in 0..2 {
        let mut visit = |row: &[String]| {
            rows.push(LostRow { table, values: row.to_vec() });
            Ok(())
        };
        warehouse.proof().rows_of_batch(&schema(), table, batch.id(), &mut visit).unwrap();
    }
    bench.execute("DELETE FROM bills WHERE number = 1").unwrap();
    bench.execute("DELETE FROM bill_items WHERE line = 2").unwrap();
    bench.execute("UPDATE bills SET total = '9.99' WHERE number = 2").unwrap();
    assert_eq!(warehouse.proof().restore(&schema(), &rows, &operation()).unwrap(), 2);
    let proof = proofs(&mut *warehouse, None).remove(0);
    assert!(!Counted::from(&proof.tables[0].fixed).is_same(&proof.tables[0].live), "what is there stays");
    assert!(Counted::from(&proof.tables[1].fixed).is_same(&proof.tables[1].live));
    let done = warehouse.proof().operations().unwrap();
    assert_eq!(done.len(), 1);
    assert_eq!(Operation { at: String::new(), ..done[0].clone() }, operation());
    assert!(done[0].at.starts_with("2024-05-06T10:"), "by the ledger's clock: {}", done[0].at);
}

/// A person deleted a record, so that its correction is loaded. The rows of the first must not come among those.
fn lost_rows_of_a_record_that_another_batch_has_stay_away(bench: &dyn Bench) {
    let mut warehouse = ready(bench);
    let items = [["1", "lamp", "1.00"], ["2", "", ""]];
    let first = batch(1, &[bills("x", &[bill("1", "1.00", &items)])]);
    first.load(&mut *warehouse);
    let mut rows = Vec::new();
    for table in 0..2 {
        let mut visit = |row: &[String]| {
            rows.push(LostRow { table, values: row.to_vec() });
            Ok(())
        };
        warehouse.proof().rows_of_batch(&schema(), table, first.id(), &mut visit).unwrap();
    }
    assert_eq!(rows.len(), 3);
    bench.execute("DELETE FROM bill_items").unwrap();
    bench.execute("DELETE FROM bills").unwrap();
    batch(2, &[bills("y", &[bill("1", "1.00", &items[..1])])]).load(&mut *warehouse);
    assert_eq!(warehouse.proof().restore(&schema(), &rows, &operation()).unwrap(), 0);
    assert_eq!((count(bench, "bills"), count(bench, "bill_items")), (1, 1));
}

fn a_document_without_its_row_is_unsettled(bench: &dyn Bench) {
    let mut warehouse = ready(bench);
    let batch = loaded(&mut *warehouse);
    let unread = Content::Unread(DocumentOutcome::Deferred, "403");
    super::batches::batch(2, &[member("later", unread)]).load(&mut *warehouse);
    assert!(warehouse.proof().unsettled_documents(JOB, 10).unwrap().is_empty());
    let table = bench.ledger("document");
    bench.execute(&format!("UPDATE {table} SET outcome = 'rejected'")).unwrap();
    let found = warehouse.proof().unsettled_documents(JOB, 10).unwrap();
    assert_eq!((found.len(), found[0].key.as_str(), found[0].outcome.as_deref()), (1, "x", Some("rejected")));
    assert_eq!(found[0].landed_at, Some(batch.request.documents[0].landed_at));
    bench.execute(&format!("DELETE FROM {table}")).unwrap();
    let found = warehouse.proof().unsettled_documents(JOB, 10).unwrap().remove(0);
    assert_eq!(
        (found.batch_id.as_str(), found.verdict.as_str(), found.outcome),
        (batch.id(), "loaded", None)
    );
}

fn documents_that_were_turned_away_are_told_with_their_reasons(bench: &dyn Bench) {
    let mut warehouse = ready(bench);
    let broken = Content::Broken(Vec::new(), "no date");
    let gone = Content::Unread(DocumentOutcome::Missing, "it is gone");
    let members = [member("b", broken), member("m", gone), bills("x", &[bill("1", "1.00", &[])])];
    batch(1, &members).load(&mut *warehouse);
    let found = warehouse.proof().turned_away(JOB, day(), 10).unwrap();
    let told: Vec<_> = found.iter().map(|away| (away.key.as_str(), away.outcome.as_str())).collect();
    assert_eq!(told, [("m", "missing"), ("b", "rejected")]);
    assert_eq!(found[0].reason, "it is gone");
    assert_eq!(warehouse.proof().turned_away(JOB, day(), 1).unwrap().len(), 1);
    assert!(warehouse.proof().turned_away(JOB, day().succ_opt().unwrap(), 10).unwrap().is_empty());
}

fn the_newest_revision_of_a_day_counts(bench: &dyn Bench) {
    let mut warehouse = ready(bench);
    let row = |revision: u32, at: &str, closed: bool| Reconciliation {
        job: JOB.to_owned(),
        day: day(),
        revision,
        verdict: "balanced".to_owned(),
        at: format!("2024-05-07T0{at}:00:00.000000Z"),
        closed,
        report: "{}".to_owned(),
    };
    let proof = warehouse.proof();
    for revision in [row(1, "1", false), row(2, "2", true), row(2, "3", true)] {
        proof.record_reconciliation(&revision).unwrap();
    }
    assert_eq!(proof.reconciliations(JOB).unwrap(), [row(2, "3", true)]);
    assert!(proof.reconciliations("another").unwrap().is_empty());
    assert_eq!(count(bench, &bench.ledger("reconciliation")), 2, "no revision is forgotten");
}

fn a_batch_is_freed_from_its_crawl(bench: &dyn Bench) {
    let mut warehouse = ready(bench);
    let batch = loaded(&mut *warehouse);
    let empty = super::batches::batch(2, &[bills("y", &[bill("2", "", &[])])]);
    empty.load(&mut *warehouse);
    warehouse.mark_published(batch.id()).unwrap();
    bench.execute(&format!("UPDATE {} SET crawl_id = 'c' WHERE rows > 0", bench.ledger("batch"))).unwrap();
    assert_eq!(warehouse.awaiting_crawl(JOB).unwrap(), 0);
    let ids = [batch.id().to_owned(), empty.id().to_owned()];
    assert_eq!(warehouse.proof().free_from_crawl(&ids, &operation()).unwrap(), 1);
    assert_eq!(warehouse.awaiting_crawl(JOB).unwrap(), 1);
    let freed = proofs(&mut *warehouse, None);
    assert_eq!((&freed[0].crawl_id, freed[1].crawl_id.as_deref()), (&None, Some("none")));
}

fn one_document_is_given_up_with_its_record_or_not_at_all(bench: &dyn Bench) {
    let mut warehouse = ready(bench);
    let members = [
        bills("loaded", &[bill("1", "1.00", &[])]),
        member("rejected", Content::Broken(vec![], "a bad line")),
        member("missing", Content::Unread(DocumentOutcome::Missing, "gone")),
        bills("conflict", &[bill("1", "2.00", &[])]),
        bills("duplicate", &[bill("1", "1.00", &[])]),
    ];
    batch(1, &members).load(&mut *warehouse);
    let document = |key: &str, version: &str| GivenUp {
        job: JOB.to_owned(),
        bucket: "local".to_owned(),
        key: key.to_owned(),
        version: version.to_owned(),
        reason: "ann@desk gave it up".to_owned(),
    };
    for (key, version) in [("loaded", "loaded@v1"), ("duplicate", "duplicate@v1"), ("rejected", "another")] {
        assert!(!warehouse.proof().give_up(&document(key, version), &operation()).unwrap(), "{key}");
    }
    assert_eq!(warehouse.proof().operations().unwrap(), [], "what was not done is not recorded");
    for key in ["rejected", "missing", "conflict"] {
        assert!(
            warehouse.proof().give_up(&document(key, &format!("{key}@v1")), &operation()).unwrap(),
            "{key}"
        );
        let row = warehouse.documents_by_key(key).unwrap().remove(0);
        assert_eq!((&*row.outcome, &*row.reason), ("abandoned", "ann@desk gave it up"));
        assert_eq!((row.line, row.text), (None, None), "what was wrong with it is in its verdict");
        assert_ne!(warehouse.verdicts_by_key(key).unwrap()[0].outcome, "abandoned");
    }
    assert!(!warehouse.proof().give_up(&document("rejected", "rejected@v1"), &operation()).unwrap(), "once");
    assert_eq!(warehouse.proof().operations().unwrap().len(), 3);
    assert_eq!(warehouse.proof().unsettled_documents(JOB, 9).unwrap(), []);
    let counts = proofs(&mut *warehouse, None).remove(0).days;
    let abandoned = counts.iter().find(|count| count.outcome == "abandoned").unwrap();
    assert_eq!(abandoned.documents, 3, "the balance counts them");
}

fn the_objects_that_should_be_there_come_page_by_page(bench: &dyn Bench) {
    let mut warehouse = ready(bench);
    let first = loaded(&mut *warehouse);
    let second = batch(2, &[bills("y", &[bill("3", "1.00", &[])])]);
    second.load(&mut *warehouse);
    let tables = proofs(&mut *warehouse, None).remove(0).tables;
    let mut ask = |of: ObjectsOf<'_>, after: &str, limit: usize| {
        warehouse.proof().fixed_objects(JOB, of, after, limit).unwrap()
    };
    assert_eq!(ask(ObjectsOf::Table("bills"), "", 9), [], "none is published");
    let archived = ask(ObjectsOf::Archive, "", 9);
    assert_eq!(archived.iter().map(|object| &object.batch_id).collect::<Vec<_>>(), [first.id(), second.id()]);
    assert!(archived.iter().all(|object| object.bytes.is_none() && !object.key.is_empty()), "{archived:?}");
    assert_eq!(ask(ObjectsOf::Archive, "", 1), archived[..1]);
    assert_eq!(ask(ObjectsOf::Archive, first.id(), 9), archived[1..]);
    for batch in [&first, &second] {
        warehouse.mark_published(batch.id()).unwrap();
    }
    let mut ask = |table: &str| warehouse.proof().fixed_objects(JOB, ObjectsOf::Table(table), "", 9).unwrap();
    let bills = ask("bills");
    let expected = FixedObject {
        batch_id: first.id().to_owned(),
        key: tables[0].csv_key.clone().unwrap(),
        bytes: Some(tables[0].fixed.bytes),
        covered: false,
    };
    assert_eq!((&bills[0], bills.len()), (&expected, 2));
    assert_eq!(ask("bill_items").len(), 1, "a table without rows has no object");
    let ids = [first.id().to_owned(), second.id().to_owned()];
    assert_eq!(warehouse.proof().days_of(&ids).unwrap(), [day()].into());
    assert!(warehouse.proof().days_of(&["nobody".to_owned()]).unwrap().is_empty());
}
