//! `reconcile --ledger-behind`: shows which loads a database restored to the past has lost, asks, and enters them again.

use std::sync::Arc;

use serde_json::{Value, json};
use sluicegate_state::{DrainerLock, Store};

use crate::pipeline::context::Context;
use crate::pipeline::ledger::{forgotten_load, same_ledger, unfinished_reentry};
use crate::ports::warehouse::Warehouse;
use crate::reconcile::behind::enter::enter;
use crate::reconcile::behind::look::{HeldObject, LostLoad, look};
use crate::reconcile::mend::Person;

use super::super::args::{Flags, Format, ReconcileOptions};
use super::super::exit::{Exit, Stop};
use super::super::output::{Sheet, counted, print, print_json};
use super::super::replay::agreed;
use super::super::session::host;

/// What no archive can bring back.
const NOT_KNOWN: &str = "What people did by hand since the backup cannot be known any more: accepted discrepancies, restored \
                         rows, abandoned batches, holds and releases. Look through it, and do it again where it still \
                         counts; so are crawls and reports of that time, which the next window and this report replace.";

/// How it went.
pub(super) enum Went {
    /// The report follows.
    On {
        /// Loads that could not be entered.
        refused: usize,
    },
    /// Nothing more is to be done.
    Ended(Exit),
}

/// What is missing, as it is shown.
struct Missing {
    location: String,
    newest: Option<String>,
    interrupted: Option<String>,
    loads: Vec<LostLoad>,
}

/// Shows, asks, enters.
pub(super) fn mend(
    flags: &Flags,
    options: &ReconcileOptions,
    context: &Arc<Context>,
    store: &mut Store,
    warehouse: &mut Box<dyn Warehouse>,
    person: &Person,
) -> Result<Went, Stop> {
    same_ledger(store, warehouse.as_mut())?;
    let _lock = match options.dry_run {
        true => None,
        false => Some(lock(context)?),
    };
    let missing = Missing {
        location: warehouse.location(),
        newest: forgotten_load(store, warehouse.as_mut())?,
        interrupted: unfinished_reentry(store)?,
        loads: look(context, store, warehouse.as_mut())?,
    };
    if options.dry_run {
        match flags.output {
            Format::Json => print_json(&missing.json())?,
            Format::Table => print(&missing.text())?,
        }
        return Ok(Went::Ended(Exit::Fine));
    }
    eprint!("{}", missing.text());
    if !missing.loads.is_empty() && !options.yes && !agreed(None, "Enter them again?")? {
        eprintln!("sluicegate: nothing was done");
        return Ok(Went::Ended(Exit::Failed));
    }
    let entered = enter(context, store, warehouse, &missing.loads, person)?;
    if !entered.entered.is_empty() {
        eprintln!(
            "sluicegate: {} again",
            counted(entered.entered.len() as u64, "load entered", "loads entered")
        );
    }
    for (batch_id, why) in &entered.refused {
        eprintln!("sluicegate: not entered: {batch_id}: {why}");
    }
    Ok(Went::On { refused: entered.refused.len() })
}

/// A drainer of this state folder would look at states that are not true at this moment.
fn lock(context: &Context) -> Result<DrainerLock, Stop> {
    let holder = format!("process {} on {}, entering lost loads again", std::process::id(), host());
    DrainerLock::acquire(&context.state, &holder)?
        .map_err(|holder| Stop::failed(format!("{holder} works on this state folder: stop it first")))
}

impl Missing {
    fn json(&self) -> Value {
        let documents: u64 = self.loads.iter().map(|load| load.documents).sum();
        let rows: u64 = self.loads.iter().map(LostLoad::rows).sum();
        json!({
            "warehouse": self.location,
            "newest_unknown": self.newest,
            "interrupted_since": self.interrupted,
            "documents": documents,
            "rows": rows,
            "loads": self.loads,
        })
    }

    fn text(&self) -> String {
        let mut text = String::new();
        if let Some(newest) = &self.newest {
            text.push_str(&format!(
                "{} was restored to the past: it does not know batch {newest}, which this machine loaded.\n",
                self.location
            ));
        }
        if let Some(since) = &self.interrupted {
            text.push_str(&format!("Lost loads were being entered again since {since}; the rest follows.\n"));
        }
        if self.loads.is_empty() {
            text.push_str("No load is missing that state, archive and CSV objects know of.\n");
            return text;
        }
        let documents: u64 = self.loads.iter().map(|load| load.documents).sum();
        text.push_str(&format!(
            "{} with {}:\n\n",
            counted(self.loads.len() as u64, "load is missing", "loads are missing"),
            counted(documents, "document", "documents")
        ));
        let mut sheet = Sheet::new(&["batch", "job", "here", "#documents", "#rows", "CSV objects hold"]);
        for load in &self.loads {
            let held: Vec<String> = load.objects.iter().map(in_words).collect();
            sheet.row([
                &load.batch_id,
                &load.job,
                load.state.unwrap_or("another machine's"),
                &load.documents.to_string(),
                &load.rows().to_string(),
                &held.join("; "),
            ]);
        }
        text.push_str(&sheet.text());
        text.push_str(&format!("\n{NOT_KNOWN}\n"));
        text
    }
}

fn in_words(object: &HeldObject) -> String {
    let Some(rows) = object.rows else { return format!("{}: not readable", object.table) };
    let sums: Vec<String> = object.sums.iter().map(|(column, sum)| format!("{column} {sum}")).collect();
    let with = if sums.is_empty() { String::new() } else { format!(" ({})", sums.join(", ")) };
    format!("{}: {}{with}", object.table, counted(rows, "row", "rows"))
}
