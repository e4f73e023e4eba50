//! What a ledger that was restored to the past has lost, as the world knows it and the product does not.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use rusqlite::Connection;

use crate::landing::Landed;
use crate::oracle;
use crate::world::Places;

/// Lost loads.
pub(crate) struct Lost {
    /// What each of them was about: its documents by their keys, and their invoices.
    loads: BTreeMap<String, BTreeSet<String>>,
    /// Those that had not written all of their objects, so that nothing says when they were made.
    unwritten: BTreeSet<String>,
}

impl Lost {
    /// What `right` knows and `restored` does not, together with what was lost before.
    pub(crate) fn new(places: &Places, right: &Path, restored: &[String], before: Option<Self>) -> Self {
        let (mut loads, mut unwritten) =
            before.map_or_else(Default::default, |before| (before.loads, before.unwritten));
        let ledger = Connection::open(right).unwrap();
        let log = places.landing.log().clone();
        for row in oracle::select(&ledger, "SELECT batch_id, key, version FROM sluicegate_verdict") {
            let [batch_id, key, version] = row.try_into().expect("three columns");
            if !restored.contains(&batch_id) {
                let about: &mut BTreeSet<String> = loads.entry(batch_id).or_default();
                about.extend(invoices(&log, &key, &version));
                about.insert(key);
            }
        }
        let objects = places.curated.all();
        let fixed = "SELECT batch_id, csv_key FROM sluicegate_batch_table WHERE csv_key IS NOT NULL";
        for row in oracle::select(&ledger, fixed) {
            let [batch_id, csv_key] = row.try_into().expect("two columns");
            if !restored.contains(&batch_id) && !objects.contains_key(&csv_key) {
                unwritten.insert(batch_id);
            }
        }
        Self { loads, unwritten }
    }

    /// Whether nobody can know what came before a lost load: it shares documents or invoices, over other lost loads
    /// perhaps, with one that had not written its objects.
    pub(crate) fn order_is_unknown(&self, batch_id: &str) -> bool {
        let Some(about) = self.loads.get(batch_id) else { return false };
        let mut about = about.clone();
        loop {
            let before = about.len();
            for (other, shared) in &self.loads {
                if shared.is_disjoint(&about) {
                    continue;
                }
                if self.unwritten.contains(other) {
                    return true;
                }
                about.extend(shared.iter().cloned());
            }
            if about.len() == before {
                return false;
            }
        }
    }
}

/// The invoices of a document, in words that no key has.
fn invoices(log: &[Landed], key: &str, version: &str) -> Vec<String> {
    let landed = log.iter().find(|landed| landed.key == key && landed.version() == version);
    let invoices = landed.map_or(&[][..], |landed| &landed.content.invoices);
    invoices.iter().map(|invoice| format!("invoice {} of {}", invoice.number, invoice.customer)).collect()
}
