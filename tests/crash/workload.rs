//! What lands, and what must become of it: worked out by hand, and never by the code under test.
//!
//! Documents that depend on each other lie in one batch, where the order of the members decides, or in different windows.
//! So a retry that lets one batch overtake another changes nothing, and every run must end with the same content.

use std::fmt::Write;

use chrono::TimeDelta;
use sluicegate_state::Timestamp;

/// The file that is overwritten between its notification and its GET.
pub(crate) const OVERWRITTEN: &str = "b/changing.txt";
/// The file that is removed between its notification and its GET.
pub(crate) const VANISHING: &str = "g/vanishing.txt";
/// Members of a batch: small, so that each window has more than one.
pub(crate) const BATCH_DOCUMENTS: usize = 4;

/// A file on its way into the landing, and what must become of it.
pub(crate) struct Document {
    pub(crate) key: &'static str,
    pub(crate) bytes: Vec<u8>,
    pub(crate) landed_at: Timestamp,
    pub(crate) outcome: &'static str,
    /// Its new records.
    pub(crate) invoices: Vec<Invoice>,
    /// How many of its records are known already, while others are new.
    pub(crate) refused: usize,
    /// What the reason for people must hold.
    pub(crate) reason: &'static str,
}

/// One invoice: customer, number, and items with description, price and tax.
#[derive(Clone)]
pub(crate) struct Invoice {
    customer: &'static str,
    number: &'static str,
    items: Vec<(&'static str, u32, Option<u32>)>,
}

impl Invoice {
    fn new(customer: &'static str, number: &'static str, items: &[(&'static str, u32, Option<u32>)]) -> Self {
        Self { customer, number, items: items.to_vec() }
    }

    fn amount(&self) -> u32 {
        self.items.iter().map(|item| item.1).sum()
    }

    fn sgst(&self) -> u32 {
        self.items.iter().filter_map(|item| item.2).sum()
    }

    fn text(&self) -> String {
        let stars = "*".repeat(40);
        let (amount, sgst) = (self.amount(), self.sgst());
        let mut text = format!(
            "{stars}\n          Invoice\n{stars}\nCustomer-ID: {}\nInv-ID: {}\nDated: Mar 1 2026\nFrom: A: \"quoted\", Ltd.\n\
             To: Café B\nAmount: {amount}\nSGST: {sgst}\nTotal: {}\nInWords: as agreed\n\nItems\n",
            self.customer,
            self.number,
            amount + sgst,
        );
        for (index, (description, price, tax)) in self.items.iter().enumerate() {
            let tax = tax.map_or_else(String::new, |tax| format!(", {tax}"));
            writeln!(text, "{}) {description}, {price}{tax}", index + 1).unwrap();
        }
        text
    }

    /// The row of `invoices`, and those of `invoice_items`, as canonical text.
    pub(crate) fn rows(&self) -> (Vec<String>, Vec<Vec<String>>) {
        let money = |number: u32| format!("{number}.00");
        let (amount, sgst) = (self.amount(), self.sgst());
        let head = [self.customer, self.number, "2026-03-01", "A: \"quoted\", Ltd.", "Café B"];
        let sums = [money(amount), money(sgst), money(amount + sgst), "as agreed".to_owned()];
        let parent = head.iter().map(ToString::to_string).chain(sums).collect();
        let items = self.items.iter().enumerate().map(|(index, (description, price, tax))| {
            vec![
                self.customer.to_owned(),
                self.number.to_owned(),
                (index + 1).to_string(),
                (*description).to_owned(),
                money(*price),
                tax.map_or_else(String::new, money),
            ]
        });
        (parent, items.collect())
    }
}

fn lamp() -> Invoice {
    Invoice::new("A", "1", &[("Lamp, brass", 100, Some(10)), ("Delivery", 20, None)])
}

fn rope() -> Invoice {
    Invoice::new("C", "2", &[("Rope", 30, Some(3))])
}

fn tar() -> Invoice {
    Invoice::new("C", "3", &[("Tar", 7, None)])
}

fn oil() -> Invoice {
    Invoice::new("D", "1", &[("Oil \\ 1 l", 45, Some(5)), ("Wick", 5, Some(0)), ("Can", 9, None)])
}

/// Minutes after nine: what lands later is sealed later.
fn at(minute: i64) -> Timestamp {
    "2026-03-01T09:00:00Z".parse::<Timestamp>().unwrap() + TimeDelta::minutes(minute)
}

fn good(minute: i64, key: &'static str, invoices: &[Invoice]) -> Document {
    let text: String = invoices.iter().map(Invoice::text).collect();
    Document {
        key,
        bytes: text.into_bytes(),
        landed_at: at(minute),
        outcome: "loaded",
        invoices: invoices.to_vec(),
        refused: 0,
        reason: "",
    }
}

fn turned_away(
    minute: i64,
    key: &'static str,
    text: String,
    outcome: &'static str,
    reason: &'static str,
) -> Document {
    let (bytes, landed_at) = (text.into_bytes(), at(minute));
    Document { key, bytes, landed_at, outcome, invoices: Vec::new(), refused: 0, reason }
}

/// What lands before the first window ends.
pub(crate) fn first_window() -> Vec<Document> {
    let wick = Invoice::new("C", "1", &[("Wick", 12, Some(1))]);
    let known = "already there, from batch";
    let dearer = lamp().text().replace("Lamp, brass", "Lamp, silver");
    let mut partly_known = good(8, "c/partly known.txt", &[tar()]);
    partly_known.bytes = format!("{}{}", rope().text(), tar().text()).into_bytes();
    partly_known.refused = 1;
    vec![
        good(1, "a/first one.txt", &[lamp()]),
        turned_away(2, "a/copy of the first (1).txt", lamp().text(), "duplicate", known),
        turned_away(3, "a/é.txt", dearer, "conflict", "its invoice_items differ"),
        turned_away(4, OVERWRITTEN, rope().text(), "superseded", "overwritten before it was read"),
        turned_away(5, "bad/no invoice.txt", "Dear Sir or Madam,\n".to_owned(), "rejected", "line 1"),
        turned_away(
            6,
            "bad/wrong total.txt",
            oil().text().replace("Total: 64", "Total: 65"),
            "rejected",
            "total",
        ),
        good(7, "c/two in one.txt", &[wick, rope()]),
        partly_known,
        good(9, "d/100% + more.txt", &[oil()]),
    ]
}

/// What [`OVERWRITTEN`] holds when somebody reads it.
pub(crate) fn second_version() -> Document {
    good(10, OVERWRITTEN, &[Invoice::new("B", "2", &[("Second thoughts", 1, Some(1))])])
}

/// What lands between the first window's end and the second's. Its last batch brings no rows.
pub(crate) fn second_window() -> Vec<Document> {
    let known = "already there, from batch";
    let dearer = tar().text().replace(": 7", ": 8").replace(", 7", ", 8");
    let sail = Invoice::new("E", "1", &[("Sail", 900, Some(90))]);
    vec![
        turned_away(21, "e/again.txt", oil().text(), "duplicate", known),
        good(22, "e/new.txt", &[sail]),
        turned_away(23, "e/dearer.txt", dearer, "conflict", "amount is 7.00 there and 8.00 here"),
        turned_away(24, "bad/empty.txt", String::new(), "rejected", ""),
        turned_away(25, "f/known.txt", lamp().text(), "duplicate", known),
        turned_away(26, VANISHING, rope().text(), "missing", "gone from the landing"),
    ]
}

/// Everything that was ever in the landing.
pub(crate) fn everything() -> Vec<Document> {
    first_window().into_iter().chain([second_version()]).chain(second_window()).collect()
}
