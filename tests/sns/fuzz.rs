//! Arbitrary bodies, and good messages with something changed: no panic, and nothing is journaled that is not signed.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::Value;

use crate::http::post_with;
use crate::world::World;

/// One change to the bytes of a message.
#[derive(Debug, Clone)]
enum Change {
    Flip(usize, u8),
    Cut(usize),
    Insert(usize, Vec<u8>),
    Remove(usize, usize),
}

fn changes() -> impl Strategy<Value = Change> {
    prop_oneof![
        (any::<usize>(), 1..=255_u8).prop_map(|(at, bits)| Change::Flip(at, bits)),
        any::<usize>().prop_map(Change::Cut),
        (any::<usize>(), prop::collection::vec(any::<u8>(), 1..40))
            .prop_map(|(at, what)| Change::Insert(at, what)),
        (any::<usize>(), 1..60_usize).prop_map(|(at, count)| Change::Remove(at, count)),
    ]
}

fn changed(body: &[u8], change: &Change) -> Vec<u8> {
    let mut body = body.to_vec();
    let length = body.len();
    match change {
        Change::Flip(at, bits) => body[at % length] ^= bits,
        Change::Cut(at) => body.truncate(at % length),
        Change::Insert(at, what) => drop(body.splice(at % length..at % length, what.iter().copied())),
        Change::Remove(at, count) => {
            let at = at % length;
            body.drain(at..(at + count).min(length));
        }
    }
    body
}

/// What SNS signed, as far as the signature covers it.
fn signed_part(body: &[u8]) -> Option<Vec<Value>> {
    let value: Value = serde_json::from_slice(body).ok()?;
    let names = ["Type", "Message", "MessageId", "Subject", "Timestamp", "TopicArn"];
    Some(names.iter().map(|name| value[*name].clone()).collect())
}

/// A world in which nothing is ever acceptable but the one message.
fn runner(cases: u32) -> TestRunner {
    TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() })
}

#[test]
fn arbitrary_bodies_are_refused() {
    let Some(world) = World::new() else { return };
    let bodies = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..2_000),
        "\\PC{0,200}".prop_map(String::into_bytes),
        "[\\[\\]{}\",:0-9a-zTMS]{0,200}".prop_map(String::into_bytes),
    ];
    let tried = runner(300).run(&bodies, |body| {
        let answer = post_with(world.address, "", &body);
        prop_assert!(answer.as_ref().is_some_and(|(status, _)| *status == 400), "{answer:?}");
        Ok(())
    });
    tried.unwrap();
    world.assert_untouched();
    assert!(world.net.asked().is_empty());
}

#[test]
fn a_changed_message_is_refused_unless_the_change_says_nothing() {
    let Some(world) = World::new() else { return };
    let good = world.landed("a.txt").body().into_bytes();
    let original = signed_part(&good);
    let tried = runner(500).run(&changes(), |change| {
        let body = changed(&good, &change);
        let (status, _) = post_with(world.address, "", &body).expect("an answer");
        let says_the_same = signed_part(&body) == original;
        prop_assert!(status != 200 || says_the_same, "{change:?}: {}", String::from_utf8_lossy(&body));
        prop_assert!([200, 400, 403, 503].contains(&status), "{status}");
        Ok(())
    });
    tried.unwrap();
    let store = world.store();
    let received = store.notification_totals("invoices").unwrap().received;
    assert!(received <= 1, "only the one document can have come: {received}");
    assert!(store.counters().unwrap().is_empty() && store.unreadable(10).unwrap().is_empty());
    // The endpoint has survived all of it.
    assert_eq!(post_with(world.address, "", &good).unwrap().0, 200);
    assert_eq!(world.journaled("a.txt").0, 1);
}
