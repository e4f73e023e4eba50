//! A reconciliation of one job: which days, which batches, and every place asked about each of them.

use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDate;
use sluicegate_state::{Arrival, Store, Timestamp};

use crate::curated::Counted;
use crate::failure::{Failure, FailureKind, Outcome};
use crate::job::Job;
use crate::pipeline::context::Context;
use crate::ports::catalog::Catalog;
use crate::ports::proof::{ProofBatch, Reconciliation};
use crate::ports::query_engine::QueryEngine;
use crate::ports::warehouse::Warehouse;

use super::closed::{self, Curated};
use super::coverage::{Coverage, Queries, Windows};
use super::day::{self, DayParts, Expectations};
use super::finding::{Finding, Kind, counted};
use super::flight::{Flight, Look};
use super::ledger::{self, LedgerFacts, days_of, expected, is_as_loaded};
use super::listing::Suspect;
use super::model::{Acceptance, Attention, DayReport, RECORDS_SHOWN};
use super::{coverage, objects, rows};

/// Verdicts without their document that are told of at the most.
const UNSETTLED: usize = 10_000;

/// Everything that is asked.
pub struct Places<'a> {
    /// Landings, archive, curated, and what reading an archive needs.
    pub context: &'a Context,
    /// This machine's journal, where it has one.
    pub store: Option<&'a Store>,
    /// Target tables and ledger.
    pub warehouse: &'a mut dyn Warehouse,
    /// The job's catalog, where it has one.
    pub catalog: Option<&'a mut (dyn Catalog + 'static)>,
    /// The query engine, where there is one.
    pub engine: Option<&'a mut (dyn QueryEngine + 'static)>,
    /// Is told what is being looked at.
    pub progress: &'a dyn Fn(&str),
}

/// What a repair can do about a job.
#[derive(Debug, Default)]
pub struct Mendable {
    /// What lies in the landing and nobody knows.
    pub missed: Vec<Arrival>,
    /// Batches whose CSV objects are not all there as they should be.
    pub objects: BTreeSet<String>,
    /// Batches whose partitions are not registered.
    pub partitions: BTreeSet<String>,
    /// There are batches that a machine left which is gone.
    pub unfinished: bool,
}

/// What came of one job.
pub struct JobProof {
    /// One report a day.
    pub days: Vec<DayReport>,
    /// What a repair can do.
    pub mendable: Mendable,
}

/// Reconciles a job over one day, or over every day that is not closed or has changed since; and records it.
pub fn reconcile(places: &mut Places<'_>, job: &Job, date: Option<NaiveDate>) -> Outcome<JobProof> {
    let now = places.warehouse.now()?;
    let history: BTreeMap<NaiveDate, Reconciliation> =
        places.warehouse.proof().reconciliations(&job.name)?.into_iter().map(|row| (row.day, row)).collect();
    let mut run =
        Run { job, date, now, history, findings: Vec::new(), expectations: Expectations::default() };
    (places.progress)(&format!("{}: ledger and tables", job.name));
    let mut ledger = run.ledger(places)?;
    (places.progress)(&format!("{}: journal, archive and landing", job.name));
    let mut flight = run.flight(places)?;
    (places.progress)(&format!("{}: listings", job.name));
    let mut curated = run.curated(places)?;
    curated.suspects.append(&mut flight.suspects);
    let scope = run.scope(&ledger, &flight, &run.to_reopen(places, &curated.suspects)?);
    run.reopen(places, &scope, &mut ledger)?;
    run.findings.append(&mut flight.findings);
    // A repair takes in whatever nobody knows, however young: an announcement that comes later is a redelivery.
    let missed = flight.missed.drain(..).chain(flight.young.drain(..)).collect();
    let mut mendable = Mendable { missed, ..Mendable::default() };
    run.strangers(places, &scope, &curated.strays)?;
    let on_their_way = run.batches(places, &ledger, &scope, &mut mendable)?;
    run.findings.retain(|finding| scope.contains(&finding.day));
    mendable.unfinished = run.findings.iter().any(|finding| finding.kind == Kind::UnfinishedBatch);
    let days = run.days(places, &ledger, &flight, &scope, &on_their_way)?;
    let at = sluicegate_state::time::to_text(now);
    for report in &days {
        places.warehouse.proof().record_reconciliation(&day::record(report, &at))?;
    }
    Ok(JobProof { days, mendable })
}

