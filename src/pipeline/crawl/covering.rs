//! Which of the catalog's crawls covers a window (§8). Pure: reports in, a judgement out.
//!
//! Two kinds of evidence count. A crawl that this process was allowed to start after the window's batches were adopted
//! covers, whatever any clock says; it is told from others by not having been there when the catalog was looked at just
//! before. Any other crawl covers only if it began late enough by the catalog's clock. The ledger's clock is no evidence:
//! nothing keeps it together with the catalog's.

use chrono::{DateTime, SecondsFormat, TimeDelta};
use sluicegate_state::Timestamp;

use crate::ports::catalog::{CrawlProgress, CrawlReport};

/// Two answers may round the beginning of one crawl differently.
const ROUNDING: TimeDelta = TimeDelta::seconds(1);

/// What a crawl's name in the ledger begins with where the catalog gave it no id.
const STARTED: &str = "started ";

/// What a crawl is known by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mark {
    id: Option<String>,
    started_at: Option<Timestamp>,
}

impl Mark {
    pub(super) fn of(report: &CrawlReport) -> Self {
        Self { id: report.id.clone(), started_at: report.started_at }
    }

    /// Out of the ledger.
    pub(super) fn read(name: &str) -> Self {
        let started = name.strip_prefix(STARTED).and_then(|time| DateTime::parse_from_rfc3339(time).ok());
        match started {
            Some(started) => Self { id: None, started_at: Some(started.to_utc()) },
            None => Self { id: Some(name.to_owned()), started_at: None },
        }
    }

    /// For the ledger: the catalog's id, else when it began; none where the catalog tells neither.
    pub(super) fn name(&self) -> Option<String> {
        let started = |at: Timestamp| format!("{STARTED}{}", at.to_rfc3339_opts(SecondsFormat::Millis, true));
        self.id.clone().or_else(|| self.started_at.map(started))
    }

    /// Whether this is the crawl of `report`. Ids decide where both have one, beginnings elsewhere.
    pub(super) fn is(&self, report: &CrawlReport) -> bool {
        if let (Some(one), Some(two)) = (&self.id, &report.id) {
            return one == two;
        }
        let both = self.started_at.zip(report.started_at);
        both.is_some_and(|(one, two)| (one - two).abs() <= ROUNDING)
    }
}

/// What a look at the catalog found, where no start of this process was accepted.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found<'a> {
    /// Nothing that covers, and nothing that runs: a crawl can be started.
    Nothing,
    /// A crawl that does not cover, as far as anybody can tell now; it is waited out.
    Busy,
    /// This one covers, or would have.
    Covers(&'a CrawlReport),
}

/// What is known about a window when the catalog is looked at.
#[derive(Debug)]
pub(super) struct Search<'a> {
    /// The crawl that the open attempt follows.
    pub(super) follows: Option<&'a Mark>,
    /// Crawls with which other attempts have ended.
    pub(super) accounted: &'a [Mark],
    /// Whether the open attempt may have asked for a crawl, so that one that failed can be its own.
    pub(super) asked: bool,
    /// A crawl that began then or later covers.
    pub(super) covers_from: Option<Timestamp>,
}

impl Search<'_> {
    /// Whether one of `reports` can cover by the time it began, so that `covers_from` is needed.
    pub(super) fn depends_on_time(&self, reports: &[CrawlReport]) -> bool {
        self.followed(reports).is_none() && reports.iter().any(|report| self.is_open(report))
    }

    fn followed<'a>(&self, reports: &'a [CrawlReport]) -> Option<&'a CrawlReport> {
        let follows = self.follows?;
        reports.iter().find(|report| follows.is(report))
    }

    fn is_open(&self, report: &CrawlReport) -> bool {
        report.started_at.is_some() && !self.accounted.iter().any(|mark| mark.is(report))
    }

    pub(super) fn look<'a>(&self, reports: &'a [CrawlReport]) -> Found<'a> {
        if let Some(report) = self.followed(reports) {
            return Found::Covers(report);
        }
        let late_enough =
            |report: &&CrawlReport| self.covers_from.is_some_and(|from| report.started_at >= Some(from));
        let candidates: Vec<_> =
            reports.iter().filter(|report| self.is_open(report)).filter(late_enough).collect();
        let newest = |progress| candidates.iter().rev().find(|report| report.progress == progress);
        let found = newest(CrawlProgress::Succeeded)
            .or_else(|| newest(CrawlProgress::Running))
            .or_else(|| newest(CrawlProgress::Failed).filter(|_| self.asked));
        if let Some(report) = found {
            return Found::Covers(report);
        }
        let busy = reports.iter().any(|report| report.progress == CrawlProgress::Running);
        if busy { Found::Busy } else { Found::Nothing }
    }
}

