//! Goal: every shape of message becomes what the design says, and no body makes the reader panic.

use proptest::prelude::*;
use serde_json::{Value, json};
use sluicegate_state::{Arrival, Counter, Notification};

use super::read_message;

/// One job that takes `in/**.txt` of the bucket `landing`.
fn route(bucket: &str, key: &str) -> Option<String> {
    (bucket == "landing" && key.starts_with("in/") && key.ends_with(".txt")).then(|| "invoices".to_owned())
}

fn read(message: &Value) -> Vec<Arrival> {
    read_message(message.to_string().as_bytes(), "sqs", &route)
}

/// The one notification of a message.
fn notification(message: &Value) -> Notification {
    match read(message).as_slice() {
        [Arrival::Notification(notification)] => notification.clone(),
        other => panic!("{other:?}"),
    }
}

fn counter(message: &Value) -> (Counter, Option<String>) {
    match read(message).as_slice() {
        [Arrival::Counted(counter, job)] => (*counter, job.clone()),
        other => panic!("{other:?}"),
    }
}

fn reason(message: &Value) -> String {
    match read(message).as_slice() {
        [Arrival::Unreadable { body, reason, source }] => {
            assert_eq!((body.as_slice(), source.as_str()), (message.to_string().as_bytes(), "sqs"));
            reason.clone()
        }
        other => panic!("{other:?}"),
    }
}

fn record(key: &str) -> Value {
    json!({
        "eventVersion": "2.1", "eventSource": "aws:s3", "awsRegion": "eu-west-1",
        "eventTime": "2024-05-06T07:08:09.123Z", "eventName": "ObjectCreated:Put",
        "userIdentity": {"principalId": "AWS:AIDA"}, "requestParameters": {"sourceIPAddress": "192.0.2.1"},
        "responseElements": {"x-amz-request-id": "A", "x-amz-id-2": "B"},
        "s3": {
            "s3SchemaVersion": "1.0", "configurationId": "landed",
            "bucket": {"name": "landing", "ownerIdentity": {"principalId": "O"}, "arn": "arn:aws:s3:::landing"},
            "object": {"key": key, "size": 572, "eTag": "0123abcd", "sequencer": "0064D3901D00059242"}
        }
    })
}

fn direct(records: &[Value]) -> Value {
    json!({ "Records": records })
}

fn in_sns(message: &Value) -> Value {
    json!({
        "Type": "Notification", "MessageId": "m", "TopicArn": "arn:aws:sns:eu-west-1:1:landed",
        "Subject": "Amazon S3 Notification", "Message": message.to_string(),
        "Timestamp": "2024-05-06T07:08:10.000Z", "SignatureVersion": "1", "Signature": "x"
    })
}

fn test_event() -> Value {
    json!({
        "Service": "Amazon S3", "Event": "s3:TestEvent", "Time": "2024-05-06T07:08:09.123Z",
        "Bucket": "landing", "RequestId": "A", "HostId": "B"
    })
}

fn eventbridge(key: &str) -> Value {
    json!({
        "version": "0", "id": "e", "detail-type": "Object Created", "source": "aws.s3", "account": "1",
        "time": "2024-05-06T07:08:09Z", "region": "eu-west-1", "resources": ["arn:aws:s3:::landing"],
        "detail": {
            "version": "0", "bucket": {"name": "landing"},
            "object": {"key": key, "size": 5, "etag": "0123abcd", "version-id": "v1", "sequencer": "00A0"},
            "request-id": "A", "requester": "1", "source-ip-address": "192.0.2.1", "reason": "PutObject"
        }
    })
}

fn set(mut record: Value, path: &str, value: Value) -> Value {
    *record.pointer_mut(path).unwrap() = value;
    record
}

#[test]
fn a_record_is_journaled_as_it_says() {
    insta::assert_debug_snapshot!(read(&direct(&[record("in/a+b%2Bc.txt")])));
}

#[test]
fn an_eventbridge_event_is_journaled_as_it_says() {
    insta::assert_debug_snapshot!(read(&eventbridge("in/a+b%2Bc.txt")));
}

#[test]
fn every_envelope_says_the_same() {
    let direct = direct(&[record("in/a.txt")]);
    assert_eq!(read(&in_sns(&direct)), read(&direct));
    let bridge = eventbridge("in/a.txt");
    assert_eq!(read(&in_sns(&bridge)), read(&bridge));
}

#[test]
fn keys_are_decoded_once() {
    for (encoded, key) in [
        ("in/a%20b.txt", "in/a b.txt"),
        ("in/a+b.txt", "in/a b.txt"),
        ("in/a%2Bb.txt", "in/a+b.txt"),
        ("in%2Fa.txt", "in/a.txt"),
        ("in/100%25.txt", "in/100%.txt"),
        ("in/%2525.txt", "in/%25.txt"),
        ("in/caf%C3%A9.txt", "in/café.txt"),
        ("in/a%40b.txt", "in/a@b.txt"),
    ] {
        assert_eq!(notification(&direct(&[record(encoded)])).key, key);
    }
}

