//! `jobs abandon KEY`: one document that put no row anywhere is given up.

use serde_json::json;

use crate::ports::proof::GivenUp;
use crate::ports::warehouse::{DocumentOutcome, DocumentRow};

use super::super::args::{Flags, Format};
use super::super::exit::{Exit, Stop};
use super::super::output::{print, print_json};
use super::super::replay::{Parts, operation, operator};
use super::super::replay_args::AbandonOptions;

/// Gives up the document that the options name; refused while anything else may still become of it.
pub(super) fn give_up(flags: &Flags, parts: &Parts, options: &AbandonOptions) -> Result<Exit, Stop> {
    let mut warehouse = parts.warehouse("abandoning")?;
    let mut documents = warehouse.documents_by_key(&options.id)?;
    if documents.is_empty() {
        return Err(undecided(parts, &options.id)?);
    }
    if let Some(version) = &options.which {
        documents.retain(|document| document.version.starts_with(version));
    }
    let document = chosen(&documents, &options.id)?;
    refuse_replayed(parts, document)?;
    let given_up = GivenUp {
        job: document.job.clone(),
        bucket: document.bucket.clone(),
        key: document.key.clone(),
        version: document.version.clone(),
        reason: format!("{} gave it up: {}", operator(), options.because),
    };
    let detail = json!({ "abandon_document": {
        "job": document.job, "key": document.key, "version": document.version, "was": document.outcome,
    }});
    if !warehouse.proof().give_up(&given_up, &operation(&options.because, &detail))? {
        return Err(Stop::failed(format!(
            "{:?} has another outcome by now; see: sluicegate jobs show",
            document.key
        )));
    }
    match flags.output {
        Format::Json => print_json(&json!({
            "key": document.key, "version": document.version, "was": document.outcome, "abandoned": 1,
        }))?,
        Format::Table => print(&format!("{}: 1 document is abandoned\n", document.key))?,
    }
    Ok(Exit::Fine)
}

/// Whether a document with this outcome can be given up: nothing of it is in the tables, and nobody gave it up.
fn can_be_given_up(document: &DocumentRow) -> bool {
    use DocumentOutcome::{Conflict, Expired, Missing, Rejected};
    let outcome = DocumentOutcome::from_word(&document.outcome);
    matches!(outcome, Some(Rejected | Conflict | Missing | Expired))
}

/// The only document that can be given up.
fn chosen<'d>(documents: &'d [DocumentRow], key: &str) -> Result<&'d DocumentRow, Stop> {
    let able: Vec<&DocumentRow> = documents.iter().filter(|document| can_be_given_up(document)).collect();
    match (able.as_slice(), documents) {
        ([one], _) => Ok(one),
        ([], []) => Err(Stop::failed(format!("no version of {key:?} begins so; see: sluicegate jobs show"))),
        ([], [first, ..]) => Err(Stop::failed(format!(
            "{key:?} is {}, by batch {}: {}",
            first.outcome,
            first.batch_id,
            match DocumentOutcome::from_word(&first.outcome) {
                Some(DocumentOutcome::Loaded) =>
                    "its rows are in the warehouse, and what is loaded cannot be abandoned",
                Some(DocumentOutcome::Abandoned) => "there is nothing left to do",
                _ => "its records are accounted for, so there is nothing to give up",
            }
        ))),
        (several, _) => {
            let versions: Vec<&str> = several.iter().map(|document| document.version.as_str()).collect();
            Err(Stop::usage(format!(
                "{key:?} has more than one version that can be given up; say which with --which: {}",
                versions.join(", ")
            )))
        }
    }
}

/// What no batch has decided about has no outcome to be changed; why, and what to do instead.
fn undecided(parts: &Parts, key: &str) -> Result<Stop, Stop> {
    let entries = parts.store.notifications_for_key(key)?;
    let Some(entry) = entries.last() else {
        return Ok(Stop::failed(format!(
            "neither a batch id begins with {key:?}, nor is there a document with that key"
        )));
    };
    Ok(Stop::failed(match &entry.batch_id {
        Some(batch) => format!(
            "{key:?} is in batch {batch}, which is not loaded yet, and a batch's members never change: let it load \
             (sluicegate drain), or if it is parked give up the whole batch: sluicegate jobs abandon {batch}"
        ),
        None => format!(
            "{key:?} waits for its batch: nothing is decided about it yet, and the next drain does; \
             if it cannot be read, its outcome comes when the landing has removed it"
        ),
    }))
}

/// A replay that is under way would bring the document back.
fn refuse_replayed(parts: &Parts, document: &DocumentRow) -> Result<(), Stop> {
    for batch in parts.store.unfinished_replays()?.iter().filter(|batch| batch.job == document.job) {
        let members = parts.store.members(&batch.batch_id)?;
        let is_it = |member: &sluicegate_state::Member| {
            member.key == document.key && member.bucket == document.bucket
        };
        if members.iter().any(is_it) {
            return Err(Stop::failed(format!(
                "batch {} is replaying {:?}: wait for it, or if it is parked: sluicegate jobs abandon {0}",
                batch.batch_id, document.key
            )));
        }
    }
    Ok(())
}