/// A start that was accepted: what was there before it, and what has been seen of it.
#[derive(Debug)]
pub(super) struct Accepted {
    before: Vec<CrawlReport>,
    mark: Option<Mark>,
    seen_running: bool,
}

/// How far the crawl is whose start was accepted.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Followed<'a> {
    /// It runs; the report where the catalog tells of it by name.
    Running(Option<&'a CrawlReport>),
    /// Nothing shows it yet.
    NotSeen,
    /// It has ended.
    Ended(&'a CrawlReport),
    /// It was seen running, runs no more, and the catalog tells nothing of any crawl.
    EndedSilently,
    /// Long after its start nothing shows it.
    Vanished,
}

impl Accepted {
    /// `before` is what the catalog told just before the start.
    pub(super) fn after(before: Vec<CrawlReport>) -> Self {
        Self { before, mark: None, seen_running: false }
    }

    /// `overdue`: nothing has been seen of it for longer than a catalog takes to tell.
    pub(super) fn follow<'a>(&mut self, reports: &'a [CrawlReport], overdue: bool) -> Followed<'a> {
        if let Some(report) = self.find(reports) {
            self.mark = Some(Mark::of(report));
            self.seen_running |= report.progress == CrawlProgress::Running;
            return match report.progress {
                CrawlProgress::Running => Followed::Running(Some(report)),
                _ => Followed::Ended(report),
            };
        }
        if reports.iter().any(|report| report.progress == CrawlProgress::Running) {
            self.seen_running = true;
            return Followed::Running(None);
        }
        // A catalog that does not tell when its last crawl began: that one is ours if ours must have ended.
        let nameless = reports.iter().find(|report| report.started_at.is_none());
        match nameless {
            Some(report) if self.seen_running || overdue || self.before.is_empty() => Followed::Ended(report),
            _ if !overdue => Followed::NotSeen,
            _ if self.seen_running && reports.is_empty() => Followed::EndedSilently,
            _ => Followed::Vanished,
        }
    }

    /// The crawl by its mark, else the newest that was not there before the start and did not begin before what was.
    fn find<'a>(&self, reports: &'a [CrawlReport]) -> Option<&'a CrawlReport> {
        if let Some(mark) = &self.mark
            && let Some(report) = reports.iter().find(|report| mark.is(report))
        {
            return Some(report);
        }
        let newest_before = self.before.iter().filter_map(|report| report.started_at).max();
        let is_new = |report: &&CrawlReport| {
            let known = self.before.iter().any(|before| Mark::of(before).is(report));
            let late = report
                .started_at
                .is_some_and(|at| newest_before.is_none_or(|newest| at >= newest - ROUNDING));
            late && !known
        };
        reports.iter().filter(is_new).max_by_key(|report| report.started_at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: u32) -> Timestamp {
        DateTime::parse_from_rfc3339(&format!("2026-03-01T10:00:{second:02}Z")).unwrap().to_utc()
    }

    fn crawl(id: &str, began: Option<u32>, progress: CrawlProgress) -> CrawlReport {
        let id = Some(id.to_owned()).filter(|id| !id.is_empty());
        CrawlReport { id, progress, started_at: began.map(at), finished_at: None, message: None }
    }

    use CrawlProgress::{Failed, Running, Succeeded};

    fn search<'a>(accounted: &'a [Mark], asked: bool) -> Search<'a> {
        Search { follows: None, accounted, asked, covers_from: Some(at(10)) }
    }

    #[test]
    fn a_crawl_that_began_late_enough_covers_and_an_earlier_one_is_waited_out() {
        let open = search(&[], false);
        let early = [crawl("a", Some(9), Running)];
        assert_eq!(open.look(&early), Found::Busy);
        let ended = [crawl("a", Some(9), Succeeded)];
        assert_eq!(open.look(&ended), Found::Nothing);
        let late = [crawl("a", Some(9), Succeeded), crawl("b", Some(10), Running)];
        assert_eq!(open.look(&late), Found::Covers(&late[1]));
        let unknown = Search { covers_from: None, ..search(&[], false) };
        assert_eq!(unknown.look(&late), Found::Busy);
    }

    #[test]
    fn a_running_crawl_that_tells_no_beginning_is_waited_out() {
        let running = [crawl("", None, Running)];
        assert_eq!(search(&[], true).look(&running), Found::Busy);
        assert!(!search(&[], true).depends_on_time(&running));
    }

    #[test]
    fn a_failed_crawl_counts_only_for_who_may_have_asked_for_it() {
        let failed = [crawl("a", Some(20), Failed)];
        assert_eq!(search(&[], false).look(&failed), Found::Nothing);
        assert_eq!(search(&[], true).look(&failed), Found::Covers(&failed[0]));
        let both = [crawl("a", Some(20), Failed), crawl("b", Some(30), Running)];
        assert_eq!(search(&[], true).look(&both), Found::Covers(&both[1]));
    }

    #[test]
    fn a_crawl_of_another_attempt_never_counts_again() {
        let reports = [crawl("a", Some(20), Failed), crawl("", Some(25), Succeeded)];
        let accounted = [Mark::read("a"), Mark::read("started 2026-03-01T10:00:25.400Z")];
        assert_eq!(search(&accounted, true).look(&reports), Found::Nothing);
        assert!(!search(&accounted, true).depends_on_time(&reports));
    }

    #[test]
    fn the_crawl_that_is_followed_counts_whenever_it_began() {
        let reports = [crawl("a", Some(1), Running), crawl("b", Some(2), Running)];
        let mark = Mark::read("a");
        let follows = Search { follows: Some(&mark), ..search(&[], true) };
        assert!(!follows.depends_on_time(&reports));
        assert_eq!(follows.look(&reports), Found::Covers(&reports[0]));
    }

    #[test]
    fn an_accepted_start_is_told_from_what_was_there_before() {
        let before = [crawl("a", Some(5), Succeeded)];
        let mut accepted = Accepted::after(before.to_vec());
        assert_eq!(accepted.follow(&before, false), Followed::NotSeen);
        // An older one that shows late is none of ours, and the clock may say what it likes about ours.
        let late = [crawl("0", Some(1), Succeeded), before[0].clone()];
        assert_eq!(accepted.follow(&late, false), Followed::NotSeen);
        let ours = [before[0].clone(), crawl("b", Some(6), Running)];
        assert_eq!(accepted.follow(&ours, false), Followed::Running(Some(&ours[1])));
        // From now on it is known by name, and what comes after it is another's.
        let ended = [crawl("b", Some(6), Succeeded), crawl("c", Some(9), Failed)];
        assert_eq!(accepted.follow(&ended, false), Followed::Ended(&ended[0]));
    }

    #[test]
    fn a_start_of_which_nothing_ever_shows_came_to_nothing() {
        let before = [crawl("a", Some(5), Succeeded)];
        let mut accepted = Accepted::after(before.to_vec());
        assert_eq!(accepted.follow(&before, true), Followed::Vanished);
        assert_eq!(Accepted::after(Vec::new()).follow(&[], false), Followed::NotSeen);
    }

    #[test]
    fn a_catalog_that_tells_little_is_believed_what_it_tells() {
        let (running, done) = ([crawl("", None, Running)], [crawl("", None, Succeeded)]);
        let mut first = Accepted::after(Vec::new());
        assert_eq!(first.follow(&running, false), Followed::Running(None));
        assert_eq!(first.follow(&done, false), Followed::Ended(&done[0]));
        // The last crawl looks the same before and after: only that it was seen running tells them apart.
        let mut second = Accepted::after(done.to_vec());
        assert_eq!(second.follow(&done, false), Followed::NotSeen);
        assert_eq!(second.follow(&running, false), Followed::Running(None));
        assert_eq!(second.follow(&done, false), Followed::Ended(&done[0]));
        let mut silent = Accepted::after(Vec::new());
        silent.follow(&running, false);
        assert_eq!(silent.follow(&[], false), Followed::NotSeen);
        assert_eq!(silent.follow(&[], true), Followed::EndedSilently);
    }

    #[test]
    fn a_mark_survives_the_ledger() {
        for report in [crawl("a", Some(5), Failed), crawl("", Some(5), Failed)] {
            let mark = Mark::of(&report);
            assert!(Mark::read(&mark.name().unwrap()).is(&report), "{mark:?}");
        }
        assert_eq!(Mark::of(&crawl("", None, Failed)).name(), None);
    }
}
