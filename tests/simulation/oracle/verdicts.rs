//! What the loads decided, worked out again one after the other in the order of their commits; and the rows that must be
//! there then (I5, I7, I10).

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::Connection;

use super::{none, select};
use crate::documents::Invoice;
use crate::landing::Landed;
use crate::world::World;

/// An invoice in the tables, with the document that brought it.
struct Row {
    invoice: Invoice,
    batch_id: String,
    ordinal: String,
    landed_at: String,
}

#[derive(Default)]
struct Replay {
    tables: BTreeMap<(String, String), Row>,
    /// Key and version of what was decided.
    decided: BTreeSet<(String, String)>,
    /// Verdicts that leave it to another batch.
    again: Vec<Vec<String>>,
}

pub(super) fn check(world: &World, ledger: &Connection) -> Result<(), String> {
    let log = world.places.landing.log().clone();
    let sql = "SELECT v.batch_id, v.ordinal, v.key, v.version, v.outcome, v.rows
               FROM sluicegate_verdict AS v JOIN sluicegate_batch AS b USING (batch_id)
               ORDER BY b.load_number, v.ordinal";
    let mut replay = Replay::default();
    for row in select(ledger, sql) {
        let expected = replay.decide(&log, &row)?;
        if let Some(expected) = expected.filter(|expected| (&expected.0, &expected.1) != (&row[4], &row[5])) {
            return Err(format!("the verdict {row:?} must be {expected:?}"));
        }
    }
    replay.check_again()?;
    check_rows(ledger, &replay)?;
    none(
        ledger,
        "members without just one verdict each (I9)",
        "SELECT batch_id, documents FROM sluicegate_batch AS b
         WHERE documents <> (SELECT count(*) FROM sluicegate_verdict AS v WHERE v.batch_id = b.batch_id)",
    )?;
    none(
        ledger,
        "documents whose outcome is not that of the one verdict that decided",
        "SELECT key, version, outcome FROM sluicegate_document AS d
         WHERE 1 <> (SELECT count(*) FROM sluicegate_verdict AS v
                     WHERE v.key = d.key AND v.version = d.version AND v.outcome NOT IN ('again', 'deferred'))
            OR NOT EXISTS (SELECT 1 FROM sluicegate_verdict AS v
                           WHERE v.batch_id = d.batch_id AND v.ordinal = d.ordinal AND v.key = d.key
                             AND v.version = d.version AND v.outcome = d.outcome AND v.rows = d.rows)",
    )
}

impl Replay {
    /// The outcome and the rows that a verdict must have; none where it is not about content.
    fn decide(&mut self, log: &[Landed], verdict: &[String]) -> Result<Option<(String, String)>, String> {
        let [batch_id, ordinal, key, version, outcome, _rows] = verdict else { panic!("six columns") };
        match outcome.as_str() {
            "again" => {
                self.again.push(verdict.to_vec());
                return Ok(None);
            }
            "deferred" => return Ok(None),
            _ => {}
        }
        if !self.decided.insert((key.clone(), version.clone())) {
            return Err(format!("{verdict:?}: decided a second time (I2)"));
        }
        if ["superseded", "missing", "expired"].contains(&outcome.as_str()) {
            return Ok(None);
        }
        let landed = log.iter().find(|landed| landed.key == *key && landed.version() == *version);
        let landed = landed.ok_or_else(|| format!("{verdict:?}: it never landed"))?;
        if landed.content.is_bad {
            return Ok(Some(("rejected".to_owned(), "0".to_owned())));
        }
        Ok(Some(self.load(landed, batch_id, ordinal)))
    }

    /// What is left to another batch is decided there, before or after.
    fn check_again(&self) -> Result<(), String> {
        let is_decided = |key: &str, version: &str| {
            let etag = version.split('@').next().unwrap_or(version);
            self.decided.iter().any(|(other, decided)| {
                other == key && (decided == version || decided.split('@').next() == Some(etag))
            })
        };
        match self.again.iter().find(|verdict| !is_decided(&verdict[2], &verdict[3])) {
            Some(verdict) => Err(format!("{verdict:?}: nobody has decided about it")),
            None => Ok(()),
        }
    }

    fn load(&mut self, landed: &Landed, batch_id: &str, ordinal: &str) -> (String, String) {
        let place = |invoice: &Invoice| (invoice.customer.clone(), invoice.number.clone());
        let invoices = &landed.content.invoices;
        let known = |invoice: &&Invoice| self.tables.get(&place(invoice)).map(|row| &row.invoice);
        if invoices.iter().any(|invoice| known(&invoice).is_some_and(|other| other != invoice)) {
            return ("conflict".to_owned(), "0".to_owned());
        }
        let new: Vec<&Invoice> = invoices.iter().filter(|invoice| known(invoice).is_none()).collect();
        let rows: usize = new.iter().map(|invoice| 1 + invoice.item_rows().len()).sum();
        let outcome = if new.is_empty() { "duplicate" } else { "loaded" };
        let landed_at = landed.landed_at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
        for invoice in new {
            let row = Row {
                invoice: invoice.clone(),
                batch_id: batch_id.to_owned(),
                ordinal: ordinal.to_owned(),
                landed_at: landed_at.clone(),
            };
            self.tables.insert(place(invoice), row);
        }
        (outcome.to_owned(), rows.to_string())
    }
}

/// The target tables hold each invoice once, from the document that brought it.
fn check_rows(ledger: &Connection, replay: &Replay) -> Result<(), String> {
    let tables = [
        ("invoices", "customer_id, invoice_id, dated, from_party, to_party, amount, sgst, total, in_words"),
        ("invoice_items", "customer_id, invoice_id, line, description, price, tax"),
    ];
    let mut expected = [Vec::new(), Vec::new()];
    for row in replay.tables.values() {
        // The sequencer is that of the notification which found the document, and a listing has none.
        let origin = [
            row.batch_id.clone(),
            row.landed_at.clone(),
            format!("/000000/{}/{:0>6}", row.batch_id, row.ordinal),
        ];
        expected[0].push([row.invoice.row(), origin.to_vec()].concat());
        let items = row.invoice.item_rows().into_iter();
        expected[1].extend(items.map(|item| [item, origin.to_vec()].concat()));
    }
    for ((table, columns), mut expected) in tables.into_iter().zip(expected) {
        let sql = format!(
            "SELECT {columns}, batch_id, substr(source_order, 1, instr(source_order, '/') - 1),
                    substr(source_order, instr(source_order, '/') + 33) FROM {table}"
        );
        let mut found = select(ledger, &sql);
        found.sort();
        expected.sort();
        if found != expected {
            let lost: Vec<_> = expected.iter().filter(|row| !found.contains(row)).collect();
            let unexpected: Vec<_> = found.iter().filter(|row| !expected.contains(row)).collect();
            return Err(format!(
                "{table}: {} rows, {} expected; lost {lost:?}, unexpected {unexpected:?}",
                found.len(),
                expected.len()
            ));
        }
    }
    Ok(())
}
