//! Goal: one large document is all or nothing, like a small one, and takes no more memory than a machine has.

use std::time::{Duration, Instant};

use crate::checker::check;
use crate::corpus::{Document, Invoice, Meaning, Random, landed};
use crate::oracle::Expected;
use crate::support::{DEADLINE, Project, Snapshot};

/// A document with so many invoices, whose numbers begin at `first`.
fn large(key: &str, seed: u64, first: u64, count: u64) -> Document {
    let mut random = Random::new(seed);
    let invoices: Vec<Invoice> = (first..first + count).map(|n| Invoice::made_up(&mut random, n)).collect();
    let text: String = invoices.iter().map(Invoice::text).collect();
    Document {
        key: key.to_owned(),
        bytes: text.into_bytes(),
        modified: landed(first as usize % 1_000),
        meaning: Meaning::Invoices(invoices),
    }
}

/// The same with a last line that nobody can read.
fn broken_at_its_end(mut document: Document) -> Document {
    document.bytes.extend(b"99] This is no line of an invoice\n");
    Document { meaning: Meaning::Broken("neither a row of section `items`"), ..document }
}

fn drained(documents: &[Document], code: i32) -> Project {
    let project = Project::new();
    project.land_all(documents);
    let landed = Snapshot::of(&project.landing());
    project.drain(code);
    check(&project, &Expected::of(documents), &landed);
    project.drain(0);
    check(&project, &Expected::of(documents), &landed);
    project
}

#[test]
fn five_thousand_invoices_in_one_file_are_loaded() {
    let document = large("large.txt", 21, 1, 5_000);
    assert!(document.bytes.len() > 2_900_000, "about 3 MB: {}", document.bytes.len());
    let project = drained(&[document], 0);
    assert_eq!(project.ask("SELECT count(*) FROM invoices"), Some(5_000));
}

#[test]
fn a_large_file_whose_last_line_is_broken_leaves_no_row() {
    let good = large("good.txt", 22, 1, 3);
    let broken = broken_at_its_end(large("broken.txt", 23, 100, 5_000));
    let last_line = broken.bytes.iter().filter(|&&byte| byte == b'\n').count();
    let project = drained(&[good, broken], 3);
    assert_eq!(project.ask("SELECT count(*) FROM invoices"), Some(3));
    let told = project.outcomes("broken.txt");
    assert!(told[0].1.starts_with(&format!("line {last_line}: ")), "{told:?}");
}

/// What the design promises for 60 MB with 100,000 invoices.
const PEAK_KIB: u64 = 256 << 10;

/// Drains 60 MB in one file, and watches how much memory that takes.
pub(crate) fn sixty_megabytes(broken: bool) {
    let document = large("sixty.txt", 24, 1, 100_000);
    let size = document.bytes.len();
    assert!(size > 58_000_000, "about 60 MB: {size}");
    let document = if broken { broken_at_its_end(document) } else { document };
    let documents = [document];
    let project = Project::new();
    project.land_all(&documents);
    let landed = Snapshot::of(&project.landing());
    let began = Instant::now();
    let mut drain = project.start(&["drain"]);
    let mut peak_kib = 0;
    while !drain.has_ended() {
        peak_kib = drain.peak_kib().unwrap_or(0).max(peak_kib);
        assert!(began.elapsed() < 10 * DEADLINE, "60 MB take too long");
        std::thread::sleep(Duration::from_millis(10));
    }
    drain.wait().0.exits(if broken { 3 } else { 0 });
    eprintln!("{} MB drained in {:.1?}, {} MiB at the peak", size >> 20, began.elapsed(), peak_kib >> 10);
    assert!(peak_kib > 0 && peak_kib <= PEAK_KIB, "{peak_kib} KiB at the peak");
    check(&project, &Expected::of(&documents), &landed);
}
