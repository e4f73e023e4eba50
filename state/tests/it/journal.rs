//! Goal: what arrives is journaled once, whatever is delivered how often.

use sluicegate_state::{
    Arrival, BatchState, Counter, JournalEntry, JournalReceipt, Notification, NotificationState,
};

use crate::support::{House, at, notification};

fn arrival(notification: &Notification) -> Arrival {
    Arrival::Notification(notification.clone())
}

#[test]
fn the_identity_is_the_text_of_a_json_array() {
    let mut one = Notification { key: "a \"é\"+%.txt".into(), ..notification("") };
    assert_eq!(one.identity(), r#"["local","a \"é\"+%.txt","100-1",""]"#);
    one.sequencer = Some("00A1".into());
    for none in [None, Some(String::new()), Some("null".into())] {
        one.version_id = none;
        assert_eq!(one.identity(), r#"["local","a \"é\"+%.txt","100-1","00A1"]"#);
    }
    one.version_id = Some("v1".into());
    one.job = "other".into();
    assert_eq!(one.identity(), r#"["local","a \"é\"+%.txt","v1","00A1"]"#);
}

#[test]
fn a_notification_journaled_again_is_only_counted() {
    let mut house = House::new();
    let one = notification("a");
    let first =
        house.store.journal(&[arrival(&one), arrival(&one), arrival(&notification("b"))], at(0)).unwrap();
    assert_eq!(first, JournalReceipt { recorded: 2, redelivered: 1, ..Default::default() });
    let later = Notification { job: "other".into(), size: Some(7), event_time: at(50), ..one.clone() };
    let second = house.store.journal(&[arrival(&later)], at(9)).unwrap();
    assert_eq!(second, JournalReceipt { redelivered: 1, ..Default::default() });

    let [entry] = house.store.notifications_for_key("a").unwrap().try_into().unwrap();
    assert_eq!(entry.notification, one, "the first delivery is what counts");
    assert_eq!((entry.redeliveries, entry.last_redelivered_at), (2, Some(at(9))));
    assert_eq!((entry.received_at, entry.state), (at(0), NotificationState::Pending));
    let totals = house.store.notification_totals("invoices").unwrap();
    assert_eq!((totals.received, totals.redeliveries), (2, 2));
    assert_eq!(house.store.notification_totals("other").unwrap().received, 0);
}

/// Without versions and sequencers the second upload of the same content has the identity of the first one.
#[test]
fn what_lies_there_now_is_told_apart_from_an_earlier_upload_of_the_same_content() {
    let mut house = House::new();
    let first = Notification { event_time: at(10), ..notification("a") };
    house.store.journal(&[arrival(&first)], at(11)).unwrap();
    // What is announced again is a redelivery, whatever its time (I2).
    let second = Notification { event_time: at(100), ..first.clone() };
    house.store.journal(&[arrival(&second)], at(101)).unwrap();

    let mut found = |seconds| {
        let object = Notification { event_time: at(seconds), ..first.clone() };
        house.store.journal_found(&[arrival(&object)], at(200)).unwrap()
    };
    assert_eq!(found(10), JournalReceipt::default(), "the one that was announced");
    assert_eq!(found(9), JournalReceipt::default(), "an event comes after its object");
    assert_eq!(found(100), JournalReceipt { recorded: 1, ..Default::default() });
    assert_eq!(found(100), JournalReceipt::default());
    assert_eq!(found(150), JournalReceipt { recorded: 1, ..Default::default() }, "and a third one");

    let sequencers = |entry: &JournalEntry| entry.notification.sequencer.clone();
    let entries = house.store.notifications_for_key("a").unwrap();
    let told_apart: Vec<_> = entries.iter().map(sequencers).collect();
    let listed = |second| Some(format!("LISTED-{}", at(second).format("%Y%m%dT%H%M%SZ")));
    assert_eq!(told_apart, [None, listed(100), listed(150)]);
}

/// Another machine had ended the identity with an earlier upload, and the ledger does not know the one that is there.
#[test]
fn what_the_ledger_does_not_know_is_told_apart_from_what_has_come_to_its_end() {
    let mut house = House::new();
    let one = Notification { event_time: at(100), ..notification("a") };
    house.store.journal(&[arrival(&one)], at(101)).unwrap();
    let nothing = JournalReceipt::default();
    assert_eq!(house.store.journal_missed(&[arrival(&one)], at(102)).unwrap(), nothing, "it is under way");
    house.batch_in("a", BatchState::Published, None);
    assert_eq!(house.store.journal_found(&[arrival(&one)], at(120)).unwrap(), nothing);
    let told = JournalReceipt { recorded: 1, ..Default::default() };
    assert_eq!(house.store.journal_missed(&[arrival(&one)], at(120)).unwrap(), told);
    assert_eq!(house.store.journal_missed(&[arrival(&one)], at(130)).unwrap(), nothing);
}

#[test]
fn a_version_that_is_known_is_not_told_apart() {
    let mut house = House::new();
    let one = Notification { version_id: Some("v1".into()), event_time: at(10), ..notification("a") };
    house.store.journal(&[arrival(&one)], at(11)).unwrap();
    let found = Notification { event_time: at(12), ..one };
    assert_eq!(house.store.journal_found(&[arrival(&found)], at(20)).unwrap(), JournalReceipt::default());
}

#[test]
fn every_part_of_the_identity_makes_another_notification_and_nothing_else_does() {
    let mut house = House::new();
    let base = Notification { sequencer: Some("1".into()), ..notification("a") };
    let different = [
        base.clone(),
        Notification { bucket: "other".into(), ..base.clone() },
        Notification { key: "b".into(), ..base.clone() },
        Notification { etag: "other".into(), ..base.clone() },
        Notification { version_id: Some("v1".into()), ..base.clone() },
        Notification { sequencer: Some("2".into()), ..base.clone() },
        Notification { sequencer: None, ..base.clone() },
    ];
    let same = [
        Notification { job: "other".into(), ..base.clone() },
        Notification { version_id: Some("null".into()), ..base.clone() },
        Notification { version_id: Some(String::new()), ..base.clone() },
        Notification { version_id: Some("v1".into()), etag: "any".into(), ..base.clone() },
        Notification { sequencer: Some(String::new()), ..base.clone() },
        Notification {
            source: "queue".into(),
            event_name: "x".into(),
            expires_at: Some(at(1)),
            ..base.clone()
        },
    ];
    let receipt = house.store.journal(&different.each_ref().map(arrival), at(0)).unwrap();
    assert_eq!(receipt.recorded, different.len() as u64);
    let receipt = house.store.journal(&same.each_ref().map(arrival), at(0)).unwrap();
    assert_eq!((receipt.recorded, receipt.redelivered), (0, same.len() as u64));
}

#[test]
fn unreadable_messages_are_kept_raw_and_once() {
    let mut house = House::new();
    let unreadable = |body: &[u8], source: &str| Arrival::Unreadable {
        source: source.into(),
        body: body.to_vec(),
        reason: "no JSON".into(),
    };
    let arrivals = [unreadable(b"\xff\0{", "queue"), unreadable(b"", "http"), unreadable(b"\xff\0{", "http")];
    assert_eq!(house.store.journal(&arrivals, at(0)).unwrap().unreadable, 3);
    house.store.journal(&[unreadable(b"\xff\0{", "http")], at(5)).unwrap();
    let kept = house.store.unreadable(10).unwrap();
    assert_eq!(kept.len(), 2);
    assert_eq!(
        (kept[0].body.as_slice(), kept[0].seen, kept[0].source.as_str()),
        (&b"\xff\0{"[..], 3, "queue")
    );
    assert_eq!((kept[0].first_seen_at, kept[0].last_seen_at), (at(0), at(5)));
    assert_eq!(kept[1].sha256, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

#[test]
fn what_makes_no_document_is_counted() {
    let mut house = House::new();
    let counted = |counter, job: Option<&str>| Arrival::Counted(counter, job.map(Into::into));
    let arrivals = [
        counted(Counter::Unrouted, None),
        counted(Counter::IgnoredKey, Some("invoices")),
        counted(Counter::IgnoredKey, Some("invoices")),
        counted(Counter::TestEvent, None),
        counted(Counter::IgnoredEvent, None),
    ];
    assert_eq!(house.store.journal(&arrivals, at(3)).unwrap().counted, 5);
    let counters = house.store.counters().unwrap();
    let told: Vec<_> = counters.iter().map(|c| (c.counter.as_str(), c.job.as_deref(), c.count)).collect();
    assert_eq!(
        told,
        [
            ("ignored_event", None, 1),
            ("ignored_key", Some("invoices"), 2),
            ("test_event", None, 1),
            ("unrouted", None, 1)
        ]
    );
}

#[test]
fn refusals_are_added_up_by_inbox_and_reason() {
    let mut house = House::new();
    let refused =
        |reason: &str, count| Arrival::Refused { source: "sns".into(), reason: reason.into(), count };
    house.store.journal(&[refused("forged", 2), refused("stale", 0)], at(0)).unwrap();
    let receipt = house.store.journal(&[refused("forged", 3), refused("raw", 1)], at(7)).unwrap();
    assert_eq!((receipt.counted, receipt.recorded), (4, 0));
    let told: Vec<_> = house
        .store
        .refusals()
        .unwrap()
        .into_iter()
        .map(|r| (r.source, r.reason, r.count, r.last_at))
        .collect();
    let told_of = |reason: &str, count| ("sns".to_owned(), reason.to_owned(), count, at(7));
    assert_eq!(told, [told_of("forged", 5), told_of("raw", 1)]);
}

#[test]
fn an_absurd_message_does_not_stop_the_journal() {
    let mut house = House::new();
    let absurd = Notification {
        key: "\0 \u{10ffff}".into(),
        size: Some(u64::MAX),
        event_time: sluicegate_state::Timestamp::MAX_UTC,
        expires_at: Some(sluicegate_state::Timestamp::MIN_UTC),
        ..notification("")
    };
    house.store.journal(&[arrival(&absurd), arrival(&absurd)], at(0)).unwrap();
    let [entry] = house.store.notifications_for_key(&absurd.key).unwrap().try_into().unwrap();
    assert_eq!((entry.notification.key, entry.redeliveries), (absurd.key, 1));
    assert!(house.store.seal(&crate::support::forced(), at(1)).unwrap().is_some());
}
