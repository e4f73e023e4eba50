//! How long loads take, as a ratio to a bare COPY of the same rows into the same tables, keys and ledger
//! included.
//! `cargo test --release --test postgres -- --ignored --nocapture measure`

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use sluicegate::ports::warehouse::Warehouse;
use sluicegate::postgres::{PostgresWarehouse, Recent};
use sluicegate_state::seam::Seam;

use crate::published::schema;
use crate::server::Database;
use crate::support::{Document, batch, document};

fn ready(database: &Database) -> PostgresWarehouse {
    let secret = database.secret();
    let mut warehouse =
        PostgresWarehouse::open(&secret, "ledger", "test", &Recent::default(), Seam::default()).unwrap();
    warehouse.prepare(&schema()).unwrap();
    warehouse
}

fn bare_copy(from: &Database, to: &Database) -> Duration {
    let mut took = Duration::ZERO;
    let ledger = ["definition", "batch", "document", "verdict", "batch_table"]
        .map(|name| format!("sluicegate.{name}"));
    for table in ["bills", "bill_items"].map(str::to_owned).into_iter().chain(ledger) {
        let mut bytes = Vec::new();
        let mut source = from.shell();
        source.copy_out(&format!("COPY {table} TO STDOUT")).unwrap().read_to_end(&mut bytes).unwrap();
        let started = Instant::now();
        let mut sink = to.shell();
        let mut writer = sink.copy_in(&format!("COPY {table} FROM STDIN")).unwrap();
        bytes.chunks(128 << 10).for_each(|chunk| writer.write_all(chunk).unwrap());
        writer.finish().unwrap();
        took += started.elapsed();
    }
    took
}

#[test]
#[ignore = "a measurement"]
fn measure_twenty_thousand_documents() {
    let (Some(loaded), Some(copied), Some(staged)) = (Database::new(), Database::new(), Database::new())
    else {
        return;
    };
    let documents = |batch: u64| -> Vec<Document> {
        (0..1_000)
            .map(|n| 1_000 * batch + n)
            .map(|n| Document { items: 5, ..document(Box::leak(n.to_string().into_boxed_str()), n..n + 1) })
            .collect()
    };
    let mut warehouse = ready(&loaded);
    let started = Instant::now();
    for number in 0..20 {
        batch(number + 1, &documents(u64::from(number))).load(&mut warehouse).unwrap().unwrap();
    }
    let direct = started.elapsed();
    drop(ready(&copied));
    let bare = bare_copy(&loaded, &copied);
    let mut warehouse = ready(&staged);
    batch(100, &[document("x", 900_000..900_001), document("y", 900_000..900_001)])
        .load(&mut warehouse)
        .unwrap();
    let started = Instant::now();
    for number in 0..20 {
        batch(number + 1, &documents(u64::from(number))).load(&mut warehouse).unwrap().unwrap();
    }
    let through_stage = started.elapsed();
    let ratio = |took: Duration| took.as_secs_f64() / bare.as_secs_f64();
    println!("bare COPY {bare:.2?}");
    println!("direct    {direct:.2?}, {:.2} times that", ratio(direct));
    println!("staged    {through_stage:.2?}, {:.2} times that", ratio(through_stage));
}
