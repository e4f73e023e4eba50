//! What an SQS inbox does at its end with messages that it has and nobody journals.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use sluicegate::aws::{Mode, SqsOptions};
use sluicegate::ports::inbox::Inbox;

use crate::emulator::{clients, inbox};
use crate::fake::{FakeServer, Reply};
use crate::lost_answers::{QUEUE, operation, sqs_json};

/// Waits for all answers that are under way, however slow the machine is.
fn patient() -> SqsOptions {
    SqsOptions { last_answer: Duration::from_secs(60), ..SqsOptions::default() }
}

fn given_back() -> Reply {
    sqs_json(r#"{"Successful":[{"Id":"0"}],"Failed":[]}"#)
}

#[test]
fn a_long_poll_that_ends_after_the_stop_loses_nothing() {
    let asked = Arc::new(AtomicBool::new(false));
    let stopping = Arc::new(AtomicBool::new(false));
    let bodies = Arc::new(Mutex::new(String::new()));
    let (noted, stopped, body) = (asked.clone(), stopping.clone(), bodies.clone());
    let server = FakeServer::start_concurrent(move |request| match operation(request).as_str() {
        "ReceiveMessage" => {
            noted.store(true, Ordering::SeqCst);
            while !stopped.load(Ordering::SeqCst) {
                std::thread::yield_now();
            }
            // The inbox is being told now that it shall stop.
            std::thread::sleep(Duration::from_millis(300));
            sqs_json(r#"{"Messages":[{"MessageId":"1","ReceiptHandle":"the receipt","Body":"{}"}]}"#)
        }
        "ChangeMessageVisibilityBatch" => {
            body.lock().unwrap().push_str(&String::from_utf8_lossy(&request.body));
            given_back()
        }
        other => panic!("{other}"),
    });
    let options = SqsOptions { receivers: 1, ..patient() };
    let mut inbox = inbox(&clients(&server.endpoint), QUEUE, Mode::Watch, options);
    while !asked.load(Ordering::SeqCst) {
        assert!(inbox.poll().unwrap().deliveries.is_empty());
    }
    stopping.store(true, Ordering::SeqCst);
    drop(inbox);
    let given_back = bodies.lock().unwrap();
    assert!(
        given_back.contains("the receipt") && given_back.contains("\"VisibilityTimeout\":0"),
        "{given_back}"
    );
}

/// One after the other they would take as long as all of them together, and what is given back last be hidden by polls that
/// nobody listens to any more.
#[test]
fn many_messages_are_given_back_side_by_side() {
    const MESSAGES: usize = 40;
    let next = AtomicUsize::new(0);
    let underway = Arc::new((Mutex::new((0, 0)), Condvar::new()));
    let back = Arc::new(Mutex::new(BTreeSet::new()));
    let (seen, given) = (underway.clone(), back.clone());
    let server = FakeServer::start_concurrent(move |request| match operation(request).as_str() {
        "ReceiveMessage" => {
            let first = next.fetch_add(10, Ordering::SeqCst);
            let messages: Vec<_> = (first..(first + 10).min(MESSAGES))
                .map(|n| format!(r#"{{"MessageId":"{n}","ReceiptHandle":"receipt {n}!","Body":"{{}}"}}"#))
                .collect();
            sqs_json(&format!(r#"{{"Messages":[{}]}}"#, messages.join(",")))
        }
        "ChangeMessageVisibilityBatch" => {
            let (lock, changed) = &*seen;
            let mut counts = lock.lock().unwrap();
            counts.0 += 1;
            counts.1 = counts.1.max(counts.0);
            changed.notify_all();
            // A second one comes while this one waits, or never.
            let waited = changed.wait_timeout_while(counts, Duration::from_secs(10), |counts| counts.1 < 2);
            waited.unwrap().0.0 -= 1;
            let body = String::from_utf8_lossy(&request.body).into_owned();
            let receipts = (0..MESSAGES).filter(|n| body.contains(&format!("receipt {n}!")));
            given.lock().unwrap().extend(receipts);
            given_back()
        }
        other => panic!("{other}"),
    });
    let mut inbox = inbox(&clients(&server.endpoint), QUEUE, Mode::Drain, patient());
    // What earlier polls brought is nobody's to give back: one poll has to bring all.
    assert_eq!(inbox.poll().unwrap().deliveries.len(), MESSAGES);
    drop(inbox);
    assert_eq!(back.lock().unwrap().len(), MESSAGES);
    assert!(underway.0.lock().unwrap().1 > 1, "they were given back one after the other");
}
