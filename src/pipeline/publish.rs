//! The publish stage: the CSV objects of a loaded batch become visible, children before parents (I5).

use std::io::Read;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use sluicegate_state::canary::{Canary, sings};
use sluicegate_state::{Batch, BatchEvent, BatchState, Stage as Step, Store};

use crate::effects;
use crate::failure::{Failure, Outcome};
use crate::ports::object_store::PutAnswer;
use crate::ports::warehouse::{LoadedBatch, LoadedTable, Warehouse};
use crate::transform::Definition;

use super::archived::open_archived;
use super::attempt::{fail, idle};
use super::context::Context;
use super::documents::ArchivedDocuments;
use super::encode::encode;
use super::handover::{CsvCopies, LoadedCopies};
use super::ledger::LedgerConnection;
use super::load::{load_request, source_orders};
use super::stage::{Stage, Tick};

/// Publishes loaded batches.
pub struct PublishStage {
    context: Arc<Context>,
    store: Store,
    ledger: LedgerConnection,
    /// The job that was served last; the next one with work goes first.
    last_job: String,
}

impl PublishStage {
    /// A stage with a state connection and a ledger connection of its own.
    pub fn new(context: Arc<Context>) -> Outcome<Self> {
        let store = context.open_store()?;
        let ledger = LedgerConnection::new(context.clone());
        Ok(Self { context, store, ledger, last_job: String::new() })
    }

    fn publish(&mut self, batch: &Batch) -> Outcome<()> {
        let context = self.context.clone();
        let now = context.clock.now();
        let attempt = self.store.begin_attempt(&batch.batch_id, Step::Publish, &context.incarnation, now)?;
        match self.try_publish(batch) {
            Ok(cause) => {
                self.store.complete_attempt(
                    attempt,
                    BatchEvent::Published,
                    &cause,
                    &[],
                    context.clock.now(),
                )?;
                context.tally.add(|counts| counts.published += 1);
                Ok(())
            }
            Err(failure) => {
                self.ledger.close();
                fail(&context, &mut self.store, batch, attempt, failure)
            }
        }
    }

    fn try_publish(&mut self, batch: &Batch) -> Outcome<String> {
        let warehouse = self.ledger.get(&mut self.store)?;
        let copies = match self.context.handover.csvs.take(&batch.batch_id) {
            // This process has just made the COMMIT that fixed them.
            Some(copies) if copies.tables.iter().any(|table| table.totals.rows > 0) => copies,
            _ => {
                let loaded = warehouse.loaded_batch(&batch.batch_id)?.ok_or_else(|| {
                    let id = &batch.batch_id;
                    Failure::permanent(format!("the ledger does not know batch {id}, which was loaded"))
                })?;
                if loaded.published_at.is_some() {
                    let nothing = loaded.rows == 0;
                    return Ok(if nothing { "no new rows, nothing to publish" } else { "published before" }
                        .to_owned());
                }
                let csvs = rebuild(&self.context, batch, &loaded)?;
                LoadedCopies { tables: loaded.tables, csvs }
            }
        };
        let LoadedCopies { tables, mut csvs } = copies;
        let mut objects = 0;
        if sings(Canary::PublishedBeforePut) {
            warehouse.mark_published(&batch.batch_id)?;
        }
        let mut in_order: Vec<_> = tables.iter().zip(&mut csvs).collect();
        if !sings(Canary::ParentsFirst) {
            in_order.reverse();
        }
        for (table, (file, bytes)) in in_order {
            let Some(key) = &table.csv_key else { continue };
            put(&self.context, key, table, file, *bytes)?;
            objects += 1;
        }
        warehouse.mark_published(&batch.batch_id)?;
        Ok(format!("{objects} CSV objects written"))
    }
}

impl Stage for PublishStage {
    fn name(&self) -> &'static str {
        "publish"
    }

    fn tick(&mut self) -> Outcome<Tick> {
        let now = self.context.clock.now();
        match self.store.due_batch_in_turn(BatchState::Loaded, now, &self.last_job)? {
            Some(batch) => {
                if let Some(idle) = self.ledger.unreachable(&mut self.store)? {
                    return Ok(Tick::Idle(idle));
                }
                self.publish(&batch)?;
                self.last_job = batch.job;
                Ok(Tick::Worked)
            }
            None => idle(&self.store, BatchState::Loaded, now, false),
        }
    }
}

