//! The documents of the demo: made up, in the layout that customers send, each with something to show.

use std::fmt::Write;

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
