//! Goal: where a service says nothing more, or no to everything, little is asked of it in vain; and a slow line is given the
//! time that its bytes take. What is asked is counted, not timed.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use sluicegate::aws::{Mode, Pace, S3Options, S3Store, SqsOptions};
use sluicegate::failure::FailureKind;
use sluicegate::ports::inbox::Inbox;
use sluicegate::ports::object_store::PutAnswer;

use crate::emulator::{clients, inbox};
use crate::fake::{FakeServer, Reply, Request};
use crate::lost_answers::{QUEUE, sqs_json};
use crate::store::{noise, put};

/// Requests to delete that are under way at a time.
const AT_A_TIME: usize = 8;

fn denied() -> Reply {
    let headers = vec![("Content-Type".to_owned(), "application/x-amz-json-1.0".to_owned())];
    let body = r#"{"__type":"com.amazonaws.sqs#AccessDeniedException","message":"no"}"#;
    Reply::Full(403, headers, body.as_bytes().to_vec())
}

fn receipts(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("receipt-{number}")).collect()
}

#[test]
fn deletions_stop_where_a_whole_request_fails() {
    let asked = AtomicUsize::new(0);
    let server = FakeServer::start_concurrent(move |_| {
        if asked.fetch_add(1, Ordering::SeqCst) < 20 { sqs_json(r#"{"Successful":[]}"#) } else { denied() }
    });
    let mut inbox = inbox(&clients(&server.endpoint), QUEUE, Mode::Drain, SqsOptions::default());
    let failure = inbox.acknowledge(&receipts(1_000)).unwrap_err();
    assert!(failure.message.contains("AccessDenied"), "{failure}");
    let asked = server.seen().len();
    assert!((21..=20 + AT_A_TIME).contains(&asked), "{asked} requests of 100");
}

#[test]
fn a_queue_that_refuses_old_receipts_is_asked_for_all_others() {
    let server = FakeServer::start_concurrent(|request: &Request| {
        let headers = vec![("Content-Type".to_owned(), "application/x-amz-json-1.0".to_owned())];
        let body = r#"{"__type":"com.amazonaws.sqs#ReceiptHandleIsInvalid","message":"old"}"#;
        match String::from_utf8_lossy(&request.body).contains("receipt-15\"") {
            true => Reply::Full(400, headers, body.as_bytes().to_vec()),
            false => sqs_json(r#"{"Successful":[]}"#),
        }
    });
    let mut inbox = inbox(&clients(&server.endpoint), QUEUE, Mode::Drain, SqsOptions::default());
    inbox.acknowledge(&receipts(300)).unwrap();
    assert_eq!(server.seen().len(), 30);
}

#[test]
fn a_silent_queue_ends_an_acknowledgement_in_its_time() {
    let server = FakeServer::start_concurrent(|_| Reply::Silence);
    let options = SqsOptions { acknowledgement: Duration::from_millis(300), ..SqsOptions::default() };
    let mut inbox = inbox(&clients(&server.endpoint), QUEUE, Mode::Drain, options);
    let failure = inbox.acknowledge(&receipts(1_000)).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Transient);
    assert!(failure.message.contains("will come again"), "{failure}");
    assert!(server.seen().len() <= AT_A_TIME, "{:?}", server.seen());
}

fn store(server: &FakeServer, options: S3Options) -> S3Store {
    S3Store::under(clients(&server.endpoint), "curated", "").with_options(options)
}

#[test]
fn an_object_is_not_written_again_and_again_where_nobody_answers() {
    let server = FakeServer::start_concurrent(|request| match request.method.as_str() {
        "PUT" => Reply::Silence,
        _ => Reply::status(404),
    });
    let least_time = Duration::from_millis(300);
    let pace = Pace { least_time, ..Pace::default() };
    let failure = put(&store(&server, S3Options { pace, ..S3Options::default() }), "a", b"x").unwrap_err();
    assert_eq!(failure.kind, FailureKind::Transient);
    let puts = server.seen().iter().filter(|request| request.starts_with("PUT")).count();
    assert!((1..=2).contains(&puts), "{puts} tries, and each of them took all its time");
}

/// Takes the parts of one upload no faster than so many bytes in a tenth of a second; everything else at once.
fn slow_line(bytes: usize) -> FakeServer {
    FakeServer::start_slow(bytes, |request| match request.method.as_str() {
        "POST" if request.target.contains("uploadId") => {
            let body = "<CompleteMultipartUploadResult><ETag>\"e\"</ETag></CompleteMultipartUploadResult>";
            Reply::Full(200, Vec::new(), body.as_bytes().to_vec())
        }
        "POST" => {
            let body =
                "<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>";
            Reply::Full(200, Vec::new(), body.as_bytes().to_vec())
        }
        "PUT" => Reply::Full(200, vec![("ETag".to_owned(), "\"part\"".to_owned())], Vec::new()),
        "DELETE" => Reply::status(204),
        _ => Reply::status(404),
    })
}

#[test]
fn parts_are_given_the_time_of_their_pace() {
    let parts = |least_time| {
        let server = slow_line(256 << 10);
        let pace = Pace { least_time, bytes_per_second: 100 << 20 };
        let options = S3Options { multipart_above: 1 << 20, part_bytes: 2 << 20, pace };
        (put(&store(&server, options), "a", &noise(4 << 20)), server.seen())
    };
    let (answer, seen) = parts(Duration::from_secs(60));
    assert_eq!(answer, Ok(PutAnswer::Written), "{seen:?}");
    let began = Instant::now();
    let (answer, _) = parts(Duration::from_millis(50));
    assert_eq!(answer.unwrap_err().kind, FailureKind::Transient);
    assert!(began.elapsed() < Duration::from_secs(20), "the general limit is not the parts'");
}

#[test]
fn a_part_may_take_longer_than_any_other_request() {
    if std::env::var("SLUICEGATE_FULL").is_ok_and(|value| value == "1") {
        // 32 seconds each: more than a request without many bytes has, and than a body may stand still.
        let server = slow_line(16 << 10);
        let options = S3Options { multipart_above: 1 << 20, part_bytes: 5 << 20, ..S3Options::default() };
        let answer = put(&store(&server, options), "a", &noise(10 << 20));
        let seen = server.seen();
        assert_eq!(answer, Ok(PutAnswer::Written), "{seen:?}");
        assert_eq!(seen.iter().filter(|request| request.starts_with("PUT")).count(), 2, "{seen:?}");
    } else {
        eprintln!(
            "skipped: half a minute on a slow line; to run it: SLUICEGATE_FULL=1 cargo test --test aws longer_than"
        );
    }
}
