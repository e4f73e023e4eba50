//! Closed days are not looked at again, unless something about them has changed: rows, or what a listing of the places
//! shows. That look costs a listing each night and reads nothing.

use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDate;

use crate::failure::Outcome;
use crate::job::Job;
use crate::ports::catalog::Catalog;
use crate::ports::proof::ObjectsOf;
use crate::ports::warehouse::Warehouse;

use super::finding::{Finding, Kind};
use super::listing::{self, Suspect};
use super::model::Acceptance;
use super::objects;
use super::run::Places;

/// Closed days that are looked at again in one run, oldest first: each brings all its batches with it.
const REOPENED: usize = 31;

/// What the listings of the curated tables have shown.
#[derive(Default)]
pub(super) struct Curated {
    /// Objects and partitions out of place.
    pub(super) suspects: Vec<Suspect>,
    /// Keys that no load made.
    pub(super) strays: Vec<String>,
}

/// Lists the folders of the job's tables.
pub(super) fn look_at_tables(places: &mut Places<'_>, job: &Job) -> Outcome<Curated> {
    let (mut found, mut covered) = (Curated::default(), BTreeMap::new());
    let curated = places.context.curated.as_ref();
    for table in &job.definition.schema().tables {
        let name = &table.name;
        let listed = listing::compare(
            (curated, &format!("{name}/")),
            places.warehouse,
            &job.name,
            ObjectsOf::Table(name),
            &mut |warehouse, keys| {
                found.strays.extend(objects::made_by_no_load(warehouse, name, keys)?);
                Ok(())
            },
        )?;
        found.suspects.extend(listed.suspects);
        covered.insert(name.as_str(), listed.covered);
    }
    if let Some(catalog) = places.catalog.as_deref_mut() {
        found.suspects.extend(without_partition(catalog, &covered)?);
    }
    Ok(found)
}

/// Dates that a crawl covers and that are not registered. Where the catalog registers none at all there is nothing to learn
/// from that: see [`partitions`](super::coverage::partitions).
fn without_partition(
    catalog: &mut dyn Catalog,
    covered: &BTreeMap<&str, BTreeMap<String, String>>,
) -> Outcome<Vec<Suspect>> {
    let (mut gone, mut registers_none) = (Vec::new(), true);
    for (table, dates) in covered.iter().filter(|(_, dates)| !dates.is_empty()) {
        let registered = catalog.partitions(table)?;
        registers_none &= registered.is_empty();
        gone.extend(dates.iter().filter(|(dt, _)| !registered.contains(*dt)).map(|(dt, batch_id)| Suspect {
            kind: Kind::MissingPartition,
            key: format!("{table}/{dt}"),
            batch_id: batch_id.clone(),
        }));
    }
    Ok(if registers_none { Vec::new() } else { gone })
}

/// The closed days to look at again because of suspects that nobody accepted.
pub(super) fn to_reopen(
    warehouse: &mut dyn Warehouse,
    job: &Job,
    suspects: &[Suspect],
    accepted: &BTreeMap<String, Acceptance>,
    is_closed: &dyn Fn(NaiveDate) -> bool,
) -> Outcome<BTreeSet<NaiveDate>> {
    let is_news = |suspect: &&Suspect| {
        let finding = Finding::new(NaiveDate::default(), suspect.kind, &suspect.key, "");
        !accepted.contains_key(&finding.of_batch(&suspect.batch_id).id(&job.name))
    };
    let batches: BTreeSet<String> =
        suspects.iter().filter(is_news).map(|suspect| suspect.batch_id.clone()).collect();
    if batches.is_empty() {
        return Ok(BTreeSet::new());
    }
    let days = warehouse.proof().days_of(&batches.into_iter().collect::<Vec<_>>())?;
    let mut closed: Vec<NaiveDate> = days.into_iter().filter(|day| is_closed(*day)).collect();
    if closed.len() > REOPENED {
        tracing::warn!(
            "{}: objects of {} closed days are out of place; the oldest {REOPENED} are looked at now, the others when \
             these are mended",
            job.name,
            closed.len()
        );
        closed.truncate(REOPENED);
    }
    Ok(closed.into_iter().collect())
}
