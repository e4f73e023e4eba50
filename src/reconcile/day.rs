//! One day put together: the balance, the lines of the places, the verdict, and the record of it.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use crate::ports::proof::Reconciliation;

use super::finding::Finding;
use super::flight::FlightDay;
use super::ledger::LedgerDay;
use super::model::{Acceptance, Attention, Balance, DayReport, Discrepancy, PlaceLine};

/// The places in the order of the report, with what is counted there.
pub(super) const PLACES: [(&str, &str); 7] = [
    ("landing", "documents"),
    ("ledger", "documents"),
    ("warehouse", "rows"),
    ("curated", "objects"),
    ("catalog", "partitions"),
    ("query", "rows"),
    ("archive", "objects"),
];

/// How much should be in each place, by day.
#[derive(Debug, Default)]
pub(super) struct Expectations(BTreeMap<(NaiveDate, &'static str), u64>);

impl Expectations {
    pub(super) fn add(&mut self, day: NaiveDate, place: &'static str, count: u64) {
        *self.0.entry((day, place)).or_default() += count;
    }

    pub(super) fn add_all(&mut self, place: &'static str, counts: BTreeMap<NaiveDate, u64>) {
        counts.into_iter().for_each(|(day, count)| self.add(day, place, count));
    }
}

/// What the record of a revision keeps.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Kept {
    balance: Balance,
    control: String,
    discrepancies: Vec<String>,
    accepted: Vec<String>,
    changes: Vec<String>,
}

/// Everything that one day is made of.
pub(super) struct DayParts<'a> {
    pub(super) job: &'a str,
    pub(super) day: NaiveDate,
    pub(super) ledger: Option<&'a LedgerDay>,
    pub(super) flight: FlightDay,
    pub(super) findings: Vec<Finding>,
    pub(super) expectations: &'a Expectations,
    pub(super) accepted: &'a BTreeMap<String, Acceptance>,
    pub(super) attention: Vec<Attention>,
    pub(super) last: Option<&'a Reconciliation>,
    /// The day is over, and no batch of it is on its way.
    pub(super) settled: bool,
    /// Places that could not be asked, with why.
    pub(super) unasked: &'a BTreeMap<&'static str, &'static str>,
}

impl DayParts<'_> {
    pub(super) fn report(self) -> DayReport {
        let unsettled =
            self.findings.iter().filter(|finding| finding.kind == super::finding::Kind::UnsettledDocument);
        let balance = balance(self.ledger, self.flight, unsettled.map(|finding| finding.count).sum());
        let places = self.places(&balance);
        // What is in no place has to be accepted itself; an acceptance of something else does not explain it.
        let mut is_explained = balance.difference == 0;
        let told = self.findings.into_iter().map(|finding| {
            let explains = finding.explains_difference();
            let mut told = finding.tell(self.job);
            told.accepted = self.accepted.get(&told.id).cloned();
            is_explained |= explains && told.accepted.is_some();
            told
        });
        let (accepted, discrepancies): (Vec<Discrepancy>, Vec<_>) =
            told.partition(|told| told.accepted.is_some());
        let balanced = discrepancies.is_empty() && is_explained;
        let away = balance.rejected
            + balance.conflict
            + balance.superseded
            + balance.missing
            + balance.expired
            + balance.abandoned;
        let control = self.ledger.map(LedgerDay::control).unwrap_or_default();
        let mut report = DayReport {
            job: self.job.to_owned(),
            day: self.day,
            balanced,
            closed: balanced && self.settled && balance.in_flight == 0,
            revision: 1,
            more_attention: away.saturating_sub(self.attention.len() as u64),
            balance,
            places,
            discrepancies,
            accepted,
            attention: self.attention,
            changes: Vec::new(),
            control,
        };
        if let Some(last) = self.last {
            report.changes = changes(last, &report);
            report.revision = last.revision + u32::from(!report.changes.is_empty());
        }
        report
    }

    fn places(&self, balance: &Balance) -> Vec<PlaceLine> {
        let line = |(place, unit): (&'static str, &'static str)| {
            let expected = match place {
                "ledger" => balance.received,
                "landing" => self.flight.listed,
                _ => self.expectations.0.get(&(self.day, place)).copied().unwrap_or(0),
            };
            let mut line = PlaceLine { place, unit, expected, ..PlaceLine::default() };
            line.unasked = self.unasked.get(place).copied();
            let mut other = 0;
            for finding in self.findings.iter().filter(|finding| is_about(finding, place)) {
                match finding.word() {
                    "lost" => line.lost += finding.count,
                    "duplicated" => line.duplicated += finding.count,
                    _ => line.unexpected += finding.count,
                }
                other += finding.count * u64::from(finding.replaces_what_was_expected());
            }
            line.ok = expected.saturating_sub(line.lost + other);
            line
        };
        PLACES.into_iter().map(line).collect()
    }
}

