//! Goal: no bytes make the transformation panic, and streaming and collecting always agree.

use std::io::{BufRead, BufReader};

use proptest::prelude::*;

use super::super::Stopped;
use super::super::rows::Records;
use super::*;

/// Streams with a buffer of `capacity` bytes, so that every line is cut somewhere.
fn stream(definition: &Definition, document: &[u8], capacity: usize) -> Collected {
    let mut records = Records::new(definition.schema().tables.iter().map(|table| table.columns.len()));
    let mut input: Box<dyn BufRead> = Box::new(BufReader::with_capacity(capacity, document));
    let result = definition.transform(&mut *input, &mut |record| {
        records.push(&record);
        Ok::<(), ()>(())
    });
    match result {
        Ok(summary) => Collected::Records(records, summary),
        Err(Stopped::Rejected(reject)) => Collected::Rejected(reject),
        Err(other) => panic!("{other:?}"),
    }
}

fn check(definition: &Definition, document: &[u8], capacity: usize) {
    let collected = definition.collect(document, usize::MAX);
    assert_eq!(stream(definition, document, capacity), collected);
    match &collected {
        Collected::Records(records, summary) => {
            assert_eq!(records.len() as u64, summary.records);
            let values = records.iter().flat_map(|record| record.parent().values().collect::<Vec<_>>());
            values.for_each(|value| {
                assert!(!value.contains(['\n', '\r', '\0', '\u{1}']) && value.trim() == value)
            });
        }
        Collected::Rejected(reject) => {
            let texts =
                [Some(&reject.reason), Some(&reject.text), reject.place.as_ref(), reject.key.as_ref()];
            assert!(!reject.reason.is_empty());
            assert!(texts.into_iter().flatten().all(|text| !text.contains(char::is_control)), "{reject:?}");
            assert!(reject.text.chars().count() <= 200);
        }
        Collected::TooLarge => panic!("nothing here is large"),
    }
}

/// One change of a document.
#[derive(Debug, Clone)]
enum Change {
    Byte(prop::sample::Index, u8),
    Remove(prop::sample::Index, u8),
    Insert(prop::sample::Index, String),
    RepeatLine(prop::sample::Index),
    SwapLines(prop::sample::Index, prop::sample::Index),
}

fn change() -> impl Strategy<Value = Change> {
    let index = any::<prop::sample::Index>;
    let piece = prop::sample::select(vec![
        ":",
        ",",
        "\r",
        "\n",
        "\0",
        "-",
        "1",
        ".",
        "Items\n",
        "Invoice\n",
        "***\n",
        "é",
        "\u{feff}",
        ": ",
        "7) x, 1\n",
        "\"",
        "\"\"",
    ]);
    prop_oneof![
        (index(), any::<u8>()).prop_map(|(at, byte)| Change::Byte(at, byte)),
        (index(), any::<u8>()).prop_map(|(at, count)| Change::Remove(at, count)),
        (index(), piece).prop_map(|(at, piece)| Change::Insert(at, piece.to_owned())),
        index().prop_map(Change::RepeatLine),
        (index(), index()).prop_map(|(one, two)| Change::SwapLines(one, two)),
    ]
}

fn apply(document: &mut Vec<u8>, change: &Change) {
    let mut lines: Vec<Vec<u8>> =
        document.split_inclusive(|&byte| byte == b'\n').map(<[u8]>::to_vec).collect();
    if lines.is_empty() {
        return;
    }
    match change {
        Change::Byte(at, byte) => {
            let at = at.index(document.len());
            document[at] = *byte;
        }
        Change::Remove(at, count) => {
            let at = at.index(document.len());
            let end = document.len().min(at + usize::from(*count));
            document.drain(at..end);
        }
        Change::Insert(at, piece) => {
            let at = at.index(document.len());
            document.splice(at..at, piece.bytes());
        }
        Change::RepeatLine(at) => {
            let at = at.index(lines.len());
            lines.insert(at, lines[at].clone());
            *document = lines.concat();
        }
        Change::SwapLines(one, two) => {
            let (one, two) = (one.index(lines.len()), two.index(lines.len()));
            lines.swap(one, two);
            *document = lines.concat();
        }
    }
}

#[test]
fn no_bytes_at_all_make_it_panic() {
    let definition = invoices();
    proptest!(ProptestConfig::with_cases(200), |(bytes in prop::collection::vec(any::<u8>(), 0..300), capacity in 1_usize..50)| {
        check(&definition, &bytes, capacity);
        check(&definition, &[b"\x1f\x8b".as_slice(), &bytes].concat(), capacity);
    });
}

#[test]
fn changed_csv_files_are_read_or_refused_the_same_way_each_time() {
    let definition = definition(include_str!("../../../examples/payments/payments.toml"));
    let document = include_str!("../../../examples/payments/march.csv");
    proptest!(ProptestConfig::with_cases(300), |(changes in prop::collection::vec(change(), 0..4), bytes in prop::collection::vec(any::<u8>(), 0..100), capacity in 1_usize..200)| {
        let mut changed = document.as_bytes().to_vec();
        changes.iter().for_each(|change| apply(&mut changed, change));
        check(&definition, &changed, capacity);
        check(&definition, &bytes, capacity);
        check(&definition, &[&changed[..changed.len().min(60)], &bytes].concat(), capacity);
    });
}

#[test]
fn changed_invoices_are_read_or_refused_the_same_way_each_time() {
    let definition = invoices();
    let document = format!("{INVOICE}{}", INVOICE.replace("a-7", "a-8").replace('\n', "\r\n"));
    proptest!(ProptestConfig::with_cases(300), |(changes in prop::collection::vec(change(), 0..4), capacity in 1_usize..200, packed in any::<bool>())| {
        let mut changed = document.clone().into_bytes();
        changes.iter().for_each(|change| apply(&mut changed, change));
        if packed {
            let plain = definition.collect(&changed, usize::MAX);
            changed = gzip(&changed);
            assert_eq!(definition.collect(&changed, usize::MAX), plain);
        }
        check(&definition, &changed, capacity);
    });
}
