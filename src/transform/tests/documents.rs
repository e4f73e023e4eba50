//! Goal: each rule of the labelled format, shown on a document that keeps it and on one that breaks it.

use super::*;

#[test]
fn an_invoice_becomes_one_row_and_five_items() {
    let definition = invoices();
    let (records, summary) = records(&definition, INVOICE.as_bytes());
    assert_eq!((summary.records, summary.rows, summary.warnings.len()), (1, 6, 0));
    insta::assert_snapshot!(shown(&definition, &records));
}

#[test]
fn line_ends_byte_order_mark_and_packing_change_nothing() {
    let definition = invoices();
    let (plain, _) = records(&definition, INVOICE.as_bytes());
    let crlf = INVOICE.replace('\n', "\r\n");
    let blanks = INVOICE.replace('\n', " \t\u{a0}\n");
    let (first, second) = INVOICE.as_bytes().split_at(200);
    let variants: [Vec<u8>; 7] = [
        crlf.clone().into(),
        format!("\u{feff}{crlf}").into(),
        INVOICE.trim_end().into(),
        blanks.into(),
        gzip(INVOICE.as_bytes()),
        gzip(format!("\u{feff}{INVOICE}").as_bytes()),
        [gzip(first), gzip(second)].concat(),
    ];
    for (index, variant) in variants.iter().enumerate() {
        assert_eq!(records(&definition, variant).0, plain, "variant {index}");
    }
}

#[test]
fn one_document_may_hold_many_records_and_the_first_needs_no_banner() {
    let definition = invoices();
    let bare = INVOICE.lines().skip(3).collect::<Vec<_>>().join("\n");
    let second = INVOICE.replace("Inv-ID: a-7", "Inv-ID: a-8").replace("InWords: One", "InWords:");
    let document = format!("\n{bare}\n\n{second}");
    let (records, summary) = records(&definition, document.as_bytes());
    assert_eq!((summary.records, summary.rows), (2, 12));
    assert_eq!(records.iter().map(|record| record.line).collect::<Vec<_>>(), [2, 20]);
    assert_eq!(records.iter().nth(1).unwrap().parent().value(1), "a-8");
}

#[test]
fn a_carriage_return_inside_a_value_is_one_space() {
    let definition = invoices();
    let document =
        INVOICE.replace("Road Runner: Research", "Road\rRunner").replace("black, large", "black,\rlarge");
    let (records, _) = records(&definition, document.as_bytes());
    let record = records.iter().next().unwrap();
    assert_eq!(record.parent().value(4), "Road Runner");
    assert_eq!(record.rows(1).next().unwrap().value(3), "Anvil, black, large");
}

/// A document made from [`INVOICE`] by one replacement, and what is said of it.
fn told(definition: &Definition, name: &str, document: &str) -> String {
    let Reject { line, place, reason, text, key } = reject(definition, document.as_bytes());
    let line = line.map_or("-".to_owned(), |line| line.to_string());
    format!(
        "{name}\n  line {line}, {}: {reason}\n  text: {text}\n  key: {}\n",
        place.unwrap_or("-".into()),
        key.unwrap_or("-".into())
    )
}

#[test]
fn every_reject_says_what_is_wrong() {
    let definition = invoices();
    let banner_twice = format!("  Invoice\n{INVOICE}");
    let cases = [
        ("no colon", "SGST: 61", "SGST 61"),
        ("unknown label", "SGST: 61", "CGST: 61"),
        ("no label", "SGST: 61", ": 61"),
        ("label twice", "SGST: 61", "SGST: 61\nAmount: 5"),
        ("missing", "SGST: 61\n", ""),
        ("missing key", "Inv-ID: a-7\n", ""),
        ("empty", "To: Road Runner: Research", "To:   "),
        ("not a number", "SGST: 61", "SGST: $61"),
        ("thousands", "Total: 1371.50", "Total: 1,371.50"),
        ("would be rounded", "SGST: 61", "SGST: 61.005"),
        ("too large", "SGST: 61", "SGST: 12345678901234567"),
        ("not a date", "Apr 2 2019", "2019-04-02"),
        ("no such day", "Apr 2 2019", "Apr 31 2019"),
        ("too long", "ac-0042", &"x".repeat(257)),
        ("check of labels", "Total: 1371.50", "Total: 1471.50"),
        ("check of items", "Bird seed, 0, 2", "Bird seed, 1, 2"),
        ("check of tax", "Bird seed, 0, 2", "Bird seed, 0"),
        ("not a row", "4) Bird seed, 0, 2", "4) Bird seed, free, 2"),
        ("not a row, with a colon", "4) Bird seed, 0, 2", "4) Bird: seed, free"),
        ("row without description", "Bird seed, 0, 2", ", 0, 2"),
        ("other digits", "Bird seed, 0, 2", "Bird seed, ٠, ٢"),
        ("no header", "Items\n", ""),
        ("row after a label", "2) Rope", "InWords: again\n2) Rope"),
        ("row twice", "4) Bird", "2) Bird"),
        ("header twice", "4) Bird", "Items\n4) Bird"),
        ("line number too large", "4) Bird", "99999999999999999999) Bird"),
        ("control character", "Anvils", "An\u{1}vils"),
        ("NUL", "Anvils", "Anvils\0"),
    ];
    let mut all = String::new();
    for (name, from, to) in cases {
        assert!(INVOICE.contains(from), "{name}");
        all.push_str(&told(&definition, name, &INVOICE.replacen(from, to, 1)));
    }
    let many = format!("{INVOICE}{}", INVOICE.replace("a-7", "a-8").replace("SGST: 61\n", ""));
    for (name, document) in [
        ("empty document", ""),
        ("blank document", " \n\t\r\n"),
        ("only a mark", "\u{feff}"),
        ("only banners", "*****\n\n****"),
        ("only a title", "****\n Invoice\n****\n"),
        ("title twice", &banner_twice),
        ("title at the end", &format!("{INVOICE}Invoice\n")),
        ("second record", &many),
    ] {
        all.push_str(&told(&definition, name, document));
    }
    insta::assert_snapshot!(all);
}

