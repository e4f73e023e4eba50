//! Goal: each rule of the delimited format, shown on a document that keeps it and on one that breaks it; and what a CSV
//! writer wrote is read back, whatever the values are.

use proptest::prelude::*;

use super::*;

const EXAMPLE: &str = include_str!("../../../examples/payments/payments.toml");
const MARCH: &str = include_str!("../../../examples/payments/march.csv");

/// The example with other words in `[delimited]`, and the columns of a small table.
fn small(delimited: &str, columns: &str) -> Definition {
    let head = EXAMPLE.split("[delimited]").next().unwrap();
    definition(&format!(
        "{head}[delimited]\n{delimited}\n[record]\ntable = \"t\"\nkey = [\"id\"]\ncolumns = [{columns}]\n"
    ))
}

const TWO_COLUMNS: &str =
    "{ name = \"id\", type = \"text\", required = true }, { name = \"note\", type = \"text\" }";

fn parents(definition: &Definition, document: &str) -> Vec<String> {
    let (records, _) = records(definition, document.as_bytes());
    records.iter().map(|record| record.parent().values().collect::<Vec<_>>().join(" | ")).collect()
}

#[test]
fn the_example_reads_its_example_and_knows_the_line_of_each_record() {
    let definition = definition(EXAMPLE);
    let (records, summary) = records(&definition, MARCH.as_bytes());
    assert_eq!((summary.records, summary.rows), (3, 3));
    insta::assert_snapshot!(shown(&definition, &records));
}

#[test]
fn line_ends_byte_order_mark_packing_and_the_order_of_columns_change_nothing() {
    let definition = definition(EXAMPLE);
    let (plain, _) = records(&definition, MARCH.as_bytes());
    let crlf = MARCH.replace('\n', "\r\n");
    let variants: [Vec<u8>; 5] = [
        crlf.clone().into(),
        format!("\u{feff}{crlf}").into(),
        MARCH.trim_end().into(),
        gzip(MARCH.as_bytes()),
        MARCH.replace("P-1002", " P-1002\t").replace(",,705.00", ", ,705.00 ").into(),
    ];
    for (index, variant) in variants.iter().enumerate() {
        assert_eq!(records(&definition, variant).0, plain, "variant {index}");
    }
    let two = small("", TWO_COLUMNS);
    assert_eq!(parents(&two, "note,id\nx,1\n"), parents(&two, "id,note\n\n1,x\n \n"));
}

#[test]
fn delimiter_quote_and_positions_are_the_jobs() {
    let tabs = small("delimiter = \"\\t\"\nquote = \"\"", TWO_COLUMNS);
    assert_eq!(parents(&tabs, "id\tnote\n1\t\"as it is\n2\t\n"), ["1 | \"as it is", "2 | "]);
    let columns = "{ name = \"id\", position = 3, type = \"text\", required = true }, \
                   { name = \"note\", position = 1, type = \"text\" }";
    let places = small("delimiter = \";\"\nquote = \"'\"\nheader = false\nunknown = \"ignore\"", columns);
    assert_eq!(parents(&places, "a;b;1\n'it''s; here';;2\n"), ["1 | a", "2 | it's; here"]);
    let ignoring = small("unknown = \"ignore\"", TWO_COLUMNS);
    assert_eq!(parents(&ignoring, "new,note,id\n?,x,1\n"), ["1 | x"]);
}