#[test]
fn several_records_are_several_arrivals() {
    let foreign = set(record("in/b.txt"), "/s3/bucket/name", json!("other"));
    let broken = record("in/%zz.txt");
    let removed = set(record("in/c.txt"), "/eventName", json!("ObjectRemoved:Delete"));
    let arrivals = read(&direct(&[record("in/a.txt"), foreign, broken.clone(), removed, broken]));
    insta::assert_debug_snapshot!(
        arrivals
            .iter()
            .map(|arrival| match arrival {
                Arrival::Notification(notification) => notification.key.clone(),
                Arrival::Counted(counter, job) => format!("{counter:?} {job:?}"),
                Arrival::Unreadable { reason, .. } | Arrival::Refused { reason, .. } => reason.clone(),
            })
            .collect::<Vec<_>>()
    );
}

#[test]
fn what_lands_nothing_for_a_job_is_only_counted() {
    let job = Some("invoices".to_owned());
    let renamed = |name: &str| direct(&[set(record("in/a.txt"), "/eventName", json!(name))]);
    let marker = |key: &str| direct(&[set(record(key), "/s3/object/size", json!(0))]);
    assert_eq!(counter(&test_event()), (Counter::TestEvent, None));
    assert_eq!(counter(&in_sns(&test_event())), (Counter::TestEvent, None));
    for name in ["ObjectRemoved:Delete", "s3:ObjectRemoved:Delete", "ObjectTagging:Put", "Something:New"] {
        assert_eq!(counter(&renamed(name)), (Counter::IgnoredEvent, job.clone()), "{name}");
    }
    let deleted = set(eventbridge("in/a.txt"), "/detail-type", json!("Object Deleted"));
    assert_eq!(counter(&deleted), (Counter::IgnoredEvent, job));
    let foreign = set(eventbridge("in/a.txt"), "/source", json!("com.example"));
    assert_eq!(counter(&foreign), (Counter::IgnoredEvent, None));
    for key in ["out/a.txt", "inner/a.txt", "in/a.pdf"] {
        assert_eq!(counter(&direct(&[record(key)])), (Counter::Unrouted, None), "{key}");
    }
    assert_eq!(counter(&marker("in/2024/")), (Counter::IgnoredKey, None));
    assert_eq!(counter(&direct(&[record("in/2024/")])), (Counter::Unrouted, None));
    assert_eq!(notification(&marker("in/empty.txt")).size, Some(0));
}

#[test]
fn other_storages_are_understood() {
    let minio = set(record("in%2Fa.txt"), "/eventName", json!("s3:ObjectCreated:Put"));
    assert_eq!(notification(&direct(&[minio])).event_name, "s3:ObjectCreated:Put");
    for version in ["2.0", "2.1", "2.6", "2.17"] {
        notification(&direct(&[set(record("in/a.txt"), "/eventVersion", json!(version))]));
    }
    let mut grown = record("in/a.txt");
    grown["s3"]["object"]["colour"] = json!({"deep": ["x"]});
    grown["glacierEventData"] = json!(null);
    assert_eq!(notification(&direct(&[grown])), notification(&direct(&[record("in/a.txt")])));
}

#[test]
fn versions_and_sequencers_are_taken_where_they_say_something() {
    let with = |name: &str, value: Value| {
        let mut record = record("in/a.txt");
        record["s3"]["object"][name] = value;
        notification(&direct(&[record]))
    };
    for nothing in [json!(null), json!(""), json!("null")] {
        assert_eq!(with("versionId", nothing).version_id, None);
    }
    assert_eq!(with("versionId", json!("096f")).version_id.as_deref(), Some("096f"));
    for nothing in [json!(null), json!("")] {
        assert_eq!(with("sequencer", nothing).sequencer, None);
    }
    assert_eq!(with("sequencer", json!("005fB0")).sequencer.as_deref(), Some("005fB0"));
    assert_eq!(with("eTag", json!("\"0a-2\"")).etag, "0a-2");
    assert_eq!(with("size", json!(null)).size, None);
    assert_eq!(with("size", json!("12")).size, Some(12));
}

