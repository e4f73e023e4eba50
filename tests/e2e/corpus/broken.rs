//! The ways in which a document can be broken, each with words that its reason must hold.

use super::build::gzip;
use super::invoice::{Cents, Invoice, money};

/// One way.
pub(crate) struct Fault {
    pub(crate) name: &'static str,
    pub(crate) breaks: fn(&Invoice) -> Vec<u8>,
    /// What the reason has to say, so that a person understands.
    pub(crate) told: &'static str,
}

/// Every way.
pub(crate) const FAULTS: [Fault; 26] = [
    fault("bad date", |i| dated(i, "Feb 30 2024"), "is not a date"),
    fault("ISO date", |i| dated(i, "2024-02-01"), "is not a date"),
    fault("wrong total", |i| sums(i, 0, 0, 1), "is not amount + sgst"),
    fault("wrong amount", |i| sums(i, 100, 0, 100), "is not sum(items.price)"),
    fault("wrong sgst", |i| sums(i, 0, -5, -5), "is not sum(items.tax)"),
    fault("missing label", |i| without_line(i, "To:"), "`To` is missing"),
    fault("unknown label", |i| before_sgst(i, "CGST: 12\n"), "`CGST` is not known"),
    fault("label twice", |i| before_sgst(i, "From: me\n"), "`From` appears twice"),
    fault("garbage line", |i| before_sgst(i, "Dear Sir or Madam,\n"), "is no label"),
    fault("garbage in the items", |i| after(i, "7] Bird seed\n"), "neither a row of section `items`"),
    fault("invalid UTF-8", |i| spoiled(i, b'\xe9'), "not UTF-8"),
    fault("NUL", |i| spoiled(i, 0), "NUL"),
    fault("U+0001", |i| spoiled(i, 1), "U+0001"),
    fault("empty file", |_| Vec::new(), "empty"),
    fault("only blanks", |_| b" \r\n\t\n".to_vec(), "empty"),
    fault("only banners", |_| "*****\n\n*****\n".into(), "no record"),
    fault("truncated gzip", |i| cut(gzip(i.text().as_bytes())), "cut off"),
    fault("damaged gzip", |i| damaged(gzip(i.text().as_bytes())), "(gzip) is damaged"),
    fault("too many decimals", |i| after(i, "99) Dust, 0.001\n"), "3 digits after the point"),
    fault("same key twice with other content", contradiction, "twice with different content"),
    fault("same key twice in a loaded document", late_contradiction, "twice with different content"),
    fault("empty key", |i| emptied(i, "Customer-ID:"), "`Customer-ID` has no value"),
    fault("thousands separator", |i| replaced(i, "Amount: ", "Amount: 1,"), "is not a plain number"),
    fault("no header of the items", |i| replaced(i, "Items\n", ""), "no header"),
    fault("one item line twice", |i| after(i, "1) Again, 0\n"), "line 1 twice"),
    fault("UTF-16", |i| utf16(&i.text()), "UTF-16"),
];

const fn fault(name: &'static str, breaks: fn(&Invoice) -> Vec<u8>, told: &'static str) -> Fault {
    Fault { name, breaks, told }
}

fn replaced(invoice: &Invoice, from: &str, to: &str) -> Vec<u8> {
    let text = invoice.text();
    assert!(text.contains(from), "the fault has something to break: {from:?} in\n{text}");
    text.replacen(from, to, 1).into_bytes()
}

/// The line that begins with `label` becomes what `change` makes of it.
fn changed_line(invoice: &Invoice, label: &str, change: impl Fn(&str) -> String) -> Vec<u8> {
    let text = invoice.text();
    let lines = text.split_inclusive('\n');
    let lines = lines.map(|line| if line.starts_with(label) { change(line) } else { line.to_owned() });
    lines.collect::<String>().into_bytes()
}

fn dated(invoice: &Invoice, date: &str) -> Vec<u8> {
    changed_line(invoice, "Dated:", |_| format!("Dated: {date}\n"))
}

fn without_line(invoice: &Invoice, label: &str) -> Vec<u8> {
    changed_line(invoice, label, |_| String::new())
}

fn emptied(invoice: &Invoice, label: &str) -> Vec<u8> {
    changed_line(invoice, label, |_| format!("{label}  \n"))
}

fn before_sgst(invoice: &Invoice, line: &str) -> Vec<u8> {
    changed_line(invoice, "SGST:", |sgst| format!("{line}{sgst}"))
}

fn after(invoice: &Invoice, line: &str) -> Vec<u8> {
    (invoice.text() + line).into_bytes()
}

/// The three sums, each off by so much.
fn sums(invoice: &Invoice, amount: Cents, sgst: Cents, total: Cents) -> Vec<u8> {
    let right = [invoice.amount(), invoice.sgst(), invoice.amount() + invoice.sgst()];
    let [amount, sgst, total] = [right[0] + amount, right[1] + sgst, right[2] + total].map(money);
    let mut text = invoice.text();
    for (label, value) in [("Amount:", amount), ("SGST:", sgst), ("Total:", total)] {
        let line =
            text.lines().find(|line| line.starts_with(label)).expect("every invoice has it").to_owned();
        text = text.replacen(&line, &format!("{label} {value}"), 1);
    }
    text.into_bytes()
}

/// One byte in the middle of the sender's name.
fn spoiled(invoice: &Invoice, byte: u8) -> Vec<u8> {
    let mut bytes = invoice.text().into_bytes();
    let at = invoice.text().find("From: ").expect("every invoice has it") + "From: ".len();
    bytes.insert(at, byte);
    // A blank behind it, so that the byte can be part of no character.
    bytes.insert(at + 1, b' ');
    bytes
}

fn cut(mut packed: Vec<u8>) -> Vec<u8> {
    packed.truncate(packed.len() * 2 / 3);
    packed
}

fn damaged(mut packed: Vec<u8>) -> Vec<u8> {
    // The checksum at the end no longer fits.
    let at = packed.len() - 6;
    packed[at] ^= 0xff;
    packed
}

fn utf16(text: &str) -> Vec<u8> {
    "\u{feff}".encode_utf16().chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect()
}

fn contradiction(invoice: &Invoice) -> Vec<u8> {
    let other = Invoice { to: format!("not {}", invoice.to), ..invoice.clone() };
    (invoice.text() + &other.text()).into_bytes()
}

/// Good invoices come first, and must leave nothing.
fn late_contradiction(invoice: &Invoice) -> Vec<u8> {
    let mut text = String::new();
    for number in ["-a", "-b", "-c"] {
        text.push_str(&Invoice { number: invoice.number.clone() + number, ..invoice.clone() }.text());
    }
    let mut other = invoice.clone();
    other.number.push_str("-b");
    other.items[0].price += 1;
    (text + &other.text()).into_bytes()
}
