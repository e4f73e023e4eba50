//! What the query side knows: crawls, partitions, and what the query engine counts and sums.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{NaiveDate, TimeDelta};
use sluicegate_state::Timestamp;

use crate::curated::{Counted, dt_of};
use crate::failure::Outcome;
use crate::job::{Job, Window};
use crate::ports::catalog::Catalog;
use crate::ports::proof::{ProofBatch, ProofTable};
use crate::ports::query_engine::{QueryEngine, Value};
use crate::ports::warehouse::Warehouse;
use crate::schema::{ColumnType, Schema, Table};

use super::finding::{Finding, Kind, counted};

/// How long after the end of its window a crawl may begin before somebody should look.
const LATE: TimeDelta = TimeDelta::hours(1);

/// How far the query side has got with a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coverage {
    /// A crawl covers it.
    Covered,
    /// Its window has not ended, or its crawl is at work.
    UnderWay,
    /// The last crawl failed, and the next has not covered it yet.
    Failed,
    /// Its window ended long ago, and no crawl began.
    Late,
}

/// What the job's last crawl and its windows say.
pub(super) struct Windows<'a> {
    last_failed: bool,
    window: &'a Window,
    now: Timestamp,
}

impl<'a> Windows<'a> {
    pub(super) fn ask(warehouse: &mut dyn Warehouse, job: &'a Job, now: Timestamp) -> Outcome<Self> {
        let last = warehouse.last_crawl(&job.name)?;
        let last_failed = last.is_some_and(|crawl| crawl.state == "failed" || crawl.state == "given_up");
        Ok(Self { last_failed, window: &job.window, now })
    }

    pub(super) fn coverage(&self, batch: &ProofBatch) -> Coverage {
        if batch.crawl_id.as_deref() == Some("none") {
            return Coverage::Covered;
        }
        match batch.crawl_state.as_deref() {
            Some("succeeded") => Coverage::Covered,
            Some("failed" | "given_up") => Coverage::Failed,
            None if self.last_failed && self.has_ended(batch, TimeDelta::zero()) => Coverage::Failed,
            // A crawl that was claimed, and that the catalog does not begin, has not begun either.
            _ if !batch.crawl_begun && self.has_ended(batch, LATE) => Coverage::Late,
            _ => Coverage::UnderWay,
        }
    }

    /// Whether the window that it was published in ended so long ago.
    fn has_ended(&self, batch: &ProofBatch, ago: TimeDelta) -> bool {
        let end = batch.published_at.and_then(|published_at| self.window.next_tick(published_at));
        end.is_some_and(|end| end + ago < self.now)
    }
}

/// Tells of crawls that failed or never began: one finding for all the batches of a day.
pub(super) fn uncovered(day: NaiveDate, coverage: Coverage, batches: &[&str]) -> Option<Finding> {
    let count = batches.len() as u64;
    let (kind, why) = match coverage {
        Coverage::Failed => (Kind::FailedCrawl, "the crawl that should have covered them failed"),
        Coverage::Late => (Kind::LateCrawl, "their window ended over an hour ago, and no crawl has begun"),
        Coverage::Covered | Coverage::UnderWay => return None,
    };
    let batch = if count == 1 { "batch" } else { "batches" };
    let detail = format!("{count} published {batch} may not be visible to queries: {why}");
    let mut finding = Finding::new(day, kind, batches.join("\n"), detail);
    finding.batch_id = batches.first().map(|batch_id| (*batch_id).to_owned());
    finding.count = count;
    Some(finding)
}

/// Partitions that a crawl reported as covered and that are not registered, with their batches; how many there should
/// be.
///
/// Where no partition of any table of the job is registered, none is needed if queries see every row all the same:
/// partition projection works so, and so do stand-ins whose crawler makes nothing.
pub(super) fn partitions(
    catalog: &mut dyn Catalog,
    queries: &mut Queries<'_>,
    covered: &[(&ProofBatch, NaiveDate)],
    findings: &mut Vec<Finding>,
    unregistered: &mut BTreeSet<String>,
) -> Outcome<BTreeMap<NaiveDate, u64>> {
    let mut wanted: BTreeMap<(&str, String), (NaiveDate, Vec<&ProofBatch>)> = BTreeMap::new();
    for (batch, home) in covered {
        for table in batch.tables.iter().filter(|table| table.csv_key.is_some()) {
            let Some(dt) = dt_of(&batch.batch_id) else { continue };
            wanted.entry((&table.table, dt)).or_insert_with(|| (*home, Vec::new())).1.push(batch);
        }
    }
    let tables: BTreeSet<&str> = wanted.keys().map(|(table, _)| *table).collect();
    let mut registered = BTreeMap::new();
    for table in tables {
        registered.insert(table, catalog.partitions(table)?);
    }
    let registers_none = registered.values().all(BTreeSet::is_empty);
    let mut expected = BTreeMap::new();
    for ((table, dt), (home, batches)) in &wanted {
        if registers_none && queries.see_all(table, dt, batches)? {
            tracing::info!("no partition of {table}_csv is registered, and queries see dt={dt} without one");
            continue;
        }
        *expected.entry(*home).or_default() += 1;
        if !registered[table].contains(dt) {
            findings.push(not_registered(*home, table, dt, batches));
            unregistered.extend(batches.iter().map(|batch| batch.batch_id.clone()));
        }
    }
    Ok(expected)
}

fn not_registered(home: NaiveDate, table: &str, dt: &str, batches: &[&ProofBatch]) -> Finding {
    let detail = format!(
        "the partition dt={dt} of {table}_csv is not registered, although a crawl covered it: queries do not see {}",
        counted(batches.len() as u64, "batch object")
    );
    let mut finding = Finding::new(home, Kind::MissingPartition, format!("{table}/{dt}"), detail);
    finding.batch_id = batches.first().map(|batch| batch.batch_id.clone());
    finding
}

