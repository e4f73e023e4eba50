//! The words of the command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use super::exit::Stop;
use super::replay_args::{AbandonOptions, HoldOptions, RejectsOptions, ReplayOptions, TryOptions};

/// Documents out of a landing bucket, exactly once, into a warehouse, CSV objects and a query engine.
#[derive(Debug, Parser)]
#[command(name = "sluicegate", version, propagate_version = true, disable_help_subcommand = true)]
#[command(
    after_help = "Exit status: 0 fine; 1 failed, or could not finish now; 2 usage, configuration or wrong ledger; \
                        3 done, but something needs a person."
)]
pub(super) struct Flags {
    /// The configuration file; else $SLUICEGATE_CONFIG, ./sluicegate.toml, /etc/sluicegate/sluicegate.toml
    #[arg(long, global = true, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,

    /// How data is printed
    #[arg(long = "output", global = true, value_enum, default_value_t = Word::Table, value_name = "FORMAT")]
    word: Word,

    /// The same, for the commands that know no other formats
    #[arg(skip)]
    pub(super) output: Format,

    /// More about what happens, on stderr; twice for details
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(super) verbose: u8,

    #[command(subcommand)]
    pub(super) command: Command,
}

/// The formats that the command line knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Word {
    /// For people
    Table,
    /// One JSON object
    Json,
    /// One line a document, to be sent on; `jobs rejects` alone
    Csv,
}

/// How data is printed on stdout.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Format {
    /// For people
    #[default]
    Table,
    /// One JSON object
    Json,
}

impl Flags {
    /// The words of the command line, with the format that the command understands.
    pub(super) fn settled(mut self) -> Result<Self, Stop> {
        self.output = match self.word {
            Word::Json => Format::Json,
            Word::Table => Format::Table,
            Word::Csv if matches!(self.command, Command::Jobs(JobsCommand::Rejects(_))) => Format::Table,
            Word::Csv => return Err(Stop::usage("--output csv is for `jobs rejects`; say table or json")),
        };
        Ok(self)
    }

    /// Whether lines of CSV are asked for.
    pub(super) fn wants_csv(&self) -> bool {
        self.word == Word::Csv
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run the whole pipeline on embedded parts in var/demo, from invoice files to a query's answer
    Demo(DemoOptions),
    /// Journal notifications until told to stop; never touches the warehouse
    Listen,
    /// Seal, archive, load and publish what is there; end when nothing can be done now
    Drain(DrainOptions),
    /// `listen` and `drain --watch` in one process
    Run,
    /// What the jobs are doing
    #[command(subcommand)]
    Jobs(JobsCommand),
    /// The verdict, then backlog, batches, last crawl; each problem with its command
    Status,
    /// Prove that every document is in exactly one place, and mend what is not; 3 where something is out of place
    Reconcile(ReconcileOptions),
    /// Run SQL over the published CSV objects
    Query {
        /// One statement that reads; T is the typed newest-wins view of a table, T_csv its raw rows
        #[arg(required_unless_present = "named")]
        sql: Option<String>,

        /// Run a query of the job files, as NAME or JOB/NAME; without a name, list them
        #[arg(long, value_name = "NAME", num_args = 0..=1, conflicts_with = "sql")]
        named: Option<Option<String>>,
    },
    /// The tables, views and crawler that the jobs need: printed and compared with what is there
    Catalog {
        /// Make what is missing, and change what can be changed without harm; nothing is ever taken away
        #[arg(long)]
        apply: bool,
    },
    /// Try configuration, reachability and schema; each finding with what to do about it
    Check,
    /// What a document would become, or why not; loads nothing
    Try(TryOptions),
    /// Print the completions for a shell
    Completions {
        /// Which shell
        shell: Shell,
    },
}

#[derive(Debug, Args)]
pub(super) struct DemoOptions {
    /// Kill a drain N times, each over new documents, and print whether everything is there once
    #[arg(long, value_name = "N")]
    pub(super) kill: Option<u32>,

