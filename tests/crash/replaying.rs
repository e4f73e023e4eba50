//! A replay dies before and after each of its effects, and the command is given again: every document is loaded once, and
//! where the later record wins, its rows are replaced once.

use std::fs;
use std::sync::Arc;

use regex::Regex;
use rusqlite::Connection;
use sha2::{Digest, Sha256};
use sluicegate::effects::{
    ARCHIVE_PUT, CURATED_PUT, LANDING_GET, PROOF_COMMIT, PUBLISHED_COMMIT, WAREHOUSE_COMMIT,
};
use sluicegate::failure::Outcome;
use sluicegate::pipeline::replay::abandon::abandon;
use sluicegate::pipeline::replay::plan::{Wish, plan};
use sluicegate::ports::proof::Operation;
use sluicegate_state::effects::{SEAL, TRANSITION};
use sluicegate_state::{BatchEvent, BatchState};

use crate::fault::{Faults, Strike};
use crate::landing::land;
use crate::lives::{advance, assert_struck, survive};
use crate::oracle::{files, select};
use crate::process::{Process, World};
use crate::workload::{Document, first_window};

const MISREAD: (&str, &str) = (r#"label = "Customer-ID""#, r#"label = "Customer-No""#);
const REPLACE: (&str, &str) = (r#"on_conflict = "reject""#, r#"on_conflict = "replace""#);

/// Documents with invoices that no other document has, and one that nobody can read.
fn documents() -> Vec<Document> {
    let mut documents = first_window();
    documents.retain(|document| {
        ["a/first one.txt", "bad/no invoice.txt", "c/two in one.txt", "d/100% + more.txt"]
            .contains(&document.key)
    });
    assert_eq!(documents.len(), 4);
    documents
}

/// Everything was rejected under a wrong job file; the landing is empty, and the job file is mended.
fn rejected() -> World {
    let world = World::new(false);
    world.edit_job(&[MISREAD]);
    for document in documents() {
        land(&world.path("landing"), document.key, &document.bytes, document.landed_at);
    }
    survive(&world, &[], &Process::settle);
    fs::remove_dir_all(world.path("landing")).unwrap();
    fs::create_dir(world.path("landing")).unwrap();
    world.edit_job(&[]);
    world
}

fn operation(command: &str) -> Operation {
    Operation {
        operator: "ann@desk".to_owned(),
        at: String::new(),
        command: format!("sluicegate jobs {command}"),
        reason: "why not".to_owned(),
        detail: format!(r#"{{"{command}":{{}}}}"#),
    }
}

/// What `jobs replay` does: plan, record, seal in one transaction, and drain.
fn replay(process: &mut Process, wish: &Wish) -> Outcome<()> {
    seal(process, wish)?;
    process.settle()
}

fn seal(process: &mut Process, wish: &Wish) -> Outcome<()> {
    let (context, now) = (process.context.clone(), process.context.clock.now());
    let mut warehouse = (context.open_warehouse)()?;
    let plan = plan(&context, &process.store, warehouse.as_mut(), wish)?;
    if !plan.batches.is_empty() {
        warehouse.proof().record_operation(&operation("replay"))?;
    }
    drop(warehouse);
    plan.seal(&mut process.store, "ann@desk", &context.incarnation, now).map(drop)
}

/// What `jobs abandon` does with each parked batch: a load without rows, the record, the state.
fn abandon_parked(process: &mut Process) -> Outcome<()> {
    let (context, now) = (process.context.clone(), process.context.clock.now());
    let mut warehouse = (context.open_warehouse)()?;
    for batch in process.store.unfinished_replays()? {
        assert_eq!((batch.state, batch.failed_from), (BatchState::Failed, Some(BatchState::Sealed)));
        abandon(&context, &process.store, warehouse.as_mut(), &batch, "ann@desk gave it up")?;
        warehouse.proof().record_operation(&operation("abandon"))?;
        let incarnation = &context.incarnation;
        process.store.apply(&batch.batch_id, BatchEvent::Abandoned, "why not", incarnation, now)?;
    }
    Ok(())
}

fn ledger(world: &World) -> Connection {
    Connection::open(world.warehouse()).unwrap()
}

/// Looks at rows, outcomes and CSV objects; all of it as text without batch ids.
fn examine(world: &World, replays: usize) -> Vec<String> {
    let ledger = ledger(world);
    let rows: usize =
        documents().iter().flat_map(|d| &d.invoices).map(|invoice| 1 + invoice.rows().1.len()).sum();
    let live = "SELECT (SELECT count(*) FROM invoices) + (SELECT count(*) FROM invoice_items)";
    assert_eq!(select(&ledger, live), [[rows.to_string()]], "each record once");
    let again = "SELECT count(*) FROM sluicegate_verdict WHERE outcome = 'again'";
    assert_eq!(select(&ledger, again), [["0"]], "no document was in two replays at a time");
    let verdicts = "SELECT max(n) FROM (SELECT count(*) AS n FROM sluicegate_verdict WHERE outcome = 'loaded' GROUP BY key)";
    assert_eq!(select(&ledger, verdicts), [[replays.to_string()]], "loaded once a replay");
    let undone = "SELECT batch_id FROM sluicegate_batch WHERE published_at IS NULL";
    assert!(select(&ledger, undone).is_empty(), "everything is published");
    let operations = select(&ledger, "SELECT DISTINCT operator FROM sluicegate_operation");
    assert_eq!(operations, [["ann@desk"]]);
    let mut content = csv_objects(world, &ledger);
    for sql in [
        "SELECT 'document', key, outcome, reason, rows, batch_id FROM sluicegate_document",
        "SELECT 'verdict', key, outcome, rows FROM sluicegate_verdict",
        "SELECT 'replaced', table_name, record_key, rows, by_batch_id FROM sluicegate_replaced",
        "SELECT 'invoice', customer_id, invoice_id, total, source_order FROM invoices",
        "SELECT 'item', customer_id, invoice_id, line, price, source_order FROM invoice_items",
    ] {
        content.extend(select(&ledger, sql).iter().map(|row| row.join(" | ")));
    }
    let batch_id = Regex::new("[0-9]{8}T[0-9]{6}Z-[0-9a-f]{16}").unwrap();
    content.iter_mut().for_each(|line| *line = batch_id.replace_all(line, "BATCH").into_owned());
    content.sort();
    content
}

/// The objects are those that the COMMITs fixed, and together, without what was replaced, they are the tables (I5, I7).
fn csv_objects(world: &World, ledger: &Connection) -> Vec<String> {
    let mut expected = Vec::new();
    let sql = "SELECT csv_key, csv_sha256 FROM sluicegate_batch_table WHERE csv_key IS NOT NULL ORDER BY 1";
    for row in select(ledger, sql) {
        let object = fs::read(world.path("curated").join(&row[0])).unwrap();
        assert_eq!(hex::encode(Sha256::digest(&object)), row[1], "{}", row[0]);
        expected.push(row[0].clone());
    }
    let mut found = files(&world.path("curated"));
    found.retain(|path| !path.starts_with(".catalog/"));
    assert_eq!(found, expected, "stray or lost files under curated");
    for table in ["invoices", "invoice_items"] {
        let sql = format!(
            "SELECT (SELECT sum(rows) FROM sluicegate_batch_table WHERE table_name = '{table}')
                    - (SELECT coalesce(sum(rows), 0) FROM sluicegate_replaced WHERE table_name = '{table}')
                    - (SELECT count(*) FROM {table})"
        );
        assert_eq!(select(ledger, &sql), [["0"]], "CSV − replaced = {table} (I7)");
    }
    vec![format!("{} objects", expected.len())]
}

#[test]
fn a_replay_of_the_rejected_dies_at_each_moment() {
    let run = |strikes: &[Strike]| -> (Arc<Faults>, Vec<String>) {
        let world = rejected();
        let wish = Wish::default();
        let faults = survive(&world, strikes, &|process| replay(process, &wish));
        // What is rejected again is replayed again by the same command, so it is not given a third time.
        (faults, examine(&world, 1).into_iter().filter(|line| !line.contains("no invoice")).collect())
    };
    let struck = advance(run);
    let effects = [
        LANDING_GET,
        ARCHIVE_PUT,
        WAREHOUSE_COMMIT,
        CURATED_PUT,
        PUBLISHED_COMMIT,
        PROOF_COMMIT,
        SEAL,
        TRANSITION,
    ];
    assert_struck(&struck, &effects);
}

#[test]
fn a_replay_of_what_is_loaded_dies_at_each_moment() {
    let run = |strikes: &[Strike]| -> (Arc<Faults>, Vec<String>) {
        let world = rejected();
        survive(&world, &[], &|process| replay(process, &Wish::default()));
        world.edit_job(&[REPLACE]);
        let sql = "SELECT DISTINCT batch_id FROM sluicegate_document WHERE outcome = 'loaded'";
        let batches: Vec<String> = select(&ledger(&world), sql).into_iter().flatten().collect();
        // Whoever names batches and gives the command again means what those decided, which a replay has taken over.
        let wish = Wish { batches: batches.clone(), key: None, whole: true, ..Wish::default() };
        let faults = survive(&world, strikes, &|process| replay(process, &wish));
        let left = format!(
            "SELECT count(*) FROM sluicegate_document WHERE outcome = 'loaded' AND batch_id = '{}'",
            batches[0]
        );
        assert_eq!(select(&ledger(&world), &left), [["0"]], "all of it was taken over");
        (faults, examine(&world, 2))
    };
    let struck = advance(run);
    assert_struck(&struck, &[LANDING_GET, ARCHIVE_PUT, WAREHOUSE_COMMIT, CURATED_PUT, PROOF_COMMIT, SEAL]);
}

/// A replay whose originals are gone is parked before it has an archive, and is given up: its documents stay rejected.
#[test]
fn giving_up_a_parked_replay_dies_at_each_moment() {
    let run = |strikes: &[Strike]| -> (Arc<Faults>, Vec<String>) {
        let world = rejected();
        survive(&world, &[], &|process| seal(process, &Wish::default()));
        fs::remove_dir_all(world.path("archive")).unwrap();
        fs::create_dir(world.path("archive")).unwrap();
        survive(&world, &[], &Process::settle);
        let faults = survive(&world, strikes, &abandon_parked);
        let ledger = ledger(&world);
        let content = [
            "SELECT 'document', key, outcome, rows FROM sluicegate_document ORDER BY key",
            "SELECT 'verdict', key, outcome FROM sluicegate_verdict ORDER BY key, outcome",
            "SELECT DISTINCT 'operation', command FROM sluicegate_operation ORDER BY command",
        ];
        let state = Connection::open(world.path("state").join("state.db")).unwrap();
        let batches = select(&state, "SELECT state, count(*) FROM batch GROUP BY state ORDER BY state");
        assert_eq!(batches, [["abandoned", "1"], ["published", "1"]]);
        let rows = content.iter().flat_map(|sql| select(&ledger, sql));
        (faults, rows.map(|row| row.join(" | ")).collect())
    };
    let struck = advance(run);
    assert_struck(&struck, &[WAREHOUSE_COMMIT, PROOF_COMMIT, TRANSITION]);
}
