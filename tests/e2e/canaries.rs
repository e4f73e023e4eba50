//! Goal: the checker bites. Each canary spoils one thing behind the product's back, and the checker has to notice.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::time::SystemTime;

use rusqlite::Connection;

use crate::checker::check;
use crate::corpus::corpus;
use crate::oracle::Expected;
use crate::support::{Project, Snapshot, files_under};

type Canary = (&'static str, fn(&Project));

const CANARIES: [Canary; 17] = [
    ("an amount off by a cent", |p| sql(p, "UPDATE invoices SET amount = '0.01' WHERE rowid_of_one")),
    ("an amount without its zeros", |p| {
        sql(p, "UPDATE invoices SET amount = rtrim(amount, '0') WHERE amount LIKE '%0'");
    }),
    ("a tax of zero for no tax", |p| sql(p, "UPDATE invoice_items SET tax = '0.00' WHERE tax IS NULL")),
    ("a lost item", |p| sql(p, "DELETE FROM invoice_items WHERE line = 2")),
    ("a lost invoice", |p| sql(p, "DELETE FROM invoices WHERE rowid_of_one")),
    ("an invoice too many", |p| {
        sql(p, "INSERT INTO invoices SELECT customer_id || 'x', invoice_id, dated, from_party, to_party, amount, sgst,
                total, in_words, batch_id, source_order FROM invoices LIMIT 1");
    }),
    ("another source order", |p| {
        sql(p, "UPDATE invoices SET source_order = source_order || '0' WHERE rowid_of_one")
    }),
    ("another outcome", |p| {
        sql(p, "UPDATE sluicegate_document SET outcome = 'duplicate' WHERE outcome = 'rejected'");
    }),
    ("no reason", |p| sql(p, "UPDATE sluicegate_document SET reason = '' WHERE outcome = 'conflict'")),
    ("a forgotten document", |p| sql(p, "DELETE FROM sluicegate_document WHERE outcome = 'rejected'")),
    ("a batch that is not published", |p| {
        sql(p, "UPDATE sluicegate_batch SET published_at = NULL WHERE crawl_id IS NULL")
    }),
    ("an untrue sum", |p| {
        sql(
            p,
            "UPDATE sluicegate_batch_table SET sums = replace(sums, '.', '1.') WHERE table_name = 'invoice_items'",
        );
    }),
    ("a lost CSV object", |p| fs::remove_file(csv_object(p)).unwrap()),
    ("a longer CSV object", |p| append(&csv_object(p), b"x,y\n")),
    ("a stranger among the CSV objects", |p| fs::write(csv_object(p).with_extension("tmp"), "").unwrap()),
    ("a lost archive object", |p| fs::remove_file(first_under(p, "var/archive")).unwrap()),
    ("a touched landing", |p| {
        let file = first_under(p, "var/landing");
        OpenOptions::new().write(true).open(file).unwrap().set_modified(SystemTime::now()).unwrap();
    }),
];

fn sql(project: &Project, statement: &str) {
    let one = "(customer_id, invoice_id) = (SELECT customer_id, invoice_id FROM invoices LIMIT 1)";
    let warehouse = Connection::open(project.path("var/warehouse.db")).unwrap();
    let changed = warehouse.execute(&statement.replace("rowid_of_one", one), []).unwrap();
    assert!(changed > 0, "nothing to spoil: {statement}");
}

fn first_under(project: &Project, folder: &str) -> PathBuf {
    files_under(&project.path(folder)).remove(0).1
}

fn csv_object(project: &Project) -> PathBuf {
    first_under(project, "var/curated/invoice_items")
}

fn append(path: &PathBuf, bytes: &[u8]) {
    OpenOptions::new().append(true).open(path).unwrap().write_all(bytes).unwrap();
}

#[test]
fn every_canary_is_noticed() {
    let documents = corpus(61, 60);
    let expected = Expected::of(&documents);
    for (name, spoil) in CANARIES {
        let project = Project::with_batches_of(25).with("SLUICEGATE_WINDOW", "0 0 0 1 1 *");
        project.land_all(&documents);
        let landed = Snapshot::of(&project.landing());
        project.drain(3);
        check(&project, &expected, &landed);
        spoil(&project);
        let noticed = catch_unwind(AssertUnwindSafe(|| check(&project, &expected, &landed))).is_err();
        assert!(noticed, "nobody noticed {name}");
    }
}