struct Run<'a> {
    job: &'a Job,
    date: Option<NaiveDate>,
    now: Timestamp,
    history: BTreeMap<NaiveDate, Reconciliation>,
    findings: Vec<Finding>,
    expectations: Expectations,
}

/// Batches to be asked about, with the day on which each is told.
type Told<'a> = Vec<(&'a ProofBatch, NaiveDate)>;

impl Run<'_> {
    fn is_closed(&self, day: NaiveDate) -> bool {
        self.history.get(&day).is_some_and(|last| last.closed)
    }

    fn ledger(&self, places: &mut Places<'_>) -> Outcome<LedgerFacts> {
        let keep = |batch: &ProofBatch| {
            self.date.is_some() || days_of(batch).iter().any(|day| !self.is_closed(*day))
        };
        ledger::gather(places.warehouse, &self.job.name, self.date, &keep)
    }

    fn flight(&self, places: &mut Places<'_>) -> Outcome<Flight> {
        let began = places.warehouse.identity()?.newest_batch.is_some();
        let look = Look { context: places.context, store: places.store, job: self.job, now: self.now, began };
        look.look(places.warehouse)
    }

    /// Lists the tables' folders; before the first load there may be none.
    fn curated(&self, places: &mut Places<'_>) -> Outcome<Curated> {
        let began = !self.history.is_empty() || places.warehouse.identity()?.newest_batch.is_some();
        if began { closed::look_at_tables(places, self.job) } else { Ok(Curated::default()) }
    }

    fn to_reopen(&self, places: &mut Places<'_>, suspects: &[Suspect]) -> Outcome<BTreeSet<NaiveDate>> {
        if self.date.is_some() || suspects.is_empty() {
            return Ok(BTreeSet::new());
        }
        let accepted = acceptances(places.warehouse)?;
        closed::to_reopen(places.warehouse, self.job, suspects, &accepted, &|day| self.is_closed(day))
    }

    /// The days that are reported.
    fn scope(
        &self,
        ledger: &LedgerFacts,
        flight: &Flight,
        reopened: &BTreeSet<NaiveDate>,
    ) -> BTreeSet<NaiveDate> {
        if let Some(date) = self.date {
            return [date].into();
        }
        let today = self.job.day(self.now);
        let is_due = |day: &NaiveDate| {
            let closed = self.history.get(day).filter(|last| last.closed);
            let news =
                flight.days.get(day).is_some_and(|flight| flight.missed + flight.lost + flight.in_flight > 0);
            news || closed.is_none_or(|last| day::has_changed(last, ledger.days.get(day)))
        };
        // What only lies in the landing, known, makes no day.
        let in_flight =
            flight.days.iter().filter(|(_, day)| day.missed + day.lost + day.in_flight + day.abandoned > 0);
        let known = ledger.days.keys().chain(in_flight.map(|(day, _)| day)).chain(self.history.keys());
        known.copied().filter(is_due).chain([today]).chain(reopened.iter().copied()).collect()
    }

    /// The batches of closed days that have changed.
    fn reopen(
        &self,
        places: &mut Places<'_>,
        scope: &BTreeSet<NaiveDate>,
        ledger: &mut LedgerFacts,
    ) -> Outcome<()> {
        if self.date.is_some() {
            return Ok(());
        }
        for day in scope.iter().filter(|day| self.is_closed(**day)) {
            let again = ledger::gather(places.warehouse, &self.job.name, Some(*day), &|_| true)?;
            ledger.batches.extend(again.batches);
        }
        Ok(())
    }

    /// Looks at every batch of the days; the days that have batches under way.
    fn batches(
        &mut self,
        places: &mut Places<'_>,
        ledger: &LedgerFacts,
        scope: &BTreeSet<NaiveDate>,
        mendable: &mut Mendable,
    ) -> Outcome<BTreeSet<NaiveDate>> {
        let told: Told<'_> = ledger
            .batches
            .values()
            .filter_map(|batch| Some((batch, days_of(batch).into_iter().find(|day| scope.contains(day))?)))
            .collect();
        let live = places.warehouse.live_incarnations()?;
        let mut under_way = BTreeSet::new();
        let mut visible = Vec::new();
        for (index, &(batch, home)) in told.iter().enumerate() {
            if index % 100 == 0 {
                (places.progress)(&format!("{}: batch {} of {}", self.job.name, index + 1, told.len()));
            }
            self.rows(places, batch, home)?;
            self.original(places, batch, home)?;
            if batch.published_at.is_some() {
                let schema = &ledger.schemas[&batch.definition_hash];
                let before = self.findings.len();
                let count = objects::check(places.context, batch, schema, home, &mut self.findings)?;
                self.expectations.add(home, "curated", count);
                if self.findings.len() == before {
                    visible.push((batch, home));
                } else {
                    mendable.objects.insert(batch.batch_id.clone());
                }
            } else {
                under_way.extend(days_of(batch));
                self.unpublished(places, &live, batch, home)?;
            }
        }
        under_way.extend(self.coverage(places, ledger, &visible, mendable)?);
        Ok(under_way)
    }

    fn rows(&mut self, places: &mut Places<'_>, batch: &ProofBatch, home: NaiveDate) -> Outcome<()> {
        self.expectations.add(
            home,
            "warehouse",
            batch.tables.iter().map(|table| expected(table).rows()).sum(),
        );
        if batch.verdicts != batch.members {
            let detail = format!(
                "the batch has {}, and the ledger has {} about them",
                counted(batch.members, "member"),
                counted(batch.verdicts, "verdict")
            );
            let count = batch.members.abs_diff(batch.verdicts);
            let finding = Finding::new(home, Kind::IncompleteBatch, "", detail).of_batch(&batch.batch_id);
            self.findings.push(Finding { count, ..finding });
        }
        if is_as_loaded(batch) {
            return Ok(());
        }
        match rows::compare(places.context, places.warehouse, self.job, &batch.batch_id, false) {
            Ok(compared) => {
                let findings = compared.findings(&batch.batch_id, home);
                if findings.is_empty() {
                    // Somebody mended it, or a load replaced rows, since the totals were taken.
                    return Ok(());
                }
                self.findings.extend(findings);
            }
            Err(failure) if failure.kind == FailureKind::Permanent => {
                self.findings.push(totals_differ(batch, home, &failure));
            }
            Err(failure) => return Err(failure),
        }
        Ok(())
    }

    fn original(&mut self, places: &Places<'_>, batch: &ProofBatch, home: NaiveDate) -> Outcome<()> {
        self.expectations.add(home, "archive", 1);
        if places.context.archive.head(&batch.archive_key)?.is_none() {
            let detail = format!(
                "the originals are not there: {} in {} is gone. Rows and CSV objects of this batch cannot be made again; \
                 put the object back from a copy or an older version of the bucket",
                batch.archive_key,
                places.context.archive.location()
            );
            let finding = Finding::new(home, Kind::MissingOriginal, &batch.archive_key, detail);
            self.findings.push(finding.of_batch(&batch.batch_id));
        }
        Ok(())
    }

    /// A load that is not published is under way, unless nobody works on it.
    fn unpublished(
        &mut self,
        places: &mut Places<'_>,
        live: &BTreeSet<String>,
        batch: &ProofBatch,
        home: NaiveDate,
    ) -> Outcome<()> {
        let known = places.store.map(|store| store.batch(&batch.batch_id)).transpose()?.flatten().is_some();
        let look =
            Look { context: places.context, store: places.store, job: self.job, now: self.now, began: true };
        if known || look.is_alive(live, &batch.incarnation)? {
            return Ok(());
        }
        let documents = loaded_documents(places.warehouse, &batch.batch_id)?;
        let detail = format!(
            "its rows are in the warehouse and its CSV objects are not: the machine that loaded it ({}) is gone; any other \
             one goes on with it",
            batch.incarnation
        );
        let finding = Finding::new(home, Kind::UnfinishedBatch, "loaded", detail).of_batch(&batch.batch_id);
        self.findings.push(Finding { count: batch.members, ..finding.with_documents(documents) });
        Ok(())
    }

    /// Crawls, partitions and queries; the days with batches whose window has not ended.
    fn coverage(
        &mut self,
        places: &mut Places<'_>,
        ledger: &LedgerFacts,
        visible: &Told<'_>,
        mendable: &mut Mendable,
    ) -> Outcome<BTreeSet<NaiveDate>> {
        let mut under_way = BTreeSet::new();
        let Some(catalog) = places.catalog.as_deref_mut() else { return Ok(under_way) };
        let windows = Windows::ask(places.warehouse, self.job, self.now)?;
        let mut covered = Vec::new();
        let mut uncovered: BTreeMap<(NaiveDate, bool), Vec<&str>> = BTreeMap::new();
        for &(batch, home) in visible {
            match windows.coverage(batch) {
                Coverage::Covered => covered.push((batch, home)),
                Coverage::UnderWay => under_way.extend(days_of(batch)),
                trouble => {
                    uncovered.entry((home, trouble == Coverage::Failed)).or_default().push(&batch.batch_id);
                }
            }
        }
        for ((home, failed), batches) in &uncovered {
            let coverage = if *failed { Coverage::Failed } else { Coverage::Late };
            self.findings.extend(coverage::uncovered(*home, coverage, batches));
        }
        let damaged = !mendable.objects.is_empty();
        let mut queries = Queries::new(places.engine.as_deref_mut(), &ledger.schemas, damaged);
        let unregistered = &mut mendable.partitions;
        let expected =
            coverage::partitions(catalog, &mut queries, &covered, &mut self.findings, unregistered)?;
        self.expectations.add_all("catalog", expected);
        covered.retain(|(batch, _)| !mendable.partitions.contains(&batch.batch_id));
        (places.progress)(&format!("{}: queries", self.job.name));
        let strays: Vec<String> = self
            .findings
            .iter()
            .filter(|finding| finding.kind == Kind::StrayObject)
            .map(|finding| finding.mark.clone())
            .collect();
        match coverage::query(&mut queries, &covered, &strays, &mut self.findings) {
            Ok(expected) => self.expectations.add_all("query", expected),
            Err(failure) if damaged => tracing::warn!("the query engine was not compared: {failure}"),
            Err(failure) => return Err(failure.while_doing("asking the query engine")),
        }
        Ok(under_way)
    }

    /// Rows, objects and verdicts that belong to no batch or document.
    fn strangers(
        &mut self,
        places: &mut Places<'_>,
        scope: &BTreeSet<NaiveDate>,
        strays: &[String],
    ) -> Outcome<()> {
        (places.progress)(&format!("{}: what belongs to nobody", self.job.name));
        let date = self.date;
        let home = |dt: Option<&str>| {
            let dt = dt.and_then(|dt| dt.parse::<NaiveDate>().ok()).filter(|dt| scope.contains(dt));
            if date.is_some() { dt } else { dt.or_else(|| scope.last().copied()) }
        };
        for rows in places.warehouse.proof().strange_rows(self.job.definition.schema(), RECORDS_SHOWN)? {
            let Some(day) = home(crate::curated::dt_of(&rows.batch_id).as_deref()) else { continue };
            let detail = format!(
                "{} of {} name a batch that the ledger does not know; somebody inserted them by hand",
                counted(rows.rows, "row"),
                rows.table
            );
            let mark = format!("{}/{}/{:?}", rows.table, rows.rows, rows.records);
            let mut finding = Finding::new(day, Kind::InsertedRows, mark, detail).of_batch(&rows.batch_id);
            finding.more = rows.rows.saturating_sub(rows.records.len() as u64);
            finding.records = rows.records.into_iter().map(|record| record.into_iter().collect()).collect();
            finding.count = rows.rows;
            self.findings.push(finding);
        }
        for document in places.warehouse.proof().unsettled_documents(&self.job.name, UNSETTLED)? {
            let day = document.landed_at.map(|at| self.job.day(at));
            let Some(day) = day.or_else(|| home(crate::curated::dt_of(&document.batch_id).as_deref())) else {
                continue;
            };
            let says = document.outcome.as_deref().unwrap_or("nothing");
            let detail = format!(
                "batch {} decided that {} is {}, and the ledger's row of the document says {says}",
                document.batch_id, document.key, document.verdict
            );
            let count = u64::from(document.outcome.is_none());
            let mark = format!("{}\n{says}", document.key);
            let finding =
                Finding::new(day, Kind::UnsettledDocument, mark, detail).of_batch(&document.batch_id);
            self.findings.push(Finding { count, ..finding.with_documents(vec![document.key]) });
        }
        objects::tell_strays(places.context, strays, &home, &mut self.findings);
        Ok(())
    }

    fn days(
        &mut self,
        places: &mut Places<'_>,
        ledger: &LedgerFacts,
        flight: &Flight,
        scope: &BTreeSet<NaiveDate>,
        on_their_way: &BTreeSet<NaiveDate>,
    ) -> Outcome<Vec<DayReport>> {
        let accepted = acceptances(places.warehouse)?;
        let today = self.job.day(self.now);
        let unasked = unasked(places);
        let mut reports = Vec::new();
        for day in scope {
            let (own, others) =
                std::mem::take(&mut self.findings).into_iter().partition(|finding| finding.day == *day);
            self.findings = others;
            let away = places.warehouse.proof().turned_away(&self.job.name, *day, RECORDS_SHOWN)?;
            let parked =
                flight.parked.iter().filter(|(of, _)| of == day).map(|(_, attention)| attention.clone());
            let parts = DayParts {
                job: &self.job.name,
                day: *day,
                ledger: ledger.days.get(day),
                flight: flight.days.get(day).copied().unwrap_or_default(),
                findings: own,
                expectations: &self.expectations,
                accepted: &accepted,
                attention: away.into_iter().map(Attention::from).chain(parked).collect(),
                last: self.history.get(day),
                settled: *day < today && !on_their_way.contains(day),
                unasked: &unasked,
            };
            reports.push(parts.report());
        }
        Ok(reports)
    }
}

