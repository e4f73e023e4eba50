//! Goal: `reconcile` on AWS asks every place, tells what is out of place in each, and balances after the commands that it
//! gives.
//!
//! The stand-in's crawler makes no partitions, so the test registers them, as Glue would.

use std::time::Instant;

use aws_sdk_glue::types::{PartitionInput, StorageDescriptor};
use aws_sdk_s3::primitives::ByteStream;
use serde_json::Value;

use crate::corpus::{Document, Invoice, Meaning, Random};
use crate::emulator::fresh_name;
use crate::support::{Project, until};
use crate::world::{APART, PREFIX, World};

const TABLES: [&str; 2] = ["invoices", "invoice_items"];

struct Proof {
    world: World,
    machine: Project,
    catalog: String,
}

fn document(number: u64) -> Document {
    let invoice = Invoice::made_up(&mut Random::new(number), number);
    Document {
        key: format!("{PREFIX}{number}.txt"),
        bytes: invoice.text().into_bytes(),
        modified: std::time::SystemTime::UNIX_EPOCH,
        meaning: Meaning::Invoices(vec![invoice]),
    }
}

impl Proof {
    /// Six invoices in three batches, loaded, published and covered.
    fn new() -> Option<Self> {
        let world = World::new()?;
        let catalog = fresh_name("proof").replace('-', "_");
        let machine = world
            .machine(2)
            .with("SLUICEGATE_DATABASE", &catalog)
            .with("SLUICEGATE_CRAWLER", format!("crawl-{catalog}"))
            .with("SLUICEGATE_CRAWLER_ROLE", "arn:aws:iam::123456789012:role/glue")
            .with("SLUICEGATE_WORKGROUP", "primary")
            .with("SLUICEGATE_ATHENA_OUTPUT", format!("s3://{}/answers/", world.data));
        let proof = Self { world, machine, catalog };
        proof.machine.run(&["catalog", "--apply"]).exits(0);
        proof.world.upload(&(0..6).map(document).collect::<Vec<_>>());
        proof.machine.run(&["drain", "--crawl", "--patience", "60s"]).exits(0);
        Some(proof)
    }

    fn reconcile(&self, words: &[&str], code: i32) -> Value {
        self.machine.run(&[&["reconcile", "--output", "json"], words].concat()).exits(code).json()
    }

    /// The only discrepancy.
    #[track_caller]
    fn only(&self, kind: &str, place: &str) -> Value {
        let report = self.reconcile(&[], 3);
        let found = report["jobs"][0]["discrepancies"].as_array().unwrap().clone();
        assert_eq!(found.len(), 1, "{report:#}");
        assert_eq!((&found[0]["kind"], &found[0]["place"]), (&kind.into(), &place.into()), "{report:#}");
        found[0].clone()
    }

    /// Runs the command that a discrepancy gives.
    fn as_told(&self, found: &Value, code: i32) {
        let command = found["command"].as_str().unwrap().strip_prefix("sluicegate ").unwrap();
        let parts = command.split('\'').enumerate();
        let words: Vec<&str> = parts
            .flat_map(|(index, part)| match index % 2 {
                0 => part.split_whitespace().collect(),
                _ => vec![part],
            })
            .collect();
        self.machine.run(&words).exits(code);
    }

    fn csv_object(&self, table: &str) -> String {
        let key = self.world.curated().into_keys().find(|key| key.starts_with(&format!("{table}/dt=")));
        format!("curated/{}", key.unwrap())
    }

    fn put(&self, key: &str, bytes: Vec<u8>) {
        let clients = &self.world.emulator.clients;
        let put = clients.s3().put_object().bucket(&self.world.data).key(key).body(ByteStream::from(bytes));
        clients.block_on(put.send()).unwrap();
    }

    fn remove(&self, key: &str) {
        self.world.emulator.remove(&self.world.data, key);
    }

    fn change(&self, sql: &str) {
        assert!(self.world.database.shell().execute(sql, &[]).unwrap() > 0, "{sql}");
    }

    /// The dates that have objects.
    fn dates(&self, table: &str) -> std::collections::BTreeSet<String> {
        let keys = self.world.curated().into_keys();
        let date = |key: String| Some(key.strip_prefix(&format!("{table}/dt="))?[..10].to_owned());
        keys.filter_map(date).collect()
    }

