//! Goal: sealing respects every limit, loses and repeats nothing, and puts first what expires first.

use std::time::Duration;

use proptest::prelude::*;
use sluicegate_state::{Arrival, BatchState, Limits, Notification, NotificationState, SealRequest};

use crate::support::{House, at, forced, limits, notification};

fn with(limits: Limits, force: bool) -> SealRequest<'static> {
    SealRequest { limits, force, ..forced() }
}

fn sized(key: &str, size: u64) -> Arrival {
    Arrival::Notification(Notification { size: Some(size), ..notification(key) })
}

fn keys(house: &House, batch_id: &str) -> Vec<String> {
    house.store.members(batch_id).unwrap().into_iter().map(|member| member.key).collect()
}

#[test]
fn nothing_is_sealed_until_it_is_full_or_old_or_forced() {
    let mut house = House::new();
    assert_eq!(house.store.seal(&forced(), at(0)).unwrap(), None, "there is nothing");
    house.journal(&["a", "b"]);
    assert_eq!(house.store.seal(&with(limits(), false), at(4)).unwrap(), None);
    assert_eq!(
        house.store.seal(&with(limits(), false), at(-4)).unwrap(),
        None,
        "the clock was set back a little"
    );
    let other_job = SealRequest { job: "other", ..forced() };
    assert_eq!(house.store.seal(&other_job, at(9)).unwrap(), None);

    let batch = house.store.seal(&with(limits(), false), at(5)).unwrap().unwrap();
    assert_eq!((batch.documents, batch.bytes, batch.estimated_rows, batch.early), (2, 200, 2, false));
    assert_eq!((batch.state, batch.failed_from, batch.sealed_at), (BatchState::Sealed, None, at(5)));
    assert_eq!(house.store.transitions(&batch.batch_id).unwrap()[0].cause, "age");
    assert_eq!(house.store.seal(&forced(), at(9)).unwrap(), None, "nothing is sealed twice");
    let entry = &house.store.notifications_for_key("b").unwrap()[0];
    assert_eq!((entry.state, entry.ordinal), (NotificationState::Batched, Some(1)));
    assert_eq!(entry.batch_id.as_ref(), Some(&batch.batch_id));
}

/// Nothing else may ever come that would make it full, and what landed expires.
#[test]
fn what_came_before_the_clock_was_set_back_is_old() {
    let mut house = House::new();
    house.journal(&["a"]);
    assert_eq!(house.store.seal(&with(limits(), false), at(-30 * 3_600)).unwrap().unwrap().documents, 1);
}

#[test]
fn each_limit_fills_a_batch() {
    for limits in [
        Limits { documents: 2, ..limits() },
        Limits { bytes: 200, ..limits() },
        Limits { bytes: 299, ..limits() },
        Limits { rows: 2, ..limits() },
        Limits { rows: 5, bytes_per_row: 50, ..limits() },
    ] {
        let mut house = House::new();
        house.journal(&["a", "b", "c"]);
        let batch = house.store.seal(&with(limits, false), at(0)).unwrap().unwrap();
        assert_eq!(keys(&house, &batch.batch_id), ["a", "b"], "{limits:?}");
        assert_eq!(house.store.transitions(&batch.batch_id).unwrap()[0].cause, "full");
        assert_eq!(house.store.seal(&with(limits, false), at(0)).unwrap(), None, "one is left, and young");
    }
}

#[test]
fn a_document_above_the_byte_limit_is_a_batch_of_its_own() {
    let mut house = House::new();
    let limits = Limits { bytes: 1_000, ..limits() };
    house.store.journal(&[sized("a", 10), sized("huge", 5_000), sized("b", 10)], at(0)).unwrap();
    let mut sealed = Vec::new();
    while let Some(batch) = house.store.seal(&with(limits, true), at(1)).unwrap() {
        sealed.push((keys(&house, &batch.batch_id), batch.early));
    }
    let expected =
        [(vec!["a".to_owned()], false), (vec!["huge".to_owned()], false), (vec!["b".to_owned()], true)];
    assert_eq!(sealed, expected);
}

#[test]
fn what_expires_first_goes_first() {
    let mut house = House::new();
    let one = |key: &str, expires, event| {
        let expires_at = Option::map(expires, at);
        Arrival::Notification(Notification { expires_at, event_time: at(event), ..notification(key) })
    };
    let arrivals = [
        one("never, late", None, 5),
        one("never, early", None, -9),
        one("soon, late", Some(10), 3),
        one("later", Some(20), -99),
        one("soon, early", Some(10), 2),
        one("soon, late, second", Some(10), 3),
    ];
    house.store.journal(&arrivals, at(0)).unwrap();
    let batch = house.store.seal(&forced(), at(1)).unwrap().unwrap();
    let expected =
        ["soon, early", "soon, late", "soon, late, second", "later", "never, early", "never, late"];
    assert_eq!(keys(&house, &batch.batch_id), expected);
    assert_eq!((batch.earliest_expiry, batch.oldest_event_time), (Some(at(10)), at(-99)));
}

