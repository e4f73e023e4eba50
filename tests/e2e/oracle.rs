//! The oracle: what must become of every document, by a model of a few lines that shares no code with the product.
//!
//! Documents are decided in the order in which they landed. The world is a map from key to rows; a document either adds
//! its new invoices to it, all of them, or leaves it as it was.

use std::collections::BTreeMap;

use crate::corpus::{Document, Meaning, Rows};

/// What must become of one document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fate {
    pub(crate) outcome: &'static str,
    /// Rows that it brought, over both tables.
    pub(crate) rows: u64,
    /// Words of its reason.
    pub(crate) told: &'static str,
    /// Records of it that were there already.
    pub(crate) refused: u64,
}

/// The rows of one invoice and the document that brought them.
#[derive(Debug, Clone)]
pub(crate) struct Held {
    pub(crate) rows: Rows,
    pub(crate) document: String,
}

/// A customer and an invoice number.
pub(crate) type InvoiceKey = (String, String);

/// What must be the case when everything is decided.
#[derive(Debug, Default)]
pub(crate) struct Expected {
    /// By document key.
    pub(crate) fates: BTreeMap<String, Fate>,
    pub(crate) invoices: BTreeMap<InvoiceKey, Held>,
}

impl Expected {
    /// Decides documents that all have different keys.
    pub(crate) fn of(documents: &[Document]) -> Self {
        let mut order: Vec<&Document> = documents.iter().collect();
        order.sort_by_key(|document| document.modified);
        let mut expected = Self::default();
        for document in order {
            let fate = expected.decide(document);
            let before = expected.fates.insert(document.key.clone(), fate);
            assert!(before.is_none(), "the corpus has two documents {:?}", document.key);
        }
        expected
    }

    fn decide(&mut self, document: &Document) -> Fate {
        let invoices = match &document.meaning {
            Meaning::Broken(told) => return turned_away("rejected", told),
            Meaning::Invoices(invoices) => invoices,
        };
        let mut own: BTreeMap<InvoiceKey, Rows> = BTreeMap::new();
        let mut refused = 0;
        for invoice in invoices {
            let (key, rows) = (invoice.key(), invoice.rows());
            let known = self.invoices.get(&key).map(|held| &held.rows);
            match (known, own.get(&key)) {
                (None, None) => drop(own.insert(key, rows)),
                (Some(known), _) if *known != rows => return turned_away("conflict", "other content"),
                (_, Some(mine)) if *mine != rows => return turned_away("rejected", "different content"),
                _ => refused += 1,
            }
        }
        if own.is_empty() {
            return Fate { refused, ..turned_away("duplicate", "already there") };
        }
        let rows = own.values().map(|rows| 1 + rows.items.len() as u64).sum();
        for (key, rows) in own {
            self.invoices.insert(key, Held { rows, document: document.key.clone() });
        }
        Fate { outcome: "loaded", rows, told: "", refused }
    }

    /// How many documents have each outcome.
    pub(crate) fn counts(&self) -> BTreeMap<&'static str, u64> {
        let mut counts = BTreeMap::new();
        for fate in self.fates.values() {
            *counts.entry(fate.outcome).or_default() += 1;
        }
        counts
    }

    /// Rows over both tables.
    pub(crate) fn rows(&self) -> u64 {
        self.fates.values().map(|fate| fate.rows).sum()
    }
}

fn turned_away(outcome: &'static str, told: &'static str) -> Fate {
    Fate { outcome, rows: 0, told, refused: 0 }
}
