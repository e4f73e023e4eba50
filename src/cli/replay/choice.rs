//! What is to be replayed: the same for a dry run, for the question, and for the real thing.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};
use sluicegate_state::{Batch, BatchState, Timestamp};

use crate::pipeline::replay::Pattern;
use crate::pipeline::replay::plan::{Plan, Wish, plan};

use super::super::exit::{Exit, Stop};
use super::super::output::{Sheet, counted};
use super::super::replay_args::ReplayOptions;
use super::begin::Parts;

/// The newest batch that fits.
const LATEST: &str = "latest";
/// Batches that are looked through for parked ones.
const MOST_BATCHES: usize = 100_000;

/// A batch that is there already.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Line {
    pub(super) batch_id: String,
    pub(super) job: String,
    /// Where it goes on.
    pub(super) from: String,
    pub(super) documents: u64,
}

/// Something that was named and cannot be replayed.
#[derive(Debug, Clone, Serialize)]
pub(super) struct NotEligible {
    what: String,
    why: String,
}

/// All that a replay would do.
#[derive(Debug, Default)]
pub(super) struct Choice {
    /// Parked batches that go on.
    pub(super) resumed: Vec<Line>,
    /// Replays that began earlier and have not come to their ends.
    pub(super) under_way: Vec<Line>,
    /// New batches.
    pub(super) plan: Plan,
    pub(super) not_eligible: Vec<NotEligible>,
}

/// Finds what the options ask for.
pub(super) fn choose(parts: &Parts, options: &ReplayOptions, now: Timestamp) -> Result<Choice, Stop> {
    if let Some(job) = options.job.as_ref().filter(|job| !parts.context.jobs.contains_key(*job)) {
        let names: Vec<&str> = parts.context.jobs.keys().map(String::as_str).collect();
        return Err(Stop::usage(format!("there is no job {job:?}; there is {}", names.join(", "))));
    }
    if options.rejected || options.all { again(parts, options, now) } else { parked(parts, options, now) }
}

/// New batches of what the ledger says, and what an earlier replay has not finished.
fn again(parts: &Parts, options: &ReplayOptions, now: Timestamp) -> Result<Choice, Stop> {
    let mut warehouse = parts.warehouse("a replay")?;
    let mut wish = Wish {
        job: options.job.clone(),
        batches: Vec::new(),
        since: options.since.map(|since| since.at(now)),
        reason: options.reason.as_deref().map(Pattern::within),
        key: options.key.as_deref().map(Pattern::whole),
        whole: options.all,
    };
    if !options.ids.is_empty() {
        // Who names batches means those, whichever of them the state knows: the ledger knows them all.
        let everything = plan(&parts.context, &parts.store, warehouse.as_mut(), &wish)?;
        let mut known = everything.decided;
        for parent in parts.store.unfinished_replays()?.into_iter().flat_map(|batch| batch.parents) {
            known.entry(parent).or_default();
        }
        wish.batches = named(&options.ids, &known)?;
    }
    let mut choice = Choice {
        plan: plan(&parts.context, &parts.store, warehouse.as_mut(), &wish)?,
        under_way: Vec::new(),
        ..Choice::default()
    };
    for batch in parts.store.unfinished_replays()? {
        if batch.state == BatchState::Failed {
            let why = format!("a replay that is parked; sluicegate jobs replay {0}", batch.batch_id);
            choice.not_eligible.push(NotEligible { what: batch.batch_id, why });
        } else if options.job.as_ref().is_none_or(|job| *job == batch.job) {
            choice.under_way.push(line(&batch, batch.state));
        }
    }
    Ok(choice)
}

/// The batches among `known`, with the times of their loads, that the words on the command line mean.
fn named(ids: &[String], known: &BTreeMap<String, String>) -> Result<Vec<String>, Stop> {
    let mut batches = Vec::new();
    for id in ids {
        let found: Vec<&String> = match id.as_str() {
            // Two batches of one second differ in their hashes only, so the time of their loads decides.
            LATEST => known.iter().max_by_key(|(_, at)| *at).map(|(batch, _)| batch).into_iter().collect(),
            prefix => known.keys().filter(|batch| batch.starts_with(prefix)).collect(),
        };
        match found.as_slice() {
            [batch] => batches.push((*batch).clone()),
            [] => {
                return Err(Stop::failed(format!(
                    "no batch whose id begins with {id:?} holds anything to replay"
                )));
            }
            _ => return Err(Stop::usage(format!("{id} begins more than one batch id"))),
        }
    }
    Ok(batches)
}

/// Parked batches that go on from the state they failed in.
fn parked(parts: &Parts, options: &ReplayOptions, now: Timestamp) -> Result<Choice, Stop> {
    let mut choice = Choice::default();
    let candidates = if options.ids.is_empty() {
        let mut failed = parts.store.batches(options.job.as_deref(), MOST_BATCHES)?;
        failed.retain(|batch| batch.state == BatchState::Failed);
        failed.reverse();
        failed
    } else {
        by_id(parts, options)?
    };
    let reason = options.reason.as_deref().map(Pattern::within);
    let key = options.key.as_deref().map(Pattern::whole);
    let since = options.since.map(|since| since.at(now));
    for batch in candidates {
        let Some(from) = batch.failed_from.filter(|_| batch.state == BatchState::Failed) else {
            let why = format!("it is {}, not parked; documents that it rejected: --rejected", batch.state);
            choice.not_eligible.push(NotEligible { what: batch.batch_id, why });
            continue;
        };
        let error = batch.last_error.as_deref().unwrap_or_default();
        let keys_fit = || match &key {
            None => Ok(true),
            Some(key) => parts
                .store
                .members(&batch.batch_id)
                .map(|members| members.iter().any(|member| key.fits(&member.key))),
        };
        let fits = options.job.as_ref().is_none_or(|job| *job == batch.job)
            && since.is_none_or(|since| batch.changed_at >= since)
            && reason.as_ref().is_none_or(|reason| reason.fits(error))
            && keys_fit()?;
        if !fits {
            continue;
        }
        if !parts.context.jobs.contains_key(&batch.job) {
            let why = format!("there is no job {:?} any more: put its file back", batch.job);
            choice.not_eligible.push(NotEligible { what: batch.batch_id, why });
            continue;
        }
        choice.resumed.push(line(&batch, from));
    }
    Ok(choice)
}