    /// What a crawl does in Glue.
    fn register(&self) {
        let clients = &self.world.emulator.clients;
        for table in TABLES {
            for dt in self.dates(table) {
                let place = format!("s3://{}/curated/{table}/dt={dt}/", self.world.data);
                let input = PartitionInput::builder()
                    .values(dt)
                    .storage_descriptor(StorageDescriptor::builder().location(place).build());
                let create = clients.glue().batch_create_partition().database_name(&self.catalog);
                let create = create.table_name(format!("{table}_csv")).partition_input_list(input.build());
                clients.block_on(create.send()).unwrap();
            }
        }
    }

    fn drop_partitions(&self, table: &str) {
        let clients = &self.world.emulator.clients;
        for dt in self.dates(table) {
            let delete = clients.glue().delete_partition().database_name(&self.catalog);
            let delete = delete.table_name(format!("{table}_csv")).partition_values(dt);
            clients.block_on(delete.send()).unwrap();
        }
    }
}

#[test]
fn a_lost_notification_is_made_good_by_a_repair() {
    let Some(proof) = Proof::new() else { return };
    proof.world.upload_unannounced(&document(7));
    let report = proof.reconcile(&[], 0);
    assert_eq!(report["jobs"][0]["balance"]["in_flight"], 1, "it may still come: {report:#}");
    proof.machine.run(&["reconcile", "--repair"]).exits(0).tells("1 missed documents journaled");
    proof.machine.run(&["drain", "--crawl", "--patience", "60s"]).exits(0);
    let report = proof.reconcile(&[], 0);
    assert_eq!(report["jobs"][0]["balance"]["loaded"], 7, "{report:#}");
}

/// A listing has no sequencer, and the eTag is that of the first.
#[test]
fn the_same_bytes_again_are_found_though_neither_upload_was_announced() {
    let Some(proof) = Proof::new() else { return };
    for (uploads, duplicates) in [(1, 0), (2, 1)] {
        proof.world.upload_unannounced(&document(7));
        let uploaded = Instant::now();
        proof.machine.run(&["reconcile", "--repair"]).exits(0).tells("1 missed documents journaled");
        proof.machine.run(&["drain", "--crawl", "--patience", "60s"]).exits(0);
        let balance = &proof.reconcile(&[], 0)["jobs"][0]["balance"];
        let counted =
            ["received", "loaded", "duplicate", "in_flight"].map(|line| balance[line].as_u64().unwrap());
        assert_eq!(counted, [6 + uploads, 7, duplicates, 0], "{balance:#}");
        // Last-Modified has whole seconds, and uploads within one of them are one document.
        until("another upload is told from this one", || (uploaded.elapsed() > APART).then_some(()));
    }
}

fn line<'a>(report: &'a Value, place: &str) -> &'a Value {
    let lines = report["jobs"][0]["places"].as_array().unwrap();
    lines.iter().find(|line| line["place"] == place).unwrap()
}

#[test]
fn a_deployment_whose_catalog_registers_nothing_balances_where_queries_see_everything() {
    let Some(proof) = Proof::new() else { return };
    let report = proof.reconcile(&[], 0);
    let rows =
        proof.world.ask("SELECT (SELECT count(*) FROM invoices) + (SELECT count(*) FROM invoice_items)");
    assert_eq!(line(&report, "query")["ok"], rows.unwrap(), "Athena was asked: {report:#}");
    assert_eq!(line(&report, "catalog")["expected"], 0, "{report:#}");
    proof.register();
    let report = proof.reconcile(&[], 0);
    assert_eq!(line(&report, "catalog")["ok"].as_u64(), Some(2 * proof.dates("invoices").len() as u64));
}

#[test]
fn what_is_not_configured_is_said_and_not_taken_for_proven() {
    let Some(world) = World::new() else { return };
    let machine = world.machine(1_000);
    world.upload(&[document(1)]);
    machine.run(&["drain"]).exits(0);
    let told = machine.run(&["reconcile"]).exits(0);
    assert!(told.stdout.contains("query not asked: no query engine is set"), "{told:#?}");
    assert!(told.stdout.contains("catalog not asked: no crawler is set"), "{told:#?}");
}

