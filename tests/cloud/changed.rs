//! Goal: an object that changes between its announcement and its reading is told apart from the one that was announced.

use std::time::{Instant, SystemTime};

use crate::checker::check_curated;
use crate::corpus::{Document, Invoice, Meaning, Random};
use crate::support::{Project, until};
use crate::world::{APART, PREFIX, World};

fn invoice(number: u64) -> Invoice {
    Invoice::made_up(&mut Random::new(81), number)
}

fn document(name: &str, invoice: &Invoice) -> Document {
    Document {
        key: format!("{PREFIX}{name}"),
        bytes: invoice.text().into_bytes(),
        modified: SystemTime::UNIX_EPOCH,
        meaning: Meaning::Invoices(vec![invoice.clone()]),
    }
}

fn upload(world: &World, name: &str, invoice: &Invoice) {
    world.upload(&[document(name, invoice)]);
}

/// Journals what is announced, and nothing more.
fn listen(world: &World, machine: &Project) {
    let listener = machine.start(&["listen"]);
    until("everything is journaled", || (world.messages() == 0).then_some(()));
    listener.signal("TERM");
    listener.wait().0.exits(0);
}

/// Drains until the queue holds nothing any more: the long polls of a listener that has ended may have hidden messages for
/// a while. The worst exit status.
fn drain(world: &World, machine: &Project) -> i32 {
    let mut worst = 0;
    until("the queue is empty", || {
        let ended = machine.run(&["drain"]);
        let status = ended.status.code().filter(|status| matches!(status, 0 | 3));
        worst = status.unwrap_or_else(|| panic!("{ended:#?}")).max(worst);
        (world.messages() == 0).then_some(())
    });
    worst
}

/// The outcomes of a key in the order of decision.
fn outcomes(world: &World, name: &str) -> Vec<String> {
    let sql = format!(
        "SELECT outcome FROM sluicegate.document WHERE key = '{PREFIX}{name}' ORDER BY landed_at, outcome DESC, ordinal"
    );
    world.database.select(&sql).into_iter().flatten().collect()
}

fn sender(world: &World, invoice: &Invoice) -> Vec<Vec<String>> {
    world.database.select(&format!("SELECT from_party FROM invoices WHERE invoice_id = '{}'", invoice.number))
}

#[test]
fn what_was_overwritten_is_superseded_and_what_was_deleted_is_missing() {
    let Some(world) = World::new() else { return };
    let machine = world.machine_that_forgets_soon(1_000);
    for (name, number) in [("a.txt", 1), ("b.txt", 2), ("c.txt", 3), ("same.txt", 4)] {
        upload(&world, name, &invoice(number));
    }
    listen(&world, &machine);
    let corrected = Invoice { from: "Corrected Inc.".to_owned(), ..invoice(1) };
    upload(&world, "a.txt", &corrected);
    world.emulator.remove(&world.landing, &format!("{PREFIX}b.txt"));
    // The same bytes again: whichever notification asks, it gets the object that is there.
    upload(&world, "same.txt", &invoice(4));
    assert_eq!(drain(&world, &machine), 3, "something is missing");
    assert_eq!(outcomes(&world, "a.txt"), ["superseded", "loaded"]);
    assert_eq!(outcomes(&world, "b.txt"), ["missing"]);
    assert_eq!(outcomes(&world, "c.txt"), ["loaded"]);
    assert_eq!(outcomes(&world, "same.txt"), ["loaded"]);
    assert_eq!(sender(&world, &corrected), [["Corrected Inc."]], "the newer content is loaded");
    assert_eq!(world.ask("SELECT count(*) FROM invoices"), Some(3));
    check_curated(&world);
    let again = machine.drain(0);
    assert_eq!(again["batches"], 0, "{again}");
}

#[test]
fn a_change_that_nobody_tells_of_is_found_by_the_reading_itself() {
    let Some(world) = World::new() else { return };
    let machine = world.machine_that_forgets_soon(1_000);
    upload(&world, "a.txt", &invoice(1));
    listen(&world, &machine);
    let corrected = Invoice { from: "Corrected Inc.".to_owned(), ..invoice(1) };
    // The announcement of the newer content is lost.
    world.announce_nothing();
    world.emulator.upload(&world.landing, &format!("{PREFIX}a.txt"), corrected.text().as_bytes());
    assert_eq!(drain(&world, &machine), 0);
    assert_eq!(outcomes(&world, "a.txt"), ["superseded", "loaded"]);
    assert_eq!(sender(&world, &corrected), [["Corrected Inc."]]);
    check_curated(&world);
}

/// The journal knows the older content without a sequencer, as it knows the one that it finds now.
#[test]
fn a_change_back_to_what_a_listing_had_found_is_found_by_the_reading_too() {
    let Some(world) = World::new() else { return };
    let machine = world.machine_that_forgets_soon(1_000);
    let corrected = Invoice { from: "Corrected Inc.".to_owned(), ..invoice(1) };
    world.upload_unannounced(&document("a.txt", &invoice(1)));
    machine.run(&["reconcile", "--repair"]).exits(0).tells("1 missed documents journaled");
    assert_eq!(drain(&world, &machine), 0);
    let loaded = Instant::now();
    until("the next upload is told from this one", || (loaded.elapsed() > APART).then_some(()));
    upload(&world, "a.txt", &corrected);
    listen(&world, &machine);
    world.announce_nothing();
    world.emulator.upload(&world.landing, &format!("{PREFIX}a.txt"), invoice(1).text().as_bytes());
    assert_eq!(drain(&world, &machine), 0);
    assert_eq!(outcomes(&world, "a.txt"), ["loaded", "superseded", "duplicate"]);
}

#[test]
fn in_a_bucket_with_versions_every_version_is_read() {
    let Some(world) = World::versioned() else { return };
    let machine = world.machine_that_forgets_soon(1_000);
    for (name, number) in [("a.txt", 1), ("b.txt", 2), ("c.txt", 3)] {
        upload(&world, name, &invoice(number));
    }
    listen(&world, &machine);
    upload(&world, "a.txt", &invoice(4));
    // Only a marker: the version lies below it.
    world.emulator.remove(&world.landing, &format!("{PREFIX}b.txt"));
    assert_eq!(drain(&world, &machine), 0);
    assert_eq!(outcomes(&world, "a.txt"), ["loaded", "loaded"]);
    assert_eq!(outcomes(&world, "b.txt"), ["loaded"]);
    assert_eq!(outcomes(&world, "c.txt"), ["loaded"]);
    let named = "SELECT count(DISTINCT version) FROM sluicegate.document WHERE version NOT LIKE '%@%'";
    assert_eq!(world.ask(named), Some(4), "the version is the versionId");
    assert_eq!(world.ask("SELECT count(*) FROM invoices"), Some(4));
    check_curated(&world);
}
