//! Loads as only a server can disturb them.

use std::sync::Arc;
use std::time::Instant;

use sluicegate::config::Secret;
use sluicegate::effects;
use sluicegate::failure::FailureKind;
use sluicegate::ports::warehouse::{BeginLoad, DocumentOutcome, Warehouse};
use sluicegate::postgres::{PostgresWarehouse, Recent};
use sluicegate_state::seam::{Fault, Injected, Seam};

use crate::published::schema;
use crate::server::Database;
use crate::support::{Document, batch, document};

fn open(database: &Database, recent: &Recent) -> Box<dyn Warehouse> {
    let warehouse = PostgresWarehouse::open(&database.secret(), "ledger", "test", recent, Seam::default());
    Box::new(warehouse.unwrap())
}

fn ready(database: &Database) -> Box<dyn Warehouse> {
    let mut warehouse = open(database, &Recent::default());
    warehouse.prepare(&schema()).unwrap();
    warehouse
}

fn dump(database: &Database) -> Vec<Vec<String>> {
    let mut rows = database.select("SELECT * FROM bills ORDER BY 1, 2");
    rows.extend(database.select("SELECT * FROM bill_items ORDER BY 1, 2, 3"));
    rows
}

#[test]
fn the_direct_and_the_staged_path_end_the_same() {
    let (Some(direct), Some(staged)) = (Database::new(), Database::new()) else { return };
    // In the second database keys collided a moment ago, and its connections know.
    let recent = Recent::default();
    let clash = batch(1, &[document("a", 9_000..9_002), document("b", 9_000..9_001)]);
    let load = batch(2, &[document("c", 50..150), document("d", 0..50)]);
    let mut results = Vec::new();
    for (database, recent) in [(&direct, None), (&staged, Some(&recent))] {
        drop(ready(database));
        let fresh = Recent::default();
        clash.load(&mut *open(database, recent.unwrap_or(&fresh))).unwrap().unwrap();
        let fresh = Recent::default();
        results.push(load.load(&mut *open(database, recent.unwrap_or(&fresh))).unwrap().unwrap());
    }
    assert_eq!(results[0], results[1]);
    assert_eq!(dump(&direct), dump(&staged));
    assert_eq!(dump(&direct).len(), 3 * 152);
    let item = direct.select("SELECT description FROM bill_items WHERE number = 60 AND line = 1");
    assert_eq!(item, [["\\item 1 of bill\t60, \"quoted\" and long enough to weigh something"]]);
}

#[test]
fn two_loads_of_the_same_keys_in_opposite_order() {
    let Some(database) = Database::new() else { return };
    drop(ready(&database));
    let numbers: Vec<_> = (0..300).map(|number| number..number + 1).collect();
    let backwards: Vec<_> = numbers.iter().rev().cloned().collect();
    let whole = |key, numbers| Document { numbers, ..document(key, 0..0) };
    for round in 0..5 {
        let batches = [
            batch(2 * round + 1, &[whole("up", numbers.clone())]),
            batch(2 * round + 2, &[whole("down", backwards.clone())]),
        ];
        let recent = Recent::default();
        let outcomes: Vec<DocumentOutcome> = std::thread::scope(|scope| {
            let loads: Vec<_> = batches
                .iter()
                .map(|batch| scope.spawn(|| batch.load_at_last(&|| open(&database, &recent))[0].outcome))
                .collect();
            loads.into_iter().map(|load| load.join().unwrap()).collect()
        });
        let loaded = outcomes.iter().filter(|outcome| **outcome == DocumentOutcome::Loaded).count();
        let expected = usize::from(round == 0);
        assert_eq!(loaded, expected, "one has them, the other finds them: {outcomes:?}");
    }
    assert_eq!(dump(&database).len(), 900);
}

/// Loses the answer of the first COMMIT of a load.
#[derive(Default)]
struct LostAnswer(std::sync::atomic::AtomicBool);

impl Fault for LostAnswer {
    fn before(&self, _: &'static str) -> Result<(), Injected> {
        Ok(())
    }

    fn after(&self, effect: &'static str) -> Result<(), Injected> {
        let first =
            effect == effects::WAREHOUSE_COMMIT && !self.0.swap(true, std::sync::atomic::Ordering::SeqCst);
        if first { Err(Injected { effect, after: true, transient: true }) } else { Ok(()) }
    }
}

#[test]
fn a_commit_whose_answer_was_lost_is_found_by_its_key() {
    let Some(database) = Database::new() else { return };
    drop(ready(&database));
    let seam = Seam::with_fault(Arc::new(LostAnswer::default()));
    let secret = database.secret();
    let mut warehouse = PostgresWarehouse::open(&secret, "ledger", "test", &Recent::default(), seam).unwrap();
    let load = batch(1, &[document("a", 0..10)]);
    assert_eq!(load.load(&mut warehouse).unwrap_err().kind, FailureKind::Transient);
    assert!(load.load(&mut *open(&database, &Recent::default())).unwrap().is_none(), "it was loaded (I6)");
    assert_eq!(warehouse.loaded_batch(load.id()).unwrap().unwrap().rows, 30);
}

