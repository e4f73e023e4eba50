//! The checker: holds the ledger, the tables, the curated objects and the archive against the oracle.

#[path = "archived.rs"]
mod archived;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use sha2::{Digest, Sha256};

use crate::corpus::Document;
use crate::oracle::{Expected, Held};
use crate::world::World;

const INVOICES: &str = "customer_id, invoice_id, dated, from_party, to_party, amount, sgst, total, in_words, batch_id, \
                        source_order";
const ITEMS: &str = "customer_id, invoice_id, line, description, price, tax, batch_id, source_order";

/// A row as text, empty for NULL: empty text is NULL everywhere.
type Texts = Vec<String>;

/// A row of `sluicegate.document` and the place at which its batch was loaded.
#[derive(Debug)]
struct Decided {
    version: String,
    batch_id: String,
    ordinal: u32,
    outcome: String,
    reason: String,
    sha256: String,
    rows: u64,
    size: u64,
    landed_at: String,
    etag: String,
    place: (u64, u32),
}

/// Everything is decided, just as the oracle says, and published; what became of the documents.
pub(crate) fn check(world: &World, documents: &[Document]) -> Expected {
    let decided = decided(world);
    let expected = expected(documents, &decided);
    check_documents(documents, &decided, &expected);
    check_verdicts(world, &decided);
    check_batches(world, &decided);
    archived::check(world, documents, &decided);
    check_rows(world, &decided, &expected);
    check_curated(world);
    expected
}

