//! Goal: the conformance suites that the embedded adapters pass hold for the AWS adapters too.

#[path = "../conformance/inbox.rs"]
mod inbox_suite;
#[path = "../conformance/object_store.rs"]
mod object_store_suite;

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_s3::types::{Event, NotificationConfiguration, QueueConfiguration};
use sluicegate::aws::{Mode, S3Store, SqsInbox, SqsOptions};
use sluicegate::ports::inbox::Inbox;

use crate::emulator::{Emulator, Kind, emulator, on_each};

fn place(emulator: &Emulator, bucket: String) -> object_store_suite::Place {
    let (uploads, removals) = ((emulator.clone(), bucket.clone()), (emulator.clone(), bucket.clone()));
    object_store_suite::Place {
        store: Box::new(S3Store::landing(emulator.clients.clone(), bucket)),
        upload: Box::new(move |key, bytes| uploads.0.upload(&uploads.1, key, bytes)),
        remove: Box::new(move |key| removals.0.remove(&removals.1, key)),
    }
}

#[test]
fn a_bucket_is_an_object_store() {
    on_each(|emulator| object_store_suite::object_store_suite(&mut || place(emulator, emulator.bucket())));
}

#[test]
fn a_bucket_with_versions_is_an_object_store() {
    on_each(|emulator| {
        object_store_suite::object_store_suite(&mut || place(emulator, emulator.versioned_bucket()))
    });
}

/// A queue that hears of a bucket.
struct SqsPostbox {
    emulator: Emulator,
    bucket: String,
    url: String,
    mode: Mode,
}

/// How long an unacknowledged message stays hidden where the suite waits for that, and elsewhere: longer than a test takes.
const SHORT: Duration = Duration::from_secs(2);
const LONG: Duration = Duration::from_secs(600);

impl SqsPostbox {
    fn new(emulator: &Emulator, mode: Mode) -> Self {
        let (bucket, url) = (emulator.bucket(), emulator.queue());
        let created = Event::from("s3:ObjectCreated:*");
        let queue = QueueConfiguration::builder()
            .queue_arn(emulator.queue_arn(&url))
            .events(created)
            .build()
            .unwrap();
        let configuration = NotificationConfiguration::builder().queue_configurations(queue).build();
        let clients = &emulator.clients;
        let put = clients.s3().put_bucket_notification_configuration().bucket(&bucket);
        clients.block_on(put.notification_configuration(configuration).send()).unwrap();
        let postbox = Self { emulator: emulator.clone(), bucket, url, mode };
        postbox.take_the_test_event();
        postbox
    }

    fn take_the_test_event(&self) {
        let mut inbox = self.sqs(Mode::Drain, LONG);
        loop {
            let deliveries = inbox.poll().unwrap().deliveries;
            if deliveries.is_empty() {
                return;
            }
            crate::inbox::acknowledge(&mut inbox, &deliveries);
        }
    }

    /// Polls are short, and an end waits for all of them: one that is broken off would hide what comes later.
    fn sqs(&self, mode: Mode, visibility: Duration) -> SqsInbox {
        let route = |_: &str, _: &str| Some("invoices".to_owned());
        let options = SqsOptions {
            visibility,
            long_poll: Duration::from_secs(1),
            last_answer: Duration::from_secs(60),
            ..SqsOptions::default()
        };
        SqsInbox::new(self.emulator.clients.clone(), &self.url, Arc::new(route), mode, options)
    }
}

impl inbox_suite::Postbox for SqsPostbox {
    fn inbox(&self) -> Box<dyn Inbox> {
        Box::new(self.sqs(self.mode, LONG))
    }

    fn inbox_of_the_dying(&self) -> Box<dyn Inbox> {
        Box::new(self.sqs(self.mode, SHORT))
    }

    fn announce(&self, key: &str, bytes: &[u8]) {
        self.emulator.upload(&self.bucket, key, bytes);
    }

    fn pass_time(&self) {
        // The queue's own clock decides when a message shows again; there is no condition to wait for but time.
        std::thread::park_timeout(SHORT + Duration::from_millis(100));
    }

    fn is_empty(&self) -> bool {
        self.emulator.messages(&self.url) == 0
    }
}

#[test]
fn a_queue_is_an_inbox() {
    let Some(emulator) = emulator(Kind::Ministack) else { return };
    for mode in [Mode::Drain, Mode::Watch] {
        inbox_suite::inbox_suite(&mut || Box::new(SqsPostbox::new(&emulator, mode)));
    }
}
