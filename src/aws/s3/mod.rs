//! S3 as an object store: the landing, the archive and the curated objects.

mod body;
mod info;
mod lifecycle;
mod list;
mod multipart;
mod pace;
mod put;
mod read;
mod refusal;
mod single;

use std::io::Read;

use sluicegate_state::Timestamp;

use super::client::AwsClients;
use super::failure::{failure, status};
use crate::failure::Outcome;
use crate::ports::object_store::{
    Announced, Fetched, Got, ObjectInfo, ObjectStore, PutAnswer, ReadSeek, Refusal,
};

pub use pace::Pace;

pub(super) use list::versioning as has_versions;

use info::{Head, Told, object_info};
use lifecycle::Lifecycle;
use refusal::{Answer, classify};

/// How objects are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct S3Options {
    /// An object above this size goes in parts; at most 100 MiB. S3 takes up to 5 GiB in one PUT, which is
    /// the simplest way for an object to appear whole or not at all.
    pub multipart_above: u64,
    /// The least size of a part; S3 wants 5 MiB or more, and at most 10,000 parts. Four of them are in memory.
    pub part_bytes: u64,
    /// How long the bytes of one request may take.
    pub pace: Pace,
}

impl Default for S3Options {
    fn default() -> Self {
        Self { multipart_above: 64 << 20, part_bytes: 8 << 20, pace: Pace::default() }
    }
}

/// Objects in a bucket: all of it, as customers fill it, or our own below a prefix.
pub struct S3Store {
    clients: AwsClients,
    bucket: String,
    /// In front of every key of ours; empty, or with a slash at its end.
    root: String,
    /// Whether customers write here: then versions and the lifecycle say something about documents.
    is_landing: bool,
    lifecycle: Lifecycle,
    options: S3Options,
}

impl S3Store {
    /// The bucket that customers fill; keys are full keys.
    pub fn landing(clients: AwsClients, bucket: impl Into<String>) -> Self {
        Self {
            clients,
            bucket: bucket.into(),
            root: String::new(),
            is_landing: true,
            lifecycle: Lifecycle::default(),
            options: S3Options::default(),
        }
    }

    /// A place of our own; keys are relative to `prefix`, and an empty one is the whole bucket.
    pub fn under(clients: AwsClients, bucket: impl Into<String>, prefix: &str) -> Self {
        let prefix = prefix.trim_end_matches('/');
        let root = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
        Self { root, is_landing: false, ..Self::landing(clients, bucket) }
    }

    /// The same store with other limits.
    #[must_use]
    pub fn with_options(mut self, options: S3Options) -> Self {
        self.options = options;
        self
    }

    fn s3(&self) -> &aws_sdk_s3::Client {
        self.clients.s3()
    }

    fn full(&self, key: &str) -> String {
        format!("{}{key}", self.root)
    }

    /// What is being done to which object, for messages.
    fn doing(&self, what: &str, full_key: &str) -> String {
        format!("{what} s3://{}/{full_key}", self.bucket)
    }

    /// What the store knows of an object of which an answer told this much.
    fn describe(&self, key: &str, told: Told<'_>) -> Outcome<ObjectInfo> {
        let mut info = object_info(&self.bucket, key, told)?;
        if info.expires_at.is_none() {
            info.expires_at = self.rule_takes_at(&self.full(key), info.size, info.last_modified);
        }
        Ok(info)
    }

    fn rule_takes_at(&self, full_key: &str, size: u64, last_modified: Timestamp) -> Option<Timestamp> {
        if !self.is_landing {
            return None;
        }
        self.lifecycle.expires_at(&self.clients, &self.bucket, full_key, size, last_modified)
    }

    /// HEAD, or `None` where there is no object.
    fn head_object(&self, full_key: &str) -> Outcome<Option<Head>> {
        let request = self.s3().head_object().bucket(&self.bucket).key(full_key);
        let error = match self.clients.block_on(request.send()) {
            Ok(head) => return Ok(Some(head)),
            Err(error) => error,
        };
        match status(&error) {
            // The answer to HEAD has no body, and so no error code: a bucket that is gone looks just the same.
            Some(404) => self.bucket_must_exist().map(|()| None),
            // A delete marker is the newest version.
            Some(405) => Ok(None),
            _ => Err(failure(&self.doing("looking at", full_key), &error)),
        }
    }

    fn bucket_must_exist(&self) -> Outcome<()> {
        let answer = self.clients.block_on(self.s3().head_bucket().bucket(&self.bucket).send());
        match answer {
            Err(error) if status(&error) == Some(404) => Err(crate::failure::Failure::transient(format!(
                "the bucket {} is not there: create it, or correct its name in the configuration",
                self.bucket
            ))),
            // Whoever may not look at the bucket itself may still read its objects.
            _ => Ok(()),
        }
    }
}

impl ObjectStore for S3Store {
    fn bucket(&self) -> &str {
        &self.bucket
    }

    fn location(&self) -> String {
        format!("s3://{}/{}", self.bucket, self.root).trim_end_matches('/').to_owned()
    }

    fn get_announced(&self, announced: &Announced<'_>) -> Outcome<Got> {
        let full_key = self.full(announced.key);
        match self.open(announced.key, announced.version_id, announced.etag) {
            Ok(fetched) => fetched.map(Got::Object),
            Err(error) => match classify(&error) {
                Answer::Refused(refusal) => Ok(Got::Refused(refusal)),
                Answer::Trouble => Err(failure(&self.doing("reading", &full_key), &error)),
            },
        }
    }

    fn get(&self, key: &str) -> Outcome<Option<Fetched>> {
        match self.open(key, None, "") {
            Ok(fetched) => fetched.map(Some),
            Err(error) => match classify(&error) {
                Answer::Refused(Refusal::NotFound | Refusal::DeleteMarker) => Ok(None),
                Answer::Refused(Refusal::Forbidden(_)) => {
                    let failure = failure(&self.doing("reading", &self.full(key)), &error);
                    Err(failure.while_doing("forbidden, or missing and s3:ListBucket not allowed"))
                }
                _ => Err(failure(&self.doing("reading", &self.full(key)), &error)),
            },
        }
    }

    fn get_range(&self, key: &str, offset: u64, length: u64) -> Outcome<Option<Box<dyn Read + Send>>> {
        Ok(Some(self.range(&self.full(key), offset, length)))
    }

    fn head(&self, key: &str) -> Outcome<Option<ObjectInfo>> {
        let full_key = self.full(key);
        match self.head_object(&full_key)? {
            Some(head) => self.describe(key, Told::by_head(&head)).map(Some),
            None => Ok(None),
        }
    }

    fn put_new(&self, key: &str, body: &mut dyn ReadSeek, size: u64, sha256: &str) -> Outcome<PutAnswer> {
        put::put_new(self, &self.full(key), body, size, sha256)
    }

    fn expires_at(&self, key: &str, size: u64, landed_at: Timestamp) -> Option<Timestamp> {
        self.rule_takes_at(&self.full(key), size, landed_at)
    }

    fn list(&self, prefix: &str, visit: &mut dyn FnMut(ObjectInfo) -> Outcome<()>) -> Outcome<()> {
        list::list(self, prefix, visit)
    }
}
