//! `reconcile --repair`, `--restore` and `--accept` die before and after each of their effects, and are given again: in the
//! end everything balances, and nothing was done twice.

use std::fs;
use std::sync::Arc;

use rusqlite::Connection;
use sluicegate::effects::{CURATED_PUT, PROOF_COMMIT};
use sluicegate::embedded::EmbeddedCatalog;
use sluicegate::failure::{Failure, Outcome};
use sluicegate::ports::clock::Clock;
use sluicegate::reconcile::mend::{self, Person};
use sluicegate::reconcile::run::{JobProof, Places, reconcile};
use sluicegate_state::effects::JOURNAL;

use crate::fault::{Faults, Strike};
use crate::landing::land;
use crate::lives::{advance, assert_struck, survive};
use crate::oracle::{files, select};
use crate::process::{Process, World};
use crate::workload::first_window;

const HARM: &str = "
    DELETE FROM invoice_items WHERE invoice_id = '1' AND customer_id = 'A';
    DELETE FROM invoices WHERE invoice_id = '1' AND customer_id = 'A';
    UPDATE invoices SET total = '1.00' WHERE customer_id = 'D';";

/// Three documents are loaded and covered, and then rows and an object are lost, an amount is changed, and a document lands
/// of which nobody was told.
fn harmed() -> World {
    let world = World::new(false);
    let bring = |key: &str| {
        let document = first_window().into_iter().find(|document| document.key == key).unwrap();
        land(&world.path("landing"), document.key, &document.bytes, document.landed_at);
    };
    ["a/first one.txt", "c/two in one.txt", "d/100% + more.txt"].into_iter().for_each(bring);
    survive(&world, &[], &Process::settle);
    end_window(&world);
    survive(&world, &[], &Process::settle);
    Connection::open(world.warehouse()).unwrap().execute_batch(HARM).unwrap();
    let curated = files(&world.path("curated"));
    let object = curated.iter().find(|path| path.starts_with("invoices/")).unwrap();
    fs::remove_file(world.path("curated").join(object)).unwrap();
    bring("c/partly known.txt");
    world
}

fn end_window(world: &World) {
    let now = world.clock.now();
    world.clock.advance(world.job().window.next_tick(now).unwrap() - now);
}

fn prove(world: &World, process: &mut Process) -> Outcome<JobProof> {
    let job = world.job();
    let tables = job.definition.schema().tables.iter().map(|table| table.name.clone()).collect();
    let mut catalog = EmbeddedCatalog::new(&world.path("curated"), tables, world.clock.clone());
    let mut warehouse = (process.context.open_warehouse)()?;
    let mut places = Places {
        context: &process.context,
        store: Some(&process.store),
        warehouse: warehouse.as_mut(),
        catalog: Some(&mut catalog),
        engine: None,
        progress: &|_| (),
    };
    reconcile(&mut places, &job, None)
}

/// Everything that the report says, and then a drain over the end of the window.
fn mend_all(world: &World, process: &mut Process) -> Outcome<()> {
    let person = Person {
        operator: "ann@desk".to_owned(),
        command: "sluicegate reconcile --repair".to_owned(),
        reason: "a credit".to_owned(),
    };
    let proof = prove(world, process)?;
    let context = process.context.clone();
    let mut warehouse = (context.open_warehouse)()?;
    let job = world.job();
    let found = proof.days.iter().flat_map(|day| &day.discrepancies).filter(|found| found.accepted.is_none());
    for found in found {
        match (found.kind, &found.batch_id) {
            ("changed_rows", _) => mend::accept(warehouse.as_mut(), &job.name, found, &person)?,
            ("deleted_rows", Some(batch)) => {
                mend::restore(&context, warehouse.as_mut(), &job, batch, &person)?;
            }
            _ => {}
        }
    }
    let mended =
        mend::repair(&context, &mut process.store, warehouse.as_mut(), &job, &proof.mendable, &person)?;
    // A command ends with 1 then; only a process that died may have met that.
    if let Some(refused) = mended.refused.into_iter().next() {
        return Err(Failure::transient(refused));
    }
    drop(warehouse);
    process.settle()
}

/// What is there in the end, as text.
fn examine(world: &World) -> Vec<String> {
    end_window(world);
    survive(world, &[], &Process::settle);
    survive(world, &[], &|process| {
        let proof = prove(world, process)?;
        let open = |day: &&sluicegate::reconcile::model::DayReport| !day.balanced;
        let open: Vec<_> = proof.days.iter().filter(open).collect();
        assert!(open.is_empty(), "in the end everything balances: {open:#?}");
        Ok(())
    });
    let ledger = Connection::open(world.warehouse()).unwrap();
    let mut content: Vec<String> = [
        "SELECT 'document', key, outcome, rows FROM sluicegate_document",
        "SELECT 'verdict', key, outcome, rows FROM sluicegate_verdict",
        "SELECT 'invoice', customer_id, invoice_id, total FROM invoices",
        "SELECT 'item', customer_id, invoice_id, line, price FROM invoice_items",
        // A record of what was done twice in two lives is there twice, and says the same.
        "SELECT DISTINCT 'operation', operator, reason, substr(detail, 1, 11) FROM sluicegate_operation",
    ]
    .iter()
    .flat_map(|sql| select(&ledger, sql))
    .map(|row| row.join(" | "))
    .collect();
    content.push(format!("{} objects", files(&world.path("curated")).len()));
    content.sort();
    content
}

#[test]
fn a_mending_dies_at_each_moment() {
    let run = |strikes: &[Strike]| -> (Arc<Faults>, Vec<String>) {
        let world = harmed();
        let faults = survive(&world, strikes, &|process| mend_all(&world, process));
        (faults, examine(&world))
    };
    let struck = advance(run);
    assert_struck(&struck, &[PROOF_COMMIT, CURATED_PUT, JOURNAL]);
}