/// Publishes what the ledger has as loaded and not as published: its objects are there, or are made again. A second time
/// changes nothing.
///
/// # Errors
/// Permanent where the objects would be others than those that the load fixed.
pub fn publish_again(context: &Context, warehouse: &mut dyn Warehouse, batch: &Batch) -> Outcome<()> {
    let loaded = warehouse.loaded_batch(&batch.batch_id)?;
    let Some(loaded) = loaded.filter(|loaded| loaded.published_at.is_none()) else { return Ok(()) };
    let mut csvs = rebuild(context, batch, &loaded)?;
    put_all(context, &loaded.tables, &mut csvs)?;
    warehouse.mark_published(&batch.batch_id)
}

/// Writes the CSV objects of a load, children before their parent; the keys.
pub fn put_all(context: &Context, tables: &[LoadedTable], csvs: &mut CsvCopies) -> Outcome<Vec<String>> {
    let mut keys = Vec::new();
    for (table, (file, bytes)) in tables.iter().zip(csvs).rev() {
        let Some(key) = &table.csv_key else { continue };
        put(context, key, table, file, *bytes)?;
        keys.push(key.clone());
    }
    Ok(keys)
}

/// Makes the CSV objects again, from the archive, the definition that the COMMIT fixed and what it refused. A rebuild
/// that differs from what the COMMIT fixed parks the batch: there is never a second content (I5).
pub fn rebuild(context: &Context, batch: &Batch, loaded: &LoadedBatch) -> Outcome<CsvCopies> {
    let definition = Definition::from_text(&loaded.definition_text).map_err(|error| {
        Failure::permanent(format!(
            "the definition {} in the ledger cannot be read: {error}",
            loaded.definition_hash
        ))
    })?;
    let job = context.job(&batch.job)?;
    let mut archived = open_archived(context, batch)?;
    let orders = source_orders(&load_request(context, &job, batch, &archived)?);
    let documents = ArchivedDocuments::new(&definition, &archived.outcomes, &mut archived.content);
    let schema = definition.schema();
    let (tables, csvs) =
        encode(&batch.batch_id, schema, &documents, &loaded.verdicts, &orders, &context.spool)?;
    for (made, fixed) in tables.iter().zip(&loaded.tables) {
        if made != fixed {
            return Err(Failure::permanent(format!(
                "the CSV object of {} made again has SHA-256 {}, and its load fixed {}: the archive or the program has \
                 changed; nothing was written",
                fixed.table, made.totals.sha256, fixed.totals.sha256
            )));
        }
    }
    Ok(csvs)
}

/// Writes one CSV object; one that is there already has to be the same.
fn put(
    context: &Context,
    key: &str,
    table: &LoadedTable,
    file: &mut tempfile::SpooledTempFile,
    bytes: u64,
) -> Outcome<()> {
    let sha256 = &table.totals.sha256;
    let answer =
        context.seam.perform(effects::CURATED_PUT, || context.curated.put_new(key, file, bytes, sha256))?;
    match answer {
        PutAnswer::Written => Ok(()),
        PutAnswer::Exists => verify(context, key, sha256),
    }
}

/// An object that is there already is ours from an attempt whose answer was lost, or it is a stranger's.
fn verify(context: &Context, key: &str, sha256: &str) -> Outcome<()> {
    let fetched = context.curated.get(key)?;
    let mut fetched =
        fetched.ok_or_else(|| Failure::transient(format!("the object {key} was there and is gone")))?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 128 << 10];
    loop {
        match fetched.body.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => hasher.update(&buffer[..count]),
            Err(error) => return Err(Failure::transient(format!("reading {key} broke off: {error}"))),
        }
    }
    let found = hex::encode(hasher.finalize());
    if found == *sha256 {
        return Ok(());
    }
    Err(Failure::permanent(format!(
        "{key} is there with SHA-256 {found}, and the load fixed {sha256}: somebody else wrote it; move it away, then replay"
    )))
}
