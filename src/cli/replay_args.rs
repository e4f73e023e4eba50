//! The words of the commands that do things again, or stop doing them.

use std::path::PathBuf;
use std::time::Duration;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use clap::Args;

use super::args::parse_duration;

/// What `jobs replay` is asked for.
#[derive(Debug, Args)]
pub(super) struct ReplayOptions {
    /// Batch ids, or their beginnings; `latest` is the newest
    pub(super) ids: Vec<String>,

    /// New batches of the documents that were rejected, read from the archive, under today's job file
    #[arg(long, conflicts_with = "all")]
    pub(super) rejected: bool,

    /// The same for whatever is in the archive: conflicts and abandoned documents too, and in a job that replaces what is loaded
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

/// What `jobs abandon` is asked for.
#[derive(Debug, Args)]
pub(super) struct AbandonOptions {
    /// The batch's id, or its beginning; or a document's key
    pub(super) id: String,

    /// Which version of that document: the beginning of what `jobs show` says
    #[arg(long, value_name = "VERSION")]
    pub(super) which: Option<String>,

    /// Why, in your own words; kept in the ledger
    #[arg(long, value_name = "TEXT")]
    pub(super) because: String,
}

/// What `jobs hold` and `jobs release` are asked for.
#[derive(Debug, Args)]
pub(super) struct HoldOptions {
    /// The job
    pub(super) job: String,

    /// Why, in your own words; kept in the ledger
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(super) because: String,
}

/// What `try` is asked for.
#[derive(Debug, Args)]
pub(super) struct TryOptions {
    /// The document
    #[arg(required_unless_present = "archive")]
    pub(super) file: Option<PathBuf>,

    /// The job that would read it; may be left out where there is only one
    #[arg(long)]
    pub(super) job: Option<String>,

    /// Instead of a file, everything that is in the archive: what would change under the job file as it is now
    #[arg(long, conflicts_with = "file")]
    pub(super) archive: bool,

    /// With --archive, only batches loaded since, such as 30d, 12h, 2026-11-01
    #[arg(long, value_name = "TIME", value_parser = Since::parse, requires = "archive")]
    pub(super) since: Option<Since>,
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