/// The places that nobody named, with why they could not be asked.
fn unasked(places: &Places<'_>) -> BTreeMap<&'static str, &'static str> {
    let no_crawler = "no crawler is set for this job (SLUICEGATE_CRAWLER)";
    let no_engine = "no query engine is set (SLUICEGATE_DATABASE, SLUICEGATE_WORKGROUP)";
    // What queries see is held against what crawls have covered.
    let without_crawls = "without a crawler it is not known what queries should see (SLUICEGATE_CRAWLER)";
    match (places.catalog.is_some(), places.engine.is_some()) {
        (true, true) => BTreeMap::new(),
        (true, false) => [("query", no_engine)].into(),
        (false, true) => [("catalog", no_crawler), ("query", without_crawls)].into(),
        (false, false) => [("catalog", no_crawler), ("query", no_engine)].into(),
    }
}

/// Where the archive cannot be read, the totals alone are told.
fn totals_differ(batch: &ProofBatch, home: NaiveDate, failure: &Failure) -> Finding {
    let mut mark = Counted::default();
    let mut parts = Vec::new();
    for table in &batch.tables {
        let expected = expected(table);
        mark.add(&table.live);
        if !expected.is_same(&table.live) {
            parts.push(format!(
                "{} has {} with the sums {:?}, and should have {} with {:?}",
                table.table,
                counted(table.live.rows(), "row"),
                table.live.sums(),
                counted(expected.rows(), "row"),
                expected.sums()
            ));
        }
    }
    let detail = format!("{}. Which rows they are cannot be told: {failure}", parts.join("; "));
    Finding::new(home, Kind::ChangedRows, mark.digest(), detail).of_batch(&batch.batch_id)
}

fn loaded_documents(warehouse: &mut dyn Warehouse, batch_id: &str) -> Outcome<Vec<String>> {
    let verdicts = warehouse.verdicts(batch_id)?;
    Ok(verdicts
        .into_iter()
        .filter(|verdict| verdict.outcome == "loaded")
        .map(|verdict| verdict.key)
        .collect())
}

/// What people accepted, by the discrepancy's id.
fn acceptances(warehouse: &mut dyn Warehouse) -> Outcome<BTreeMap<String, Acceptance>> {
    let accepted = warehouse.proof().operations()?.into_iter().filter_map(|operation| {
        let detail: serde_json::Value = serde_json::from_str(&operation.detail).ok()?;
        let id = detail.get("accepted")?.as_str()?.to_owned();
        let acceptance =
            Acceptance { operator: operation.operator, at: operation.at, reason: operation.reason };
        Some((id, acceptance))
    });
    Ok(accepted.collect())
}