/// The journal has no line of its own: what it holds is under way to the ledger.
fn is_about(finding: &Finding, place: &str) -> bool {
    finding.place() == place || (place == "ledger" && finding.place() == "journal")
}

fn balance(ledger: Option<&LedgerDay>, flight: FlightDay, unsettled: u64) -> Balance {
    let of = |word: &str| ledger.and_then(|day| day.outcomes.get(word)).copied().unwrap_or(0);
    let decided: u64 = ledger.map_or(0, |day| day.outcomes.values().sum());
    let mut balance = Balance {
        // What the ledger has rows for, whatever they say, and what only journal, archive, landing or verdicts know.
        received: decided + flight.in_flight + flight.abandoned + flight.lost + flight.missed + unsettled,
        loaded: of("loaded"),
        rejected: of("rejected"),
        duplicate: of("duplicate"),
        conflict: of("conflict"),
        superseded: of("superseded"),
        missing: of("missing"),
        expired: of("expired"),
        abandoned: of("abandoned") + flight.abandoned,
        in_flight: flight.in_flight,
        difference: 0,
    };
    balance.close();
    balance
}

fn kept(report: &DayReport) -> Kept {
    let ids = |list: &[Discrepancy]| list.iter().map(|discrepancy| discrepancy.id.clone()).collect();
    Kept {
        balance: report.balance.clone(),
        control: report.control.clone(),
        discrepancies: ids(&report.discrepancies),
        accepted: ids(&report.accepted),
        changes: report.changes.clone(),
    }
}

/// The words of a verdict in the ledger.
fn verdict(balanced: bool) -> &'static str {
    if balanced { "balanced" } else { "unbalanced" }
}

/// What differs from the newest revision, in words; nothing where all is as it was.
fn changes(last: &Reconciliation, report: &DayReport) -> Vec<String> {
    let before: Kept = serde_json::from_str(&last.report).unwrap_or_default();
    let now = kept(report);
    let mut changes = Vec::new();
    if last.verdict != verdict(report.balanced) {
        changes.push(format!("{} before, {} now", last.verdict, verdict(report.balanced)));
    }
    if last.closed != report.closed {
        let word = |closed: bool| if closed { "closed" } else { "open" };
        changes.push(format!("{} before, {} now", word(last.closed), word(report.closed)));
    }
    let received = [("received", before.balance.received, now.balance.received)];
    let lines = before.balance.lines().into_iter().zip(now.balance.lines());
    let lines = lines.map(|((name, before), (_, now))| (name, before, now));
    for (name, before, now) in received.into_iter().chain(lines).filter(|(_, before, now)| before != now) {
        changes.push(format!("{name}: {before} before, {now} now"));
    }
    for id in now.discrepancies.iter().filter(|id| !before.discrepancies.contains(id)) {
        changes.push(format!("new: {id}"));
    }
    for id in before.discrepancies.iter().filter(|id| !now.discrepancies.contains(id)) {
        let how = if now.accepted.contains(id) { "accepted" } else { "mended" };
        changes.push(format!("{how}: {id}"));
    }
    if changes.is_empty() && before.control != now.control {
        changes.push("the rows in the tables are others than before".to_owned());
    }
    changes
}

