//! Goal: a broken connection or a lost answer costs time, never a byte, an object or a second object.

use std::io::Read;
use std::time::{Duration, Instant};

use sluicegate::aws::{Mode, S3Options, S3Store, SqsOptions};
use sluicegate::failure::FailureKind;
use sluicegate::ports::inbox::Inbox;
use sluicegate::ports::object_store::{Announced, Got, ObjectStore, PutAnswer, was_overwritten};

use crate::emulator::{SECRET, clients, inbox};
use crate::fake::{FakeServer, Reply, Request};
use crate::store::{noise, put};

const ETAG: &str = "0123abcd";

pub(crate) fn about(bytes: &[u8]) -> Vec<(String, String)> {
    vec![
        ("ETag".to_owned(), format!("\"{ETAG}\"")),
        ("Last-Modified".to_owned(), "Mon, 06 May 2024 07:08:09 GMT".to_owned()),
        ("Content-Length".to_owned(), bytes.len().to_string()),
    ]
}

/// The answer to a GET, whole or from where its Range begins.
fn serve(request: &Request, object: &[u8]) -> (u16, Vec<(String, String)>, Vec<u8>) {
    match request.header("Range").strip_prefix("bytes=").and_then(|range| range.strip_suffix('-')) {
        None => (200, about(object), object.to_vec()),
        Some(from) => {
            let from: usize = from.parse().unwrap();
            let mut headers = about(&object[from..]);
            headers.push((
                "Content-Range".to_owned(),
                format!("bytes {from}-{}/{}", object.len() - 1, object.len()),
            ));
            (206, headers, object[from..].to_vec())
        }
    }
}

fn store(server: &FakeServer) -> S3Store {
    S3Store::under(clients(&server.endpoint), "curated", "")
}

