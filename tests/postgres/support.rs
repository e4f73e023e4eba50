//! Batches made of numbers, and their way into the warehouse.

use std::collections::BTreeMap;
use std::ops::Range;

use sluicegate::failure::{Failure, Outcome};
use sluicegate::pipeline::encode::encode;
use sluicegate::ports::warehouse::{
    BeginLoad, DocumentEnd, DocumentSource, DocumentVisitor, Flow, LoadDocument, LoadRequest, LoadedTable,
    Verdict, Warehouse,
};
use sluicegate::transform::Summary;
use sluicegate::transform::rows::{RecordView, Rows};

use crate::published::schema;

/// A document with the bills of these numbers, in this order, and all with this total.
#[derive(Clone)]
pub(crate) struct Document {
    pub(crate) key: &'static str,
    pub(crate) numbers: Vec<Range<u64>>,
    pub(crate) total: &'static str,
    pub(crate) items: u64,
}

pub(crate) fn document(key: &'static str, numbers: Range<u64>) -> Document {
    Document { key, numbers: vec![numbers], total: "1.00", items: 2 }
}

pub(crate) struct Batch {
    pub(crate) request: LoadRequest,
    documents: Vec<Document>,
}

pub(crate) fn batch(number: u32, documents: &[Document]) -> Batch {
    let batch_id = format!("20240506T1{number:05}Z-{number:016x}");
    let load_document = |(ordinal, document): (usize, &Document)| {
        let landed_at = "2024-05-06T09:00:00Z".parse().unwrap();
        LoadDocument {
            ordinal: ordinal as u32,
            bucket: "local".to_owned(),
            key: document.key.to_owned(),
            version: format!("{number}"),
            etag: format!("etag {number}"),
            landed_at,
            day: landed_at.date_naive(),
            size: 100,
            sha256: None,
            source_order: format!("2024-05-06T09:00:00Z/{:032}/000000/{batch_id}/{ordinal:06}", 0),
            unread: None,
        }
    };
    let request = LoadRequest {
        job: "bills".to_owned(),
        sealed_at: "2024-05-06T10:00:00Z".parse().unwrap(),
        incarnation: "one".to_owned(),
        archive_key: format!("bills/{batch_id}"),
        definition_hash: "hash".to_owned(),
        definition_text: "text".to_owned(),
        replace: false,
        parents: Vec::new(),
        replay: 0,
        documents: documents.iter().enumerate().map(load_document).collect(),
        batch_id,
    };
    Batch { request, documents: documents.to_vec() }
}

impl Batch {
    pub(crate) fn id(&self) -> &str {
        &self.request.batch_id
    }

    /// Loads it; none where it is loaded already.
    pub(crate) fn load(
        &self,
        warehouse: &mut dyn Warehouse,
    ) -> Outcome<Option<(Vec<Verdict>, Vec<LoadedTable>)>> {
        let schema = schema();
        let BeginLoad::Fresh(mut transaction) = warehouse.begin_load(&self.request, &schema)? else {
            return Ok(None);
        };
        let verdicts = transaction.insert(self)?;
        let tables = self.tables(&verdicts);
        transaction.commit(&verdicts, &tables)?;
        Ok(Some((verdicts, tables)))
    }

    /// Loads it, trying again what passes; as the pipeline does, over a new connection.
    pub(crate) fn load_at_last(&self, open: &dyn Fn() -> Box<dyn Warehouse>) -> Vec<Verdict> {
        for _ in 0..20 {
            match self.load(&mut *open()) {
                Ok(loaded) => return loaded.expect("nobody else has this batch").0,
                Err(Failure { kind: sluicegate::failure::FailureKind::Transient, .. }) => {}
                Err(failure) => panic!("{failure}"),
            }
        }
        panic!("not loaded after twenty tries");
    }

    pub(crate) fn tables(&self, verdicts: &[Verdict]) -> Vec<LoadedTable> {
        let orders: BTreeMap<u32, String> =
            self.request.documents.iter().map(|d| (d.ordinal, d.source_order.clone())).collect();
        let spool = tempfile::tempdir().unwrap();
        encode(self.id(), &schema(), self, verdicts, &orders, spool.path()).unwrap().0
    }
}

impl DocumentSource for Batch {
    fn visit(&self, visitor: &mut dyn DocumentVisitor) -> Outcome<()> {
        for (ordinal, document) in self.documents.iter().enumerate() {
            let ordinal = ordinal as u32;
            if visitor.begin(ordinal)? == Flow::Skip {
                continue;
            }
            for (index, number) in document.numbers.iter().cloned().flatten().enumerate() {
                show(document, number, ordinal, index as u64, visitor)?;
            }
            visitor.end(ordinal, DocumentEnd::Whole(&Summary::default()))?;
        }
        Ok(())
    }
}

fn show(
    document: &Document,
    number: u64,
    ordinal: u32,
    index: u64,
    visitor: &mut dyn DocumentVisitor,
) -> Outcome<()> {
    let mut tables = [Rows::new(5), Rows::new(5)];
    let (customer, number) = (format!("customer {:03}", number % 7), number.to_string());
    tables[0].push_row([&*customer, &*number, "2024-05-06", "true", document.total]);
    for line in 0..document.items {
        let text = format!("\\item {line} of bill\t{number}, \"quoted\" and long enough to weigh something");
        tables[1].push_row([&*customer, &*number, &line.to_string(), &text, "0.50"]);
    }
    let ranges = [0..1, 0..document.items as u32];
    visitor.record(ordinal, index, RecordView { line: index + 1, tables: &tables, ranges: &ranges })
}
