//! The SQS inbox: everything sent is delivered, and what is acknowledged does not come again.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use sluicegate::aws::{Mode, SqsOptions};
use sluicegate::ports::inbox::{Delivery, Inbox};
use sluicegate_state::{Arrival, Counter};

use crate::emulator::{Emulator, on_each};

/// How long a look at an empty queue may take, and the end of whoever looks.
const SOON: Duration = Duration::from_secs(8);

pub(crate) fn options() -> SqsOptions {
    SqsOptions { visibility: Duration::from_secs(2), ..SqsOptions::default() }
}

pub(crate) fn event(key: &str) -> String {
    format!(
        r#"{{"Records":[{{"eventVersion":"2.1","eventTime":"2024-05-06T07:08:09.123Z","eventName":"ObjectCreated:Put",
        "s3":{{"bucket":{{"name":"landing"}},"object":{{"key":"{key}","size":1,"eTag":"0a","sequencer":"00"}}}}}}]}}"#
    )
}

pub(crate) fn keys(deliveries: &[Delivery]) -> BTreeSet<String> {
    let arrivals = deliveries.iter().flat_map(|delivery| &delivery.arrivals);
    arrivals
        .filter_map(|arrival| match arrival {
            Arrival::Notification(notification) => Some(notification.key.clone()),
            _ => None,
        })
        .collect()
}

pub(crate) fn acknowledge(inbox: &mut dyn Inbox, deliveries: &[Delivery]) {
    let receipts: Vec<String> = deliveries.iter().map(|delivery| delivery.receipt.clone()).collect();
    inbox.acknowledge(&receipts).unwrap();
}

/// Polls until all of these keys have come; what comes is acknowledged.
pub(crate) fn take(inbox: &mut dyn Inbox, keys_wanted: &BTreeSet<String>) -> Vec<Delivery> {
    let began = Instant::now();
    let mut taken = Vec::new();
    while !keys_wanted.is_subset(&keys(&taken)) {
        assert!(began.elapsed() < Duration::from_secs(60), "{:?} came", keys(&taken));
        let poll = inbox.poll().unwrap();
        acknowledge(inbox, &poll.deliveries);
        taken.extend(poll.deliveries);
    }
    taken
}

fn send_many(emulator: &Emulator, url: &str, count: usize) -> BTreeSet<String> {
    let keys: BTreeSet<String> = (0..count).map(|number| format!("in/{number}.txt")).collect();
    keys.iter().for_each(|key| emulator.send(url, &event(key)));
    keys
}

#[test]
fn what_is_acknowledged_is_gone() {
    on_each(|emulator| {
        for mode in [Mode::Drain, Mode::Watch] {
            let url = emulator.queue();
            let sent = send_many(emulator, &url, 25);
            let mut inbox = emulator.inbox(&url, mode, SqsOptions::default());
            let taken = take(&mut inbox, &sent);
            assert_eq!(emulator.messages(&url), 0, "{:?} {mode:?}", emulator.kind);
            // An answer was lost and the receipts are sent again: no harm.
            acknowledge(&mut inbox, &taken);
            assert!(inbox.poll().unwrap().deliveries.is_empty());
            emulator.send(&url, &event("in/later.txt"));
            take(&mut inbox, &BTreeSet::from(["in/later.txt".to_owned()]));
        }
    });
}

#[test]
fn what_is_not_acknowledged_comes_again() {
    on_each(|emulator| {
        let url = emulator.queue();
        let sent = send_many(emulator, &url, 12);
        let mut died = emulator.inbox(&url, Mode::Drain, options());
        let mut offered = Vec::new();
        while keys(&offered) != sent {
            offered.extend(died.poll().unwrap().deliveries);
        }
        drop(died);
        std::thread::sleep(Duration::from_millis(2_500));
        let mut inbox = emulator.inbox(&url, Mode::Drain, options());
        take(&mut inbox, &sent);
        // The receipts of the process that died are good no more, or those of messages that are gone: no harm.
        acknowledge(&mut inbox, &offered);
        assert_eq!(emulator.messages(&url), 0);
    });
}

/// The best of some tries counts, for a machine may stand still now and then.
#[test]
fn an_empty_queue_is_said_to_be_empty_soon() {
    on_each(|emulator| {
        let url = emulator.queue();
        for mode in [Mode::Drain, Mode::Watch] {
            let look = || {
                let mut inbox = emulator.inbox(&url, mode, SqsOptions::default());
                let began = Instant::now();
                let poll = inbox.poll().unwrap();
                assert!(poll.deliveries.is_empty() && !poll.more && poll.unsettled == 0);
                assert!(!inbox.is_listing());
                drop(inbox);
                began.elapsed()
            };
            let tries: Vec<_> = (0..5).map(|_| look()).take_while(|took| *took >= SOON).collect();
            assert!(tries.len() < 5, "{mode:?} took {tries:?}");
        }
    });
}

