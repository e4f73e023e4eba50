//! The target tables: the rows of the loaded documents, once, and nothing else (I5, I7).

use rusqlite::Connection;

use super::{none, select};
use crate::workload::everything;

const TABLES: [(&str, &str); 2] = [
    (
        "invoices",
        "customer_id, invoice_id, dated, from_party, to_party, amount, sgst, total, in_words, batch_id, source_order",
    ),
    ("invoice_items", "customer_id, invoice_id, line, description, price, tax, batch_id, source_order"),
];

pub(super) fn check(ledger: &Connection) -> Vec<String> {
    let mut expected = [Vec::new(), Vec::new()];
    for invoice in everything().iter().flat_map(|document| &document.invoices) {
        let (parent, items) = invoice.rows();
        expected[0].push(parent);
        expected[1].extend(items);
    }
    let mut content = Vec::new();
    for ((table, columns), mut expected) in TABLES.into_iter().zip(expected) {
        let rows = select(ledger, &format!("SELECT {columns} FROM {table}"));
        content.extend(rows.iter().map(|row| format!("{table} {}", row.join(" | "))));
        let mut found: Vec<Vec<String>> = rows.into_iter().map(|row| row[..row.len() - 2].to_vec()).collect();
        found.sort();
        expected.sort();
        assert_eq!(found, expected, "{table}");
        check_origin(ledger, table);
    }
    check_refused(ledger);
    content
}

/// Each row names the batch that loaded it, and the place of its document in there.
fn check_origin(ledger: &Connection, table: &str) {
    none(
        ledger,
        "rows that do not come from a loaded document",
        &format!(
            "SELECT t.batch_id, t.source_order FROM {table} AS t
             WHERE NOT EXISTS (
                 SELECT 1 FROM sluicegate_document AS d
                 WHERE d.batch_id = t.batch_id AND d.outcome = 'loaded'
                   AND t.source_order = d.landed_at || '/' || printf('%032d', 0) || '/000000/' || d.batch_id || '/'
                                        || printf('%06d', d.ordinal))"
        ),
    );
    none(
        ledger,
        "batches whose control totals are not those of the live rows (I7)",
        &format!(
            "SELECT batch_id, rows FROM sluicegate_batch_table AS b WHERE table_name = '{table}'
               AND rows <> (SELECT count(*) FROM {table} AS t WHERE t.batch_id = b.batch_id)"
        ),
    );
}

fn check_refused(ledger: &Connection) {
    let partly_known: usize = everything().iter().map(|document| document.refused).sum();
    // A document whose records are all known refuses each of them: here, one each.
    let duplicates = everything().iter().filter(|document| document.outcome == "duplicate").count();
    let refused = select(ledger, "SELECT count(*) FROM sluicegate_refused WHERE reason = 'duplicate'");
    assert_eq!(refused, [[(partly_known + duplicates).to_string()]]);
}
