//! The documents of the demo: made up, in the layout that customers send, each with something to show.

use std::fmt::Write;
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::demo_balance::Landed;
use super::exit::Stop;

/// One file of the demo's landing folder.
pub(super) struct DemoFile {
    pub(super) name: &'static str,
    pub(super) bytes: Vec<u8>,
}

struct Invoice<'a> {
    customer: &'a str,
    number: &'a str,
    dated: &'a str,
    from: &'a str,
    to: &'a str,
    items: &'a [(&'a str, u32, u32)],
}

impl Invoice<'_> {
    fn text(&self) -> String {
        let amount: u32 = self.items.iter().map(|item| item.1).sum();
        let sgst: u32 = self.items.iter().map(|item| item.2).sum();
        let line = "*".repeat(66);
        let mut text = format!(
            "{line}\n                             Invoice\n{line}\nCustomer-ID: {}\nInv-ID: {}\nDated: {}\nFrom: {}\nTo: {}\n\
             Amount: {amount}\nSGST: {sgst}\nTotal: {}\nInWords: as agreed, rupees {}\n\nItems\n",
            self.customer,
            self.number,
            self.dated,
            self.from,
            self.to,
            amount + sgst,
            amount + sgst,
        );
        for (index, (description, price, tax)) in self.items.iter().enumerate() {
            let tax = if *tax == 0 { String::new() } else { format!(", {tax}") };
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{}) {description}, {price}{tax}", index + 1);
        }
        text
    }
}

/// The files, in the order in which they land.
pub(super) fn demo_files() -> Vec<DemoFile> {
    let file = |name, text: String| DemoFile { name, bytes: text.into_bytes() };
    let lanterns = Invoice {
        customer: "HL-0042",
        number: "2026-001",
        dated: "Jan 14 2026",
        from: "Harbour Lanterns Ltd.",
        to: "Lighthouse Keepers' Guild",
        items: &[
            ("Fresnel lens, third order", 5200, 520),
            ("Brass polish", 80, 8),
            ("Delivery: by boat", 150, 0),
        ],
    };
    let tea = Invoice {
        customer: "TE-7",
        number: "T/118",
        dated: "Feb 2 2026",
        from: "Thé & Épices S.A.",
        to: "Café \"Zur alten Post\"",
        items: &[("Earl Grey, loose", 340, 34), ("Teapot \\ 1 l", 60, 6)],
    };
    let ropes: String = ["2026-070", "2026-071", "2026-072"]
        .into_iter()
        .map(|number| {
            let items = [("Manila rope, 40 m", 210, 21), ("Splicing fid", 25, 2)];
            let from = "Ropewalk & Daughters";
            Invoice {
                customer: "RW-3",
                number,
                dated: "March 9 2026",
                from,
                to: "Harbour Lanterns Ltd.",
                items: &items,
            }
            .text()
        })
        .collect();
    vec![
        file("2026/01/lanterns.txt", lanterns.text()),
        file("2026/02/thé.txt", format!("\u{feff}{}", tea.text().replace('\n', "\r\n"))),
        file("2026/03/ropes, three in one.txt", ropes),
        file("again/lanterns (copy).txt", lanterns.text()),
        file(
            "2026/02/wrong total.txt",
            lanterns.text().replace("2026-001", "2026-002").replace("Total: 5958", "Total: 5985"),
        ),
        file(
            "2026/02/wrong date.txt",
            tea.text().replace("T/118", "T/119").replace("Feb 2 2026", "Feb 30 2026"),
        ),
        file("2026/03/not an invoice.txt", "Dear Sir or Madam,\nplease find attached nothing.\n".to_owned()),
    ]
}

/// Documents of one portion of `demo --kill`.
const PORTION: u32 = 12;

/// One portion: ten invoices, a copy of the first one, and one whose total is wrong. The copy is the younger one, so that
/// it is known which of the two is loaded.
pub(super) fn portion(number: u32) -> Vec<Landed> {
    let invoice = |index: u32| {
        let id = format!("{number:04}-{index:02}");
        let price = 100 + number * 7 + index;
        let items = [("Manila rope, 40 m", price, 21), ("Splicing fid", 25, 2)];
        let text = Invoice {
            customer: "RW-3",
            number: &id,
            dated: "March 9 2026",
            from: "Ropewalk & Daughters",
            to: "Harbour Lanterns Ltd.",
            items: &items,
        }
        .text();
        (id, text, price + 25 + 23)
    };
    (0..PORTION)
        .map(|index| {
            let key = format!("{number:04}/{index:02}.txt");
            let (id, text, total) = invoice(if index == PORTION - 2 { 0 } else { index });
            let (text, brings, outcome) = match index {
                index if index == PORTION - 2 => (text, None, "duplicate"),
                index if index == PORTION - 1 => (
                    text.replace(&format!("Total: {total}"), &format!("Total: {}", total + 1)),
                    None,
                    "rejected",
                ),
                _ => (text, Some((id, format!("{total}.00"))), "loaded"),
            };
            Landed { key, bytes: text.into_bytes(), brings, outcome }
        })
        .collect()
}

/// Lands documents as whole files that have settled, the first one the oldest.
pub(super) fn land_portion(landing: &Path, documents: &[Landed]) -> Result<(), Stop> {
    let files: Vec<(&str, &[u8])> =
        documents.iter().map(|document| (document.key.as_str(), document.bytes.as_slice())).collect();
    land(landing, &files)
}

/// The files land one after the other, a minute apart, some time ago.
pub(super) fn land(landing: &Path, files: &[(&str, &[u8])]) -> Result<(), Stop> {
    let write = |index: usize, name: &str, bytes: &[u8]| {
        let path = landing.join(name);
        std::fs::create_dir_all(path.parent().unwrap_or(landing))?;
        std::fs::write(&path, bytes)?;
        let age = Duration::from_secs(60 * (files.len() - index) as u64);
        std::fs::File::options().write(true).open(&path)?.set_modified(SystemTime::now() - age)
    };
    files.iter().enumerate().try_for_each(|(index, (name, bytes))| {
        write(index, name, bytes).map_err(|error| Stop::failed(format!("cannot land {name}: {error}")))
    })
}
