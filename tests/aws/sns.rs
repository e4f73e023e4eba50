//! Requests to SNS, as far as a test needs them: the product itself never calls it.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::emulator::{Emulator, REGION, fresh_name};

/// A topic's ARN.
pub(crate) fn topic(emulator: &Emulator) -> String {
    call(emulator, &[("Action", "CreateTopic"), ("Name", &fresh_name("topic"))], "TopicArn")
}

/// Lets a queue have what the topic gets.
pub(crate) fn subscribe(emulator: &Emulator, topic: &str, queue_arn: &str, raw: bool) {
    let subscribe = [
        ("Action", "Subscribe"),
        ("TopicArn", topic),
        ("Protocol", "sqs"),
        ("Endpoint", queue_arn),
        ("Attributes.entry.1.key", "RawMessageDelivery"),
        ("Attributes.entry.1.value", if raw { "true" } else { "false" }),
        ("ReturnSubscriptionArn", "true"),
    ];
    call(emulator, &subscribe, "SubscriptionArn");
}

/// Makes a request in the query protocol and gives the text of one element of the answer.
fn call(emulator: &Emulator, fields: &[(&str, &str)], element: &str) -> String {
    use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
    let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let mut body: Vec<String> =
        fields.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
    body.push("Version=2010-03-31".to_owned());
    let body = body.join("&");
    let host = emulator.endpoint.strip_prefix("http://").unwrap().trim_end_matches('/');
    let mut stream = TcpStream::connect(host).unwrap();
    // Stand-ins look at the scope alone, to know which service is meant.
    write!(
        stream,
        "POST / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Type: application/x-www-form-urlencoded\r\n\
         Authorization: AWS4-HMAC-SHA256 Credential=testkey/20240101/{REGION}/sns/aws4_request, SignedHeaders=host, \
         Signature=0\r\nX-Amz-Date: 20240101T000000Z\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (_, rest) = answer.split_once(&format!("<{element}>")).unwrap_or_else(|| panic!("{answer}"));
    rest.split_once('<').unwrap().0.to_owned()
}
