//! `jobs show ID`: the whole story of a batch, or of a document.

use std::sync::Arc;

use chrono::SecondsFormat;
use serde::Serialize;
use sluicegate_state::{Attempt, Batch, JournalEntry, Store, TransitionRecord};

use crate::config::Config;
use crate::ports::clock::SystemClock;
use crate::ports::warehouse::{DocumentRow, VerdictRow, Warehouse};

use super::args::{Flags, Format};
use super::assemble::existing_warehouse;
use super::exit::{Exit, Stop};
use super::output::{Sheet, print, print_json, time};
use super::stored::{BatchLine, existing_store};

/// Verdicts of a batch that the table shows; JSON has them all.
const SHOWN_VERDICTS: usize = 40;

/// Something that happened, with its time.
#[derive(Serialize)]
struct Event {
    at: String,
    what: String,
}

#[derive(Serialize)]
struct BatchStory {
    #[serde(flatten)]
    batch: BatchLine,
    /// The batches whose documents this one replays.
    parents: Vec<String>,
    /// The batches that replay documents of this one.
    replayed_by: Vec<String>,
    history: Vec<Event>,
    verdicts: Vec<VerdictRow>,
}

#[derive(Serialize)]
struct Notified {
    job: String,
    bucket: String,
    version: String,
    sequencer: Option<String>,
    event: String,
    source: String,
    event_time: String,
    received_at: String,
    redeliveries: u64,
    state: String,
    batch_id: Option<String>,
    next_try_at: Option<String>,
    expires_at: Option<String>,
}

#[derive(Serialize)]
struct DocumentStory {
    key: String,
    notifications: Vec<Notified>,
    documents: Vec<DocumentRow>,
    history: Vec<Event>,
}

/// Shows what `id` names.
pub(super) fn show(flags: &Flags, config: &Config, id: &str) -> Result<Exit, Stop> {
    let store = existing_store(config)?;
    let mut warehouse = existing_warehouse(config, Arc::new(SystemClock))?;
    let batches = match &store {
        Some(store) if looks_like_batch(id) => store.batches_by_prefix(id, 20)?,
        _ => Vec::new(),
    };
    match (batches.as_slice(), &store) {
        ([batch], Some(store)) => return show_batch(flags, store, warehouse.as_deref_mut(), batch),
        ([_, _, ..], _) => {
            let ids: Vec<&str> = batches.iter().map(|batch| batch.batch_id.as_str()).collect();
            return Err(Stop::usage(format!("{id} begins more than one batch id: {}", ids.join(", "))));
        }
        _ => {}
    }
    let entries = match &store {
        Some(store) => store.notifications_for_key(id)?,
        None => Vec::new(),
    };
    let documents = match &mut warehouse {
        Some(warehouse) => warehouse.documents_by_key(id)?,
        None => Vec::new(),
    };
    if entries.is_empty() && documents.is_empty() {
        return Err(Stop::failed(format!(
            "neither a batch id begins with {id:?}, nor is there a document with that key"
        )));
    }
    show_document(flags, store.as_ref(), warehouse.as_deref_mut(), id, &entries, documents)
}

/// Batch ids begin with a date; keys that do so too are found when no batch is.
fn looks_like_batch(id: &str) -> bool {
    !id.is_empty() && id.starts_with(|c: char| c.is_ascii_digit())
}