#[test]
fn what_cannot_be_read_is_kept_with_a_reason() {
    let without = |parent: &str, name: &str| {
        let mut record = record("in/a.txt");
        record.pointer_mut(parent).unwrap().as_object_mut().unwrap().remove(name);
        direct(&[record])
    };
    let with = |path: &str, value: Value| direct(&[set(record("in/a.txt"), path, value)]);
    let envelope = |kind: &str| json!({"Type": kind, "Message": "You have chosen to subscribe"});
    let messages = [
        json!(null),
        json!([]),
        json!({"hello": "world"}),
        direct(&[]),
        json!({"Records": "none"}),
        direct(&[json!(7)]),
        with("/eventVersion", json!("3.0")),
        without("", "eventVersion"),
        without("", "eventName"),
        without("/s3/bucket", "name"),
        without("/s3/object", "key"),
        without("/s3/object", "eTag"),
        with("/eventTime", json!("yesterday")),
        direct(&[record("in/%E9.txt")]),
        direct(&[record("in/%00.txt")]),
        envelope("Notification"),
        envelope("SubscriptionConfirmation"),
        envelope("Surprise"),
        in_sns(&json!({"hello": "world"})),
        json!({"detail-type": "Object Created", "source": "aws.s3", "detail": {}}),
    ];
    insta::assert_debug_snapshot!(messages.iter().map(reason).collect::<Vec<_>>());
    let arrivals = read_message(b"\xff\x00 not json", "sqs", &route);
    assert!(matches!(arrivals.as_slice(), [Arrival::Unreadable { .. }]));
}

/// Any JSON, with the names that mean something here among its names.
fn any_json() -> impl Strategy<Value = Value> {
    let names = [
        "Records",
        "Type",
        "Message",
        "Event",
        "detail-type",
        "detail",
        "eventVersion",
        "eventName",
        "s3",
        "object",
        "bucket",
        "name",
        "key",
        "eTag",
        "size",
        "eventTime",
        "time",
        "source",
    ];
    let name = prop_oneof![prop::sample::select(names.to_vec()).prop_map(str::to_owned), ".*"];
    let words =
        ["2.1", "ObjectCreated:Put", "landing", "in/a.txt", "Notification", "{}", "%", "Object Created"];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        prop::sample::select(words.to_vec()).prop_map(Value::from),
        ".*".prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 48, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((name.clone(), inner), 0..6)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(body in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(!read_message(&body, "sqs", &route).is_empty());
    }

    #[test]
    fn no_json_makes_the_reader_panic(message in any_json()) {
        prop_assert!(!read(&message).is_empty());
        prop_assert!(!read(&in_sns(&message)).is_empty());
    }

    #[test]
    fn any_key_comes_back_from_its_encoding(key in "\\PC{1,40}") {
        let encoded: String = key.bytes().map(|byte| match byte {
            b' ' => "+".to_owned(),
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'/' => char::from(byte).to_string(),
            other => format!("%{other:02X}"),
        }).collect();
        let message = direct(&[record(&format!("in/{encoded}.txt"))]);
        prop_assert_eq!(notification(&message).key, format!("in/{key}.txt"));
    }

    #[test]
    fn one_changed_byte_never_makes_the_reader_panic(index in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut body = in_sns(&direct(&[record("in/a+b.txt")])).to_string().into_bytes();
        let index = index.index(body.len());
        body[index] = byte;
        prop_assert!(!read_message(&body, "sqs", &route).is_empty());
    }
}

/// A message with one record whose object is `object`, landed at `time`.
fn of_object(object: &Value, time: &str) -> Value {
    let mut record = record("in/a.txt");
    for (field, value) in object.as_object().unwrap() {
        record["s3"]["object"][field] = value.clone();
    }
    record["eventTime"] = json!(time);
    direct(&[record])
}

#[test]
fn what_no_storage_says_is_kept_as_unreadable_and_stops_no_batch() {
    let now = "2024-05-06T07:08:09.123Z";
    for (object, time, why) in [
        (json!({ "key": format!("in/{}.txt", "a".repeat(1_018)) }), now, "1,024 bytes"),
        (json!({ "key": format!("in/{}.txt", "%C3%A9".repeat(509)) }), now, "1,024 bytes"),
        (json!({ "key": "in/a%00.txt" }), now, "NUL"),
        (json!({ "eTag": "a\u{0}b" }), now, "eTag"),
        (json!({ "eTag": "a\nb" }), now, "eTag"),
        (json!({ "eTag": "é" }), now, "eTag"),
        (json!({ "sequencer": "1\u{0}" }), now, "sequencer"),
        (json!({ "versionId": "1\u{0}" }), now, "versionId"),
        (json!({ "size": u64::MAX }), now, "size"),
        (json!({}), "0000-01-01T00:00:00Z", "year"),
    ] {
        let reason = reason(&of_object(&object, time));
        assert!(reason.contains(why), "{object} {time}: {reason}");
    }
    let longest = format!("in/{}.txt", "a".repeat(1_017));
    assert_eq!(longest.len(), 1_024);
    assert_eq!(notification(&of_object(&json!({ "key": longest }), now)).key, longest);
}
