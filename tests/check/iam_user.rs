//! Users whose policies a stand-in for AWS enforces. IAM has no client in the product, so the few requests are made by hand.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Once;

use aws_config::{BehaviorVersion, Region};
use aws_sdk_s3::config::Credentials;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use sluicegate::aws::AwsClients;

use crate::emulator::{REGION, fresh_name};

const VARIABLE: &str = "SLUICEGATE_TEST_IAM";
/// The account's owner there, who may do everything and whose signature is not looked at.
const OWNER: &str = "test";

/// The address of the stand-in, if it runs.
pub(crate) fn endpoint() -> Option<String> {
    let endpoint = std::env::var(VARIABLE).ok().filter(|endpoint| !endpoint.is_empty());
    if endpoint.is_none() {
        static SAID: Once = Once::new();
        // Written past the test harness, which hides what passing tests print.
        SAID.call_once(|| {
            let _ = writeln!(
                std::io::stderr(),
                "skipped: permissions taken away one by one; to run it: \
                 eval \"$(scripts/emulators start iam)\" && cargo test --test check"
            );
        });
    }
    endpoint
}

/// Clients of the owner.
pub(crate) fn owner(endpoint: &str) -> AwsClients {
    let credentials = Credentials::new(OWNER, OWNER, None, None, "tests");
    let loader = aws_config::defaults(BehaviorVersion::v2026_01_12())
        .region(Region::new(REGION))
        .endpoint_url(endpoint)
        .credentials_provider(credentials);
    AwsClients::from_loader(loader).unwrap()
}

/// A user with a policy.
pub(crate) struct User {
    pub(crate) key: String,
    pub(crate) secret: String,
}

impl User {
    pub(crate) fn with(endpoint: &str, policy: &Value) -> Self {
        let name = fresh_name("user");
        call(endpoint, &[("Action", "CreateUser"), ("UserName", &name)]);
        let document = policy.to_string();
        let put = [
            ("Action", "PutUserPolicy"),
            ("UserName", name.as_str()),
            ("PolicyName", "sluicegate"),
            ("PolicyDocument", &document),
        ];
        call(endpoint, &put);
        let answer = call(endpoint, &[("Action", "CreateAccessKey"), ("UserName", &name)]);
        Self { key: element(&answer, "AccessKeyId"), secret: element(&answer, "SecretAccessKey") }
    }
}

/// The name of a role that Glue may take.
pub(crate) fn role(endpoint: &str) -> String {
    let trust = serde_json::json!({ "Version": "2012-10-17", "Statement": [
        { "Effect": "Allow", "Principal": { "Service": "glue.amazonaws.com" }, "Action": "sts:AssumeRole" },
    ] });
    let name = fresh_name("role");
    let fields = [
        ("Action", "CreateRole"),
        ("RoleName", name.as_str()),
        ("AssumeRolePolicyDocument", &trust.to_string()),
    ];
    element(&call(endpoint, &fields), "Arn")
}

fn element(answer: &str, name: &str) -> String {
    let (_, rest) = answer.split_once(&format!("<{name}>")).unwrap_or_else(|| panic!("{answer}"));
    rest.split_once('<').unwrap().0.to_owned()
}

fn call(endpoint: &str, fields: &[(&str, &str)]) -> String {
    let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let mut body: Vec<String> =
        fields.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
    body.push("Version=2010-05-08".to_owned());
    let body = body.join("&");
    let host = endpoint.strip_prefix("http://").unwrap().trim_end_matches('/');
    let mut stream = TcpStream::connect(host).unwrap();
    write!(
        stream,
        "POST / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Type: application/x-www-form-urlencoded\r\n\
         Authorization: AWS4-HMAC-SHA256 Credential={OWNER}/20240101/{REGION}/iam/aws4_request, SignedHeaders=host, \
         Signature=0\r\nX-Amz-Date: 20240101T000000Z\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{fields:?}: {answer}");
    answer
}