#[test]
fn a_ghost_with_the_batch_key_is_waited_for_and_then_left_for_later() {
    let Some(database) = Database::new() else { return };
    let mut ghost = ready(&database);
    let (load, schema) = (batch(1, &[document("a", 0..10)]), schema());
    let impatient = Secret::new(format!("{}?options=-c%20lock_timeout%3D300ms", database.url));
    let mut other =
        PostgresWarehouse::open(&impatient, "ledger", "test", &Recent::default(), Seam::default()).unwrap();
    let BeginLoad::Fresh(transaction) = ghost.begin_load(&load.request, &schema).unwrap() else { panic!() };
    let failure = load.load(&mut other).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Transient, "{failure}");
    assert!(failure.message.contains("55P03"), "{failure}");
    drop(transaction);
    assert!(load.load(&mut other).unwrap().is_some(), "the same connection goes on once the ghost is gone");
}

#[test]
fn rows_that_the_owners_check_refuses_take_only_their_documents() {
    let Some(database) = Database::new() else { return };
    let mut warehouse = ready(&database);
    let sql = "ALTER TABLE bill_items ADD CONSTRAINT no_sixes CHECK (number NOT IN (26, 66) OR line <> 1);
               ALTER TABLE bills ADD CONSTRAINT not_too_much CHECK (total < 5)";
    database.shell().batch_execute(sql).unwrap();
    let keys = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"];
    let mut documents: Vec<Document> =
        keys.iter().zip(0..).map(|(key, tens)| document(key, 10 * tens..10 * tens + 10)).collect();
    documents[8].total = "7.00";
    // What the refused document had is free for a later one.
    documents.push(document("k", 20..25));
    let (verdicts, tables) = batch(1, &documents).load(&mut *warehouse).unwrap().unwrap();
    for verdict in &verdicts {
        let (word, rows) = match verdict.ordinal {
            2 | 6 | 8 => ("rejected", 0),
            10 => ("loaded", 15),
            _ => ("loaded", 30),
        };
        assert_eq!((verdict.outcome.as_str(), verdict.rows), (word, rows), "{verdict:?}");
    }
    assert!(verdicts[2].reason.starts_with("line 7: the database refuses this record"), "{:?}", verdicts[2]);
    assert!(verdicts[2].reason.contains("no_sixes"), "{:?}", verdicts[2]);
    assert!(verdicts[8].reason.contains("not_too_much"), "{:?}", verdicts[8]);
    assert_eq!(dump(&database).len() as u64, tables.iter().map(|table| table.totals.rows).sum::<u64>());
    let rejects = database.select("SELECT key, line, text FROM sluicegate.reject ORDER BY ordinal");
    assert_eq!(rejects[0], ["c", "7", "customer 005/26"]);
}

#[test]
fn fifty_thousand_bills_in_one_document_are_streamed() {
    let Some(database) = Database::new() else { return };
    let mut warehouse = ready(&database);
    let large = |key| Document { items: 8, ..document(key, 0..50_000) };
    let started = Instant::now();
    let (verdicts, _) = batch(1, &[large("large")]).load(&mut *warehouse).unwrap().unwrap();
    assert_eq!((verdicts[0].outcome, verdicts[0].rows), (DocumentOutcome::Loaded, 450_000));
    println!("loaded in {:?}", started.elapsed());
    // The same again: every record is known, and the pages of collisions are many.
    let started = Instant::now();
    let again = Document { numbers: vec![0..50_000, 60_000..60_001], ..large("again") };
    let (verdicts, _) = batch(2, &[again]).load(&mut *warehouse).unwrap().unwrap();
    assert_eq!((verdicts[0].rows, verdicts[0].refused.len()), (9, 50_000));
    println!("found again in {:?}", started.elapsed());
    assert_eq!(database.select("SELECT count(*) FROM bill_items"), [["400008"]]);
    if let Ok(status) = std::fs::read_to_string("/proc/self/status") {
        println!("{}", status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or_default());
    }
}

/// Commits other loads' keys at the very moments when a load looks away.
struct Intruder<'a> {
    database: &'a Database,
    load: crate::support::Batch,
    /// How many times the documents have been shown.
    visits: std::cell::Cell<u32>,
    inner: &'a crate::support::Batch,
}

impl sluicegate::ports::warehouse::DocumentSource for Intruder<'_> {
    fn visit(
        &self,
        visitor: &mut dyn sluicegate::ports::warehouse::DocumentVisitor,
    ) -> sluicegate::failure::Outcome<()> {
        self.inner.visit(visitor)?;
        if self.visits.replace(self.visits.get() + 1) == 0 {
            self.load.load(&mut *open(self.database, &Recent::default())).unwrap().unwrap();
        }
        Ok(())
    }
}

