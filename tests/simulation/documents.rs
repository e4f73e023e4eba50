//! What lands: invoices as text, and the rows that they are, worked out without the code under test.

use std::fmt::Write;

use crate::random::Random;

/// An invoice. Two are the same content when they are equal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Invoice {
    pub(crate) customer: String,
    pub(crate) number: String,
    /// Description, price, tax.
    items: Vec<(String, u64, Option<u64>)>,
}

/// A document: its invoices, or something that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Content {
    pub(crate) invoices: Vec<Invoice>,
    pub(crate) is_bad: bool,
    /// Makes the bytes of equal invoices different, as a remark of blank lines does.
    blank_lines: u64,
}

impl Invoice {
    /// The same number and variant make the same invoice; other variants of a number contradict each other.
    pub(crate) fn new(number: u64, variant: u64) -> Self {
        let random = &mut Random::new(number * 16 + variant);
        let item = |index: u64, random: &mut Random| {
            let tax = random.chance(700).then(|| 1 + random.below(90));
            (
                format!("item {index}, part {}", random.below(100)),
                1 + random.below(900) + variant * 1_000,
                tax,
            )
        };
        let items = (1..=1 + random.below(3)).map(|index| item(index, random)).collect();
        Self { customer: format!("C{}", number % 3), number: format!("N{number}"), items }
    }

    fn amount(&self) -> u64 {
        self.items.iter().map(|item| item.1).sum()
    }

    fn sgst(&self) -> u64 {
        self.items.iter().filter_map(|item| item.2).sum()
    }

    fn write(&self, text: &mut String) {
        let stars = "*".repeat(20);
        let (amount, sgst) = (self.amount(), self.sgst());
        write!(
            text,
            "{stars}\n   Invoice\n{stars}\nCustomer-ID: {}\nInv-ID: {}\nDated: Mar 1 2026\nFrom: A: \"quoted\", Ltd.\n\
             To: Café B\nAmount: {amount}\nSGST: {sgst}\nTotal: {}\nInWords: as agreed\n\nItems\n",
            self.customer,
            self.number,
            amount + sgst,
        )
        .expect("a text grows");
        for (index, (description, price, tax)) in self.items.iter().enumerate() {
            let tax = tax.map_or_else(String::new, |tax| format!(", {tax}"));
            writeln!(text, "{}) {description}, {price}{tax}", index + 1).expect("a text grows");
        }
    }

    /// The row of `invoices`.
    pub(crate) fn row(&self) -> Vec<String> {
        let money = |number: u64| format!("{number}.00");
        let (amount, sgst) = (self.amount(), self.sgst());
        let head = [&self.customer, &self.number, "2026-03-01", "A: \"quoted\", Ltd.", "Café B"];
        let sums = [money(amount), money(sgst), money(amount + sgst), "as agreed".to_owned()];
        head.iter().map(ToString::to_string).chain(sums).collect()
    }

    /// The rows of `invoice_items`.
    pub(crate) fn item_rows(&self) -> Vec<Vec<String>> {
        let money = |number: u64| format!("{number}.00");
        let row = |(index, item): (usize, &(String, u64, Option<u64>))| {
            let tax = item.2.map(money).unwrap_or_default();
            let line = (index + 1).to_string();
            vec![self.customer.clone(), self.number.clone(), line, item.0.clone(), money(item.1), tax]
        };
        self.items.iter().enumerate().map(row).collect()
    }
}

impl Content {
    /// Up to three invoices of a small pool, so that documents meet each other.
    pub(crate) fn made_up(random: &mut Random) -> Self {
        let mut invoices: Vec<Invoice> = Vec::new();
        for _ in 0..1 + random.below(3) {
            let number = random.below(40);
            let variant = u64::from(random.chance(150));
            if invoices.iter().all(|known| known.number != format!("N{number}")) {
                invoices.push(Invoice::new(number, variant));
            }
        }
        Self { invoices, is_bad: random.chance(80), blank_lines: random.below(4) }
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut text = "\n".repeat(self.blank_lines as usize);
        for invoice in &self.invoices {
            invoice.write(&mut text);
        }
        if self.is_bad {
            text.push_str("this line has no label and belongs to nothing\n");
        }
        text.into_bytes()
    }
}
