//! The words of the command line.

use std::path::PathBuf;
use std::time::Duration;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use super::exit::Stop;

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
    Demo,
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
    Try {
        /// The document
        file: PathBuf,
        /// The job that would read it; may be left out where there is only one
        #[arg(long)]
        job: Option<String>,
    },
    /// Print the completions for a shell
    Completions {
        /// Which shell
        shell: Shell,
    },
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

/// What `jobs replay` is asked for.
#[derive(Debug, Args)]
pub(super) struct ReplayOptions {
    /// Batch ids, or their beginnings; `latest` is the newest
    pub(super) ids: Vec<String>,

    /// New batches of the documents that were rejected, read from the archive, under today's job file
    #[arg(long, conflicts_with = "all")]
    pub(super) rejected: bool,

    /// The same for whole batches; loaded documents are left alone unless the job says `replace`
    #[arg(long)]
    pub(super) all: bool,

    /// All batches in this state
    #[arg(long, value_name = "STATE", value_parser = ["failed"], conflicts_with_all = ["rejected", "all"])]
    pub(super) state: Option<String>,

    /// Only where the reason holds this text; with * or ? it stands for the whole reason
    #[arg(long, value_name = "TEXT")]
    pub(super) reason: Option<String>,

    /// Only what was decided since, such as 30d, 12h, 2026-11-01
    #[arg(long, value_name = "TIME", value_parser = Since::parse)]
    pub(super) since: Option<Since>,

    /// Only documents with such a key, such as 'acme/*.txt'
    #[arg(long, value_name = "GLOB")]
    pub(super) key: Option<String>,

    /// Only this job
    #[arg(long)]
    pub(super) job: Option<String>,

    /// Do not ask
    #[arg(short, long)]
    pub(super) yes: bool,

    /// Print what would be done, and do nothing
    #[arg(long)]
    pub(super) dry_run: bool,

    /// Leave the work to the next drain
    #[arg(long)]
    pub(super) no_wait: bool,

    /// How long to wait while nothing moves, such as 30s, 5m, 1h
    #[arg(long, default_value = "5m", value_parser = parse_duration, value_name = "TIME")]
    pub(super) patience: Duration,
}

/// What `jobs rejects` is asked for.
#[derive(Debug, Args)]
pub(super) struct RejectsOptions {
    /// Only this job
    #[arg(long)]
    pub(super) job: Option<String>,

    /// Only what was decided since, such as 30d, 12h, 2026-11-01
    #[arg(long, value_name = "TIME", value_parser = Since::parse)]
    pub(super) since: Option<Since>,

    /// Also what was decided otherwise later, such as by a replay
    #[arg(long)]
    pub(super) history: bool,
}

/// A time in the past, as people write it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Since {
    /// So long ago.
    Ago(TimeDelta),
    /// At this moment.
    At(DateTime<Utc>),
}

impl Since {
    /// Reads `30d`, `12h`, `15m`, a date (its first moment in UTC) or an RFC 3339 time.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let date = || text.parse::<NaiveDate>().ok()?.and_hms_opt(0, 0, 0).map(|at| at.and_utc());
        let moment = || DateTime::parse_from_rfc3339(text).ok().map(|at| at.with_timezone(&Utc));
        if let Some(at) = date().or_else(moment) {
            return Ok(Self::At(at));
        }
        let wrong = || format!("{text:?} is no time: write 30d, 12h, 2026-11-01 or 2026-11-01T09:00:00Z");
        let (number, unit) = text.split_at_checked(text.len().wrapping_sub(1)).ok_or_else(wrong)?;
        let number: i64 = number.parse().ok().filter(|number| *number >= 0).ok_or_else(wrong)?;
        let ago = match unit {
            "d" => TimeDelta::try_days(number),
            "h" => TimeDelta::try_hours(number),
            "m" => TimeDelta::try_minutes(number),
            _ => None,
        };
        ago.map(Self::Ago).ok_or_else(wrong)
    }

    /// When that was.
    pub(super) fn at(self, now: DateTime<Utc>) -> DateTime<Utc> {
        match self {
            Self::Ago(ago) => now.checked_sub_signed(ago).unwrap_or(DateTime::<Utc>::MIN_UTC),
            Self::At(at) => at,
        }
    }
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
    /// A batch by the beginning of its id, or a document by its key: its whole story
    Show {
        /// Batch id (or its beginning), or document key
        id: String,
    },
}

fn parse_duration(text: &str) -> Result<Duration, String> {
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
    fn a_time_in_the_past_is_a_span_a_date_or_a_moment() {
        let now: DateTime<Utc> = "2026-11-23T09:00:00Z".parse().unwrap();
        let at = |text: &str| Since::parse(text).map(|since| since.at(now).to_rfc3339());
        assert_eq!(at("2d").unwrap(), "2026-11-21T09:00:00+00:00");
        assert_eq!(at("90m").unwrap(), "2026-11-23T07:30:00+00:00");
        assert_eq!(at("2026-11-01").unwrap(), "2026-11-01T00:00:00+00:00");
        assert_eq!(at("2026-11-01T10:00:00+02:00").unwrap(), "2026-11-01T08:00:00+00:00");
        for wrong in ["", "d", "-1d", "3 days", "yesterday", "9999999999999999d", "é"] {
            assert!(Since::parse(wrong).is_err(), "{wrong:?}");
        }
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