fn read_announced(server: &FakeServer) -> std::io::Result<Vec<u8>> {
    let store = S3Store::landing(clients(&server.endpoint), "landing");
    let announced = Announced { key: "in/a.txt", version_id: None, etag: ETAG };
    let Got::Object(mut fetched) = store.get_announced(&announced).unwrap() else { panic!("refused") };
    let mut bytes = Vec::new();
    fetched.body.read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[test]
fn a_body_that_breaks_off_is_read_on_from_there() {
    let object = noise(3_000_000);
    let served = object.clone();
    let mut gets = 0;
    let server = FakeServer::start(move |request| {
        if request.target.contains("lifecycle") {
            return Reply::error(404, "NoSuchLifecycleConfiguration");
        }
        assert_eq!(request.header("If-Match"), format!("\"{ETAG}\""));
        gets += 1;
        let (status, headers, body) = serve(request, &served);
        let half = body.len() / 2;
        match gets {
            1 | 2 => Reply::Cut(status, headers, body, half),
            3 => Reply::error(503, "SlowDown"),
            _ => Reply::Full(status, headers, body),
        }
    });
    assert!(read_announced(&server).unwrap() == object);
    assert_eq!(server.seen().iter().filter(|request| request.contains("/in/a.txt")).count(), 4);
}

#[test]
fn an_answer_in_chunks_that_says_no_length_is_read_to_its_end() {
    let server = FakeServer::start(|request| {
        if request.target.contains("lifecycle") {
            return Reply::error(404, "NoSuchLifecycleConfiguration");
        }
        assert_eq!(request.header("If-Match"), format!("\"{ETAG}\""));
        let mut headers = about(b"seven b");
        headers.retain(|(name, _)| name != "Content-Length");
        if request.header("Range") == "bytes=0-0" {
            headers.push(("Content-Range".to_owned(), "bytes 0-0/7".to_owned()));
            return Reply::Full(206, headers, b"s".to_vec());
        }
        headers.push(("Transfer-Encoding".to_owned(), "chunked".to_owned()));
        Reply::Full(200, headers, b"3\r\nsev\r\n4\r\nen b\r\n0\r\n\r\n".to_vec())
    });
    assert_eq!(read_announced(&server).unwrap(), b"seven b");
}

#[test]
fn an_object_that_is_overwritten_while_it_is_read_is_noticed() {
    let object = noise(1_000_000);
    let mut gets = 0;
    let server = FakeServer::start(move |request| {
        if request.target.contains("lifecycle") {
            return Reply::error(403, "AccessDenied");
        }
        gets += 1;
        let (status, headers, body) = serve(request, &object);
        if gets == 1 {
            Reply::Cut(status, headers, body, 10_000)
        } else {
            Reply::error(412, "PreconditionFailed")
        }
    });
    assert!(was_overwritten(&read_announced(&server).unwrap_err()));
}

#[test]
fn a_body_that_always_breaks_off_is_given_up() {
    let object = noise(1_000_000);
    let server = FakeServer::start(move |request| {
        if request.target.contains("lifecycle") {
            return Reply::error(404, "NoSuchLifecycleConfiguration");
        }
        let (status, headers, body) = serve(request, &object);
        Reply::Cut(status, headers, body, 10)
    });
    let error = read_announced(&server).unwrap_err();
    assert!(!was_overwritten(&error), "{error}");
    assert!(server.seen().len() < 10);
}

#[test]
fn throttling_is_waited_out() {
    let mut gets = 0;
    let server = FakeServer::start(move |request| {
        gets += 1;
        if gets < 3 {
            return Reply::error(503, "SlowDown");
        }
        let (status, headers, body) = serve(request, b"bytes");
        Reply::Full(status, headers, body)
    });
    let (_, bytes) = crate::store::read(store(&server).get("a").unwrap().unwrap());
    assert_eq!(bytes, b"bytes");
}

/// What HEAD tells of the object of a PUT that the server has seen.
fn head_of(put: &Request) -> Reply {
    let mut headers = about(&put.body);
    headers.push((
        "x-amz-meta-sluicegate-sha256".to_owned(),
        put.header("x-amz-meta-sluicegate-sha256").to_owned(),
    ));
    Reply::Full(200, headers, put.body.clone())
}

#[test]
fn a_put_whose_answer_was_lost_is_found_to_be_ours() {
    let mut written: Option<Request> = None;
    let server = FakeServer::start(move |request| match (request.method.as_str(), &written) {
        ("PUT", None) => {
            assert_eq!(request.header("If-None-Match"), "*");
            assert!(!request.header("x-amz-checksum-sha256").is_empty());
            written = Some(request.clone());
            Reply::Nothing
        }
        ("PUT", Some(_)) => Reply::error(412, "PreconditionFailed"),
        (_, Some(put)) => head_of(put),
        (_, None) => Reply::status(404),
    });
    assert_eq!(put(&store(&server), "a", &noise(1 << 20)), Ok(PutAnswer::Written));
    assert_eq!(server.seen().len(), 2, "{:?}", server.seen());
}

#[test]
fn a_412_after_a_lost_answer_is_resolved() {
    // The first look fails too, so that only the second PUT learns that something is there.
    for ours in [true, false] {
        let mut written: Option<Request> = None;
        let mut puts = 0;
        let server = FakeServer::start(move |request| match request.method.as_str() {
            "PUT" => {
                puts += 1;
                written.get_or_insert_with(|| request.clone());
                if puts == 1 { Reply::Nothing } else { Reply::error(412, "PreconditionFailed") }
            }
            _ if puts == 1 => Reply::status(403),
            _ if ours => head_of(written.as_ref().unwrap()),
            _ => Reply::Full(200, about(b"x"), b"x".to_vec()),
        });
        let answer = if ours { PutAnswer::Written } else { PutAnswer::Exists };
        assert_eq!(put(&store(&server), "a", b"bytes"), Ok(answer));
    }
}

#[test]
fn an_object_that_was_there_before_is_not_ours_even_with_our_bytes() {
    let server = FakeServer::start(|_| Reply::error(412, "PreconditionFailed"));
    assert_eq!(put(&store(&server), "a", b"bytes"), Ok(PutAnswer::Exists));
    assert_eq!(server.seen().len(), 1);
}

#[test]
fn a_conflict_and_a_server_error_are_tried_again() {
    for (status, code) in [(409, "ConditionalRequestConflict"), (503, "SlowDown"), (500, "InternalError")] {
        let mut puts = 0;
        let server = FakeServer::start(move |request| {
            if request.method == "HEAD" {
                return Reply::status(404);
            }
            puts += 1;
            if puts < 3 { Reply::error(status, code) } else { Reply::status(200) }
        });
        assert_eq!(put(&store(&server), "a", b"bytes"), Ok(PutAnswer::Written), "{code}");
    }
}

#[test]
fn a_put_that_is_forbidden_is_told_at_once_without_a_secret() {
    let server = FakeServer::start(|_| Reply::error(403, "AccessDenied"));
    let failure = put(&store(&server), "a", b"bytes").unwrap_err();
    assert_eq!(failure.kind, FailureKind::Transient);
    assert!(failure.message.contains("AccessDenied (403)") && !failure.message.contains(SECRET), "{failure}");
    assert_eq!(server.seen().len(), 1);
    let never = FakeServer::start(|_| Reply::error(400, "KeyTooLongError"));
    assert_eq!(put(&store(&never), "a", b"bytes").unwrap_err().kind, FailureKind::Permanent);
}

fn upload_begun() -> Reply {
    let body = "<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>";
    Reply::Full(200, Vec::new(), body.into())
}

fn completed() -> Reply {
    let body = "<CompleteMultipartUploadResult><ETag>\"0a-2\"</ETag></CompleteMultipartUploadResult>";
    Reply::Full(200, Vec::new(), body.into())
}

/// An object in two parts, against a server that answers CompleteMultipartUpload and HEAD as told.
fn put_in_parts(
    mut complete: impl FnMut(u32) -> Reply + Send + 'static,
    head: impl Fn(&Request) -> Reply + Send + 'static,
) -> (sluicegate::failure::Outcome<PutAnswer>, Vec<String>) {
    let mut begun = Request::default();
    let mut completions = 0;
    let server = FakeServer::start(move |request| match request.method.as_str() {
        "POST" if request.target.contains("uploadId") => {
            assert_eq!(request.header("If-None-Match"), "*");
            completions += 1;
            complete(completions)
        }
        "POST" => {
            begun = request.clone();
            upload_begun()
        }
        "PUT" => Reply::Full(200, vec![("ETag".to_owned(), "\"part\"".to_owned())], Vec::new()),
        "DELETE" => Reply::status(204),
        _ => head(&begun),
    });
    let options = S3Options { multipart_above: 1 << 20, part_bytes: 5 << 20, ..S3Options::default() };
    let answer = put(&store(&server).with_options(options), "a", &noise(6 << 20));
    (answer, server.seen())
}

/// HEAD of the whole object that the upload was begun for.
fn whole(begun: &Request) -> Reply {
    let sha256 = begun.header("x-amz-meta-sluicegate-sha256").to_owned();
    let mut headers = about(b"");
    headers.retain(|(name, _)| *name != "Content-Length");
    headers.push(("Content-Length".to_owned(), (6 << 20).to_string()));
    headers.push(("x-amz-meta-sluicegate-sha256".to_owned(), sha256));
    Reply::Full(200, headers, Vec::new())
}

fn count(seen: &[String], what: &str) -> usize {
    seen.iter().filter(|request| request.contains(what)).count()
}

#[test]
fn a_completion_whose_answer_was_lost_is_found_to_be_ours() {
    let (answer, seen) = put_in_parts(|_| Reply::Nothing, whole);
    assert_eq!(answer, Ok(PutAnswer::Written));
    assert_eq!(count(&seen, "DELETE"), 0, "{seen:?}");
    // Answered with 200 and an error inside.
    let inside = |_| Reply::error(200, "InternalError");
    assert_eq!(put_in_parts(inside, whole).0, Ok(PutAnswer::Written));
}

#[test]
fn a_completion_that_was_lost_on_its_way_is_sent_again() {
    let complete = |attempt| if attempt == 1 { Reply::Nothing } else { completed() };
    let (answer, seen) = put_in_parts(complete, |_| Reply::status(404));
    assert_eq!(answer, Ok(PutAnswer::Written));
    assert_eq!(count(&seen, "POST /curated/a?uploads"), 1, "{seen:?}");
}

#[test]
fn a_conflict_at_the_completion_begins_the_upload_anew() {
    let complete =
        |attempt| if attempt == 1 { Reply::error(409, "ConditionalRequestConflict") } else { completed() };
    let (answer, seen) = put_in_parts(complete, |_| Reply::status(404));
    assert_eq!(answer, Ok(PutAnswer::Written));
    assert_eq!((count(&seen, "POST /curated/a?uploads"), count(&seen, "DELETE")), (2, 1), "{seen:?}");
}

#[test]
fn an_object_that_is_there_at_the_completion_stays() {
    let (answer, seen) = put_in_parts(|_| Reply::error(412, "PreconditionFailed"), |_| Reply::status(404));
    assert_eq!(answer, Ok(PutAnswer::Exists));
    assert_eq!(count(&seen, "DELETE"), 1, "{seen:?}");
}

pub(crate) fn sqs_json(body: &str) -> Reply {
    let headers = vec![("Content-Type".to_owned(), "application/x-amz-json-1.0".to_owned())];
    Reply::Full(200, headers, body.as_bytes().to_vec())
}

pub(crate) const QUEUE: &str = "http://127.0.0.1/000000000000/q";

#[test]
fn a_deletion_that_failed_for_some_is_tried_again_for_those() {
    let mut requests = 0;
    let server = FakeServer::start(move |request| {
        assert!(request.header("X-Amz-Target").ends_with("DeleteMessageBatch"));
        requests += 1;
        let body = String::from_utf8_lossy(&request.body).into_owned();
        match requests {
            1 => sqs_json(
                r#"{"Successful":[{"Id":"0"}],"Failed":[
                {"Id":"1","SenderFault":false,"Code":"InternalError","Message":"later"},
                {"Id":"2","SenderFault":true,"Code":"ReceiptHandleIsInvalid","Message":"expired"}]}"#,
            ),
            _ => {
                assert!(
                    body.contains("\"b\"") && !body.contains("\"a\"") && !body.contains("\"c\""),
                    "{body}"
                );
                sqs_json(r#"{"Successful":[{"Id":"0"}],"Failed":[]}"#)
            }
        }
    });
    let mut inbox = inbox(&clients(&server.endpoint), QUEUE, Mode::Drain, SqsOptions::default());
    inbox.acknowledge(&["a", "b", "c"].map(str::to_owned)).unwrap();
    assert_eq!(server.seen().len(), 2);
}

