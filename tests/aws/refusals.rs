//! Goal: what S3 says about one object is a verdict about it; everything else says nothing about any document.

use sluicegate::aws::S3Store;
use sluicegate::ports::object_store::{Announced, Got, ObjectStore, Refusal};

use crate::emulator::clients;
use crate::fake::{FakeServer, Reply};

/// The verdict, or the message of the trouble.
fn ask(reply: Reply, version_id: Option<&str>) -> Result<Refusal, String> {
    let server = FakeServer::start(move |_| reply.clone());
    let store = S3Store::landing(clients(&server.endpoint), "landing");
    let announced = Announced { key: "in/a.txt", version_id, etag: "0a" };
    match store.get_announced(&announced) {
        Ok(Got::Refused(refusal)) => Ok(refusal),
        Ok(Got::Object(_)) => panic!("an object"),
        Err(failure) => Err(failure.message),
    }
}

#[test]
fn answers_about_the_object_are_verdicts() {
    let mark = |status, code: &str| match Reply::error(status, code) {
        Reply::Full(status, mut headers, body) => {
            headers.push(("x-amz-delete-marker".to_owned(), "true".to_owned()));
            Reply::Full(status, headers, body)
        }
        other => other,
    };
    assert_eq!(ask(Reply::error(404, "NoSuchKey"), None), Ok(Refusal::NotFound));
    assert_eq!(ask(mark(404, "NoSuchKey"), None), Ok(Refusal::NotFound));
    assert_eq!(ask(Reply::error(404, "NoSuchVersion"), Some("v")), Ok(Refusal::NotFound));
    assert_eq!(ask(mark(405, "MethodNotAllowed"), Some("v")), Ok(Refusal::DeleteMarker));
    assert_eq!(ask(Reply::error(405, "MethodNotAllowed"), Some("v")), Ok(Refusal::DeleteMarker));
    assert_eq!(ask(Reply::error(412, "PreconditionFailed"), None), Ok(Refusal::Overwritten));
    for code in ["AccessDenied", "InvalidObjectState"] {
        let refusal = ask(Reply::error(403, code), None).unwrap();
        assert!(matches!(&refusal, Refusal::Forbidden(why) if why.starts_with(code)), "{refusal:?}");
    }
    for code in ["InvalidArgument", "InvalidRequest", "KMS.DisabledException"] {
        let refusal = ask(Reply::error(400, code), None).unwrap();
        assert!(matches!(&refusal, Refusal::BadRequest(why) if why.starts_with(code)), "{refusal:?}");
    }
}

#[test]
fn answers_about_the_store_are_troubles() {
    for (status, code) in [
        (404, "NoSuchBucket"),
        (403, "InvalidAccessKeyId"),
        (403, "SignatureDoesNotMatch"),
        (403, "RequestTimeTooSkewed"),
        (400, "ExpiredToken"),
        (400, "InvalidToken"),
        (400, "AuthorizationHeaderMalformed"),
        (301, "PermanentRedirect"),
        (500, "InternalError"),
        (503, "SlowDown"),
    ] {
        let message = ask(Reply::error(status, code), None).unwrap_err();
        assert!(message.contains(code) && message.contains("s3://landing/in/a.txt"), "{message}");
    }
    // Some gateway on the way answers, and not S3.
    for status in [403, 404, 502] {
        ask(Reply::Full(status, Vec::new(), b"<html>sorry</html>".to_vec()), None).unwrap_err();
    }
    ask(Reply::Nothing, None).unwrap_err();
}

#[test]
fn a_head_that_finds_nothing_asks_whether_the_bucket_is_there() {
    let server = FakeServer::start(|_| Reply::status(404));
    let store = S3Store::landing(clients(&server.endpoint), "landing");
    let message = store.head("in/a.txt").unwrap_err().message;
    assert!(message.contains("the bucket landing is not there"), "{message}");
    let server =
        FakeServer::start(|request| Reply::status(if request.target.contains("a.txt") { 404 } else { 403 }));
    let store = S3Store::landing(clients(&server.endpoint), "landing");
    assert!(store.head("in/a.txt").unwrap().is_none());
}
