//! Goal: one object of 300 MB with half a million invoices loads in bounded memory.

use std::time::{Duration, Instant};

use crate::checker::check_curated;
use crate::corpus::{Invoice, Random};
use crate::world::{PREFIX, World};

const INVOICES: u64 = 500_000;
const PEAK_KIB: u64 = 256 << 10;
const LONGEST: Duration = Duration::from_secs(3_600);

#[test]
fn three_hundred_megabytes_load_in_256_mib() {
    if std::env::var("SLUICEGATE_FULL").is_ok_and(|value| value == "1") {
        load();
    } else {
        eprintln!(
            "skipped: an object of 300 MB; to run it: SLUICEGATE_FULL=1 cargo test --release --test cloud large -- --nocapture"
        );
    }
}

fn load() {
    let Some(world) = World::new() else { return };
    let mut random = Random::new(99);
    let (mut text, mut rows, mut cents) = (String::new(), INVOICES as i64, 0);
    for number in 0..INVOICES {
        let invoice = Invoice::made_up(&mut random, number);
        text.push_str(&invoice.text());
        rows += invoice.items.len() as i64;
        cents += invoice.amount() + invoice.sgst();
    }
    let size = text.len();
    assert!(size > 280_000_000, "about 300 MB: {size}");
    world.emulator.upload(&world.landing, &format!("{PREFIX}large.txt"), text.as_bytes());
    drop(text);
    world.announced(1);
    let machine = world.machine(1_000);
    let began = Instant::now();
    let mut drain = machine.start(&["drain", "--output", "json"]);
    let mut peak_kib = 0;
    while !drain.has_ended() {
        peak_kib = drain.peak_kib().unwrap_or(0).max(peak_kib);
        assert!(began.elapsed() < LONGEST, "{} MB take too long", size >> 20);
        std::thread::sleep(Duration::from_millis(20));
    }
    let summary = drain.wait().0.exits(0).json();
    eprintln!("{} MB drained in {:.1?}, {} MiB at the peak", size >> 20, began.elapsed(), peak_kib >> 10);
    assert_eq!(summary["rows"], rows, "{summary}");
    assert_eq!(world.ask("SELECT (100 * sum(total))::bigint FROM invoices"), Some(cents));
    assert!(peak_kib > 0 && peak_kib <= PEAK_KIB, "{peak_kib} KiB at the peak");
    check_curated(&world);
}
