//! Goal: the proof of a day takes memory by its batches, and never by its documents.
//!
//! The day is made up: rows of the ledger and of the tables, CSV objects with their checksums, archive objects that nobody
//! has to open. `SLUICEGATE_FULL=1` takes a million documents, and prints what that took.

use std::fs::{self, File};
use std::io::BufWriter;
use std::time::Instant;

use rusqlite::{Connection, Transaction, params};
use sluicegate::curated::{CsvEncoder, Totals, object_key};
use sluicegate::schema::Schema;
use sluicegate::transform::Definition;

use crate::support::Project;
use crate::world::{date, land};

const BATCH: u64 = 1_000;
/// What a day of ten times as many documents, or two hundred times, may take more, in KiB.
const MORE_KIB: u64 = 20 << 10;
/// What a small day does not fill: the page caches of the SQLite warehouse and of the embedded query engine, and what the
/// engine sorts in memory before it goes to a file, which is as much as its cache.
const CACHES_KIB: u64 = (16 << 10) + 2 * (64 << 10);

/// The batch that all the made-up ones are like.
struct Pattern {
    definition_hash: String,
    incarnation: String,
    crawl_id: String,
    /// The date of its partition, `YYYY-MM-DD`.
    dt: String,
    at: String,
    schema: Schema,
}

impl Pattern {
    fn of(project: &Project) -> Self {
        let text = |sql: &str| project.ask::<String>(sql).unwrap();
        let definition = Definition::from_text(&text("SELECT text FROM sluicegate_definition")).unwrap();
        let batch_id = text("SELECT batch_id FROM sluicegate_batch");
        Self {
            definition_hash: text("SELECT definition_hash FROM sluicegate_batch"),
            incarnation: text("SELECT incarnation FROM sluicegate_batch"),
            crawl_id: text("SELECT crawl_id FROM sluicegate_batch"),
            dt: format!("{}-{}-{}", &batch_id[..4], &batch_id[4..6], &batch_id[6..8]),
            at: text("SELECT published_at FROM sluicegate_batch"),
            schema: definition.schema().clone(),
        }
    }

    fn batch_id(&self, number: u64) -> String {
        format!("{}T000000Z-{number:016x}", self.dt.replace('-', ""))
    }
}

/// A day of so many documents, all loaded, published and covered.
fn a_day_of(documents: u64) -> Project {
    let project = Project::new();
    land(&project, 0..1, 2);
    project.run(&["drain", "--crawl"]).exits(0);
    // What lies in the landing is another test's matter.
    fs::remove_dir_all(project.landing().join("in")).unwrap();
    let pattern = Pattern::of(&project);
    let mut warehouse = Connection::open(project.path("var/warehouse.db")).unwrap();
    for batch in 0..documents.div_ceil(BATCH) {
        let transaction = warehouse.transaction().unwrap();
        fill(&project, &transaction, &pattern, batch, documents.min((batch + 1) * BATCH) - batch * BATCH);
        transaction.commit().unwrap();
    }
    project
}

fn fill(project: &Project, ledger: &Transaction<'_>, pattern: &Pattern, batch: u64, documents: u64) {
    let id = pattern.batch_id(batch);
    let archive_key = format!("invoices/dt={}/{id}.tar.zst", pattern.dt);
    let archive = project.path("var/archive").join(&archive_key);
    fs::create_dir_all(archive.parent().unwrap()).unwrap();
    fs::write(archive, "made up").unwrap();
    let sql = "INSERT INTO sluicegate_batch (batch_id, job, documents, rows, sealed_at, loaded_at, published_at, crawl_id,
                                             definition_hash, archive_key, incarnation)
               VALUES (?1, 'invoices', ?2, ?3, ?4, ?4, ?4, ?5, ?6, ?7, ?8)";
    let Pattern { definition_hash, incarnation, crawl_id, at, .. } = pattern;
    let values =
        params![id, documents, 2 * documents, at, crawl_id, definition_hash, archive_key, incarnation];
    ledger.execute(sql, values).unwrap();
    let first = batch * BATCH;
    document_rows(ledger, &id, first, documents);
    for (position, table) in pattern.schema.tables.iter().enumerate() {
        let totals = table_rows(project, ledger, pattern, position, &id, first..first + documents);
        let sql = "INSERT INTO sluicegate_batch_table VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
        let Totals { rows, bytes, sha256, sums, digest } = totals;
        let sums = serde_json::to_string(&sums).unwrap();
        let key = object_key(&table.name, &id);
        let values = params![id, table.name, position, rows, sums, digest, key, bytes, sha256];
        ledger.execute(sql, values).unwrap();
    }
}

