//! `try --archive`: what the job file as it is now would make of the originals in the archive, against what became of them.
//! Loads nothing, writes nothing; one document at a time is in memory.

use std::collections::BTreeMap;
use std::io::{BufReader, IsTerminal, Read, Seek};
use std::sync::Arc;

use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::archive::{ArchiveReader, object_key};
use crate::config::Config;
use crate::failure::Failure;
use crate::job::Job;
use crate::pipeline::context::Context;
use crate::pipeline::documents::archive_failure;
use crate::pipeline::handover::spool;
use crate::ports::clock::{Clock, SystemClock};
use crate::ports::decisions::{Decision, DecisionQuery};
use crate::ports::warehouse::{DocumentOutcome, Warehouse};
use crate::transform::{Definition, Stopped};

use super::args::{Flags, Format};
use super::exit::{Exit, Stop};
use super::output::{Sheet, counted, print, print_json};
use super::replay::parts;
use super::replay_args::Since;

/// Decisions that are read from the ledger at a time.
const PAGE: u32 = 1_000;
/// Changes that are kept, and in the table shown; the others are counted.
const KEPT: usize = 10_000;
const SHOWN: usize = 40;
/// Whoever ended so was read, by the definition of that time.
const TRIED: [DocumentOutcome; 6] = [
    DocumentOutcome::Loaded,
    DocumentOutcome::Rejected,
    DocumentOutcome::Duplicate,
    DocumentOutcome::Conflict,
    DocumentOutcome::Superseded,
    DocumentOutcome::Abandoned,
];

/// What one definition makes of one document.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Made {
    /// Rows, by a hash of them.
    Rows(String),
    /// None, and why.
    Rejected(String),
}

/// A document that would end otherwise.
#[derive(Debug, Serialize)]
struct Change {
    key: String,
    batch_id: String,
    before: String,
    after: String,
    reason: String,
}

/// All that was tried.
#[derive(Debug, Default, Serialize)]
struct Trial {
    job: String,
    documents: u64,
    unchanged: u64,
    /// How many documents change so: `before → after`.
    changes: BTreeMap<String, u64>,
    changed: Vec<Change>,
    /// Changes beyond those.
    more: u64,
    /// Batches whose archive object is gone.
    archives_gone: u64,
    #[serde(skip)]
    worse: bool,
}

/// `sluicegate try --archive`.
pub(super) fn try_archive(
    flags: &Flags,
    config: &Config,
    job: &Job,
    since: Option<Since>,
) -> Result<Exit, Stop> {
    let clock = Arc::new(SystemClock);
    let since = since.map(|since| since.at(clock.now()));
    let parts = parts(config, clock, "reader")?;
    let mut warehouse = parts.warehouse("trying what is in the archive")?;
    let mut trial = Trial { job: job.name.clone(), ..Trial::default() };
    let mut definitions = Definitions { job, known: BTreeMap::new() };
    let mut after: Option<(String, u32)> = None;
    loop {
        let query = DecisionQuery {
            job: &job.name,
            outcomes: &TRIED,
            since,
            history: false,
            after: after.as_ref().map(|(batch, ordinal)| (batch.as_str(), *ordinal)),
            limit: PAGE,
        };
        let page = warehouse.decisions().decided(&query)?;
        let Some(last) = page.last() else { break };
        after = Some((last.batch_id.clone(), last.ordinal));
        for decisions in page.chunk_by(|one, other| one.batch_id == other.batch_id) {
            try_batch(&parts.context, warehouse.as_mut(), &mut definitions, decisions, &mut trial)?;
            if std::io::stderr().is_terminal() {
                eprint!("\r{} tried", counted(trial.documents, "document", "documents"));
            }
        }
    }
    if std::io::stderr().is_terminal() {
        eprintln!();
    }
    match flags.output {
        Format::Json => print_json(&trial)?,
        Format::Table => print(&text(&trial))?,
    }
    Ok(if trial.worse || trial.archives_gone > 0 { Exit::NeedsPerson } else { Exit::Fine })
}

/// The definitions that batches were loaded under; none where it is the one of today.
struct Definitions<'a> {
    job: &'a Job,
    known: BTreeMap<String, Option<Definition>>,
}

impl Definitions<'_> {
    /// Of one batch.
    fn of(&mut self, warehouse: &mut dyn Warehouse, batch_id: &str) -> Result<Option<&Definition>, Stop> {
        let loaded = warehouse.loaded_batch(batch_id)?.ok_or_else(|| {
            Stop::failed(format!("the ledger decided in batch {batch_id} and does not know it"))
        })?;
        let hash = loaded.definition_hash;
        if !self.known.contains_key(&hash) {
            let same = hash == self.job.hash;
            let old = (!same).then(|| Definition::from_text(&loaded.definition_text)).transpose()?;
            self.known.insert(hash.clone(), old);
        }
        Ok(self.known[&hash].as_ref())
    }
}

