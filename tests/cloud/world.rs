//! One deployment: buckets, a topic and queues in the stand-in for AWS, a database, and machines at work with them.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::time::Duration;

use aws_sdk_s3::types::{Event, NotificationConfiguration, TopicConfiguration};
use aws_sdk_sqs::types::{DeleteMessageBatchRequestEntry, QueueAttributeName, SendMessageBatchRequestEntry};

use crate::corpus::Document;
use crate::emulator::{Emulator, Kind, REGION, SECRET, emulator};
use crate::proxy::HttpProxy;
use crate::server::{Database, VARIABLE};
use crate::sns;
use crate::support::{Ended, Project, until};

/// Under this prefix documents land.
pub(crate) const PREFIX: &str = "in/";
/// Uploads of the same bytes under one key are told from each other by their times, if these differ by so much.
pub(crate) const APART: Duration = Duration::from_secs(2);
/// Uploads at a time.
const UPLOADERS: usize = 4;

/// What a test has for itself.
pub(crate) struct World {
    pub(crate) emulator: Emulator,
    pub(crate) landing: String,
    /// Holds the archive and the curated objects.
    pub(crate) data: String,
    pub(crate) queue: String,
    /// Gets what the queue gets, for the test to read.
    copies: String,
    pub(crate) database: Database,
}

/// Messages as they were announced.
pub(crate) type Bodies = Vec<String>;

impl World {
    /// A deployment of its own; none, and a word about how to get one, where a server is missing.
    pub(crate) fn new() -> Option<Self> {
        Self::with_landing(Emulator::bucket)
    }

    /// The same with a landing bucket that keeps versions.
    pub(crate) fn versioned() -> Option<Self> {
        Self::with_landing(Emulator::versioned_bucket)
    }

    fn with_landing(bucket: impl FnOnce(&Emulator) -> String) -> Option<Self> {
        if !servers_are_there() {
            return None;
        }
        let emulator = emulator(Kind::Ministack)?;
        let database = Database::new()?;
        let (landing, data) = (bucket(&emulator), emulator.bucket());
        let topic = sns::topic(&emulator);
        let [queue, copies] = [(); 2].map(|()| queue_of(&emulator, &topic));
        let topic = TopicConfiguration::builder().topic_arn(topic).events(Event::from("s3:ObjectCreated:*"));
        let wiring = NotificationConfiguration::builder().topic_configurations(topic.build().unwrap());
        let request = emulator.clients.s3().put_bucket_notification_configuration().bucket(&landing);
        emulator.clients.block_on(request.notification_configuration(wiring.build()).send()).unwrap();
        Some(Self { emulator, landing, data, queue, copies, database })
    }

    /// A machine with a state folder of its own and batches of at most so many documents.
    pub(crate) fn machine(&self, batch_documents: usize) -> Project {
        self.machine_at(&self.emulator.endpoint, &self.database.url, batch_documents)
    }

    /// The same, but messages that it received and did not delete come again after seconds.
    pub(crate) fn machine_that_forgets_soon(&self, batch_documents: usize) -> Project {
        let aws = HttpProxy::faultless(&self.emulator.endpoint);
        self.machine_at(&aws.endpoint, &self.database.url, batch_documents)
    }

    /// The same, with other ways to AWS and to the database.
    pub(crate) fn machine_at(&self, endpoint: &str, warehouse: &str, batch_documents: usize) -> Project {
        let machine = match batch_documents {
            1_000 => Project::new(),
            documents => Project::with_batches_of(documents),
        };
        machine
            .with("SLUICEGATE_LANDING", format!("s3://{}/{PREFIX}", self.landing))
            .with("SLUICEGATE_QUEUE", &self.queue)
            .with("SLUICEGATE_WAREHOUSE", warehouse)
            .with("SLUICEGATE_CURATED", format!("s3://{}/curated", self.data))
            .with("SLUICEGATE_ARCHIVE", format!("s3://{}/archive", self.data))
            .with("AWS_ENDPOINT_URL", endpoint)
            .with("AWS_REGION", REGION)
            .with("AWS_ACCESS_KEY_ID", "testkey")
            .with("AWS_SECRET_ACCESS_KEY", SECRET)
    }