fn document_rows(ledger: &Transaction<'_>, id: &str, first: u64, documents: u64) {
    let day = date(1);
    let at = format!("{day}T12:00:00.000000Z");
    let mut document = ledger
        .prepare_cached(
            "INSERT INTO sluicegate_document (job, bucket, key, version, batch_id, ordinal, outcome, rows, size, etag,
                                              landed_at, day)
             VALUES ('invoices', 'local', ?1, 'made up', ?2, ?3, 'loaded', 2, 100, 'made up', ?4, ?5)",
        )
        .unwrap();
    let mut verdict = ledger
        .prepare_cached(
            "INSERT INTO sluicegate_verdict (batch_id, ordinal, job, bucket, key, version, outcome, rows, at)
             VALUES (?1, ?2, 'invoices', 'local', ?3, 'made up', 'loaded', 2, ?4)",
        )
        .unwrap();
    for ordinal in 0..documents {
        let key = format!("made up/{:09}.txt", first + ordinal);
        document.execute(params![key, id, ordinal, at, day]).unwrap();
        verdict.execute(params![id, ordinal, key, at]).unwrap();
    }
}

/// One row a document, in the table and in its CSV object.
fn table_rows(
    project: &Project,
    ledger: &Transaction<'_>,
    pattern: &Pattern,
    position: usize,
    id: &str,
    numbers: std::ops::Range<u64>,
) -> Totals {
    let table = &pattern.schema.tables[position];
    let object = project.path("var/curated").join(object_key(&table.name, id));
    fs::create_dir_all(object.parent().unwrap()).unwrap();
    let mut csv = CsvEncoder::new(BufWriter::new(File::create(object).unwrap()), table).unwrap();
    let marks = vec!["?"; table.all_column_names().count()].join(", ");
    let mut insert = ledger.prepare_cached(&format!("INSERT INTO {} VALUES ({marks})", table.name)).unwrap();
    for number in numbers {
        let (customer, invoice) = (format!("C{}", number % 977), format!("I{number:09}"));
        let order = format!("made up/{number:09}");
        let amount = format!("{}.{:02}", number % 10_000, number % 100);
        let values: Vec<&str> = match position {
            0 => vec![&customer, &invoice, "2024-05-06", "A Inc.", "B Inc.", &amount, "0.00", &amount, ""],
            _ => vec![&customer, &invoice, "1", "a thing", &amount, ""],
        };
        csv.row(values.iter().copied(), id, &order).unwrap();
        let texts = values.into_iter().chain([id, &order]);
        let texts = texts.map(|text| Some(text).filter(|text| !text.is_empty()));
        insert.execute(rusqlite::params_from_iter(texts)).unwrap();
    }
    csv.finish().unwrap().1
}

/// Reconciles, which has to balance; the most memory that it took, in KiB.
fn peak_of(documents: u64) -> u64 {
    let project = a_day_of(documents);
    let began = Instant::now();
    let mut proof = project.start(&["reconcile", "--output", "json"]);
    let mut peak = 0;
    while !proof.has_ended() {
        peak = proof.peak_kib().unwrap_or(0).max(peak);
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let ended = proof.wait().0.exits(0);
    println!("{documents} documents of one day: {:.1?}, {} MiB at the peak", began.elapsed(), peak >> 10);
    let report = ended.json();
    let told = crate::world::day(&report, &date(1));
    assert_eq!(told["balance"]["loaded"], documents, "{report:#}");
    for (place, expected) in [
        ("warehouse", 2 * documents),
        ("curated", 2 * documents.div_ceil(BATCH)),
        ("archive", documents.div_ceil(BATCH)),
        ("query", 2 * documents),
    ] {
        let line = told["places"].as_array().unwrap().iter().find(|line| line["place"] == place).unwrap();
        assert_eq!((&line["expected"], &line["ok"]), (&expected.into(), &expected.into()), "{line}");
    }
    peak
}

#[test]
fn memory_does_not_grow_with_the_documents_of_a_day() {
    let few = peak_of(5_000);
    let full = std::env::var_os("SLUICEGATE_FULL").is_some_and(|value| value == "1");
    let many = peak_of(if full { 1_000_000 } else { 50_000 });
    assert!(few > 0, "the peak was seen");
    assert!(many < few + CACHES_KIB + MORE_KIB, "{few} KiB for few documents, {many} KiB for many");
}