fn show_batch(
    flags: &Flags,
    store: &Store,
    warehouse: Option<&mut (dyn Warehouse + 'static)>,
    batch: &Batch,
) -> Result<Exit, Stop> {
    let (verdicts, replayed_by) = match warehouse {
        Some(warehouse) => {
            (warehouse.verdicts(&batch.batch_id)?, warehouse.decisions().replays_of(&batch.batch_id)?)
        }
        None => Default::default(),
    };
    let story = BatchStory {
        batch: BatchLine::from(batch),
        parents: batch.parents.clone(),
        replayed_by,
        history: batch_history(store, batch)?,
        verdicts,
    };
    match flags.output {
        Format::Json => print_json(&story)?,
        Format::Table => print(&batch_text(batch, &story))?,
    }
    Ok(Exit::Fine)
}

fn batch_history(store: &Store, batch: &Batch) -> Result<Vec<Event>, Stop> {
    let mut events: Vec<(sluicegate_state::Timestamp, String)> = Vec::new();
    for transition in store.transitions(&batch.batch_id)? {
        events.push((transition.at, transition_words(&transition)));
    }
    for attempt in store.attempts(&batch.batch_id)? {
        events.extend(attempt_words(&attempt));
    }
    events.sort_by_key(|event| event.0);
    Ok(events
        .into_iter()
        .map(|(at, what)| Event { at: at.to_rfc3339_opts(SecondsFormat::Micros, true), what })
        .collect())
}

fn transition_words(transition: &TransitionRecord) -> String {
    match transition.from {
        None => format!("sealed: {}", transition.cause),
        Some(from) => format!("{from} → {}: {}", transition.to, transition.cause),
    }
}

/// Attempts that succeeded are told by their transitions.
fn attempt_words(attempt: &Attempt) -> Option<(sluicegate_state::Timestamp, String)> {
    use sluicegate_state::AttemptOutcome::{Running, Succeeded};
    if attempt.outcome == Succeeded {
        return None;
    }
    let error = attempt.error.as_ref().map_or_else(String::new, |error| format!(": {error}"));
    let at = if attempt.outcome == Running {
        attempt.started_at
    } else {
        attempt.ended_at.unwrap_or(attempt.started_at)
    };
    Some((at, format!("attempt to {} by {}: {}{error}", attempt.stage, attempt.incarnation, attempt.outcome)))
}

fn batch_text(batch: &Batch, story: &BatchStory) -> String {
    let mut text = format!(
        "batch      {}\njob        {}\nstate      {}\ndocuments  {}, {} bytes\n",
        batch.batch_id, batch.job, batch.state, batch.documents, batch.bytes
    );
    for (label, batches) in [("replays", &story.parents), ("children", &story.replayed_by)] {
        if !batches.is_empty() {
            text.push_str(&format!("{label:<10} {}\n", batches.join(", ")));
        }
    }
    if let Some(next) = batch.next_try_at {
        text.push_str(&format!("next try   {}\n", time(next)));
    }
    text.push_str(&history_text(&story.history));
    if story.verdicts.is_empty() {
        return text;
    }
    let mut sheet = Sheet::new(&["#member", "outcome", "#rows", "key", "reason"]);
    for verdict in story.verdicts.iter().take(SHOWN_VERDICTS) {
        sheet.row([
            verdict.ordinal.to_string(),
            verdict.outcome.clone(),
            verdict.rows.to_string(),
            verdict.key.clone(),
            verdict.reason.clone(),
        ]);
    }
    text.push_str(&format!("\n{}", sheet.text()));
    let more = story.verdicts.len().saturating_sub(SHOWN_VERDICTS);
    if more > 0 {
        text.push_str(&format!("… and {more} more; --output json shows all\n"));
    }
    text
}

fn history_text(history: &[Event]) -> String {
    let mut sheet = Sheet::new(&["when", "what"]);
    for event in history {
        sheet.row([&event.at, &event.what]);
    }
    format!("\n{}", sheet.text())
}

fn notified(entry: &JournalEntry) -> Notified {
    let n = &entry.notification;
    Notified {
        job: n.job.clone(),
        bucket: n.bucket.clone(),
        version: n.version_id.clone().unwrap_or_else(|| n.etag.clone()),
        sequencer: n.sequencer.clone(),
        event: n.event_name.clone(),
        source: n.source.clone(),
        event_time: n.event_time.to_rfc3339_opts(SecondsFormat::Micros, true),
        received_at: entry.received_at.to_rfc3339_opts(SecondsFormat::Micros, true),
        redeliveries: entry.redeliveries,
        state: entry.state.to_string(),
        batch_id: entry.batch_id.clone(),
        next_try_at: entry.next_try_at.map(|at| at.to_rfc3339_opts(SecondsFormat::Micros, true)),
        expires_at: n.expires_at.map(|at| at.to_rfc3339_opts(SecondsFormat::Micros, true)),
    }
}

fn show_document(
    flags: &Flags,
    store: Option<&Store>,
    warehouse: Option<&mut (dyn Warehouse + 'static)>,
    key: &str,
    entries: &[JournalEntry],
    documents: Vec<DocumentRow>,
) -> Result<Exit, Stop> {
    let verdicts = match warehouse {
        Some(warehouse) => warehouse.verdicts_by_key(key)?,
        None => Vec::new(),
    };
    let history = document_history(store, entries, &verdicts)?;
    let notifications = entries.iter().map(notified).collect();
    let story = DocumentStory { key: key.to_owned(), notifications, documents, history };
    match flags.output {
        Format::Json => print_json(&story)?,
        Format::Table => print(&document_text(&story))?,
    }
    Ok(Exit::Fine)
}

fn document_history(
    store: Option<&Store>,
    entries: &[JournalEntry],
    verdicts: &[VerdictRow],
) -> Result<Vec<Event>, Stop> {
    let mut events = Vec::new();
    let mut batches: Vec<String> = Vec::new();
    for entry in entries {
        let n = &entry.notification;
        let size = n.size.map_or_else(String::new, |size| format!(", {size} bytes"));
        events.push((entry.received_at, format!("journaled: {} from {}{size}", n.event_name, n.source)));
        if let Some(at) = entry.last_redelivered_at {
            events.push((at, format!("redelivered, {} times in all", entry.redeliveries)));
        }
        if let Some(store) = store {
            let sealed = store.batches_of_notification(entry.notification_id)?;
            batches.extend(sealed.into_iter().map(|(batch_id, _)| batch_id));
        }
    }
    batches.extend(verdicts.iter().map(|verdict| verdict.batch_id.clone()));
    batches.sort();
    batches.dedup();
    for batch_id in &batches {
        let Some(store) = store else { break };
        for transition in store.transitions(batch_id)? {
            events.push((transition.at, format!("batch {batch_id} {}", transition_words(&transition))));
        }
        for attempt in store.attempts(batch_id)? {
            events.extend(attempt_words(&attempt).map(|(at, what)| (at, format!("batch {batch_id} {what}"))));
        }
    }
    for verdict in verdicts {
        let reason = if verdict.reason.is_empty() { String::new() } else { format!(": {}", verdict.reason) };
        let what = format!(
            "{} in batch {} as member {}, {} rows{reason}",
            verdict.outcome, verdict.batch_id, verdict.ordinal, verdict.rows
        );
        if let Ok(at) = sluicegate_state::time::from_text(&verdict.at) {
            events.push((at, what));
        }
    }
    events.sort_by_key(|event| event.0);
    Ok(events
        .into_iter()
        .map(|(at, what)| Event { at: at.to_rfc3339_opts(SecondsFormat::Micros, true), what })
        .collect())
}

fn document_text(story: &DocumentStory) -> String {
    let mut text = format!("document   {}\n", story.key);
    for document in &story.documents {
        text.push_str(&format!(
            "\nversion    {}\noutcome    {}\nlanded     {}\nrows       {}\nbatch      {}\n",
            document.version, document.outcome, document.landed_at, document.rows, document.batch_id
        ));
        if !document.reason.is_empty() {
            text.push_str(&format!("reason     {}\n", document.reason));
        }
        if let Some(offending) = document.text.as_ref().filter(|text| !text.is_empty()) {
            text.push_str(&format!("text       {offending}\n"));
        }
    }
    for notification in story.notifications.iter().filter(|n| n.state == "pending") {
        let next =
            notification.next_try_at.as_ref().map_or_else(String::new, |at| format!(", next try {at}"));
        text.push_str(&format!("\npending    {}{next}\n", notification.version));
    }
    text.push_str(&history_text(&story.history));
    text
}