/// Hides what it receives for longer than a test may take, and ends only when all polls under way are answered.
fn patient() -> SqsOptions {
    SqsOptions {
        visibility: Duration::from_secs(600),
        last_answer: Duration::from_secs(60),
        ..SqsOptions::default()
    }
}

#[test]
fn messages_nobody_took_are_given_back_when_a_watch_ends() {
    on_each(|emulator| {
        let url = emulator.queue();
        let long = patient();
        let sent = send_many(emulator, &url, 40);
        let few = SqsOptions { most_messages: 1, ..long };
        let mut watching = emulator.inbox(&url, Mode::Watch, few);
        let first = loop {
            let deliveries = watching.poll().unwrap().deliveries;
            if !deliveries.is_empty() {
                break deliveries;
            }
        };
        acknowledge(&mut watching, &first);
        drop(watching);
        let mut inbox = emulator.inbox(&url, Mode::Drain, long);
        let rest: BTreeSet<String> = sent.difference(&keys(&first)).cloned().collect();
        take(&mut inbox, &rest);
    });
}

#[test]
fn what_a_drain_could_not_journal_is_given_back_at_its_end() {
    on_each(|emulator| {
        let url = emulator.queue();
        let long = patient();
        let sent = send_many(emulator, &url, 25);
        let mut failing = emulator.inbox(&url, Mode::Drain, long);
        let offered = loop {
            let deliveries = failing.poll().unwrap().deliveries;
            if !deliveries.is_empty() {
                break deliveries;
            }
        };
        let (journaled, _) = offered.split_at(1);
        acknowledge(&mut failing, journaled);
        drop(failing);
        let rest: BTreeSet<String> = sent.difference(&keys(journaled)).cloned().collect();
        take(&mut emulator.inbox(&url, Mode::Drain, long), &rest);
        assert_eq!(emulator.messages(&url), 0, "{:?}", emulator.kind);
    });
}

/// As a drain does: until there is nothing, and nothing is hidden.
#[test]
fn a_drain_takes_what_broken_long_polls_have_hidden() {
    on_each(|emulator| {
        let url = emulator.queue();
        let short = SqsOptions { visibility: Duration::from_secs(4), ..SqsOptions::default() };
        let mut watching = emulator.inbox(&url, Mode::Watch, short);
        assert!(watching.poll().unwrap().deliveries.is_empty());
        drop(watching);
        // Somebody may still be served who listens no more.
        let sent = send_many(emulator, &url, 12);
        let mut drain = emulator.inbox(&url, Mode::Drain, short);
        let mut taken = BTreeSet::new();
        loop {
            let poll = drain.poll().unwrap();
            if poll.deliveries.is_empty() && poll.unsettled == 0 {
                break;
            }
            assert_eq!(poll.unsettled > 0, poll.deliveries.is_empty());
            acknowledge(&mut drain, &poll.deliveries);
            taken.extend(keys(&poll.deliveries));
        }
        assert_eq!(taken, sent, "{:?}", emulator.kind);
    });
}

#[test]
fn a_message_of_any_other_shape_is_delivered_too() {
    on_each(|emulator| {
        let url = emulator.queue();
        emulator.send(&url, "no JSON at all");
        emulator.send(&url, r#"{"Service":"Amazon S3","Event":"s3:TestEvent","Bucket":"landing"}"#);
        let mut inbox = emulator.inbox(&url, Mode::Drain, SqsOptions::default());
        let (mut unreadable, mut tests) = (0, 0);
        while unreadable + tests < 2 {
            let deliveries = inbox.poll().unwrap().deliveries;
            for arrival in deliveries.iter().flat_map(|delivery| &delivery.arrivals) {
                match arrival {
                    Arrival::Unreadable { body, .. } if body == b"no JSON at all" => unreadable += 1,
                    Arrival::Counted(Counter::TestEvent, None) => tests += 1,
                    other => panic!("{other:?}"),
                }
            }
            acknowledge(&mut inbox, &deliveries);
        }
        assert_eq!((unreadable, tests, emulator.messages(&url)), (1, 1, 0));
    });
}

#[test]
fn a_queue_that_is_not_there_is_a_passing_trouble() {
    on_each(|emulator| {
        let url = emulator.queue();
        let missing = format!("{url}-missing");
        let mut inbox = emulator.inbox(&missing, Mode::Drain, SqsOptions::default());
        let failure = inbox.poll().unwrap_err();
        assert_eq!(failure.kind, sluicegate::failure::FailureKind::Transient);
        assert!(failure.message.contains("create the queue"), "{failure}");
    });
}
