//! What is safe to do about discrepancies, and what a person asks for by name. Everything is recorded in the ledger: who,
//! when, by which command and why.

use std::sync::Arc;

use serde_json::json;
use sluicegate_state::Store;

use crate::failure::{Failure, Outcome};
use crate::job::Job;
use crate::pipeline::context::Context;
use crate::pipeline::fleet::FleetStage;
use crate::pipeline::publish;
use crate::pipeline::stage::{Stage, Tick};
use crate::ports::proof::Operation;
use crate::ports::warehouse::Warehouse;

use super::model::Discrepancy;
use super::rows;
use super::run::Mendable;

/// Who mends, and why.
#[derive(Debug, Clone)]
pub struct Person {
    /// user@host.
    pub operator: String,
    /// The command line.
    pub command: String,
    /// In the person's own words.
    pub reason: String,
}

impl Person {
    pub(super) fn operation(&self, detail: &serde_json::Value) -> Operation {
        Operation {
            operator: self.operator.clone(),
            at: String::new(),
            command: self.command.clone(),
            reason: self.reason.clone(),
            detail: detail.to_string(),
        }
    }
}

/// What was mended, and what could not be, in words.
#[derive(Debug, Default)]
pub struct Mended {
    /// Done.
    pub done: Vec<String>,
    /// Refused, with the reason.
    pub refused: Vec<String>,
}

/// Does what is safe: journals missed documents, writes lost CSV objects again, has partitions registered again, and takes
/// in what a machine left that is gone.
pub fn repair(
    context: &Arc<Context>,
    store: &mut Store,
    warehouse: &mut dyn Warehouse,
    job: &Job,
    mendable: &Mendable,
    person: &Person,
) -> Outcome<Mended> {
    let mut mended = Mended::default();
    if !mendable.missed.is_empty() {
        let receipt = store.journal_missed(&mendable.missed, context.clock.now())?;
        let detail =
            json!({ "repaired": "missed documents", "job": job.name, "documents": receipt.recorded });
        warehouse.proof().record_operation(&person.operation(&detail))?;
        mended
            .done
            .push(format!("{} missed documents journaled; the next drain loads them", receipt.recorded));
    }
    for batch_id in &mendable.objects {
        match write_again(context, warehouse, job, batch_id) {
            Ok(keys) => {
                let detail = json!({ "repaired": "CSV objects", "batch_id": batch_id, "objects": keys });
                warehouse.proof().record_operation(&person.operation(&detail))?;
                mended
                    .done
                    .push(format!("the CSV objects of {batch_id} are there again: {}", keys.join(", ")));
            }
            Err(failure) => mended.refused.push(format!("the CSV objects of {batch_id}: {failure}")),
        }
    }
    if !mendable.partitions.is_empty() {
        let batches: Vec<String> = mendable.partitions.iter().cloned().collect();
        let detail = json!({ "repaired": "partitions", "job": job.name, "batches": batches });
        let freed = warehouse.proof().free_from_crawl(&batches, &person.operation(&detail))?;
        mended
            .done
            .push(format!("{freed} batches await the next crawl, which registers their partitions again"));
    }
    if mendable.unfinished {
        let detail = json!({ "repaired": "unfinished batches", "job": job.name });
        warehouse.proof().record_operation(&person.operation(&detail))?;
        take_in(context)?;
        mended
            .done
            .push("what other machines left was looked through; the next drain goes on with it".to_owned());
    }
    Ok(mended)
}

/// The same bytes as the load fixed, from archive and ledger, or nothing.
fn write_again(
    context: &Context,
    warehouse: &mut dyn Warehouse,
    job: &Job,
    batch_id: &str,
) -> Outcome<Vec<String>> {
    let loaded = warehouse
        .loaded_batch(batch_id)?
        .ok_or_else(|| Failure::permanent(format!("the ledger knows no batch {batch_id}")))?;
    let mut csvs = publish::rebuild(context, &rows::named(&job.name, batch_id), &loaded)?;
    publish::put_all(context, &loaded.tables, &mut csvs)
}

/// One look of the fleet stage, as a drain would have it.
fn take_in(context: &Arc<Context>) -> Outcome<()> {
    let mut stage = FleetStage::new(context.clone(), false)?;
    while stage.tick()? == Tick::Worked {}
    Ok(())
}

/// Puts the rows of a batch back that somebody deleted, under their old batch id; rows that are there stay as they are.
pub fn restore(
    context: &Context,
    warehouse: &mut dyn Warehouse,
    job: &Job,
    batch_id: &str,
    person: &Person,
) -> Outcome<u64> {
    let lost = rows::compare(context, warehouse, job, batch_id, true)?.lost_rows();
    let loaded = warehouse
        .loaded_batch(batch_id)?
        .ok_or_else(|| Failure::permanent(format!("the ledger knows no batch {batch_id}")))?;
    let definition = crate::transform::Definition::from_text(&loaded.definition_text)
        .map_err(|error| Failure::permanent(format!("its definition cannot be read: {error}")))?;
    let detail = json!({ "restored": batch_id, "rows": lost.len() });
    warehouse.proof().restore(definition.schema(), &lost, &person.operation(&detail))
}

/// Records that a discrepancy is as it should be.
pub fn accept(warehouse: &mut dyn Warehouse, job: &str, found: &Discrepancy, person: &Person) -> Outcome<()> {
    let detail = json!({
        "accepted": found.id,
        "job": job,
        "kind": found.kind,
        "batch_id": found.batch_id,
        "detail": found.detail,
    });
    warehouse.proof().record_operation(&person.operation(&detail))
}