    /// Uploads everything, several at a time, and waits until all of it is announced; the announcements.
    pub(crate) fn upload(&self, documents: &[Document]) -> Bodies {
        std::thread::scope(|scope| {
            for part in documents.chunks(documents.len().div_ceil(UPLOADERS).max(1)) {
                scope.spawn(move || {
                    for document in part {
                        self.emulator.upload(&self.landing, &document.key, &document.bytes);
                    }
                });
            }
        });
        self.announced(documents.len())
    }

    /// Waits until so many uploads are announced, and takes the announcements.
    pub(crate) fn announced(&self, count: usize) -> Bodies {
        let mut bodies = Vec::new();
        until("the uploads are announced", || {
            let came = self.take(&self.copies);
            bodies.extend(came.into_iter().filter(|body| body.contains("ObjectCreated:")));
            (bodies.len() >= count).then_some(())
        });
        assert_eq!(bodies.len(), count, "one announcement an upload");
        bodies
    }

    /// Takes some messages out of a queue.
    fn take(&self, queue: &str) -> Bodies {
        let clients = &self.emulator.clients;
        let receive = clients.sqs().receive_message().queue_url(queue).max_number_of_messages(10);
        let messages = clients.block_on(receive.send()).unwrap().messages.unwrap_or_default();
        let entry = |(index, receipt): (usize, &str)| {
            let entry = DeleteMessageBatchRequestEntry::builder().id(index.to_string());
            entry.receipt_handle(receipt).build().unwrap()
        };
        let receipts = messages.iter().filter_map(|message| message.receipt_handle());
        let entries: Vec<_> = receipts.enumerate().map(entry).collect();
        if !entries.is_empty() {
            let delete = clients.sqs().delete_message_batch().queue_url(queue).set_entries(Some(entries));
            clients.block_on(delete.send()).unwrap();
        }
        messages.into_iter().filter_map(|message| message.body).collect()
    }

    /// Puts messages into the queue once more.
    pub(crate) fn deliver_again(&self, bodies: &[String]) {
        let clients = &self.emulator.clients;
        for chunk in bodies.chunks(10) {
            let entry = |(index, body): (usize, &String)| {
                let entry = SendMessageBatchRequestEntry::builder().id(index.to_string());
                entry.message_body(body).build().unwrap()
            };
            let entries = chunk.iter().enumerate().map(entry).collect();
            let send = clients.sqs().send_message_batch().queue_url(&self.queue).set_entries(Some(entries));
            let answer = clients.block_on(send.send()).unwrap();
            assert!(answer.failed().is_empty(), "{answer:?}");
        }
    }

    /// Uploads, and the queue loses the announcement.
    pub(crate) fn upload_unannounced(&self, document: &Document) {
        self.upload(std::slice::from_ref(document));
        until("the announcement is lost", || {
            let lost = self.take(&self.queue);
            lost.iter().any(|body| body.contains("ObjectCreated:")).then_some(())
        });
    }

    /// From now on nobody is told of uploads.
    pub(crate) fn announce_nothing(&self) {
        let clients = &self.emulator.clients;
        let request = clients.s3().put_bucket_notification_configuration().bucket(&self.landing);
        let none = NotificationConfiguration::builder().build();
        clients.block_on(request.notification_configuration(none).send()).unwrap();
    }

    /// Messages in the queue, hidden ones included.
    pub(crate) fn messages(&self) -> u64 {
        self.emulator.messages(&self.queue)
    }

