//! Encodes the CSV objects of a batch: a function of archive, definition and what the load refused (I5).

use std::collections::BTreeMap;
use std::path::Path;

use sluicegate_state::canary::{Canary, sings};

use crate::curated::{CsvEncoder, object_key};
use crate::failure::{Failure, Outcome};
use crate::ports::warehouse::{
    DocumentEnd, DocumentOutcome, DocumentSource, DocumentVisitor, Flow, LoadedTable, Verdict,
};
use crate::schema::Schema;
use crate::transform::rows::RecordView;

use super::handover::{CsvCopies, spool};

/// Encodes one object a table into the spool; what the COMMIT is to fix, and the bytes.
pub fn encode(
    batch_id: &str,
    schema: &Schema,
    source: &dyn DocumentSource,
    verdicts: &[Verdict],
    source_orders: &BTreeMap<u32, String>,
    spool_folder: &Path,
) -> Outcome<(Vec<LoadedTable>, CsvCopies)> {
    let mut encoders = Vec::with_capacity(schema.tables.len());
    for table in &schema.tables {
        encoders.push(CsvEncoder::new(spool(spool_folder), table).map_err(Failure::from)?);
    }
    let verdicts = verdicts.iter().map(|verdict| (verdict.ordinal, verdict)).collect();
    let mut visitor =
        Encoding { batch_id, source_orders, verdicts, encoders, refused: &[], source_order: "" };
    // A batch without a loaded document has nothing to encode, and is not worth another reading of its archive.
    if visitor.verdicts.values().any(|verdict| verdict.outcome == DocumentOutcome::Loaded) {
        source.visit(&mut visitor)?;
    }
    let mut tables = Vec::new();
    let mut copies = Vec::new();
    for (table, encoder) in schema.tables.iter().zip(visitor.encoders) {
        let (file, totals) = encoder.finish().map_err(Failure::from)?;
        let csv_key = (totals.rows > 0).then(|| csv_key(&table.name, batch_id));
        copies.push((file, totals.bytes));
        tables.push(LoadedTable { table: table.name.clone(), totals, csv_key });
    }
    Ok((tables, copies))
}

/// A function of table and batch, so that whoever makes the object again finds the first one.
fn csv_key(table: &str, batch_id: &str) -> String {
    let key = object_key(table, batch_id);
    if sings(Canary::CsvKeyFromClock) {
        return key
            .replace(".csv", &format!("-{:?}.csv", std::time::SystemTime::now()).replace([' ', ':'], ""));
    }
    key
}

struct Encoding<'a> {
    batch_id: &'a str,
    source_orders: &'a BTreeMap<u32, String>,
    verdicts: BTreeMap<u32, &'a Verdict>,
    encoders: Vec<CsvEncoder<tempfile::SpooledTempFile>>,
    /// Of the document that is being shown.
    refused: &'a [u64],
    source_order: &'a str,
}

impl DocumentVisitor for Encoding<'_> {
    fn begin(&mut self, ordinal: u32) -> Outcome<Flow> {
        let verdict = self.verdicts.get(&ordinal);
        let Some(verdict) = verdict.filter(|verdict| verdict.outcome == DocumentOutcome::Loaded) else {
            return Ok(Flow::Skip);
        };
        self.refused = &verdict.refused;
        self.source_order = &self.source_orders[&ordinal];
        Ok(Flow::Continue)
    }

    fn record(&mut self, _ordinal: u32, index: u64, record: RecordView<'_>) -> Outcome<()> {
        if self.refused.binary_search(&index).is_ok() {
            return Ok(());
        }
        for (table, encoder) in self.encoders.iter_mut().enumerate() {
            for row in record.rows(table) {
                encoder.row(row.values(), self.batch_id, self.source_order).map_err(Failure::from)?;
            }
        }
        Ok(())
    }

    fn end(&mut self, ordinal: u32, end: DocumentEnd<'_>) -> Outcome<()> {
        match end {
            DocumentEnd::Whole(_) => Ok(()),
            DocumentEnd::Rejected(reject) => Err(Failure::permanent(format!(
                "member {ordinal} was loaded and is now rejected ({}): the transformation is not a function of the \
                 archive and the definition any more (I5)",
                reject.reason
            ))),
        }
    }
}