    /// The seed of the moments of the kills; else a fresh one, which is told
    #[arg(long, value_name = "SEED", requires = "kill")]
    pub(super) seed: Option<u64>,

    /// What `--kill` starts and kills: drains what the demo landed
    #[arg(long, hide = true, conflicts_with = "kill")]
    pub(super) go_on: bool,
}

#[derive(Debug, Args)]
pub(super) struct DrainOptions {
    /// Go on until told to stop
    #[arg(long)]
    pub(super) watch: bool,

    /// End the window now, once everything is published; recorded as early
    #[arg(long, conflicts_with = "watch")]
    pub(super) crawl: bool,

    /// How long to wait for a retry while nothing else moves, such as 30s, 5m, 1h
    #[arg(long, default_value = "5m", value_parser = parse_duration, value_name = "TIME")]
    pub(super) patience: Duration,
}

#[derive(Debug, Args)]
pub(super) struct ReconcileOptions {
    /// One day, such as 2026-11-20; else every day that is not closed, today, and closed days that have changed
    #[arg(long, value_name = "DAY")]
    pub(super) date: Option<chrono::NaiveDate>,

    /// Mend what is safe to mend: journal missed documents, write lost CSV objects again, have partitions registered
    /// again, take in what a machine left that is gone
    #[arg(long)]
    pub(super) repair: bool,

    /// Put the rows of this batch back that somebody deleted by hand
    #[arg(long, value_name = "BATCH")]
    pub(super) restore: Option<String>,

    /// The discrepancy with this id is a deliberate change, and counts no more
    #[arg(long, value_name = "ID", requires = "because")]
    pub(super) accept: Option<String>,

    /// The database was restored to the past: enter the loads again that it has lost, from the archive. Shows them and asks
    #[arg(long, requires = "because", conflicts_with_all = ["date", "repair", "restore", "accept"])]
    pub(super) ledger_behind: bool,

    /// With --ledger-behind: only show what would be entered again
    #[arg(long, requires = "ledger_behind", conflicts_with = "yes")]
    pub(super) dry_run: bool,

    /// With --ledger-behind: do not ask
    #[arg(long, requires = "ledger_behind")]
    pub(super) yes: bool,

    /// Why, in your own words; kept in the ledger
    #[arg(long, value_name = "TEXT")]
    pub(super) because: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(super) enum JobsCommand {
    /// One line a job; with JOB its batches, newest first
    List {
        /// The job
        job: Option<String>,
        /// Batches to show at the most
        #[arg(long, default_value_t = 50)]
        limit: usize,
    },
    /// Let parked batches go on from the state they failed in, or load again what was rejected
    Replay(ReplayOptions),
    /// What was turned away and why, grouped; with --output csv one line a document
    Rejects(RejectsOptions),
    /// Give up a parked batch: its documents end as abandoned
    Abandon(AbandonOptions),
    /// Stop loading the documents of a job, on every machine; they are still secured in the archive
    Hold(HoldOptions),
    /// Load them again
    Release(HoldOptions),
    /// A batch by the beginning of its id, or a document by its key: its whole story
    Show {
        /// Batch id (or its beginning), or document key
        id: String,
    },
}

pub(super) fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no time: write a number and ms, s, m or h, such as 5m");
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..digits].parse().map_err(|_| wrong())?;
    let milliseconds = match &text[digits..] {
        "ms" => 1,
        "s" | "" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(wrong()),
    };
    Ok(Duration::from_millis(number.saturating_mul(milliseconds)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        Flags::command().debug_assert();
    }

    #[test]
    fn durations_have_units() {
        assert_eq!(parse_duration("5m"), Ok(Duration::from_secs(300)));
        assert_eq!(parse_duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(parse_duration("7"), Ok(Duration::from_secs(7)));
        assert!(parse_duration("5 minutes").is_err());
        assert!(parse_duration("").is_err());
    }
}