    /// The objects of a bucket below a prefix, with their sizes; keys begin behind the prefix.
    pub(crate) fn objects(&self, bucket: &str, prefix: &str) -> BTreeMap<String, u64> {
        let clients = &self.emulator.clients;
        let mut objects = BTreeMap::new();
        let mut token = None;
        loop {
            let request = clients.s3().list_objects_v2().bucket(bucket).prefix(prefix);
            let page = clients.block_on(request.set_continuation_token(token.take()).send()).unwrap();
            for object in page.contents() {
                let key = object.key().unwrap().strip_prefix(prefix).unwrap();
                objects.insert(key.to_owned(), object.size().unwrap() as u64);
            }
            token = page.next_continuation_token().map(str::to_owned);
            if token.is_none() {
                return objects;
            }
        }
    }

    pub(crate) fn curated(&self) -> BTreeMap<String, u64> {
        self.objects(&self.data, "curated/")
    }

    /// Keys of the archive objects.
    pub(crate) fn archived(&self) -> BTreeSet<String> {
        self.objects(&self.data, "archive/").into_keys().collect()
    }

    /// An object's bytes.
    pub(crate) fn read(&self, bucket: &str, key: &str) -> Vec<u8> {
        let clients = &self.emulator.clients;
        clients.block_on(async {
            let object = clients.s3().get_object().bucket(bucket).key(key).send().await.unwrap();
            object.body.collect().await.unwrap().to_vec()
        })
    }

    /// What the lifecycle does when nobody came in time.
    pub(crate) fn empty_landing(&self) {
        for key in self.objects(&self.landing, "").into_keys() {
            self.emulator.remove(&self.landing, &key);
        }
    }

    /// One number out of the database; none while the table is not there.
    pub(crate) fn ask(&self, sql: &str) -> Option<i64> {
        let row = self.database.shell().query_one(sql, &[]).ok()?;
        row.get(0)
    }
}

fn queue_of(emulator: &Emulator, topic: &str) -> String {
    let url = emulator.queue();
    let arn = emulator.queue_arn(&url);
    let policy = format!(
        r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Principal":{{"Service":"sns.amazonaws.com"}},
        "Action":"sqs:SendMessage","Resource":"{arn}","Condition":{{"ArnEquals":{{"aws:SourceArn":"{topic}"}}}}}}]}}"#
    );
    let request = emulator.clients.sqs().set_queue_attributes().queue_url(&url);
    let request = request.attributes(QueueAttributeName::Policy, policy);
    emulator.clients.block_on(request.send()).unwrap();
    sns::subscribe(emulator, topic, &arn, false);
    url
}

/// Whether both servers run; names what is skipped where they do not.
fn servers_are_there() -> bool {
    let set = |name: &str| std::env::var(name).is_ok_and(|value| !value.is_empty());
    let there = set(VARIABLE) && set("SLUICEGATE_TEST_AWS");
    if !there {
        let test = std::thread::current().name().unwrap_or("a test").to_owned();
        // Written past the test harness, which hides what passing tests print.
        let _ = writeln!(
            std::io::stderr(),
            "skipped: {test}; to run it: export {VARIABLE}=\"$(scripts/postgres start)\"; \
             eval \"$(scripts/emulators start)\"; cargo test --test cloud"
        );
    }
    there
}

/// The same documents below the landing's prefix.
pub(crate) fn below_prefix(mut documents: Vec<Document>) -> Vec<Document> {
    for document in &mut documents {
        document.key.insert_str(0, PREFIX);
    }
    documents
}

/// Adds up what drains printed.
#[derive(Debug, Default)]
pub(crate) struct Summed {
    pub(crate) notifications: u64,
    pub(crate) redelivered: u64,
    pub(crate) drains: u32,
}

impl Summed {
    pub(crate) fn add(&mut self, ended: &Ended) {
        let summary = ended.json();
        let number = |name: &str| summary[name].as_u64().unwrap();
        self.notifications += number("notifications");
        self.redelivered += number("redelivered");
        self.drains += 1;
        assert_eq!(number("failed_batches"), 0, "no batch is parked: {ended:#?}");
    }
}