/// What the ledger keeps of a day.
pub(super) fn record(report: &DayReport, at: &str) -> Reconciliation {
    Reconciliation {
        job: report.job.clone(),
        day: report.day,
        revision: report.revision,
        verdict: verdict(report.balanced).to_owned(),
        at: at.to_owned(),
        closed: report.closed,
        report: serde_json::to_string(&kept(report)).expect("counts and texts are always JSON"),
    }
}

/// Whether the day of a closed revision has changed since.
pub(super) fn has_changed(last: &Reconciliation, ledger: Option<&LedgerDay>) -> bool {
    let before: Kept = serde_json::from_str(&last.report).unwrap_or_default();
    before.control != ledger.map(LedgerDay::control).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reconcile::finding::Kind;

    fn day(
        findings: Vec<Finding>,
        flight: FlightDay,
        last: Option<&Reconciliation>,
        settled: bool,
    ) -> DayReport {
        let ledger = LedgerDay::with_outcomes([("loaded", 3), ("rejected", 1)]);
        let (expectations, accepted) = (Expectations::default(), BTreeMap::new());
        DayParts {
            job: "bills",
            day: "2026-11-20".parse().unwrap(),
            ledger: Some(&ledger),
            flight,
            findings,
            expectations: &expectations,
            accepted: &accepted,
            attention: Vec::new(),
            last,
            settled,
            unasked: &BTreeMap::new(),
        }
        .report()
    }

    #[test]
    fn rejects_and_work_under_way_are_no_imbalance() {
        let flight = FlightDay { in_flight: 2, ..FlightDay::default() };
        let report = day(Vec::new(), flight, None, true);
        assert!(report.balanced && !report.closed, "{report:?}");
        assert_eq!((report.balance.received, report.balance.difference), (6, 0));
    }

    #[test]
    fn a_document_that_nobody_knows_is_a_difference() {
        let flight = FlightDay { missed: 1, listed: 5, ..FlightDay::default() };
        let finding = Finding::new("2026-11-20".parse().unwrap(), Kind::MissedDocument, "a.txt", "missed");
        let report = day(vec![finding], flight, None, true);
        assert!(!report.balanced);
        assert_eq!((report.balance.received, report.balance.difference), (5, 1));
        let landing = &report.places[0];
        assert_eq!((landing.place, landing.expected, landing.ok, landing.lost), ("landing", 5, 4, 1));
    }

    #[test]
    fn an_acceptance_explains_no_difference_but_its_own() {
        let balances = |kind| {
            let date = "2026-11-20".parse().unwrap();
            let finding = Finding::new(date, kind, "a", "found");
            let acceptance =
                Acceptance { operator: "ann".into(), at: String::new(), reason: "a test".into() };
            let accepted = BTreeMap::from([(finding.clone().tell("bills").id, acceptance)]);
            let parts = DayParts {
                job: "bills",
                day: date,
                ledger: None,
                flight: FlightDay { lost: 1, ..FlightDay::default() },
                findings: vec![finding],
                expectations: &Expectations::default(),
                accepted: &accepted,
                attention: Vec::new(),
                last: None,
                settled: true,
                unasked: &BTreeMap::new(),
            };
            parts.report().balanced
        };
        assert!(balances(Kind::LostBatch));
        assert!(!balances(Kind::StrayObject));
    }

    #[test]
    fn the_same_again_is_the_same_revision_and_a_difference_a_new_one() {
        let first = day(Vec::new(), FlightDay::default(), None, true);
        assert!(first.closed);
        let kept = record(&first, "2026-11-21T00:00:00.000000Z");
        let second = day(Vec::new(), FlightDay::default(), Some(&kept), true);
        assert_eq!((second.revision, second.changes.len()), (1, 0));
        let flight = FlightDay { in_flight: 1, ..FlightDay::default() };
        let third = day(Vec::new(), flight, Some(&kept), true);
        assert_eq!(third.revision, 2);
        assert_eq!(
            third.changes,
            ["closed before, open now", "received: 4 before, 5 now", "in flight: 0 before, 1 now"]
        );
    }
}
