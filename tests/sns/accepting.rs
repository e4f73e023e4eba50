//! What SNS signed is journaled, once, and then answered.

use sluicegate_state::{Counter, effects};

use crate::http::{get, post, post_with};
use crate::message::{Message, event};
use crate::world::{World, until};

#[test]
fn a_notification_of_either_version_is_journaled_and_answered() {
    let Some(world) = World::new() else { return };
    for version in ["1", "2"] {
        for (name, subject) in [("with", Some("About \u{e9}\n\"this\"")), ("without", None)] {
            let key = format!("in/{version}-{name}.txt");
            let message = Message::landed(&key, world.now()).with("SignatureVersion", version);
            let message = match subject {
                Some(subject) => message.with("Subject", subject),
                None => message.without("Subject"),
            };
            let (status, _) = world.post(&message.signed(world.authority));
            assert_eq!((status, world.journaled(&key)), (200, (1, 0)), "version {version}, {name} subject");
        }
    }
    assert_eq!(world.net.asked().len(), 1, "the certificate is fetched once");
    let [entry] = world.store().notifications_for_key("in/1-with.txt").unwrap().try_into().unwrap();
    assert_eq!((entry.notification.source.as_str(), entry.notification.job.as_str()), ("sns", "invoices"));
}

#[test]
fn the_same_message_again_is_a_redelivery() {
    let Some(world) = World::new() else { return };
    let message = world.landed("a.txt");
    for times in 0..3 {
        assert_eq!(world.post(&message).0, 200);
        assert_eq!(world.journaled("a.txt"), (1, times));
    }
}

/// The content type says text, other senders say JSON, and a field that SNS adds one day is no reason to lose anything.
#[test]
fn what_does_not_matter_does_not_matter() {
    let Some(world) = World::new() else { return };
    let message = world.landed("a.txt").with("MessageAttributes", "later").with("New", "field");
    let pretty = serde_json::to_string_pretty(&message.fields).unwrap();
    let headers = "x-amz-sns-message-type: Notification\r\nx-amz-sns-rawdelivery: false\r\nX-Forwarded-For: 1.2.3.4\r\n";
    assert_eq!(post_with(world.address, headers, pretty.as_bytes()).unwrap().0, 200);
    assert_eq!(world.journaled("a.txt"), (1, 0));
    let escaped: String =
        message.body().chars().map(|c| if c == 't' { "\\u0074".into() } else { c.to_string() }).collect();
    assert_eq!(post(world.address, escaped.as_bytes()).0, 200);
    assert_eq!(world.journaled("a.txt"), (1, 1));
}

#[test]
fn what_announces_no_document_is_taken_too() {
    let Some(world) = World::new() else { return };
    let test = r#"{"Service":"Amazon S3","Event":"s3:TestEvent","Bucket":"landing"}"#;
    for message in [test, "hello", &event("other.pdf")] {
        let message = Message::notification(message, world.now()).signed(world.authority);
        assert_eq!(world.post(&message).0, 200);
    }
    let store = world.store();
    let counted: Vec<_> =
        store.counters().unwrap().into_iter().map(|total| (total.counter, total.count)).collect();
    assert_eq!(counted, [(Counter::TestEvent, 1), (Counter::Unrouted, 1)]);
    let [unreadable] = store.unreadable(10).unwrap().try_into().unwrap();
    assert_eq!((unreadable.body.as_slice(), unreadable.source.as_str()), (&b"hello"[..], "sns"));
}

#[test]
fn many_requests_share_a_commit() {
    let Some(world) = World::new() else { return };
    assert_eq!(world.post(&world.landed("first.txt")).0, 200);
    world.meddler.hold(effects::JOURNAL, false);
    let (before, routed) = (world.meddler.count(effects::JOURNAL), world.routed());
    let messages: Vec<_> = (0..60).map(|number| world.landed(&format!("{number}.txt"))).collect();
    std::thread::scope(|scope| {
        for message in &messages {
            scope.spawn(|| assert_eq!(world.post(message).0, 200));
        }
        until("all wait for the journal", || world.routed() == routed + messages.len());
        world.meddler.release();
    });
    let commits = world.meddler.count(effects::JOURNAL) - before;
    // The one that was held, one for all the others, and one for each of the two threads that may just have been about to
    // put a message into the queue.
    assert!(commits <= 4, "60 requests took {commits} commits");
    assert_eq!(world.store().notification_totals("invoices").unwrap().received, 61);
}

#[test]
fn health_is_asked_for_and_everything_else_is_not_there() {
    let Some(mut world) = World::new() else { return };
    assert_eq!(get(world.address, "/health").0, 200);
    assert_eq!(get(world.address, "/").0, 404);
    assert_eq!(get(world.address, "/sns").0, 405);
    world.stop();
    until("nobody listens", || std::net::TcpStream::connect(world.address).is_err());
    world.assert_untouched();
}
