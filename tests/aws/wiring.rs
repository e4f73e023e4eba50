//! From an upload to the document's bytes: S3 tells SQS, or SNS that tells SQS, and what was announced is read.

use std::collections::BTreeSet;

use aws_sdk_s3::types::{Event, NotificationConfiguration, QueueConfiguration, TopicConfiguration};
use sluicegate::aws::{Mode, S3Store, SqsOptions};
use sluicegate::ports::inbox::Delivery;
use sluicegate::ports::object_store::{Announced, Got, ObjectStore};
use sluicegate_state::Arrival;

use crate::emulator::{Emulator, Kind, on_each};
use crate::inbox::take;
use crate::sns;
use crate::store::{ODD_KEYS, read};

#[derive(Debug, Clone, Copy)]
enum Way {
    Direct,
    Sns,
    SnsRaw,
}

fn connect(emulator: &Emulator, bucket: &str, queue_url: &str, way: Way) {
    let queue_arn = emulator.queue_arn(queue_url);
    let created = Event::from("s3:ObjectCreated:*");
    let configuration = NotificationConfiguration::builder();
    let configuration = match way {
        Way::Direct => {
            let queue = QueueConfiguration::builder().queue_arn(queue_arn).events(created);
            configuration.queue_configurations(queue.build().unwrap())
        }
        Way::Sns | Way::SnsRaw => {
            let topic = sns::topic(emulator);
            sns::subscribe(emulator, &topic, &queue_arn, matches!(way, Way::SnsRaw));
            let topic = TopicConfiguration::builder().topic_arn(topic).events(created);
            configuration.topic_configurations(topic.build().unwrap())
        }
    };
    let request = emulator.clients.s3().put_bucket_notification_configuration().bucket(bucket);
    emulator.clients.block_on(request.notification_configuration(configuration.build()).send()).unwrap();
}

/// Reads every document that was announced, and compares.
fn read_all(store: &S3Store, deliveries: &[Delivery]) -> BTreeSet<String> {
    let mut keys = BTreeSet::new();
    for arrival in deliveries.iter().flat_map(|delivery| &delivery.arrivals) {
        let Arrival::Notification(notification) = arrival else { continue };
        assert_eq!((notification.bucket.as_str(), notification.source.as_str()), (store.bucket(), "sqs"));
        let announced = Announced {
            key: &notification.key,
            version_id: notification.version_id.as_deref(),
            etag: &notification.etag,
        };
        match store.get_announced(&announced).unwrap() {
            Got::Object(fetched) => assert_eq!(read(fetched).1, notification.key.as_bytes()),
            Got::Refused(refusal) => panic!("{}: {refusal:?}", notification.key),
        }
        keys.insert(notification.key.clone());
    }
    keys
}

fn check(emulator: &Emulator, bucket: &str, way: Way) {
    let url = emulator.queue();
    connect(emulator, bucket, &url, way);
    for key in ODD_KEYS {
        emulator.upload(bucket, key, key.as_bytes());
    }
    let sent = ODD_KEYS.iter().map(|key| (*key).to_owned()).collect();
    let mut inbox = emulator.inbox(&url, Mode::Drain, SqsOptions::default());
    let deliveries = take(&mut inbox, &sent);
    let store = S3Store::landing(emulator.clients.clone(), bucket);
    assert_eq!(read_all(&store, &deliveries), sent, "{:?} {way:?}", emulator.kind);
    let unread = deliveries
        .iter()
        .flat_map(|delivery| &delivery.arrivals)
        .find(|arrival| matches!(arrival, Arrival::Unreadable { .. }));
    assert_eq!(unread, None);
}

#[test]
fn an_upload_arrives_on_every_way() {
    on_each(|emulator| {
        for way in [Way::Direct, Way::Sns, Way::SnsRaw] {
            check(emulator, &emulator.bucket(), way);
        }
    });
}

#[test]
fn a_version_arrives_with_its_id() {
    on_each(|emulator| {
        // The other stand-in's events name no version.
        if emulator.kind == Kind::Ministack {
            check(emulator, &emulator.versioned_bucket(), Way::Sns);
        }
    });
}
