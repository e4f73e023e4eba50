//! What ledger and target tables say: outcomes by day, a digest of each day, and the batches that have to be looked at.

use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDate;
use sha2::{Digest, Sha256};

use crate::curated::Counted;
use crate::failure::{Failure, Outcome};
use crate::ports::proof::{ProofBatch, ProofTable};
use crate::ports::warehouse::Warehouse;
use crate::schema::Schema;
use crate::transform::Definition;

/// What the ledger says of one day.
#[derive(Default)]
pub(super) struct LedgerDay {
    /// Documents by outcome.
    pub(super) outcomes: BTreeMap<String, u64>,
    hasher: Sha256,
}

impl LedgerDay {
    /// A digest of outcomes, and of what the tables hold of the day's batches.
    pub(super) fn control(&self) -> String {
        let mut hasher = self.hasher.clone();
        hasher.update(format!("{:?}", self.outcomes));
        hex::encode(&hasher.finalize()[..16])
    }

    fn add(&mut self, batch: &ProofBatch) {
        self.hasher.update(&batch.batch_id);
        for table in &batch.tables {
            let live = &table.live;
            self.hasher.update(format!(
                "|{}|{}|{:?}|{}",
                table.table,
                live.rows(),
                live.sums(),
                live.digest()
            ));
        }
    }
}

/// What the ledger says of a job.
#[derive(Default)]
pub(super) struct LedgerFacts {
    pub(super) days: BTreeMap<NaiveDate, LedgerDay>,
    /// By id.
    pub(super) batches: BTreeMap<String, ProofBatch>,
    pub(super) schemas: BTreeMap<String, Schema>,
}

/// What a table should hold of a batch: what its load fixed, without what was replaced since.
pub(super) fn expected(table: &ProofTable) -> Counted {
    Counted::from(&table.fixed).without(&table.replaced)
}

/// Whether the tables hold just what they should of a batch.
pub(super) fn is_as_loaded(batch: &ProofBatch) -> bool {
    batch.tables.iter().all(|table| expected(table).is_same(&table.live))
}

/// The days of a batch.
pub(super) fn days_of(batch: &ProofBatch) -> BTreeSet<NaiveDate> {
    batch.days.iter().map(|count| count.day).collect()
}

/// Asks for everything, or for one day; keeps the batches that `keep` wants to look at.
pub(super) fn gather(
    warehouse: &mut dyn Warehouse,
    job: &str,
    day: Option<NaiveDate>,
    keep: &dyn Fn(&ProofBatch) -> bool,
) -> Outcome<LedgerFacts> {
    let mut facts = LedgerFacts::default();
    let proof = warehouse.proof();
    for definition in proof.definitions(job)? {
        let read = Definition::from_text(&definition.text).map_err(|error| {
            Failure::permanent(format!(
                "the definition {} in the ledger cannot be read: {error}",
                definition.hash
            ))
        })?;
        facts.schemas.insert(definition.hash, read.schema().clone());
    }
    let schemas = std::mem::take(&mut facts.schemas);
    proof.batches(job, &schemas, day, &mut |batch| {
        for count in &batch.days {
            let day = facts.days.entry(count.day).or_default();
            *day.outcomes.entry(count.outcome.clone()).or_default() += count.documents;
        }
        for day in days_of(&batch) {
            facts.days.entry(day).or_default().add(&batch);
        }
        if keep(&batch) {
            facts.batches.insert(batch.batch_id.clone(), batch);
        }
        Ok(())
    })?;
    facts.schemas = schemas;
    Ok(facts)
}

#[cfg(test)]
impl LedgerDay {
    /// A day with these outcomes and no batches.
    pub(super) fn with_outcomes<const N: usize>(outcomes: [(&str, u64); N]) -> Self {
        let outcomes = outcomes.into_iter().map(|(word, count)| (word.to_owned(), count)).collect();
        Self { outcomes, hasher: Sha256::new() }
    }
}