#[test]
fn what_another_load_commits_meanwhile_is_met_as_a_collision() {
    let Some(database) = Database::new() else { return };
    let mut warehouse = ready(&database);
    let (theirs, ours) =
        (batch(1, &[document("a", 5..6)]), batch(2, &[document("b", 0..5), document("c", 5..7)]));
    let schema = schema();
    let BeginLoad::Fresh(mut transaction) = warehouse.begin_load(&ours.request, &schema).unwrap() else {
        panic!()
    };
    let intruder =
        Intruder { database: &database, load: theirs, visits: std::cell::Cell::new(0), inner: &ours };
    let verdicts = transaction.insert(&intruder).unwrap();
    transaction.commit(&verdicts, &ours.tables(&verdicts)).unwrap();
    assert_eq!((verdicts[0].rows, verdicts[1].rows, &*verdicts[1].refused), (15, 3, &[0][..]));
    assert_eq!(dump(&database).len(), 21);
}

/// Makes member `ordinal` the document that batch 1 has under the same key.
fn seen_before(mut batch: crate::support::Batch, ordinal: usize) -> crate::support::Batch {
    batch.request.documents[ordinal].version = "1".to_owned();
    batch
}

#[test]
fn documents_that_another_batch_has_are_passed_over_however_they_are_claimed() {
    let Some(database) = Database::new() else { return };
    drop(ready(&database));
    let recent = Recent::default();
    let first = batch(1, &[document("a", 0..2), document("b", 2..4)]);
    first.load(&mut *open(&database, &recent)).unwrap().unwrap();
    // The first time one COPY of all claims meets the known one; the second time the connections remember that, and
    // claim row by row at once.
    for number in [2, 3] {
        let from = 10 * u64::from(number);
        let new: &'static str = if number == 2 { "c" } else { "d" };
        let load = [document("a", from..from + 1), document(new, from + 1..from + 3)];
        let load = seen_before(batch(number, &load), 0);
        let (verdicts, _) = load.load(&mut *open(&database, &recent)).unwrap().unwrap();
        assert_eq!(verdicts[0].outcome, DocumentOutcome::Again, "{verdicts:?}");
        assert_eq!((verdicts[1].outcome, verdicts[1].rows), (DocumentOutcome::Loaded, 6));
    }
    let documents = "SELECT key, outcome, rows, right(batch_id, 1) FROM sluicegate.document ORDER BY key";
    assert_eq!(
        database.select(documents),
        [
            ["a", "loaded", "6", "1"],
            ["b", "loaded", "6", "1"],
            ["c", "loaded", "6", "2"],
            ["d", "loaded", "6", "3"]
        ]
    );
    assert_eq!(dump(&database).len(), 24, "nothing of a document that another batch has is inserted");
}

#[test]
fn an_outcome_that_was_expected_otherwise_is_corrected() {
    let Some(database) = Database::new() else { return };
    let mut warehouse = ready(&database);
    batch(1, &[document("a", 0..3)]).load(&mut *warehouse).unwrap().unwrap();
    let clash = Document { total: "2.00", ..document("b", 1..2) };
    let load = batch(2, &[clash, document("c", 0..3), document("d", 2..5), document("e", 9..10)]);
    let (verdicts, _) = load.load(&mut *warehouse).unwrap().unwrap();
    let words: Vec<_> = verdicts.iter().map(|verdict| verdict.outcome.as_str()).collect();
    assert_eq!(words, ["conflict", "duplicate", "loaded", "loaded"]);
    let of_batch = |table: &str| {
        let sql = format!(
            "SELECT outcome, reason, rows FROM sluicegate.{table} WHERE batch_id LIKE '%2' ORDER BY key"
        );
        database.select(&sql)
    };
    assert_eq!(of_batch("document"), of_batch("verdict"));
    assert_eq!(
        of_batch("document").iter().map(|row| row[2].clone()).collect::<Vec<_>>(),
        ["0", "0", "6", "3"]
    );
}

#[test]
fn a_known_document_in_a_batch_too_large_for_memory_is_passed_over() {
    let Some(database) = Database::new() else { return };
    let mut warehouse = ready(&database);
    batch(1, &[document("a", 0..1)]).load(&mut *warehouse).unwrap().unwrap();
    // Its rows are gathered before the batch turns out to be large and its documents are claimed.
    let large = Document { items: 8, ..document("large", 10..50_010) };
    let load = [document("a", 90_000..90_001), large, document("b", 90_001..90_002)];
    let (verdicts, _) = seen_before(batch(2, &load), 0).load(&mut *warehouse).unwrap().unwrap();
    let seen: Vec<_> = verdicts.iter().map(|verdict| (verdict.outcome.as_str(), verdict.rows)).collect();
    assert_eq!(seen, [("again", 0), ("loaded", 450_000), ("loaded", 3)]);
    assert_eq!(database.select("SELECT count(*) FROM bills"), [["50002"]]);
}
