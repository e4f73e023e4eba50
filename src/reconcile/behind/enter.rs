//! Entering lost loads again: the ordinary load of the archived originals, with one more condition. What it would fix
//! has to be what the first load fixed, as far as its CSV objects still tell. That decides which definition it was, and
//! which of two loads came first where the clocks of two machines do not say.

use std::collections::BTreeSet;

use serde_json::json;
use sluicegate_state::{BatchState, Store};

use crate::archive::object_key;
use crate::failure::{Failure, FailureKind, Outcome};
use crate::job::Job;
use crate::pipeline::archived::open_archived;
use crate::pipeline::context::Context;
use crate::pipeline::elsewhere::leave_to_whom_has_read;
use crate::pipeline::handover::{CsvCopies, LoadedCopies};
use crate::pipeline::ledger::{begin_reentry, end_reentry, forgotten_load, unfinished_reentry};
use crate::pipeline::load::{load_once, load_request};
use crate::pipeline::missed::read_manifest;
use crate::pipeline::publish;
use crate::ports::warehouse::{LoadedTable, Warehouse};

use super::super::mend::Person;
use super::super::rows::named;
use super::agree::{Rule, agree};
use super::look::{LostLoad, archived_only};

/// What became of the lost loads.
#[derive(Debug, Default)]
pub struct Entered {
    /// Batches that the ledger knows again.
    pub entered: Vec<String>,
    /// Batches that could not be entered, each with the reason.
    pub refused: Vec<(String, String)>,
}

/// The tables and their CSV objects, where this process has just made them; else they are made again.
type Copies = Option<(Vec<LoadedTable>, CsvCopies)>;

/// Enters lost loads again, in their order. Until it is over this state refuses the ledger, so a run that is killed is
/// followed by another one, which finds what is left to do. A load that is in the ledger already is left as it is (I6).
///
/// # Errors
/// Where going on would be no use now: the warehouse or a store cannot be used. Run again, it goes on.
pub fn enter(
    context: &Context,
    store: &mut Store,
    warehouse: &mut Box<dyn Warehouse>,
    lost: &[LostLoad],
    person: &Person,
) -> Outcome<Entered> {
    if lost.is_empty()
        && forgotten_load(store, warehouse.as_mut())?.is_none()
        && unfinished_reentry(store)?.is_none()
    {
        return Ok(Entered::default());
    }
    begin_reentry(store, warehouse.as_mut(), context.clock.now())?;
    prepare(context, warehouse.as_mut())?;
    if !lost.is_empty() {
        record(warehouse.as_mut(), lost, person)?;
    }
    let entered = Reentry { context, store, warehouse, person, refused: Vec::new() }.all(lost)?;
    let refused: Vec<&str> = entered.refused.iter().map(|(batch_id, _)| batch_id.as_str()).collect();
    end_reentry(store, warehouse.as_mut(), &refused)?;
    Ok(entered)
}

/// The record comes before the deed, so that no load is entered of which it does not tell.
fn record(warehouse: &mut dyn Warehouse, lost: &[LostLoad], person: &Person) -> Outcome<()> {
    let batches: Vec<&str> = lost.iter().map(|load| load.batch_id.as_str()).collect();
    let documents: u64 = lost.iter().map(|load| load.documents).sum();
    let rows: u64 = lost.iter().map(LostLoad::rows).sum();
    let detail = json!({ "entered_again": batches, "documents": documents, "rows": rows });
    warehouse.proof().record_operation(&person.operation(&detail))
}

fn prepare(context: &Context, warehouse: &mut dyn Warehouse) -> Outcome<()> {
    for job in context.jobs.values() {
        warehouse.prepare(job.definition.schema()).map_err(|f| f.while_doing(format!("job {}", job.name)))?;
    }
    Ok(())
}

struct Reentry<'a> {
    context: &'a Context,
    store: &'a Store,
    warehouse: &'a mut Box<dyn Warehouse>,
    person: &'a Person,
    /// What was refused at the last look, and why.
    refused: Vec<(String, String)>,
}

