//! `jobs replay`: parked batches go on from the state they failed in; what was rejected, or whole batches, become new
//! batches under today's job file. What is to be done is found and printed by [`choice`], written down by [`begin`] in
//! state transactions that every later death is continued from, and brought to its end by [`finish`].

mod begin;
mod choice;
mod finish;

use std::io::{IsTerminal, Write};
use std::sync::Arc;

use crate::config::Config;
use crate::ports::clock::{Clock, SystemClock};

use super::args::{Flags, Format};
use super::exit::{Exit, Stop};
use super::output::{print, print_json};
use super::replay_args::ReplayOptions;
use super::seam::seam;
use super::session::Session;
use super::signals::stop_on_signal;

pub(super) use begin::{Parts, operation, operator, parts};
use choice::{Choice, choose};

/// `sluicegate jobs replay`.
pub(super) fn replay(flags: &Flags, config: &Config, options: &ReplayOptions) -> Result<Exit, Stop> {
    refuse_nonsense(options)?;
    let asked = stop_on_signal(Exit::Failed)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let choice = {
        let parts = begin::parts(config, clock.clone(), "reader")?;
        choose(&parts, options, clock.now())?
    };
    if options.dry_run {
        match flags.output {
            Format::Json => print_json(&choice.json())?,
            Format::Table => print(&choice.text())?,
        }
        return Ok(Exit::Fine);
    }
    if flags.output == Format::Table {
        print(&choice.text())?;
    }
    if choice.is_empty() {
        if flags.output == Format::Json {
            print_json(&choice.json())?;
        }
        return choice.nothing_to_do(options);
    }
    if choice.begins_something() && !options.yes && !confirmed(flags, &choice)? {
        return Err(Stop::failed("nothing was done"));
    }
    let mut session = Session::begin(config, seam(), clock.clone())?;
    let batches = begin::begin(config, &mut session, &choice, &clock)?;
    session.end(Exit::Fine)?;
    if options.no_wait {
        return finish::left_to_the_drain(flags, &choice, &batches);
    }
    finish::finish(flags, config, options, &choice, &batches, &asked)
}

fn refuse_nonsense(options: &ReplayOptions) -> Result<(), Stop> {
    let has_filter = options.reason.is_some() || options.since.is_some() || options.key.is_some();
    let wants_all_parked = options.state.is_some();
    let is_bounded =
        !options.ids.is_empty() || options.rejected || wants_all_parked || options.all && has_filter;
    if !is_bounded {
        return Err(Stop::usage(
            "say what to replay: batch ids, `latest`, --state failed for parked batches, or --rejected for documents; \
             --all needs batch ids or --since, --key or --reason. --dry-run shows what would be done",
        ));
    }
    if wants_all_parked && !options.ids.is_empty() {
        return Err(Stop::usage("name batches, or say --state failed; not both"));
    }
    Ok(())
}

/// Asks the person at the terminal; without one, nobody can answer.
fn confirmed(flags: &Flags, choice: &Choice) -> Result<bool, Stop> {
    let shown = (flags.output == Format::Json).then(|| choice.text());
    agreed(shown.as_deref(), "Replay this?")
}

/// Puts a question whose answer is no, unless it is yes. `shown` is what stdout has no place for.
///
/// # Errors
/// Where there is no terminal to ask at.
pub(super) fn agreed(shown: Option<&str>, question: &str) -> Result<bool, Stop> {
    if !std::io::stdin().is_terminal() {
        return Err(Stop::usage(
            "there is no terminal to ask at: say --yes, or --dry-run to see what would be done",
        ));
    }
    eprint!("{}\n{question} [y/N] ", shown.unwrap_or_default());
    std::io::stderr().flush().map_err(|error| Stop::failed(format!("cannot ask: {error}")))?;
    let mut answer = String::new();
    std::io::stdin()
        .read_line(&mut answer)
        .map_err(|error| Stop::failed(format!("cannot read the answer: {error}")))?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}