/// Each id names one batch, or nothing is done.
fn by_id(parts: &Parts, options: &ReplayOptions) -> Result<Vec<Batch>, Stop> {
    let mut batches: Vec<Batch> = Vec::new();
    for id in &options.ids {
        let batch = if id == LATEST {
            let newest = parts.store.batches(options.job.as_deref(), MOST_BATCHES)?;
            let parked = newest.into_iter().find(|batch| batch.state == BatchState::Failed);
            parked.ok_or_else(|| Stop::failed("no batch is parked"))?
        } else {
            let mut found = parts.store.batches_by_prefix(id, 2)?;
            match (found.pop(), found.pop()) {
                (Some(batch), None) => batch,
                (None, _) => return Err(Stop::failed(format!("no batch id begins with {id:?}"))),
                (Some(_), Some(_)) => return Err(Stop::usage(format!("{id} begins more than one batch id"))),
            }
        };
        if !batches.iter().any(|other| other.batch_id == batch.batch_id) {
            batches.push(batch);
        }
    }
    Ok(batches)
}

fn line(batch: &Batch, from: BatchState) -> Line {
    Line {
        batch_id: batch.batch_id.clone(),
        job: batch.job.clone(),
        from: from.to_string(),
        documents: batch.documents,
    }
}

impl Choice {
    /// Whether there is nothing to bring to an end.
    pub(super) fn is_empty(&self) -> bool {
        self.under_way.is_empty() && !self.begins_something()
    }

    /// Whether anything begins that is not under way already.
    pub(super) fn begins_something(&self) -> bool {
        !self.resumed.is_empty() || !self.plan.batches.is_empty()
    }

    /// Whether something was left out that a person has to look at.
    pub(super) fn leaves_something(&self) -> bool {
        !self.not_eligible.is_empty() || self.plan.left_out.iter().any(|left| !left.busy && !left.loaded)
    }

    /// The end of a replay that has nothing to do.
    pub(super) fn nothing_to_do(&self, options: &ReplayOptions) -> Result<Exit, Stop> {
        match self.not_eligible.first() {
            Some(NotEligible { what, why }) if !options.ids.is_empty() => {
                Err(Stop::usage(format!("{what} cannot be replayed: {why}")))
            }
            _ if self.leaves_something() => Ok(Exit::NeedsPerson),
            _ => Ok(Exit::Fine),
        }
    }

    /// For programs.
    pub(super) fn json(&self) -> Value {
        let batches: Vec<Value> = self
            .plan
            .batches
            .iter()
            .map(|batch| {
                let keys: Vec<&str> = batch.members.iter().map(|m| m.notification.key.as_str()).collect();
                json!({
                    "job": batch.job,
                    "documents": keys.len(),
                    "bytes": batch.bytes,
                    "parents": batch.parents,
                    "replay": batch.replay,
                    "keys": keys,
                })
            })
            .collect();
        json!({
            "resumed": self.resumed,
            "under_way": self.under_way,
            "new_batches": batches,
            "left_out": self.plan.left_out,
            "not_eligible": self.not_eligible,
        })
    }

    /// For people.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        if self.is_empty() {
            text.push_str("nothing to replay\n");
        } else {
            text.push_str(&self.sheet().text());
        }
        if !self.not_eligible.is_empty() || !self.plan.left_out.is_empty() {
            let mut sheet = Sheet::new(&["not replayed", "why"]);
            for NotEligible { what, why } in &self.not_eligible {
                sheet.row([what, why]);
            }
            for left in &self.plan.left_out {
                let documents = counted(left.documents, "document", "documents");
                sheet.row([format!("{documents}, such as {:?}", left.example), left.why.clone()]);
            }
            text.push_str(&format!("\n{}", sheet.text()));
        }
        text
    }

    fn sheet(&self) -> Sheet {
        let mut sheet = Sheet::new(&["what", "job", "#documents", "#bytes", "from"]);
        for line in &self.under_way {
            let what = format!("{} (begun earlier)", line.batch_id);
            sheet.row([what, line.job.clone(), line.documents.to_string(), String::new(), line.from.clone()]);
        }
        for line in &self.resumed {
            let documents = line.documents.to_string();
            sheet.row([line.batch_id.clone(), line.job.clone(), documents, String::new(), line.from.clone()]);
        }
        for (number, batch) in self.plan.batches.iter().enumerate() {
            sheet.row([
                format!("new batch {}", number + 1),
                batch.job.clone(),
                batch.members.len().to_string(),
                batch.bytes.to_string(),
                batch.parents_in_words(),
            ]);
        }
        sheet
    }
}
