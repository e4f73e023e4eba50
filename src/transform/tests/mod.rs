//! Goal: what the shipped invoice job and the example make of good and bad documents, word for word, and that no bytes at all can make
//! the transformation panic or its two ways disagree.

mod arbitrary;
mod delimited;
mod documents;
mod limits;

use std::io::Write;
use std::path::Path;

use super::rows::Records;
use super::{Collected, Definition, Reject, Summary};
use crate::job::Job;

/// The layout of a customer invoice, with five items of which the last has no tax and two have commas.
const INVOICE: &str = "\
******************************************************************
                             Invoice
******************************************************************
Customer-ID: ac-0042
Inv-ID: a-7
Dated: Apr 2 2019
From: Anvils, Ropes & Co.
To: Road Runner: Research
Amount: 1310.5
SGST: 61
Total: 1371.50
InWords: One thousand three hundred seventy one and a half

Items
1) Anvil, black, large, 1000, 50
2) Rope: 20 m, 200.25, 6
3) Tunnel paint, 60.25, 3
4) Bird seed, 0, 2
5) Sign, \"Detour\", 50
";

const SHIPPED: &str = include_str!("../../../jobs/invoices.toml");

fn invoices() -> Definition {
    definition(SHIPPED)
}

fn definition(job: &str) -> Definition {
    Job::parse(Path::new("job.toml"), job, &|_| None).unwrap().definition
}

fn records(definition: &Definition, document: &[u8]) -> (Records, Summary) {
    match definition.collect(document, usize::MAX) {
        Collected::Records(records, summary) => (records, summary),
        other => panic!("{other:?}"),
    }
}

fn reject(definition: &Definition, document: &[u8]) -> Reject {
    match definition.collect(document, usize::MAX) {
        Collected::Rejected(reject) => reject,
        other => panic!("{other:?}"),
    }
}

/// All rows, one a line.
fn shown(definition: &Definition, records: &Records) -> String {
    let mut text = String::new();
    for record in records.iter() {
        text.push_str(&format!("line {}\n", record.line));
        for (index, table) in definition.schema().tables.iter().enumerate() {
            for row in record.rows(index) {
                let values: Vec<_> = row.values().collect();
                text.push_str(&format!("  {}: {}\n", table.name, values.join(" | ")));
            }
        }
    }
    text
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(bytes).unwrap();
    packer.finish().unwrap()
}
