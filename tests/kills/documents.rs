//! What lands: good and bad documents, duplicates and a conflict, in two windows.

use std::time::SystemTime;

use crate::corpus::{Document, Meaning, corpus, landed};

/// Members of a batch: small, so that each window has more than one.
pub(crate) const BATCH: usize = 3;

/// What lands before the first window ends, and after it; in the order of landing.
pub(crate) fn windows() -> [Vec<Document>; 2] {
    let mut documents = corpus(31, 9);
    documents.sort_by_key(|document| document.modified);
    let known = documents.iter().find_map(|document| match &document.meaning {
        Meaning::Invoices(invoices) if invoices.len() == 1 => Some(invoices[0].clone()),
        _ => None,
    });
    let mut dearer = known.expect("a document with one invoice");
    dearer.from.push_str(" (corrected)");
    let (bytes, meaning) = (dearer.text().into_bytes(), Meaning::Invoices(vec![dearer]));
    let modified: SystemTime = landed(1_000);
    documents.push(Document { key: "other content.txt".to_owned(), bytes, modified, meaning });
    let second = documents.split_off(documents.len() - 5);
    [documents, second]
}

/// Both.
pub(crate) fn everything() -> Vec<Document> {
    windows().into_iter().flatten().collect()
}