#[test]
fn what_athena_counts_and_sums_is_compared() {
    let Some(proof) = Proof::new() else { return };
    proof.register();
    // An object of the same batch under another name: known to nobody, and read by every query.
    let key = proof.csv_object("invoices");
    let bytes = proof.world.read(&proof.world.data, &key);
    let stray = key.replace(".csv", "-copy.csv");
    proof.put(&stray, bytes);
    let found = proof.only("stray_object", "curated");
    assert!(found["detail"].as_str().unwrap().contains("-copy.csv"), "{found}");
    proof.as_told(&found, 0);
    proof.remove(&stray);
    // Queries that read no more than a part of the objects: the table points to another place.
    let clients = &proof.world.emulator.clients;
    let get = clients.glue().get_table().database_name(&proof.catalog).name("invoices_csv");
    let table = clients.block_on(get.send()).unwrap().table.unwrap();
    let descriptor = table.storage_descriptor.clone().unwrap();
    let place = format!("s3://{}/elsewhere/", proof.world.data);
    let header = String::from_utf8(proof.world.read(&proof.world.data, &key)).unwrap();
    let header = format!("{}\n", header.lines().next().unwrap());
    let dt = proof.dates("invoices").into_iter().next().unwrap();
    proof.put(&format!("elsewhere/dt={dt}/empty.csv"), header.into_bytes());
    let point = |descriptor: StorageDescriptor| {
        let input = aws_sdk_glue::types::TableInput::builder()
            .name("invoices_csv")
            .set_partition_keys(table.partition_keys.clone())
            .set_table_type(table.table_type.clone())
            .set_parameters(table.parameters.clone())
            .storage_descriptor(descriptor);
        let update = clients.glue().update_table().database_name(&proof.catalog);
        clients.block_on(update.table_input(input.build().unwrap()).send()).unwrap();
    };
    let mut elsewhere = descriptor.clone();
    elsewhere.location = Some(place);
    point(elsewhere);
    let report = proof.reconcile(&[], 3);
    let found = report["jobs"][0]["discrepancies"].as_array().unwrap();
    assert_eq!(found.len(), 3, "one a batch: {report:#}");
    assert!(found.iter().all(|found| found["kind"] == "query_differs"), "{report:#}");
    point(descriptor);
    proof.reconcile(&[], 0);
}

#[test]
fn every_place_is_told_with_its_command_and_balances_after_it() {
    let Some(proof) = Proof::new() else { return };
    proof.register();
    proof.reconcile(&[], 0);
    // A CSV object is gone.
    let key = proof.csv_object("invoices");
    let bytes = proof.world.read(&proof.world.data, &key);
    proof.remove(&key);
    let found = proof.only("missing_object", "curated");
    proof.as_told(&found, 0);
    assert_eq!(proof.world.read(&proof.world.data, &key), bytes, "the same bytes");
    // One is other than it was.
    let mut other = bytes.clone();
    let last = other.len() - 2;
    other[last] ^= 1;
    proof.put(&key, other);
    let found = proof.only("damaged_object", "curated");
    proof.as_told(&found, 3);
    proof.remove(&key);
    proof.as_told(&found, 0);
    // A partition is dropped.
    proof.drop_partitions("invoices");
    let found = proof.only("missing_partition", "catalog");
    proof.as_told(&found, 0);
    proof.machine.run(&["drain", "--crawl", "--patience", "60s"]).exits(0);
    proof.register();
    proof.reconcile(&[], 0);
    // A row is deleted.
    proof.change("DELETE FROM invoices WHERE invoice_id = (SELECT min(invoice_id) FROM invoices)");
    let found = proof.only("deleted_rows", "warehouse");
    proof.as_told(&found, 0);
    // An amount is changed.
    proof.change(
        "UPDATE invoices SET total = total + 1 WHERE invoice_id = (SELECT max(invoice_id) FROM invoices)",
    );
    let found = proof.only("changed_rows", "warehouse");
    assert!(found["detail"].as_str().unwrap().contains("total is"), "{found}");
    proof.as_told(&found, 0);
    // An archive object is gone; not that of the changed row, which could not be told any more.
    let sql = "SELECT batch_id FROM invoices WHERE invoice_id = (SELECT max(invoice_id) FROM invoices)";
    let changed = proof.world.database.select(sql).remove(0).remove(0);
    let archive = proof.world.archived().into_iter().find(|key| !key.contains(&changed)).unwrap();
    proof.remove(&format!("archive/{archive}"));
    let found = proof.only("missing_original", "archive");
    proof.as_told(&found, 0);
    let report = proof.reconcile(&[], 0);
    assert_eq!(report["jobs"][0]["accepted"].as_array().unwrap().len(), 2, "{report:#}");
}
