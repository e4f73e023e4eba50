//! Which loads the ledger has lost. This machine's state knows its own; what another machine loaded shows in the archive
//! together with the CSV objects, which nobody sees before the COMMIT of their load.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use sluicegate_state::{Batch, BatchEvent, BatchState, Store, Timestamp};

use crate::archive::batch_id_of;
use crate::curated::object_key;
use crate::failure::Outcome;
use crate::job::Job;
use crate::pipeline::context::Context;
use crate::pipeline::ledger::forgotten_load;
use crate::pipeline::missed::read_manifest;
use crate::ports::warehouse::Warehouse;

use super::super::objects::read_totals;

/// Batches that are looked up at a time.
const PAGE: usize = 500;

/// A load that the ledger does not know, or whose publication it does not know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LostLoad {
    /// The batch.
    pub batch_id: String,
    /// Its job.
    pub job: String,
    /// Its members.
    pub documents: u64,
    /// What this machine's state says of it; none where only archive and CSV objects tell.
    pub state: Option<&'static str>,
    /// Its CSV objects, in schema order; those that are there.
    pub objects: Vec<HeldObject>,
    /// The state in this machine's store.
    #[serde(skip)]
    pub(super) reached: Option<BatchState>,
    /// When it was loaded, or where that is not known sealed: the order in which loads are entered again.
    #[serde(skip)]
    pub(super) at: Timestamp,
}

/// What a CSV object of a lost load holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HeldObject {
    /// The target table.
    pub table: String,
    /// The object under the curated location.
    pub key: String,
    /// Rows; none where the object cannot be read as today's job file describes the table.
    pub rows: Option<u64>,
    /// The sum of each decimal column, as plain text.
    pub sums: BTreeMap<String, String>,
}

impl LostLoad {
    /// Rows of all CSV objects that can be read.
    pub fn rows(&self) -> u64 {
        self.objects.iter().filter_map(|object| object.rows).sum()
    }
}

/// The loads that the ledger has lost, in the order in which they were made.
pub fn look(context: &Context, store: &Store, warehouse: &mut dyn Warehouse) -> Outcome<Vec<LostLoad>> {
    let mut found = Vec::new();
    for job in context.jobs.values() {
        let look = Look { context, store, job };
        look.own(warehouse, &mut found)?;
        look.strangers(warehouse, true, &mut found)?;
    }
    if let Some(newest) = forgotten_load(store, warehouse)?
        && let Some(batch) = store.batch(&newest)?
        && !context.jobs.contains_key(&batch.job)
    {
        // Without its job it cannot be entered, and is told all the same.
        found.push(own(store, &batch, Vec::new())?);
    }
    found.sort_by(|a, b| (a.at, &a.batch_id).cmp(&(b.at, &b.batch_id)));
    Ok(found)
}

/// Archived batches that the ledger does not know and that have no CSV object, in the order of their sealing. Nobody can say
/// whether they were ever loaded.
pub(super) fn archived_only(
    context: &Context,
    store: &Store,
    warehouse: &mut dyn Warehouse,
) -> Outcome<Vec<LostLoad>> {
    let mut found = Vec::new();
    for job in context.jobs.values() {
        Look { context, store, job }.strangers(warehouse, false, &mut found)?;
    }
    found.sort_by(|a, b| (a.at, &a.batch_id).cmp(&(b.at, &b.batch_id)));
    Ok(found)
}

struct Look<'a> {
    context: &'a Context,
    store: &'a Store,
    job: &'a Job,
}

