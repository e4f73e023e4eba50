//! `jobs replay ID…`: parked batches go on from the state they failed in.

use std::sync::Arc;

use serde::Serialize;
use sluicegate_state::seam::Seam;
use sluicegate_state::{Batch, BatchEvent, BatchState, Moved};

use crate::config::Config;
use crate::ports::clock::{Clock, SystemClock};

use super::args::{Flags, Format};
use super::exit::{Exit, Stop};
use super::output::{Sheet, print, print_json};
use super::session::Session;
use super::stored::existing_store;

/// What became of one id.
#[derive(Serialize)]
struct Line {
    batch_id: String,
    replayed: bool,
    detail: String,
}

/// `sluicegate jobs replay ID…`.
pub(super) fn replay(flags: &Flags, config: &Config, ids: &[String]) -> Result<Exit, Stop> {
    let batches = find(config, ids)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let mut session = Session::begin(config, Seam::default(), clock.clone())?;
    let incarnation = session.incarnation().to_owned();
    let mut lines = Vec::new();
    for batch in &batches {
        let cause = "a person replays it";
        let store = session.store();
        let moved = store.apply(&batch.batch_id, BatchEvent::Resumed, cause, &incarnation, clock.now())?;
        let from = batch.failed_from.map_or_else(String::new, |state| state.to_string());
        let (replayed, detail) = match moved {
            Moved::Yes => (true, format!("goes on from {from} at the next drain")),
            Moved::AlreadyThere | Moved::Lost => (false, "is not parked any more".to_owned()),
        };
        lines.push(Line { batch_id: batch.batch_id.clone(), replayed, detail });
    }
    match flags.output {
        Format::Json => print_json(&serde_json::json!({ "batches": lines }))?,
        Format::Table => print(&table(&lines))?,
    }
    let exit = if lines.iter().all(|line| line.replayed) { Exit::Fine } else { Exit::NeedsPerson };
    session.end(exit)
}

/// Each id names one parked batch, or nothing is done.
fn find(config: &Config, ids: &[String]) -> Result<Vec<Batch>, Stop> {
    let store = existing_store(config)?;
    let store =
        store.ok_or_else(|| Stop::failed("nothing has been journaled yet, so there is nothing to replay"))?;
    let mut batches: Vec<Batch> = Vec::new();
    for id in ids {
        let mut found = store.batches_by_prefix(id, 2)?;
        let batch = match (found.pop(), found.pop()) {
            (Some(batch), None) => batch,
            (None, _) => return Err(Stop::failed(format!("no batch id begins with {id:?}"))),
            (Some(_), Some(_)) => return Err(Stop::usage(format!("{id} begins more than one batch id"))),
        };
        if batch.state != BatchState::Failed {
            let state = batch.state;
            let message =
                format!("{} is {state}, not parked: only failed batches are replayed", batch.batch_id);
            return Err(Stop::usage(message));
        }
        if !batches.iter().any(|other| other.batch_id == batch.batch_id) {
            batches.push(batch);
        }
    }
    Ok(batches)
}

fn table(lines: &[Line]) -> String {
    let mut sheet = Sheet::new(&["batch", "what"]);
    for line in lines {
        sheet.row([&line.batch_id, &line.detail]);
    }
    sheet.text()
}
