//! An invoice as a customer means it: what it says, how it can be written, and which rows it must become. Written from
//! the layout alone, so that the product's own reader is not asked what is right.

use std::fmt::Write;

use super::random::Random;

/// Parties as customers write them: everything that a CSV dialect, a shell or a query engine could stumble over.
const PARTIES: [&str; 12] = [
    "Space Mechanics Inc.",
    "Anvils, Ropes & Co.",
    "Thé & Épices S.A.",
    "Café \"Zur alten Post\"",
    "Back\\slash \\N Ltd.",
    "Re: Re: Colons, commas",
    "'Quoted', \"twice\"\"",
    "東京商事株式会社",
    "Ünïcödé 🚀 GmbH",
    "NULL",
    "=1+1; DROP TABLE invoices",
    "100 % wool + 5 % silk",
];

const GOODS: [&str; 10] = [
    "Matter antimatter fusion controller",
    "Anvil, black, large",
    "Rope: 20 m",
    "Sign, \"Detour\"",
    "Teapot \\ 1 l",
    "Crème brûlée, for two",
    "2MW Fusion reactor",
    "Paint (red), 5 l, matt",
    "茶碗, small",
    "Delivery; by boat",
];

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

const DIGITS: [&str; 10] = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"];

/// Money in hundredths.
pub(crate) type Cents = i64;

/// One line of an invoice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Item {
    pub(crate) description: String,
    pub(crate) price: Cents,
    pub(crate) tax: Option<Cents>,
}

/// An invoice whose sums are right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Invoice {
    pub(crate) customer: String,
    pub(crate) number: String,
    /// Year, month, day.
    pub(crate) dated: (u32, u32, u32),
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) in_words: Option<String>,
    pub(crate) items: Vec<Item>,
}

/// What `invoices` and `invoice_items` must hold of one invoice: the job's own columns as text, none for NULL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rows {
    pub(crate) parent: Vec<Option<String>>,
    /// By line number.
    pub(crate) items: Vec<Vec<Option<String>>>,
}

/// The canonical text of an amount: always two digits after the point.
pub(crate) fn money(cents: Cents) -> String {
    let sign = if cents < 0 { "-" } else { "" };
    format!("{sign}{}.{:02}", cents.abs() / 100, cents.abs() % 100)
}

/// The same amount as people write it: no digits after the point where there are none to tell.
fn short_money(cents: Cents) -> String {
    let text = money(cents);
    match text.strip_suffix(".00") {
        Some(whole) => whole.to_owned(),
        None => text.strip_suffix('0').unwrap_or(&text).to_owned(),
    }
}

/// A sum in words, long-winded as they are.
fn in_words(sum: u64) -> String {
    let digits: Vec<&str> =
        sum.to_string().chars().map(|digit| DIGITS[digit as usize - '0' as usize]).collect();
    format!(
        "Space Rupees “{}”, as agreed with your office on the telephone: payable within thirty days of today, and not a day later, only",
        digits.join(" ")
    )
}

impl Invoice {
    /// Invoice `number` of some customer.
    pub(crate) fn made_up(random: &mut Random, number: u64) -> Self {
        let items = (0..1 + random.below(6)).map(|_| {
            let negative = random.one_in(25);
            let price = random.below(900_000) as Cents * if negative { -1 } else { 1 };
            // Whole amounts are common, and written without a point.
            let price = if random.one_in(2) { price / 100 * 100 } else { price };
            let tax = (!random.one_in(4)).then(|| random.below(90_000) as Cents);
            Item { description: (*random.pick(&GOODS)).to_owned(), price, tax }
        });
        Self {
            items: items.collect(),
            customer: format!("C-{:03}", random.below(200)),
            number: format!("inv-{number:06}"),
            dated: (2015 + random.below(12) as u32, 1 + random.below(12) as u32, 1 + random.below(28) as u32),
            from: (*random.pick(&PARTIES)).to_owned(),
            to: (*random.pick(&PARTIES)).to_owned(),
            in_words: (!random.one_in(5)).then(|| in_words(random.below(9_999))),
        }
    }

    pub(crate) fn amount(&self) -> Cents {
        self.items.iter().map(|item| item.price).sum()
    }

    pub(crate) fn sgst(&self) -> Cents {
        self.items.iter().filter_map(|item| item.tax).sum()
    }

    /// Its key.
    pub(crate) fn key(&self) -> (String, String) {
        (self.customer.clone(), self.number.clone())
    }

    /// The invoice as a document in the layout of `jobs/invoices.toml`.
    pub(crate) fn text(&self) -> String {
        let line = "*".repeat(66);
        let (year, month, day) = self.dated;
        let month = MONTHS[month as usize - 1];
        // Half of the customers write the month in full.
        let month = if self.number.ends_with(['1', '3', '5', '7', '9']) { &month[..3] } else { month };
        let amounts = [self.amount(), self.sgst(), self.amount() + self.sgst()].map(short_money);
        let [amount, sgst, total] = amounts;
        let mut text = format!(
            "{line}\n                             Invoice\n{line}\nCustomer-ID: {}\nInv-ID: {}\nDated: {month} {day} {year}\n\
             From: {}\nTo:   {}  \nAmount: {amount}\nSGST: {sgst}\nTotal: {total}\n",
            self.customer, self.number, self.from, self.to,
        );
        let mut add = |words: String| text.push_str(&words);
        if let Some(words) = &self.in_words {
            add(format!("InWords: {words}\n"));
        }
        add("\nItems\n".to_owned());
        for (index, item) in self.items.iter().enumerate() {
            add(format!("{}) {}, {}", index + 1, item.description, short_money(item.price)));
            add(item.tax.map_or_else(String::new, |tax| format!(", {}", money(tax))));
            add("\n".to_owned());
        }
        text
    }

    /// The rows that it must become.
    pub(crate) fn rows(&self) -> Rows {
        let (year, month, day) = self.dated;
        let mut dated = String::new();
        write!(dated, "{year:04}-{month:02}-{day:02}").expect("a String takes any text");
        let [amount, sgst, total] = [self.amount(), self.sgst(), self.amount() + self.sgst()].map(money);
        let parent = [&self.customer, &self.number, &dated, &self.from, &self.to, &amount, &sgst, &total];
        let mut parent: Vec<_> = parent.into_iter().cloned().map(Some).collect();
        parent.push(self.in_words.clone());
        let item = |(index, item): (usize, &Item)| {
            vec![
                Some(self.customer.clone()),
                Some(self.number.clone()),
                Some((index + 1).to_string()),
                Some(item.description.clone()),
                Some(money(item.price)),
                item.tax.map(money),
            ]
        };
        Rows { parent, items: self.items.iter().enumerate().map(item).collect() }
    }
}
