//! Batches made from rows, and their way into a warehouse.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use sluicegate::failure::Outcome;
use sluicegate::pipeline::encode::encode;
use sluicegate::ports::clock::Clock;
use sluicegate::ports::warehouse::{
    BeginLoad, DocumentEnd, DocumentOutcome, DocumentSource, DocumentVisitor, Flow, LoadDocument,
    LoadRequest, LoadedTable, Verdict, Warehouse,
};
use sluicegate::transform::rows::{RecordView, Rows};
use sluicegate::transform::{Reject, Summary};

use super::Bench;
use crate::published::schema;

pub(super) const JOB: &str = "bills";

/// A bill: number, total, and its items with line, description and price.
#[derive(Clone)]
pub(super) struct Bill {
    pub(super) customer: &'static str,
    pub(super) number: &'static str,
    pub(super) total: &'static str,
    pub(super) items: Vec<[&'static str; 3]>,
}

pub(super) fn bill(number: &'static str, total: &'static str, items: &[[&'static str; 3]]) -> Bill {
    Bill { customer: "a", number, total, items: items.to_vec() }
}

/// What the archive holds of a member.
#[derive(Clone)]
pub(super) enum Content {
    Bills(Vec<Bill>),
    /// Some records, and then the transformation rejects the document.
    Broken(Vec<Bill>, &'static str),
    /// No bytes, but what GET said.
    Unread(DocumentOutcome, &'static str),
}

#[derive(Clone)]
pub(super) struct Member {
    pub(super) key: &'static str,
    pub(super) version: String,
    pub(super) etag: String,
    pub(super) content: Content,
}

pub(super) fn member(key: &'static str, content: Content) -> Member {
    Member { key, version: format!("{key}@v1"), etag: format!("etag of {key}"), content }
}

pub(super) fn bills(key: &'static str, bills: &[Bill]) -> Member {
    member(key, Content::Bills(bills.to_vec()))
}

pub(super) struct Batch {
    pub(super) request: LoadRequest,
    members: Vec<Member>,
}

/// Batch number `number` of 2024-05-06.
pub(super) fn batch(number: u32, members: &[Member]) -> Batch {
    let batch_id = format!("20240506T1{:05}Z-{number:016x}", number);
    let documents = members.iter().enumerate().map(|(ordinal, member)| {
        let landed_at = "2024-05-06T09:00:00Z".parse().unwrap();
        LoadDocument {
            ordinal: ordinal as u32,
            bucket: "local".to_owned(),
            key: member.key.to_owned(),
            version: member.version.clone(),
            etag: member.etag.clone(),
            landed_at,
            day: landed_at.date_naive(),
            size: 100,
            sha256: (!matches!(member.content, Content::Unread(..)))
                .then(|| format!("sha of {}", member.key)),
            source_order: format!("2024-05-06T09:00:00Z/{:032}/000000/{batch_id}/{ordinal:06}", 0),
            unread: match &member.content {
                Content::Unread(outcome, reason) => Some((*outcome, (*reason).to_owned())),
                _ => None,
            },
        }
    });
    let request = LoadRequest {
        job: JOB.to_owned(),
        sealed_at: "2024-05-06T10:00:00Z".parse().unwrap(),
        incarnation: "one".to_owned(),
        archive_key: format!("{JOB}/dt=2024-05-06/{batch_id}.tar.zst"),
        definition_hash: "hash one".to_owned(),
        definition_text: "name = \"bills\"".to_owned(),
        replace: false,
        parents: Vec::new(),
        replay: 0,
        documents: documents.collect(),
        batch_id,
    };
    Batch { request, members: members.to_vec() }
}

impl Batch {
    pub(super) fn id(&self) -> &str {
        &self.request.batch_id
    }

    /// Loads it and answers the verdicts with the tables, or none where it is loaded already.
    pub(super) fn try_load(&self, warehouse: &mut dyn Warehouse) -> Option<(Vec<Verdict>, Vec<LoadedTable>)> {
        let schema = schema();
        let BeginLoad::Fresh(mut transaction) = warehouse.begin_load(&self.request, &schema).unwrap() else {
            return None;
        };
        let verdicts = transaction.insert(self).unwrap();
        let tables = self.tables(&verdicts);
        transaction.commit(&verdicts, &tables).unwrap();
        Some((verdicts, tables))
    }

    /// Loads it, and sees to it that every member has one verdict (I9).
    pub(super) fn load(&self, warehouse: &mut dyn Warehouse) -> Vec<Verdict> {
        let (verdicts, _) = self.try_load(warehouse).expect("this batch is new");
        let ordinals: Vec<u32> = verdicts.iter().map(|verdict| verdict.ordinal).collect();
        assert_eq!(ordinals, (0..self.members.len() as u32).collect::<Vec<_>>(), "one verdict a member (I9)");
        verdicts
    }

    /// What the CSV objects hold and their control totals say.
    pub(super) fn tables(&self, verdicts: &[Verdict]) -> Vec<LoadedTable> {
        let orders: BTreeMap<u32, String> =
            self.request.documents.iter().map(|d| (d.ordinal, d.source_order.clone())).collect();
        let spool = tempfile::tempdir().unwrap();
        encode(self.id(), &schema(), self, verdicts, &orders, spool.path()).unwrap().0
    }
}

impl DocumentSource for Batch {
    fn visit(&self, visitor: &mut dyn DocumentVisitor) -> Outcome<()> {
        for (ordinal, member) in self.members.iter().enumerate() {
            let ordinal = ordinal as u32;
            let (bills, reject) = match &member.content {
                Content::Unread(..) => continue,
                Content::Bills(bills) => (bills, None),
                Content::Broken(bills, reason) => (bills, Some(*reason)),
            };
            if visitor.begin(ordinal)? == Flow::Skip {
                continue;
            }
            for (index, bill) in bills.iter().enumerate() {
                show(bill, ordinal, index, visitor)?;
            }
            match reject {
                None => visitor.end(ordinal, DocumentEnd::Whole(&Summary::default()))?,
                Some(reason) => {
                    let reason = reason.to_owned();
                    let text = "the line".to_owned();
                    let reject = Reject { line: Some(7), reason, text, ..Reject::default() };
                    visitor.end(ordinal, DocumentEnd::Rejected(&reject))?;
                }
            }
        }
        Ok(())
    }
}

/// One record; its line is ten times its place.
fn show(bill: &Bill, ordinal: u32, index: usize, visitor: &mut dyn DocumentVisitor) -> Outcome<()> {
    let mut tables = [Rows::new(5), Rows::new(5)];
    tables[0].push_row([bill.customer, bill.number, "2024-05-06", "true", bill.total]);
    for [line, description, price] in &bill.items {
        tables[1].push_row([bill.customer, bill.number, line, description, price]);
    }
    let ranges = [0..1, 0..bill.items.len() as u32];
    let line = 10 * (index as u64 + 1);
    visitor.record(ordinal, index as u64, RecordView { line, tables: &tables, ranges: &ranges })
}

/// A connection to a database with the tables of the suite.
pub(super) fn ready(bench: &dyn Bench) -> Box<dyn Warehouse> {
    let mut warehouse = bench.open();
    warehouse.prepare(&schema()).unwrap();
    warehouse
}

/// Outcome and rows of each verdict.
pub(super) fn fates(verdicts: &[Verdict]) -> Vec<(&'static str, u64)> {
    verdicts.iter().map(|verdict| (verdict.outcome.as_str(), verdict.rows)).collect()
}

/// The bills that are there, as `number total`.
pub(super) fn bills_there(bench: &dyn Bench) -> Vec<String> {
    let rows = bench.select("SELECT number, total FROM bills ORDER BY number");
    rows.iter().map(|row| row.join(" ")).collect()
}

pub(super) fn count(bench: &dyn Bench, table: &str) -> usize {
    bench.select(&format!("SELECT count(*) FROM {table}"))[0][0].parse().unwrap()
}

/// Lets a minute pass.
pub(super) fn a_minute_later(bench: &dyn Bench) -> sluicegate_state::Timestamp {
    bench.clock().advance(TimeDelta::minutes(1));
    bench.clock().now()
}