#[test]
fn the_id_is_made_from_the_content_and_the_second() {
    let id = |keys: &[&str], seconds| {
        let mut house = House::new();
        house.journal(keys);
        house.store.seal(&forced(), at(seconds)).unwrap().unwrap().batch_id
    };
    let one = id(&["a", "b"], 1);
    assert_eq!(one, id(&["a", "b"], 1));
    assert_eq!(&one[..17], "20261123T032405Z-");
    assert_eq!(one.len(), 33);
    for (other, seconds) in [(vec!["b", "a"], 1), (vec!["a"], 1), (vec!["a", "b"], 2), (vec!["a\",\"b"], 1)] {
        assert_ne!(one, id(&other, seconds));
    }
}

#[derive(Debug, Clone)]
struct Doc {
    size: Option<u64>,
    expires: Option<i64>,
    event: i64,
}

fn doc() -> impl Strategy<Value = Doc> {
    let size = prop_oneof![Just(None), (0_u64..400).prop_map(Some), (900_u64..1_500).prop_map(Some)];
    (size, proptest::option::of(0_i64..5), -5_i64..5).prop_map(|(size, expires, event)| Doc {
        size,
        expires,
        event,
    })
}

fn some_limits() -> impl Strategy<Value = Limits> {
    (0_u64..8, 1_u64..1_200, 1_u64..60, 0_u64..40).prop_map(|(documents, bytes, rows, bytes_per_row)| {
        Limits { documents, bytes, rows, bytes_per_row, max_age: Duration::from_secs(5) }
    })
}

/// Documents, bytes and rows of some members.
fn load(docs: &[&Doc], limits: &Limits) -> (u64, u64, u64) {
    let sizes = || docs.iter().map(|doc| doc.size.unwrap_or(0));
    let rows = sizes().map(|size| size.div_ceil(limits.bytes_per_row.max(1))).sum();
    (docs.len() as u64, sizes().sum(), rows)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn batches_are_within_limits_maximal_in_order_and_complete(
        docs in proptest::collection::vec(doc(), 0..40),
        limits in some_limits(),
    ) {
        let mut house = House::new();
        let arrivals: Vec<_> = docs.iter().enumerate().map(|(index, doc)| {
            let expires_at = doc.expires.map(at);
            let event_time = at(doc.event);
            Arrival::Notification(Notification { size: doc.size, expires_at, event_time, ..notification(&index.to_string()) })
        }).collect();
        house.store.journal(&arrivals, at(0)).unwrap();

        let mut batches = Vec::new();
        while let Some(batch) = house.store.seal(&with(limits, true), at(1)).unwrap() {
            let members = house.store.members(&batch.batch_id).unwrap();
            prop_assert!(members.iter().enumerate().all(|(place, member)| member.ordinal == place as u32));
            let docs: Vec<usize> = members.iter().map(|member| member.key.parse().unwrap()).collect();
            batches.push((docs, batch));
        }

        let all: Vec<usize> = batches.iter().flat_map(|(members, _)| members.iter().copied()).collect();
        let mut expected: Vec<usize> = (0..docs.len()).collect();
        expected.sort_by_key(|index| {
            (docs[*index].expires.is_none(), docs[*index].expires, docs[*index].event, *index)
        });
        prop_assert_eq!(&all, &expected, "everything once, in order");

        let mut next = 0;
        for (members, batch) in &batches {
            next += members.len();
            let members: Vec<&Doc> = members.iter().map(|index| &docs[*index]).collect();
            let (documents, bytes, rows) = load(&members, &limits);
            prop_assert_eq!((documents, bytes, rows), (batch.documents, batch.bytes, batch.estimated_rows));
            let within = documents <= limits.documents && bytes <= limits.bytes && rows <= limits.rows;
            prop_assert!(within || documents == 1);
            let reached = documents >= limits.documents || bytes >= limits.bytes || rows >= limits.rows;
            let overflows = all.get(next).is_some_and(|index| {
                let (_, more_bytes, more_rows) = load(&[&docs[*index]], &limits);
                bytes + more_bytes > limits.bytes || rows + more_rows > limits.rows
            });
            prop_assert_eq!(batch.early, !(reached || overflows), "early means: not full");
            prop_assert!(!batch.early || next == docs.len(), "only the last one can be early");
        }
    }
}