#[test]
fn every_reject_says_what_is_wrong() {
    let example = definition(EXAMPLE);
    let two = small("", TWO_COLUMNS);
    let numbered = "{ name = \"id\", position = 1, type = \"text\", required = true }, \
                    { name = \"note\", position = 3, type = \"text\" }";
    let positions = small("header = false", numbered);
    let header = MARCH.lines().next().unwrap();
    let cases: [(&Definition, &str, String); 19] = [
        (&example, "nothing", String::new()),
        (&example, "only a header", format!("{header}\n")),
        (&example, "a column is missing", MARCH.replace("Net", "Netto")),
        (&two, "a column is twice", "id,note,id\n1,x,2\n".into()),
        (&two, "an unknown column", "id,note,colour\n1,x,red\n".into()),
        (&two, "a column without a name", "id,note,\n1,x,\n".into()),
        (&example, "a value too many", MARCH.replace("Ropes, three", "Ropes\", \"three")),
        (&two, "a value too few", "id,note\n1,x\n2\n".into()),
        (&positions, "a narrow line", "1,x\n".into()),
        (&positions, "a wide line", "1,x,y,z\n".into()),
        (&example, "a date that is none", MARCH.replace("03.03.2026", "3 March")),
        (&example, "an amount with a comma", MARCH.replace("5958.00", "\"5,958.00\"")),
        (&example, "no value where one is required", MARCH.replace("TE-7", "")),
        (&example, "a check that fails", MARCH.replace("439.60", "439.61")),
        (&example, "a quote that does not end", MARCH.replace("it was\"", "it was")),
        (&example, "something behind a quote", MARCH.replace("\"\"paid\"\"", "\"paid\"")),
        (&two, "a control character", "id,note\n1,\u{1}\n".into()),
        (&two, "old line ends", "id,note\r1,x\r2,y\r".into()),
        (&two, "an invoice", INVOICE.into()),
    ];
    let told: Vec<_> = cases.iter().map(|(job, name, document)| told(job, name, document)).collect();
    insta::assert_snapshot!(told.join("\n"));
}

fn told(definition: &Definition, name: &str, document: &str) -> String {
    let Reject { line, place, reason, text, key } = reject(definition, document.as_bytes());
    let line = line.map_or("-".to_owned(), |line| line.to_string());
    let (place, key) = (place.unwrap_or("-".into()), key.unwrap_or("-".into()));
    format!("{name}\n  line {line}, {place}: {reason}\n  text: {text}\n  key: {key}\n")
}

#[test]
fn a_record_over_many_lines_has_a_limit() {
    let two = small("", TWO_COLUMNS);
    let endless = format!("id,note\n1,\"{}", format!("{}\n", "x".repeat(1 << 19)).repeat(40));
    let reject = reject(&two, endless.as_bytes());
    assert_eq!(reject.line, Some(2));
    assert!(reject.reason.contains("larger than"), "{}", reject.reason);
}

/// What §7 makes of a text: trimmed, and each line break inside is one space.
fn canonical_text(text: &str) -> String {
    text.trim().replace("\r\n", " ").replace(['\r', '\n'], " ")
}

#[test]
fn what_a_csv_writer_wrote_is_read_back() {
    let cell = prop::collection::vec(
        prop_oneof![
            Just("\""),
            Just(","),
            Just(";"),
            Just("\n"),
            Just("\r\n"),
            Just("\r"),
            Just("\t"),
            Just(" "),
            Just("é"),
            Just("\\"),
            Just("'"),
            Just("a"),
            Just("0"),
            Just("\u{2028}"),
            Just("漢"),
        ],
        0..8,
    )
    .prop_map(|pieces| pieces.concat());
    let job = definition(
        &EXAMPLE
            .replace("unknown = \"reject\"", "unknown = \"ignore\"")
            .replace("delimiter = \",\"", "delimiter = \";\""),
    );
    proptest!(ProptestConfig::with_cases(300), |(notes in prop::collection::vec(cell, 1..6), crlf in any::<bool>(), always in any::<bool>())| {
        let mut writer = csv::WriterBuilder::new()
            .delimiter(b';')
            .terminator(if crlf { csv::Terminator::CRLF } else { csv::Terminator::Any(b'\n') })
            .quote_style(if always { csv::QuoteStyle::Always } else { csv::QuoteStyle::Necessary })
            .from_writer(Vec::new());
        writer.write_record(["Note", "Payment", "Customer", "Invoice", "Paid on", "Amount", "Fee", "Net", "More"]).unwrap();
        for (index, note) in notes.iter().enumerate() {
            let id = format!("P{index}");
            writer.write_record([note, &id, "c", "i", "2026-01-01", "2", "", "2", note]).unwrap();
        }
        let document = writer.into_inner().unwrap();
        let (records, _) = records(&job, &document);
        let read: Vec<String> = records.iter().map(|record| record.parent().value(7).to_owned()).collect();
        let written: Vec<String> = notes.iter().map(|note| canonical_text(note)).collect();
        prop_assert_eq!(read, written);
    });
}