/// Every document by its key; a key with two documents is an error here.
fn decided(world: &World) -> BTreeMap<String, Decided> {
    let sql = "SELECT d.key, d.version, d.batch_id, d.ordinal, d.outcome, d.reason, d.sha256, d.rows, d.size,
               to_char(d.landed_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'), d.etag, b.load_number, d.bucket,
               d.job FROM sluicegate.document d JOIN sluicegate.batch b USING (batch_id)";
    let mut decided = BTreeMap::new();
    for row in world.database.select(sql) {
        assert_eq!((row[12].as_str(), row[13].as_str()), (world.landing.as_str(), "invoices"), "{row:?}");
        let ordinal = row[3].parse().unwrap();
        let document = Decided {
            version: row[1].clone(),
            batch_id: row[2].clone(),
            ordinal,
            outcome: row[4].clone(),
            reason: row[5].clone(),
            sha256: row[6].clone(),
            rows: row[7].parse().unwrap(),
            size: row[8].parse().unwrap(),
            landed_at: row[9].clone(),
            etag: row[10].clone(),
            place: (row[11].parse().unwrap(), ordinal),
        };
        assert!(
            decided.insert(row[0].clone(), document).is_none(),
            "two documents have the key {:?}",
            row[0]
        );
    }
    decided
}

/// A queue keeps no order, so the oracle decides the documents in the order in which the ledger says it met them.
fn expected(documents: &[Document], decided: &BTreeMap<String, Decided>) -> Expected {
    let uploaded: BTreeSet<&String> = documents.iter().map(|document| &document.key).collect();
    let known: BTreeSet<&String> = decided.keys().collect();
    let lost: Vec<_> = uploaded.difference(&known).take(5).collect();
    let strangers: Vec<_> = known.difference(&uploaded).take(5).collect();
    assert!(lost.is_empty(), "documents without an outcome (I9): {lost:?} and others");
    assert!(strangers.is_empty(), "nobody uploaded {strangers:?}");
    let mut ordered: Vec<Document> = documents.to_vec();
    ordered.sort_by_key(|document| decided[&document.key].place);
    for (rank, document) in ordered.iter_mut().enumerate() {
        document.modified = SystemTime::UNIX_EPOCH + Duration::from_secs(rank as u64);
    }
    Expected::of(&ordered)
}

fn check_documents(documents: &[Document], decided: &BTreeMap<String, Decided>, expected: &Expected) {
    for Document { key, bytes, .. } in documents {
        let (document, fate) = (&decided[key], &expected.fates[key]);
        let found = (document.outcome.as_str(), document.rows);
        assert_eq!(found, (fate.outcome, fate.rows), "{key}: {document:?}");
        assert!(document.reason.contains(fate.told), "{key}: {:?} in {document:?}", fate.told);
        assert_eq!(document.version, format!("{}@{}", document.etag, document.landed_at), "{key}");
        assert_eq!(document.sha256, hex::encode(Sha256::digest(bytes)), "{key}");
        assert_eq!(document.size, bytes.len() as u64, "{key}");
    }
}

/// One verdict a member; it is the document's outcome, or `again`.
fn check_verdicts(world: &World, decided: &BTreeMap<String, Decided>) {
    let mut deciding = 0;
    for row in world.database.select("SELECT batch_id, ordinal, key, outcome FROM sluicegate.verdict") {
        let document = &decided[&row[2]];
        if (&row[0], &row[1]) == (&document.batch_id, &document.ordinal.to_string()) {
            assert_eq!(row[3], document.outcome, "{row:?}");
            deciding += 1;
        } else {
            assert!(["again", "deferred"].contains(&row[3].as_str()), "decided twice: {row:?}, {document:?}");
        }
    }
    assert_eq!(deciding, decided.len(), "every outcome has its verdict");
    let uneven = "SELECT count(*) FROM sluicegate.batch b WHERE documents <>
                  (SELECT count(*) FROM sluicegate.verdict v WHERE v.batch_id = b.batch_id)";
    assert_eq!(world.ask(uneven), Some(0), "one verdict a member");
}

/// Every batch is published, has the rows of its tables, and one archive object; none has been archived and forgotten.
fn check_batches(world: &World, decided: &BTreeMap<String, Decided>) {
    let unpublished = "SELECT count(*) FROM sluicegate.batch WHERE published_at IS NULL";
    assert_eq!(world.ask(unpublished), Some(0), "every batch is published");
    let untrue = "SELECT count(*) FROM sluicegate.batch b WHERE rows <>
                  (SELECT sum(rows) FROM sluicegate.batch_table t WHERE t.batch_id = b.batch_id)";
    assert_eq!(world.ask(untrue), Some(0), "a batch has the rows of its tables");
    let rows: u64 = decided.values().map(|document| document.rows).sum();
    assert_eq!(world.ask("SELECT sum(rows)::bigint FROM sluicegate.batch"), Some(rows as i64));
    let archives = world.database.select("SELECT archive_key FROM sluicegate.batch");
    let known: BTreeSet<String> = archives.into_iter().map(|mut row| row.remove(0)).collect();
    assert_eq!(world.archived(), known, "one archive object a batch");
}

/// The target tables hold what the good documents say, and no row more.
fn check_rows(world: &World, decided: &BTreeMap<String, Decided>, expected: &Expected) {
    let (mut invoices, mut items): (Vec<Texts>, Vec<Texts>) = (Vec::new(), Vec::new());
    for Held { rows, document } in expected.invoices.values() {
        let Decided { landed_at, batch_id, ordinal, .. } = &decided[document];
        let whole = |row: &Vec<Option<String>>| {
            let order = format!("{landed_at}/…/{batch_id}/{ordinal:06}");
            let values = row.iter().map(|value| value.clone().unwrap_or_default());
            values.chain([batch_id.clone(), order]).collect::<Texts>()
        };
        invoices.push(whole(&rows.parent));
        items.extend(rows.items.iter().map(whole));
    }
    for (table, columns, wanted) in [("invoices", INVOICES, invoices), ("invoice_items", ITEMS, items)] {
        let mut found = table_rows(world, table, columns);
        found.iter_mut().for_each(shorten_order);
        same(table, found, wanted);
    }
}

/// Sequencer and replay, which the corpus does not know, are taken out of the order.
fn shorten_order(row: &mut Texts) {
    let order = row.last_mut().expect("rows have columns");
    let parts: Vec<&str> = order.split('/').collect();
    assert!(parts.len() == 5 && parts[1].len() == 32 && parts[2] == "000000", "{order}");
    *order = format!("{}/…/{}/{}", parts[0], parts[3], parts[4]);
}

fn table_rows(world: &World, table: &str, columns: &str) -> Vec<Texts> {
    world.database.select(&format!("SELECT {columns} FROM {table}"))
}

#[track_caller]
fn same(what: &str, mut found: Vec<Texts>, mut wanted: Vec<Texts>) {
    found.sort();
    wanted.sort();
    let difference = found.iter().zip(&wanted).find(|(found, wanted)| found != wanted);
    assert_eq!(difference, None, "{what}: found, wanted");
    assert_eq!(found.len(), wanted.len(), "{what}");
}

/// The curated objects are just those that the ledger fixed, byte for byte, and hold the tables' rows (I5, I7).
pub(crate) fn check_curated(world: &World) {
    let sql = "SELECT csv_key, table_name, rows, csv_bytes, csv_sha256 FROM sluicegate.batch_table
               WHERE csv_key IS NOT NULL";
    let fixed = world.database.select(sql);
    let announced: BTreeMap<String, u64> =
        fixed.iter().map(|row| (row[0].clone(), row[3].parse().unwrap())).collect();
    assert_eq!(world.curated(), announced, "just the finished objects lie there, whole");
    let mut published: BTreeMap<&str, Vec<Texts>> = BTreeMap::new();
    for row in &fixed {
        let bytes = world.read(&world.data, &format!("curated/{}", row[0]));
        assert_eq!(hex::encode(Sha256::digest(&bytes)), row[4], "{}", row[0]);
        let mut reader = csv::Reader::from_reader(bytes.as_slice());
        let texts = |record: csv::StringRecord| record.iter().map(str::to_owned).collect();
        let rows: Vec<Texts> = reader.records().map(|record| texts(record.unwrap())).collect();
        assert_eq!(rows.len().to_string(), row[2], "{}", row[0]);
        published.entry(&row[1]).or_default().extend(rows);
    }
    for (table, columns) in [("invoices", INVOICES), ("invoice_items", ITEMS)] {
        let rows = published.remove(table).unwrap_or_default();
        same(&format!("the CSV objects of {table}"), rows, table_rows(world, table, columns));
    }
    assert!(published.is_empty(), "{published:?}");
}
