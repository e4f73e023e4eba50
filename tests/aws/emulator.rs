//! A stand-in for AWS that runs already, and buckets and queues in it.

use std::io::Write;
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};

use aws_config::retry::RetryConfig;
use aws_config::{BehaviorVersion, Region};
use aws_sdk_s3::config::Credentials;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{
    BucketLocationConstraint, BucketVersioningStatus, CreateBucketConfiguration, VersioningConfiguration,
};
use aws_sdk_sqs::types::QueueAttributeName;
use sluicegate::aws::{AwsClients, Mode, SqsInbox, SqsOptions};

pub(crate) const REGION: &str = "eu-west-1";
pub(crate) const SECRET: &str = "a-very-secret-key";

/// Which stand-in: the one that behaves most like AWS, and another to compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Ministack,
    Moto,
}

#[derive(Clone)]
pub(crate) struct Emulator {
    pub(crate) kind: Kind,
    pub(crate) endpoint: String,
    pub(crate) clients: AwsClients,
}

/// Runs a test on every stand-in that is there; names those that are not.
pub(crate) fn on_each(test: impl Fn(&Emulator)) {
    for kind in [Kind::Ministack, Kind::Moto] {
        if let Some(emulator) = emulator(kind) {
            test(&emulator);
        }
    }
}

/// The stand-in, if it runs.
pub(crate) fn emulator(kind: Kind) -> Option<Emulator> {
    let (variable, start) = match kind {
        Kind::Ministack => ("SLUICEGATE_TEST_AWS", "start"),
        Kind::Moto => ("SLUICEGATE_TEST_MOTO", "start moto"),
    };
    let Some(endpoint) = std::env::var(variable).ok().filter(|endpoint| !endpoint.is_empty()) else {
        static SAID: [Once; 2] = [Once::new(), Once::new()];
        // Written past the test harness, which hides what passing tests print.
        SAID[kind as usize].call_once(|| {
            let _ = writeln!(
                std::io::stderr(),
                "skipped: the AWS adapters against {kind:?}; to run it: \
                 eval \"$(scripts/emulators {start})\" && cargo test --test aws"
            );
        });
        return None;
    };
    Some(Emulator { kind, clients: clients(&endpoint), endpoint })
}

/// Tries of a request, as the product has them. Said here so that no `AWS_MAX_ATTEMPTS` of whoever runs the tests says it.
const ATTEMPTS: u32 = 5;

/// Clients of an endpoint on this machine. Nothing comes from the configuration of whoever runs the tests.
pub(crate) fn clients(endpoint: &str) -> AwsClients {
    let credentials = Credentials::new("testkey", SECRET, None, None, "tests");
    let loader = aws_config::defaults(BehaviorVersion::v2026_01_12())
        .profile_files(no_profiles())
        .profile_name("default")
        .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS))
        .region(Region::new(REGION))
        .endpoint_url(endpoint)
        .credentials_provider(credentials);
    AwsClients::from_loader(loader).unwrap()
}

#[expect(deprecated, reason = "the new name is in a crate that nothing else here needs")]
fn no_profiles() -> aws_config::profile::profile_file::ProfileFiles {
    use aws_config::profile::profile_file::{ProfileFileKind, ProfileFiles};
    ProfileFiles::builder().with_contents(ProfileFileKind::Config, "[default]\n").build()
}

/// A name that no other test has used, in this run or an earlier one.
pub(crate) fn fresh_name(what: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
    format!("{what}-{now}-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

impl Emulator {
    pub(crate) fn bucket(&self) -> String {
        let name = fresh_name("bucket");
        let place = BucketLocationConstraint::from(REGION);
        let configuration = CreateBucketConfiguration::builder().location_constraint(place).build();
        let request = self.clients.s3().create_bucket().bucket(&name);
        self.clients.block_on(request.create_bucket_configuration(configuration).send()).unwrap();
        name
    }

    pub(crate) fn versioned_bucket(&self) -> String {
        let name = self.bucket();
        let enabled = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled).build();
        let request = self.clients.s3().put_bucket_versioning().bucket(&name);
        self.clients.block_on(request.versioning_configuration(enabled).send()).unwrap();
        name
    }

    /// What a customer does.
    pub(crate) fn upload(&self, bucket: &str, key: &str, bytes: &[u8]) {
        let body = ByteStream::from(bytes.to_vec());
        let request = self.clients.s3().put_object().bucket(bucket).key(key).body(body);
        self.clients.block_on(request.send()).unwrap();
    }

    pub(crate) fn remove(&self, bucket: &str, key: &str) {
        let request = self.clients.s3().delete_object().bucket(bucket).key(key);
        self.clients.block_on(request.send()).unwrap();
    }

    /// A queue's URL.
    pub(crate) fn queue(&self) -> String {
        let request = self.clients.sqs().create_queue().queue_name(fresh_name("queue"));
        self.clients.block_on(request.send()).unwrap().queue_url.unwrap()
    }

    pub(crate) fn queue_arn(&self, url: &str) -> String {
        self.attribute(url, QueueAttributeName::QueueArn)
    }

    /// Messages in the queue, hidden ones included.
    pub(crate) fn messages(&self, url: &str) -> u64 {
        let visible = self.attribute(url, QueueAttributeName::ApproximateNumberOfMessages);
        let hidden = self.attribute(url, QueueAttributeName::ApproximateNumberOfMessagesNotVisible);
        visible.parse::<u64>().unwrap() + hidden.parse::<u64>().unwrap()
    }

    fn attribute(&self, url: &str, name: QueueAttributeName) -> String {
        let request = self.clients.sqs().get_queue_attributes().queue_url(url).attribute_names(name.clone());
        self.clients.block_on(request.send()).unwrap().attributes.unwrap()[&name].clone()
    }

    pub(crate) fn send(&self, url: &str, body: &str) {
        let request = self.clients.sqs().send_message().queue_url(url).message_body(body);
        self.clients.block_on(request.send()).unwrap();
    }

    /// An inbox whose job takes every `.txt` of every bucket.
    pub(crate) fn inbox(&self, url: &str, mode: Mode, options: SqsOptions) -> SqsInbox {
        inbox(&self.clients, url, mode, options)
    }
}

pub(crate) fn inbox(clients: &AwsClients, url: &str, mode: Mode, options: SqsOptions) -> SqsInbox {
    let route = |_: &str, key: &str| key.ends_with(".txt").then(|| "invoices".to_owned());
    SqsInbox::new(clients.clone(), url, std::sync::Arc::new(route), mode, options)
}