#[test]
fn a_queue_that_refuses_is_not_stormed() {
    let refusal = r#"{"__type":"com.amazonaws.sqs#AccessDeniedException","message":"no"}"#;
    let server = FakeServer::start(move |_| {
        let headers = vec![("Content-Type".to_owned(), "application/x-amz-json-1.0".to_owned())];
        Reply::Full(403, headers, refusal.as_bytes().to_vec())
    });
    let options = SqsOptions::default();
    let mut inbox = inbox(&clients(&server.endpoint), QUEUE, Mode::Watch, options);
    let began = Instant::now();
    let mut failures = 0;
    while failures == 0 || began.elapsed() < Duration::from_secs(3) {
        match inbox.poll() {
            Err(failure) => {
                assert_eq!(failure.kind, FailureKind::Transient);
                assert!(failure.message.contains("AccessDenied"), "{failure}");
                failures += 1;
            }
            Ok(poll) => assert!(poll.deliveries.is_empty()),
        }
        assert!(failures > 0 || began.elapsed() < Duration::from_secs(60), "a refusal is told");
    }
    let requests = server.seen().len();
    // A receiver's pause is half a second at least, and from then on twice the last one, up to a quarter of a minute.
    let longest = Duration::from_secs(15);
    let pauses = (0..5).map(|number| Duration::from_millis(500) * (1 << number));
    let pauses = pauses.chain(std::iter::repeat(longest));
    let mut left = began.elapsed();
    let tries = pauses.take_while(|pause| left.checked_sub(*pause).map(|rest| left = rest).is_some()).count();
    let most = options.receivers * (1 + tries);
    assert!(requests <= most, "{requests} requests in {:?}", began.elapsed());
}

