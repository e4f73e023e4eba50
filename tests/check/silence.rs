//! AWS or the warehouse away, or answering nonsense: `check` ends soon, and says of each place what is the matter.

use std::net::TcpListener;
use std::time::Duration;

use chrono::{TimeDelta, Utc};
use sluicegate::check::Level;

use crate::binary::{Checked, check};
use crate::fake::{FakeServer, Reply};
use crate::permissions::wanted;

/// Far below what anybody waits for without a word.
const SOON: Duration = Duration::from_secs(45);

fn check_at(endpoint: &str, more: &[(&str, String)]) -> Checked {
    let mut variables = vec![
        ("AWS_ENDPOINT_URL", endpoint.to_owned()),
        ("AWS_REGION", "eu-west-1".to_owned()),
        ("AWS_ACCESS_KEY_ID", "key".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "a-very-secret-key".to_owned()),
        ("SLUICEGATE_LANDING", "s3://landing/in".to_owned()),
        ("SLUICEGATE_ARCHIVE", "s3://data/originals".to_owned()),
        ("SLUICEGATE_CURATED", "s3://data/csv".to_owned()),
        ("SLUICEGATE_QUEUE", format!("{endpoint}/000000000000/landed")),
        ("SLUICEGATE_CRAWLER", "invoices".to_owned()),
        ("SLUICEGATE_DATABASE", "books".to_owned()),
        ("SLUICEGATE_WORKGROUP", "finance".to_owned()),
        ("SLUICEGATE_ATHENA_OUTPUT", "s3://results/athena".to_owned()),
    ];
    variables.extend_from_slice(more);
    check(&variables)
}

fn each_place_is_told(checked: &Checked) {
    assert_eq!(checked.status, Some(1));
    for what in [
        "landing of invoices: listing",
        "archive: listing",
        "curated: listing",
        "queue: settings",
        "Athena: workgroup",
    ] {
        assert_eq!(checked.level(what), Some(Level::Wrong), "{what}: {}", checked.text);
    }
    assert!(checked.took < SOON, "{:?}", checked.took);
    assert!(!checked.text.contains("a-very-secret-key"), "{}", checked.text);
    assert!(wanted(&checked.findings).iter().all(|action| action == "glue:StartCrawler"), "{}", checked.text);
}

#[test]
fn nobody_listens() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let warehouse = ("SLUICEGATE_WAREHOUSE", format!("postgres://me:hunter2@{free}/books"));
    let checked = check_at(&format!("http://{free}"), &[warehouse]);
    each_place_is_told(&checked);
    assert_eq!(checked.level("warehouse"), Some(Level::Wrong), "{}", checked.text);
    assert!(!checked.text.contains("hunter2"));
}

#[test]
fn somebody_listens_and_never_answers() {
    // The kernel takes the connections; nobody reads them.
    let deaf = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = deaf.local_addr().unwrap();
    let warehouse = ("SLUICEGATE_WAREHOUSE", format!("postgres://me@{address}/books?sslmode=disable"));
    let checked = check_at(&format!("http://{address}"), &[warehouse]);
    each_place_is_told(&checked);
    assert_eq!(checked.level("warehouse"), Some(Level::Wrong), "{}", checked.text);
}

#[test]
fn a_refused_signature_is_no_missing_permission() {
    for code in ["ExpiredToken", "InvalidAccessKeyId", "SignatureDoesNotMatch"] {
        let server = FakeServer::start_concurrent(move |request| {
            if request.header("X-Amz-Target").is_empty() {
                return Reply::error(403, code);
            }
            let body = format!(r#"{{"__type":"{code}","message":"because"}}"#);
            Reply::Full(403, Vec::new(), body.into_bytes())
        });
        each_place_is_told(&check_at(&server.endpoint, &[]));
    }
}

#[test]
fn a_wrong_clock_is_told_by_whoever_refuses_it() {
    let server = FakeServer::start_concurrent(|_| {
        let Reply::Full(status, mut headers, body) = Reply::error(403, "RequestTimeTooSkewed") else {
            unreachable!("an error is a whole reply")
        };
        let ahead = Utc::now() + TimeDelta::minutes(20);
        headers.push(("Date".to_owned(), ahead.format("%a, %d %b %Y %H:%M:%S GMT").to_string()));
        Reply::Full(status, headers, body)
    });
    let checked = check_at(&server.endpoint, &[]);
    assert_eq!(checked.level("clock, compared with AWS"), Some(Level::Wrong), "{}", checked.text);
    let clock = checked.findings.iter().find(|finding| finding.what.starts_with("clock")).unwrap();
    assert!(clock.found.contains("behind AWS"), "{clock:?}");
}

#[test]
fn no_credentials_are_told_once() {
    let server = FakeServer::start_concurrent(|_| Reply::status(500));
    let nobody = [
        ("AWS_ACCESS_KEY_ID", String::new()),
        ("AWS_SECRET_ACCESS_KEY", String::new()),
        ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
    ];
    let checked = check_at(&server.endpoint, &nobody);
    assert_eq!(checked.status, Some(1));
    let wrong = checked.findings.iter().filter(|finding| finding.level == Level::Wrong);
    let wrong: Vec<&str> = wrong.map(|finding| finding.what.as_str()).collect();
    assert_eq!(wrong, ["AWS credentials"], "{}", checked.text);
    assert_eq!(server.seen(), [] as [&str; 0], "nobody was asked");
}
