//! The account's side of `check`: small questions to S3, SQS, SNS, Glue and Athena that change nothing and cost nothing.

mod asked;
mod athena;
mod glue;
mod rules;
mod s3;
mod sns;
mod sqs;

use std::collections::BTreeMap;
use std::sync::{Mutex, OnceLock, PoisonError};

use chrono::TimeDelta;

use super::client::AwsClients;
use crate::failure::Outcome;
use crate::ports::account::{
    Account, Asked, BucketNotification, Caller, CrawlerFacts, LifecycleRule, Listed, Versioning,
    WorkGroupFacts,
};

/// The account whose credentials and region the environment says.
pub struct AwsAccount {
    clients: AwsClients,
    caller: OnceLock<Caller>,
    /// How far AWS's clock is ahead, as the closest answer says.
    ahead: Mutex<Option<TimeDelta>>,
}

impl AwsAccount {
    /// With clients that wait about ten seconds for an answer, retries included.
    ///
    /// # Errors
    /// Permanent when no region is set anywhere.
    pub fn from_environment() -> Outcome<Self> {
        AwsClients::for_questions().map(Self::new)
    }

    /// With these clients.
    pub fn new(clients: AwsClients) -> Self {
        Self { clients, caller: OnceLock::new(), ahead: Mutex::default() }
    }

    fn note_clock(&self, ahead: TimeDelta) {
        // A panic elsewhere leaves the difference as it was.
        let mut known = self.ahead.lock().unwrap_or_else(PoisonError::into_inner);
        if known.is_none_or(|known| ahead.abs() < known.abs()) {
            *known = Some(ahead);
        }
    }
}

impl Account for AwsAccount {
    fn caller(&self) -> Caller {
        let find = || Caller {
            region: self.clients.region().to_owned(),
            credentials: self.clients.find_credentials(),
        };
        self.caller.get_or_init(find).clone()
    }

    fn clock_ahead(&self) -> Option<TimeDelta> {
        *self.ahead.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn list(&self, bucket: &str, prefix: &str) -> Asked<Vec<Listed>> {
        self.list_objects(bucket, prefix)
    }

    fn list_versions(&self, bucket: &str, prefix: &str) -> Asked<Vec<Listed>> {
        self.list_object_versions(bucket, prefix)
    }

    fn read(&self, bucket: &str, key: &str, version_id: Option<&str>) -> Asked<bool> {
        self.get_object(bucket, key, version_id)
    }

    fn write(&self, bucket: &str, key: &str) -> Asked<()> {
        self.complete_nothing(bucket, key)
    }

    fn abort(&self, bucket: &str, key: &str) -> Asked<()> {
        self.abort_nothing(bucket, key)
    }

    fn location(&self, bucket: &str) -> Asked<()> {
        self.bucket_location(bucket)
    }

    fn versioning(&self, bucket: &str) -> Asked<Versioning> {
        self.bucket_versioning(bucket)
    }

    fn lifecycle(&self, bucket: &str) -> Asked<Vec<LifecycleRule>> {
        self.bucket_lifecycle(bucket)
    }

    fn notifications(&self, bucket: &str) -> Asked<Vec<BucketNotification>> {
        self.bucket_notifications(bucket)
    }

    fn queue(&self, url: &str) -> Asked<BTreeMap<String, String>> {
        self.queue_attributes(url)
    }

    fn topic(&self, arn: &str) -> Asked<BTreeMap<String, String>> {
        self.topic_attributes(arn)
    }

    fn receive(&self, url: &str) -> Asked<()> {
        self.receive_and_leave(url)
    }

    fn delete_message(&self, url: &str) -> Asked<()> {
        self.delete_nothing(url)
    }

    fn change_visibility(&self, url: &str) -> Asked<()> {
        self.show_nothing(url)
    }

    fn crawler(&self, name: &str) -> Asked<CrawlerFacts> {
        self.get_crawler(name)
    }

    fn crawls(&self, name: &str) -> Asked<()> {
        self.list_crawls(name)
    }

    fn database(&self, name: &str) -> Asked<()> {
        self.get_database(name)
    }

    fn table(&self, database: &str, table: &str) -> Asked<Option<String>> {
        self.get_table(database, table)
    }

    fn partitions(&self, database: &str, table: &str) -> Asked<()> {
        self.get_partitions(database, table)
    }

    fn workgroup(&self, name: &str) -> Asked<WorkGroupFacts> {
        self.get_workgroup(name)
    }

    fn start_query(&self, workgroup: &str, output: Option<&str>) -> Asked<String> {
        self.start_nothing(workgroup, output)
    }

    fn query(&self, id: &str) -> Asked<()> {
        self.get_execution(id)
    }

    fn query_results(&self, id: &str) -> Asked<()> {
        self.get_results(id)
    }

    fn stop_query(&self, id: &str) -> Asked<()> {
        self.stop_execution(id)
    }
}