/// Only an answer that comes at once is one for which a queue has not waited. A machine that stands still makes others look
/// slow, so the best of some tries counts: a storm is one in each.
#[test]
fn a_queue_that_does_not_wait_is_not_stormed() {
    let requests = || {
        let server = FakeServer::start(|_| sqs_json("{}"));
        let options = SqsOptions::default();
        let mut inbox = inbox(&clients(&server.endpoint), QUEUE, Mode::Watch, options);
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(2) {
            assert!(inbox.poll().unwrap().deliveries.is_empty());
        }
        let requests = server.seen().len();
        // A receiver's pause is half a second at least.
        let most = options.receivers * (1 + (began.elapsed().as_millis() / 500) as usize);
        (requests > most).then(|| format!("{requests} requests in {:?}", began.elapsed()))
    };
    let tries: Vec<String> = (0..5).map_while(|_| requests()).collect();
    assert!(tries.len() < 5, "{tries:?}");
}

pub(crate) fn operation(request: &Request) -> String {
    request.header("X-Amz-Target").trim_start_matches("AmazonSQS.").to_owned()
}

#[test]
fn hidden_messages_are_waited_for_as_long_as_they_can_be_hidden() {
    let server = FakeServer::start_concurrent(|request| match operation(request).as_str() {
        "ReceiveMessage" => {
            // As a queue does that waits a little for messages.
            std::thread::sleep(Duration::from_millis(50));
            sqs_json("{}")
        }
        _ => sqs_json(r#"{"Attributes":{"ApproximateNumberOfMessagesNotVisible":"3"}}"#),
    });
    let second = Duration::from_secs(1);
    let options = SqsOptions { visibility: second, long_poll: second, ..SqsOptions::default() };
    let mut drain = inbox(&clients(&server.endpoint), QUEUE, Mode::Drain, options);
    let began = Instant::now();
    assert_eq!(drain.poll().unwrap().unsettled, 3);
    assert!(drain.unsettled_words(3).contains("3 message(s)"));
    while drain.poll().unwrap().unsettled > 0 {
        assert!(began.elapsed() < Duration::from_secs(30), "somebody else has them");
    }
    assert!(began.elapsed() >= Duration::from_secs(1), "{:?}", began.elapsed());
}

#[test]
fn what_shows_again_while_it_is_counted_is_looked_for_once_more() {
    let server = FakeServer::start_concurrent(|request| match operation(request).as_str() {
        "ReceiveMessage" => sqs_json("{}"),
        _ => sqs_json(
            r#"{"Attributes":{"ApproximateNumberOfMessages":"2","ApproximateNumberOfMessagesNotVisible":"0"}}"#,
        ),
    });
    let mut drain = inbox(&clients(&server.endpoint), QUEUE, Mode::Drain, SqsOptions::default());
    assert_eq!(drain.poll().unwrap().unsettled, 1);
    // The count may lag behind what others have deleted: it keeps no drain waiting.
    assert_eq!(drain.poll().unwrap().unsettled, 0);
}

#[test]
fn who_may_not_count_messages_waits_for_none() {
    let server = FakeServer::start_concurrent(|request| match operation(request).as_str() {
        "ReceiveMessage" => sqs_json("{}"),
        _ => {
            let headers = vec![("Content-Type".to_owned(), "application/x-amz-json-1.0".to_owned())];
            let body = r#"{"__type":"com.amazonaws.sqs#AccessDeniedException","message":"no"}"#;
            Reply::Full(403, headers, body.as_bytes().to_vec())
        }
    });
    let mut drain = inbox(&clients(&server.endpoint), QUEUE, Mode::Drain, SqsOptions::default());
    assert_eq!(drain.poll().unwrap().unsettled, 0);
}
