//! Goal: machines need nothing in common but the queue and the ledger; several that start on an empty database make it once.

use std::time::SystemTime;

use crate::checker::check;
use crate::corpus::{Document, Invoice, Meaning, Random};
use crate::support::Project;
use crate::world::{PREFIX, World};

/// Documents that have nothing to do with each other, so that the order of loading changes no outcome; every tenth cannot
/// be read.
pub(crate) fn strangers(seed: u64, count: u64) -> Vec<Document> {
    let mut random = Random::new(seed);
    let document = |number: u64| {
        let invoice = Invoice::made_up(&mut random, number);
        let (bytes, meaning) = match number % 10 {
            7 => (b"Dear Sir or Madam,\n".to_vec(), Meaning::Broken("")),
            _ => (invoice.text().into_bytes(), Meaning::Invoices(vec![invoice])),
        };
        Document {
            key: format!("{PREFIX}{number} of {count}.txt"),
            bytes,
            modified: SystemTime::UNIX_EPOCH,
            meaning,
        }
    };
    (0..count).map(document).collect()
}

/// Drains until it ends well; whatever it needs to wait for passes.
pub(crate) fn finish(machine: &Project) {
    let ended = machine.run(&["drain", "--output", "json"]);
    assert!(matches!(ended.status.code(), Some(0 | 3)), "{ended:#?}");
}

#[test]
fn machines_that_start_at_once_on_an_empty_database() {
    for round in 0..3 {
        let Some(world) = World::new() else { return };
        let documents = strangers(95 + round, 60);
        world.upload(&documents);
        let machines = [(); 3].map(|()| world.machine(10));
        let drains = machines.each_ref().map(|machine| machine.start(&["drain"]));
        for drain in drains {
            let (ended, _) = drain.wait();
            assert!(matches!(ended.status.code(), Some(0 | 3)), "{ended:#?}");
        }
        machines.iter().for_each(finish);
        assert_eq!(world.ask("SELECT count(*) FROM sluicegate.ledger"), Some(1));
        check(&world, &documents);
    }
}