#[test]
fn bytes_that_are_no_text_are_told_with_their_place() {
    let definition = invoices();
    let mut latin = INVOICE.as_bytes().to_vec();
    let at = INVOICE.find("Anvils").unwrap();
    latin[at] = 0xe9;
    let utf16: Vec<u8> = "\u{feff}Invoice".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let packed = gzip(INVOICE.as_bytes());
    let mut damaged = packed.clone();
    damaged[15] ^= 0xff;
    let mut all = String::new();
    for (name, document) in [
        ("latin-1", latin.clone()),
        ("latin-1 after a mark, packed", gzip(&[b"\xef\xbb\xbf".as_slice(), &latin].concat())),
        ("UTF-16", utf16),
        ("packed, cut off", packed[..packed.len() - 20].to_vec()),
        ("packed, only the magic", packed[..2].to_vec()),
        ("packed, damaged", damaged),
        ("packed, something after it", [packed.as_slice(), b"tail"].concat()),
    ] {
        all.push_str(&format!("{name}\n  {:?}\n", reject(&definition, &document)));
    }
    insta::assert_snapshot!(all);
}

#[test]
fn unknown_labels_are_ignored_where_the_job_says_so() {
    let definition = definition(&SHIPPED.replace(r#"unknown = "reject""#, r#"unknown = "ignore""#));
    let with_note = INVOICE.replace("SGST: 61", "Note: paid\nSGST: 61") + "Remark: thank you\n";
    assert_eq!(records(&definition, with_note.as_bytes()).0, records(&definition, INVOICE.as_bytes()).0);
    let stray = with_note + "6) Rope: 5 m, 1, 1\n";
    assert!(reject(&definition, stray.as_bytes()).reason.contains("no header"));
}

#[test]
fn a_check_may_only_warn() {
    let definition = definition(&SHIPPED.replace(r#"action = "reject""#, r#"action = "warn""#));
    let document = INVOICE.replace("Total: 1371.50", "Total: 1").repeat(120);
    let (_, summary) = records(&definition, document.as_bytes());
    assert_eq!((summary.records, summary.warnings.len(), summary.more_warnings), (120, 100, 20));
    insta::assert_debug_snapshot!(summary.warnings[0]);
}

#[test]
fn defaults_integers_and_booleans() {
    let job = r#"
        name = "small"
        landing = "in"
        keys = '.'
        format = "labelled"
        [window]
        cron = "0 0 * * * *"
        [record]
        table = "small"
        key = ["id"]
        columns = [
            { name = "id", label = "Id", type = "integer", required = true },
            { name = "paid", label = "Paid?", type = "boolean", default = "No" },
            { name = "currency", label = "Currency", type = "text", default = "EUR", max_length = 3 },
            { name = "due", label = "Due", type = "date" },
        ]
    "#;
    let definition = definition(job);
    let (records, _) = records(&definition, b"Id: +07\nPaid?: YES\nCurrency:\n");
    insta::assert_snapshot!(shown(&definition, &records));
    assert!(reject(&definition, b"Id: 7\nPaid?: maybe").reason.contains("true, yes, 1, false, no, 0"));
    assert!(reject(&definition, b"Id: 7\nId: 8").reason.contains("twice"));
}