/// The query engine, where there is one, asked once for each table and date.
pub(super) struct Queries<'a> {
    engine: Option<&'a mut (dyn QueryEngine + 'static)>,
    schemas: &'a BTreeMap<String, Schema>,
    /// An engine that reads every object stumbles over one that is damaged, which is told already.
    damaged: bool,
    asked: BTreeMap<(String, String), BTreeMap<String, Counted>>,
}

impl<'a> Queries<'a> {
    pub(super) fn new(
        engine: Option<&'a mut (dyn QueryEngine + 'static)>,
        schemas: &'a BTreeMap<String, Schema>,
        damaged: bool,
    ) -> Self {
        Self { engine, schemas, damaged, asked: BTreeMap::new() }
    }

    /// Whether queries see just what the loads of these batches fixed in a table.
    fn see_all(&mut self, table: &str, dt: &str, batches: &[&ProofBatch]) -> Outcome<bool> {
        for batch in batches {
            let Some(fixed) = batch.tables.iter().find(|known| known.table == table) else { continue };
            match self.seen(batch, table, dt) {
                Ok(Some(seen)) if Counted::from(&fixed.fixed).has_same_sums(&seen) => {}
                Ok(_) => return Ok(false),
                Err(_) if self.damaged => return Ok(false),
                Err(failure) => return Err(failure.while_doing("asking the query engine")),
            }
        }
        Ok(true)
    }

    /// What the engine counts and sums of a batch; none where it cannot be asked.
    fn seen(&mut self, batch: &ProofBatch, table: &str, dt: &str) -> Outcome<Option<Counted>> {
        let schema = self.schemas.get(&batch.definition_hash);
        let described = schema.and_then(|schema| schema.tables.iter().find(|known| known.name == table));
        let (Some(engine), Some(described)) = (self.engine.as_deref_mut(), described) else {
            return Ok(None);
        };
        let place = (table.to_owned(), dt.to_owned());
        if !self.asked.contains_key(&place) {
            self.asked.insert(place.clone(), ask(engine, described, dt)?);
        }
        Ok(Some(self.asked[&place].get(&batch.batch_id).cloned().unwrap_or_default()))
    }
}

/// Compares what the query engine counts and sums with what the loads fixed; how many rows it should see.
pub(super) fn query(
    queries: &mut Queries<'_>,
    visible: &[(&ProofBatch, NaiveDate)],
    strays: &[String],
    findings: &mut Vec<Finding>,
) -> Outcome<BTreeMap<NaiveDate, u64>> {
    let mut expected = BTreeMap::new();
    for (batch, home) in visible {
        let Some(dt) = dt_of(&batch.batch_id) else { continue };
        for table in batch.tables.iter().filter(|table| table.csv_key.is_some()) {
            // A stray object is told by itself; that a query counts its rows is no second trouble.
            let folder = format!("{}/dt={dt}/", table.table);
            if strays.iter().any(|key| key.starts_with(&folder)) {
                continue;
            }
            let Some(seen) = queries.seen(batch, &table.table, &dt)? else { continue };
            *expected.entry(*home).or_default() += table.fixed.rows;
            if !Counted::from(&table.fixed).has_same_sums(&seen) {
                findings.push(differs(batch, table, &seen, *home));
            }
        }
    }
    Ok(expected)
}

fn differs(batch: &ProofBatch, table: &ProofTable, seen: &Counted, home: NaiveDate) -> Finding {
    let detail = format!(
        "a query sees {} of this batch in {}_csv with the sums {:?}, and its load fixed {} with {:?}",
        counted(seen.rows(), "row"),
        table.table,
        seen.sums(),
        counted(table.fixed.rows, "row"),
        table.fixed.sums,
    );
    let more = seen.rows() > table.fixed.rows;
    let kind = if more { Kind::QueryDoubles } else { Kind::QueryDiffers };
    Finding::new(home, kind, &table.table, detail).of_batch(&batch.batch_id)
}

/// Rows and sums of one partition, by batch.
fn ask(engine: &mut dyn QueryEngine, table: &Table, dt: &str) -> Outcome<BTreeMap<String, Counted>> {
    let decimals: Vec<&str> =
        table.decimal_columns().map(|index| table.columns[index].name.as_str()).collect();
    let scale = |index: usize| match table.columns[index].kind {
        ColumnType::Decimal { scale, .. } => scale,
        _ => 0,
    };
    let sums = table.decimal_columns().map(|index| {
        let name = &table.columns[index].name;
        format!(", sum(CAST(NULLIF(\"{name}\", '') AS decimal(38,{})))", scale(index))
    });
    let sql = format!(
        "SELECT batch_id, count(*){} FROM {}_csv WHERE dt = '{dt}' GROUP BY batch_id",
        sums.collect::<String>(),
        table.name
    );
    let answer = engine.query(&sql)?;
    let text = |value: &Value| match value {
        Value::Null => "0".to_owned(),
        Value::Integer(number) => number.to_string(),
        Value::Decimal(text) | Value::Text(text) => text.clone(),
    };
    let mut counted = BTreeMap::new();
    for row in &answer.rows {
        let texts: Vec<String> = row.iter().map(text).collect();
        let sums =
            decimals.iter().zip(texts.iter().skip(2)).map(|(name, sum)| ((*name).to_owned(), sum.clone()));
        let rows = texts.get(1).and_then(|count| count.parse().ok()).unwrap_or(0);
        let batch_id = texts.first().cloned().unwrap_or_default();
        counted.insert(batch_id, Counted::new(rows, &sums.collect(), &"0".repeat(32)));
    }
    Ok(counted)
}