impl Look<'_> {
    /// What this machine has loaded, and what it has published that a killed re-entry left unpublished.
    fn own(&self, warehouse: &mut dyn Warehouse, found: &mut Vec<LostLoad>) -> Outcome<()> {
        let loads = warehouse.unpublished_loads(&self.job.name)?;
        let unpublished: BTreeSet<String> = loads.into_iter().map(|load| load.batch_id).collect();
        let mut after = String::new();
        loop {
            let page = self.store.batches_page(&self.job.name, &after, PAGE)?;
            let Some(last) = page.last() else { return Ok(()) };
            after.clone_from(&last.batch_id);
            let ids: Vec<String> = page.iter().map(|batch| batch.batch_id.clone()).collect();
            let known = warehouse.known_batches(&ids)?;
            for batch in page {
                let lost = is_loaded(&batch) && !known.contains(&batch.batch_id);
                let half = batch.state == BatchState::Published && unpublished.contains(&batch.batch_id);
                if lost || half {
                    found.push(own(self.store, &batch, self.objects(&batch.batch_id)?)?);
                }
            }
        }
    }

    /// Archived batches that the ledger does not know, and this state not as loaded: those that have CSV objects all the
    /// same, or those that have none.
    fn strangers(
        &self,
        warehouse: &mut dyn Warehouse,
        with_objects: bool,
        found: &mut Vec<LostLoad>,
    ) -> Outcome<()> {
        let mut chunk = Vec::new();
        self.context.archive.list(&format!("{}/", self.job.name), &mut |info| {
            if batch_id_of(&info.key).is_some_and(|(owner, _)| owner == self.job.name) {
                chunk.push(info.key);
            }
            if chunk.len() >= PAGE {
                self.unknown(warehouse, &std::mem::take(&mut chunk), with_objects, found)?;
            }
            Ok(())
        })?;
        self.unknown(warehouse, &chunk, with_objects, found)
    }

    fn unknown(
        &self,
        warehouse: &mut dyn Warehouse,
        archive_keys: &[String],
        with_objects: bool,
        found: &mut Vec<LostLoad>,
    ) -> Outcome<()> {
        let id = |key: &String| batch_id_of(key).map(|(_, batch_id)| batch_id.to_owned());
        let ids: Vec<String> = archive_keys.iter().filter_map(id).collect();
        let known = warehouse.known_batches(&ids)?;
        for (batch_id, key) in ids.iter().zip(archive_keys).filter(|(id, _)| !known.contains(*id)) {
            let here = self.store.batch(batch_id)?;
            if here.as_ref().is_some_and(|batch| is_loaded(batch) || batch.state == BatchState::Abandoned) {
                continue;
            }
            let objects = self.objects(batch_id)?;
            // Nobody has published what has none: it waits for its load, and any drain goes on with it.
            if objects.is_empty() == with_objects {
                continue;
            }
            let Some(manifest) = read_manifest(self.context, key)? else { continue };
            found.push(LostLoad {
                batch_id: batch_id.clone(),
                job: self.job.name.clone(),
                documents: manifest.members.len() as u64,
                state: here.as_ref().map(|batch| batch.state.as_str()),
                objects,
                reached: here.map(|batch| batch.state),
                at: manifest.sealed_at,
            });
        }
        Ok(())
    }

    /// The CSV objects of a batch that are there.
    fn objects(&self, batch_id: &str) -> Outcome<Vec<HeldObject>> {
        let mut objects = Vec::new();
        for table in &self.job.definition.schema().tables {
            let key = object_key(&table.name, batch_id);
            let Some(fetched) = self.context.curated.get(&key)? else { continue };
            let (rows, sums) = match read_totals(fetched.body, table) {
                Ok((rows, sums)) => (Some(rows), sums),
                Err(error) => {
                    tracing::warn!("{key} cannot be read as the job describes {}: {error}", table.name);
                    (None, BTreeMap::new())
                }
            };
            objects.push(HeldObject { table: table.name.clone(), key, rows, sums });
        }
        Ok(objects)
    }
}

/// Whether this state has it as loaded, whatever came after that.
fn is_loaded(batch: &Batch) -> bool {
    matches!(batch.failed_from.unwrap_or(batch.state), BatchState::Loaded | BatchState::Published)
}

fn own(store: &Store, batch: &Batch, objects: Vec<HeldObject>) -> Outcome<LostLoad> {
    let moves = store.transitions(&batch.batch_id)?;
    let loaded = moves.iter().find(|moved| moved.event == Some(BatchEvent::Loaded));
    Ok(LostLoad {
        batch_id: batch.batch_id.clone(),
        job: batch.job.clone(),
        documents: batch.documents,
        state: Some(batch.state.as_str()),
        objects,
        reached: Some(batch.state),
        at: loaded.map_or(batch.sealed_at, |moved| moved.at),
    })
}