impl Reentry<'_> {
    /// What does not fit may fit once another load is there, so everything is tried until nothing more fits. Only then
    /// is one load entered of which less is sure, and all the others are tried again.
    fn all(mut self, lost: &[LostLoad]) -> Outcome<Entered> {
        let mut waiting: Vec<&LostLoad> = lost.iter().collect();
        let mut entered = Vec::new();
        loop {
            let before = entered.len();
            for rule in Rule::ALL {
                self.refused.clear();
                let most = if rule == Rule::AllThere { usize::MAX } else { 1 };
                waiting = self.round(waiting, rule, most, &mut entered)?;
                if entered.len() > before {
                    break;
                }
            }
            if waiting.is_empty() {
                return Ok(Entered { entered, refused: Vec::new() });
            }
            if entered.len() == before && !self.one_that_left_nothing(&mut entered)? {
                return Ok(Entered { entered, refused: self.refused });
            }
        }
    }

    /// What does not fit may come after a load that was lost before it had written any object, so that only its archive
    /// is left. The oldest of these is loaded; any drain would do so later.
    fn one_that_left_nothing(&mut self, entered: &mut Vec<String>) -> Outcome<bool> {
        let refused = std::mem::take(&mut self.refused);
        let archived = archived_only(self.context, self.store, self.warehouse.as_mut())?;
        let before = entered.len();
        for load in &archived {
            record(self.warehouse.as_mut(), std::slice::from_ref(load), self.person)?;
            self.round(vec![load], Rule::NoneOther, 1, entered)?;
            if entered.len() > before {
                break;
            }
        }
        self.refused = refused;
        Ok(entered.len() > before)
    }

    /// Tries each of them once, until `most` are entered; those that are left.
    fn round<'l>(
        &mut self,
        waiting: Vec<&'l LostLoad>,
        rule: Rule,
        most: usize,
        entered: &mut Vec<String>,
    ) -> Outcome<Vec<&'l LostLoad>> {
        let mut left = Vec::new();
        let mut done = 0;
        for load in waiting {
            if done >= most {
                left.push(load);
                continue;
            }
            match self.enter(load, rule) {
                Ok(()) => {
                    done += 1;
                    entered.push(load.batch_id.clone());
                    tracing::info!(batch = %load.batch_id, "entered again");
                }
                Err(failure) if failure.kind == FailureKind::Permanent => {
                    self.refused.push((load.batch_id.clone(), failure.message));
                    left.push(load);
                }
                Err(failure) => return Err(failure.while_doing(format!("entering {} again", load.batch_id))),
            }
        }
        Ok(left)
    }

    fn enter(&mut self, load: &LostLoad, rule: Rule) -> Outcome<()> {
        let copies = if self.warehouse.knows_batch(&load.batch_id)? { None } else { self.load(load, rule)? };
        // A batch that the state has as loaded goes on by itself, and one that waits for its load too. Nobody would go on
        // with the others.
        match load.reached {
            Some(BatchState::Published) | None => self.publish(load, copies),
            Some(_) => Ok(()),
        }
    }

    /// The ordinary load, under the first definition that makes what is there.
    fn load(&mut self, load: &LostLoad, rule: Rule) -> Outcome<Copies> {
        let mut refusals = Vec::new();
        for job in self.definitions(load)? {
            match self.load_by(load, &job, rule) {
                Ok(copies) => return Ok(copies),
                Err(failure) if failure.kind == FailureKind::Permanent => {
                    refusals.push(failure.message);
                    // Whatever it was has left its mark on the connection, perhaps.
                    *self.warehouse = (self.context.open_warehouse)()?;
                    prepare(self.context, self.warehouse.as_mut())?;
                }
                Err(failure) => return Err(failure),
            }
        }
        Err(Failure::permanent(refusals.join("; by another definition: ")))
    }

    fn load_by(&mut self, load: &LostLoad, job: &Job, rule: Rule) -> Outcome<Copies> {
        let context = self.context;
        let batch = self.store.batch(&load.batch_id)?.unwrap_or_else(|| named(&load.job, &load.batch_id));
        let taken = context.handover.loading.take(&load.batch_id);
        let taken = taken.ok_or_else(|| Failure::transient("this process loads it at this moment"))?;
        let mut archived = open_archived(context, &batch)?;
        let mut request = load_request(context, job, &batch, &archived)?;
        let warehouse = self.warehouse.as_mut();
        leave_to_whom_has_read(context, self.store, warehouse, &archived, &mut request)?;
        let published = load.reached == Some(BatchState::Published);
        let check = |tables: &[LoadedTable]| agree(context, &load.batch_id, rule, published, tables);
        let loaded =
            load_once(context, job, &request, &mut archived, self.warehouse.as_mut(), &taken, &check)?;
        let copies = loaded.and_then(|loaded| loaded.copies);
        Ok(copies.map(|LoadedCopies { tables, csvs }| (tables, csvs)))
    }

    /// The definition in force at the sealing, today's, and those that the ledger still has. Only those whose tables are
    /// the warehouse's.
    fn definitions(&mut self, load: &LostLoad) -> Outcome<Vec<Job>> {
        let today = self.context.job(&load.job)?;
        let key = object_key(&load.job, &load.batch_id);
        let manifest = read_manifest(self.context, &key)?.ok_or_else(|| {
            Failure::permanent(format!("the archive object {key} is gone: put it back, then run this again"))
        })?;
        let mut texts = vec![manifest.definition_text, today.text.clone()];
        let stored = self.warehouse.proof().definitions(&load.job)?;
        texts.extend(stored.into_iter().map(|definition| definition.text));
        let (mut seen, mut jobs) = (BTreeSet::new(), Vec::new());
        for text in texts {
            let Ok(job) = Job::from_text(&text) else { continue };
            if job.name == load.job
                && seen.insert(job.hash.clone())
                && self.warehouse.compare(job.definition.schema())?.is_empty()
            {
                jobs.push(job);
            }
        }
        if jobs.is_empty() {
            return Err(Failure::permanent(
                "the tables in the warehouse are not as any known job file has them",
            ));
        }
        Ok(jobs)
    }

    /// The objects are there already, or are written again; the ledger is told so.
    fn publish(&mut self, load: &LostLoad, copies: Copies) -> Outcome<()> {
        let Some((tables, mut csvs)) = copies else {
            let batch = named(&load.job, &load.batch_id);
            return publish::publish_again(self.context, self.warehouse.as_mut(), &batch);
        };
        publish::put_all(self.context, &tables, &mut csvs)?;
        self.warehouse.mark_published(&load.batch_id)
    }
}
