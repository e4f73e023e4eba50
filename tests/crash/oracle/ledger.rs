//! Documents and verdicts: every landed version has one outcome, every member of a batch one verdict (I2, I9, I10).

use std::collections::BTreeMap;

use chrono::SecondsFormat;
use rusqlite::Connection;
use sha2::{Digest, Sha256};

use super::{none, select};
use crate::workload::{Document, everything};

/// With a state that was rebuilt, what was gone from the landing before it was archived may be known to nobody.
pub(super) fn check(ledger: &Connection, rebuilt: bool) -> Vec<String> {
    let mut found: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
    let documents = "SELECT key, landed_at, version, outcome, reason, rows, sha256, size, bucket, job, day
                     FROM sluicegate_document";
    for row in select(ledger, documents) {
        let before = found.insert((row[0].clone(), row[1].clone()), row);
        assert!(before.is_none(), "one landed version, two documents: {before:?}");
    }
    let mut content = Vec::new();
    for document in everything() {
        let landed_at = document.landed_at.to_rfc3339_opts(SecondsFormat::Secs, true);
        let row = found.remove(&(document.key.to_owned(), landed_at.clone()));
        if rebuilt && row.is_none() && ["superseded", "missing"].contains(&document.outcome) {
            continue;
        }
        let row = row.unwrap_or_else(|| panic!("{} of {landed_at} has no outcome (I9)", document.key));
        check_document(&document, &landed_at, &row);
        content.push(format!("document {}", row.join(" | ")));
    }
    assert!(found.is_empty(), "documents that nobody landed: {found:?}");
    if !rebuilt {
        let again = "SELECT key, batch_id FROM sluicegate_verdict WHERE outcome = 'again'";
        none(ledger, "documents that were archived twice", again);
    }
    check_verdicts(ledger);
    content.extend(
        select(ledger, "SELECT key, version, outcome, rows, reason FROM sluicegate_verdict")
            .iter()
            .map(|row| format!("verdict {}", row.join(" | "))),
    );
    content
}

fn check_document(document: &Document, landed_at: &str, row: &[String]) {
    let (version, outcome, reason) = (&row[2], &row[3], &row[4]);
    let key = document.key;
    assert_eq!(outcome, document.outcome, "{key}: {reason}");
    assert!(reason.contains(document.reason), "{key}: {reason}");
    let was_read = !["superseded", "missing"].contains(&document.outcome);
    let sha256 = if was_read { hex::encode(Sha256::digest(&document.bytes)) } else { String::new() };
    let expected_version = if was_read {
        format!("sha256:{sha256}@{landed_at}")
    } else {
        // A document never seen has the version of its notification (I2).
        format!("{}-{}@", document.bytes.len(), document.landed_at.timestamp_nanos_opt().unwrap())
    };
    let rows: usize = document.invoices.iter().map(|invoice| 1 + invoice.rows().1.len()).sum();
    let expected = [
        expected_version,
        rows.to_string(),
        sha256,
        document.bytes.len().to_string(),
        "local".to_owned(),
        "invoices".to_owned(),
        document.landed_at.date_naive().to_string(),
    ];
    let found: Vec<&String> = std::iter::once(version).chain(&row[5..]).collect();
    assert_eq!(found, expected.iter().collect::<Vec<_>>(), "{key}");
}

fn check_verdicts(ledger: &Connection) {
    none(
        ledger,
        "members without just one verdict each (I9)",
        "SELECT batch_id, documents FROM sluicegate_batch AS b
         WHERE documents <> (SELECT count(*) FROM sluicegate_verdict AS v WHERE v.batch_id = b.batch_id)
            OR documents <> (SELECT max(ordinal) + 1 FROM sluicegate_verdict AS v WHERE v.batch_id = b.batch_id)",
    );
    none(
        ledger,
        "documents whose outcome is not that of the one verdict that decided",
        "SELECT key, version FROM sluicegate_document AS d
         WHERE 1 <> (SELECT count(*) FROM sluicegate_verdict AS v
                     WHERE v.job = d.job AND v.bucket = d.bucket AND v.key = d.key AND v.version = d.version
                       AND v.outcome <> 'again')
            OR NOT EXISTS (SELECT 1 FROM sluicegate_verdict AS v
                           WHERE v.batch_id = d.batch_id AND v.ordinal = d.ordinal AND v.key = d.key
                             AND v.version = d.version AND v.outcome = d.outcome AND v.reason = d.reason
                             AND v.rows = d.rows)",
    );
    none(
        ledger,
        "verdicts about no document",
        "SELECT key, version, outcome FROM sluicegate_verdict AS v
         WHERE NOT EXISTS (SELECT 1 FROM sluicegate_document AS d WHERE d.key = v.key AND d.version = v.version)",
    );
    none(
        ledger,
        "documents turned away without a word why, or the other way round (I10)",
        "SELECT batch_id, ordinal FROM (
             SELECT batch_id, ordinal FROM sluicegate_document WHERE outcome IN ('rejected', 'conflict')
             UNION ALL SELECT batch_id, ordinal FROM sluicegate_reject)
         GROUP BY 1, 2 HAVING count(*) <> 2",
    );
}