fn try_batch(
    context: &Context,
    warehouse: &mut dyn Warehouse,
    definitions: &mut Definitions<'_>,
    decisions: &[Decision],
    trial: &mut Trial,
) -> Result<(), Stop> {
    let (job, batch_id) = (definitions.job, &decisions[0].batch_id);
    let count = decisions.iter().filter(|decision| decision.archived).count() as u64;
    let Some(old) = definitions.of(warehouse, batch_id)? else {
        // The same definition makes the same of the same bytes.
        trial.documents += count;
        trial.unchanged += count;
        return Ok(());
    };
    let key = object_key(&job.name, batch_id);
    let Some(fetched) = context.archive.get(&key)? else {
        trial.archives_gone += 1;
        return Ok(());
    };
    let damaged = |error| archive_failure(error).while_doing(&key);
    let mut reader = ArchiveReader::new(BufReader::new(fetched.body)).map_err(damaged)?;
    while let Some(mut member) = reader.next_member().map_err(damaged)? {
        let ordinal = member.ordinal();
        let Some(decision) = decisions.iter().find(|decision| decision.ordinal == ordinal) else { continue };
        let mut file = spool(&context.spool);
        let unreadable = |error| Failure::transient(format!("reading {key} broke off: {error}"));
        std::io::copy(&mut member, &mut file).map_err(unreadable)?;
        let before = make(old, &mut file)?;
        let now = make(&job.definition, &mut file)?;
        trial.add(decision, &before, &now);
    }
    Ok(())
}

/// What a definition makes of a document.
fn make(definition: &Definition, file: &mut (impl Read + Seek)) -> Result<Made, Stop> {
    let unreadable = |error| Stop::failed(format!("cannot read the spool: {error}"));
    file.rewind().map_err(unreadable)?;
    let tables = definition.schema().tables.len();
    let mut hasher = Sha256::new();
    let made = definition.transform(&mut BufReader::new(file), &mut |record| {
        for table in 0..tables {
            for row in record.rows(table) {
                hasher.update([0, u8::try_from(table).unwrap_or(u8::MAX)]);
                for value in row.values() {
                    hasher.update((value.len() as u64).to_be_bytes());
                    hasher.update(value);
                }
            }
        }
        Ok::<(), std::convert::Infallible>(())
    });
    match made {
        Ok(_) => Ok(Made::Rows(hex::encode(hasher.finalize()))),
        Err(Stopped::Rejected(reject)) => {
            let line = reject.line.map_or_else(String::new, |line| format!("line {line}: "));
            Ok(Made::Rejected(format!("{line}{}", reject.reason)))
        }
        Err(Stopped::Read(error)) => Err(unreadable(error)),
        Err(Stopped::Sink(never)) => match never {},
    }
}

impl Trial {
    fn add(&mut self, decision: &Decision, before: &Made, now: &Made) {
        self.documents += 1;
        let (after, reason) = match (before, now) {
            (before, now) if before == now => {
                self.unchanged += 1;
                return;
            }
            (_, Made::Rejected(reason)) => ("rejected", reason.clone()),
            (Made::Rejected(_), Made::Rows(_)) => ("read", String::new()),
            (Made::Rows(_), Made::Rows(_)) => ("read otherwise", "other values or rows".to_owned()),
        };
        self.worse |= matches!(before, Made::Rows(_));
        *self.changes.entry(format!("{} → {after}", decision.outcome)).or_default() += 1;
        if self.changed.len() >= KEPT {
            self.more += 1;
            return;
        }
        self.changed.push(Change {
            key: decision.key.clone(),
            batch_id: decision.batch_id.clone(),
            before: decision.outcome.clone(),
            after: after.to_owned(),
            reason,
        });
    }
}

fn text(trial: &Trial) -> String {
    let mut text = format!(
        "{} of job {} tried, {} unchanged\n",
        counted(trial.documents, "document", "documents"),
        trial.job,
        trial.unchanged
    );
    for (change, count) in &trial.changes {
        text.push_str(&format!("{count:>9}  {change}\n"));
    }
    if trial.archives_gone > 0 {
        text.push_str(&format!(
            "{} gone\n",
            counted(trial.archives_gone, "archive object is", "archive objects are")
        ));
    }
    if trial.changed.is_empty() {
        return text;
    }
    let mut sheet = Sheet::new(&["document", "before", "after", "reason"]);
    for change in trial.changed.iter().take(SHOWN) {
        sheet.row([&change.key, &change.before, &change.after, &change.reason]);
    }
    text.push_str(&format!("\n{}", sheet.text()));
    let more = trial.changed.len().saturating_sub(SHOWN) as u64 + trial.more;
    if more > 0 {
        text.push_str(&format!("… and {more} more; --output json shows up to {KEPT}\n"));
    }
    text
}
