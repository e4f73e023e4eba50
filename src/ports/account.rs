//! The account that a job runs in, as far as `check` asks about it: every question is harmless, and each answer says
//! whether it was forbidden, so that a missing permission can be named.
//!
//! Nothing here writes, deletes or starts anything that costs. Where a permission to write is asked for, the request is
//! one that can only fail: the way in which it fails says whether it was allowed.

use std::collections::BTreeMap;

use chrono::TimeDelta;

/// The answer to one question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked<T> {
    /// It is allowed, and this is the answer.
    Told(T),
    /// It is not allowed.
    Denied(Denial),
    /// It is allowed, but the thing asked about is not there: the service's words.
    Absent(String),
    /// This service does not know the question, as some that only look like AWS.
    Unknown(String),
    /// No answer, or one that says nothing about permissions: what was met.
    Silent(String),
}

impl<T> Asked<T> {
    /// What was told, if anything was.
    pub fn into_told(self) -> Option<T> {
        match self {
            Self::Told(told) => Some(told),
            _ => None,
        }
    }
}

/// A refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial {
    /// The service's own words; never a secret.
    pub words: String,
    /// The action that the words name, such as `s3:GetObject`; it need not be the one that was tried.
    pub action: Option<String>,
    /// The resource that the words name.
    pub resource: Option<String>,
}

impl Denial {
    /// Reads the action and the resource out of the service's words: "… is not authorized to perform: ACTION on resource:
    /// ARN because …" (IAM user guide, access denied messages).
    pub fn from_words(words: impl Into<String>) -> Self {
        let words = words.into();
        let after = |mark: &str| {
            let (_, rest) = words.split_once(mark)?;
            let word = rest.split_whitespace().next()?.trim_matches(['"', '\'', '.', ',']);
            word.contains(':').then(|| word.to_owned())
        };
        let action = after("authorized to perform: ");
        let resource = after("on resource: ");
        Self { words, action, resource }
    }
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The region that everything is asked in.
    pub region: String,
    /// Whether credentials were found; the words say why not.
    pub credentials: Result<(), String>,
}

/// Whether a bucket keeps versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Versioning {
    /// It does, or once did.
    Kept,
    /// It never did.
    Never,
}

/// One rule of a bucket's lifecycle.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LifecycleRule {
    /// Its name.
    pub id: String,
    /// Whether it is in force.
    pub enabled: bool,
    /// The keys it concerns; empty for all.
    pub prefix: String,
    /// It also asks for tags or sizes, so it concerns only some of the objects.
    pub is_partial: bool,
    /// It removes objects after so many days.
    pub days: Option<i64>,
    /// It removes objects from this date on, RFC 3339.
    pub date: Option<String>,
    /// It removes old versions after so many days.
    pub noncurrent_days: Option<i64>,
    /// It clears up unfinished uploads after so many days.
    pub abort_days: Option<i64>,
    /// A storage class from which objects cannot be read at once.
    pub cold: Option<String>,
}

/// Where a bucket sends its events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventTarget {
    /// An SNS topic's ARN.
    Topic(String),
    /// An SQS queue's ARN.
    Queue(String),
    /// Something else's ARN.
    Other(String),
    /// EventBridge, which gets every event.
    EventBridge,
}

/// One notification of a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketNotification {
    /// Where to.
    pub target: EventTarget,
    /// Such as `s3:ObjectCreated:*`.
    pub events: Vec<String>,
    /// Decoded; empty for all keys.
    pub prefix: String,
    /// Decoded; empty for all keys.
    pub suffix: String,
}

/// A crawler as Glue describes it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CrawlerFacts {
    /// Its own schedule, where it is switched on.
    pub schedule: Option<String>,
    /// Locations of its S3 targets.
    pub s3_targets: Vec<String>,
    /// Database and tables of its catalog targets.
    pub catalog_targets: Vec<(String, Vec<String>)>,
    /// It has targets of another kind.
    pub has_other_targets: bool,
    /// LOG, DELETE_FROM_DATABASE or DEPRECATE_IN_DATABASE.
    pub delete_behavior: Option<String>,
    /// Its configuration, JSON.
    pub configuration: String,
    /// How its last crawl ended; none if there was none.
    pub last_crawl: Option<String>,
}

/// A workgroup as Athena describes it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WorkGroupFacts {
    /// It takes queries.
    pub enabled: bool,
    /// Where it writes results, where it says so.
    pub output: Option<String>,
    /// Its settings win over the client's.
    pub enforced: bool,
    /// Athena keeps the results itself.
    pub managed_results: bool,
}

/// An object that a listing names: its key and, where versions are listed, its version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Decoded key.
    pub key: String,
    /// The version's id.
    pub version_id: Option<String>,
}

/// The questions. Each ends in about ten seconds, whatever happens.
pub trait Account: Send + Sync {
    /// Who asks, and where.
    fn caller(&self) -> Caller;

    /// How far AWS's clock is ahead of ours, by the answers until now; none while there was no answer that said the time.
    fn clock_ahead(&self) -> Option<TimeDelta>;

    /// The first keys under a prefix, at most a thousand.
    fn list(&self, bucket: &str, prefix: &str) -> Asked<Vec<Listed>>;

    /// The same with versions.
    fn list_versions(&self, bucket: &str, prefix: &str) -> Asked<Vec<Listed>>;

    /// Whether an object is there: reads its first byte.
    fn read(&self, bucket: &str, key: &str, version_id: Option<&str>) -> Asked<bool>;

    /// Whether an object could be put there: completes an upload that does not exist.
    fn write(&self, bucket: &str, key: &str) -> Asked<()>;

    /// Whether an upload could be given up: gives up one that does not exist.
    fn abort(&self, bucket: &str, key: &str) -> Asked<()>;

    /// Where the bucket is.
    fn location(&self, bucket: &str) -> Asked<()>;

    /// Whether the bucket keeps versions.
    fn versioning(&self, bucket: &str) -> Asked<Versioning>;

    /// The bucket's lifecycle; empty where it has none.
    fn lifecycle(&self, bucket: &str) -> Asked<Vec<LifecycleRule>>;

    /// The bucket's notifications.
    fn notifications(&self, bucket: &str) -> Asked<Vec<BucketNotification>>;

    /// A queue's attributes by their names in the SQS API.
    fn queue(&self, url: &str) -> Asked<BTreeMap<String, String>>;

    /// A topic's attributes by their names in the SNS API.
    fn topic(&self, arn: &str) -> Asked<BTreeMap<String, String>>;

    /// Whether messages may be received: asks for one and leaves it visible.
    fn receive(&self, url: &str) -> Asked<()>;

    /// Whether messages may be deleted: deletes one that does not exist.
    fn delete_message(&self, url: &str) -> Asked<()>;

    /// Whether messages may be hidden and shown: tries one that does not exist.
    fn change_visibility(&self, url: &str) -> Asked<()>;

    /// A crawler.
    fn crawler(&self, name: &str) -> Asked<CrawlerFacts>;

    /// Whether the crawler's history may be read.
    fn crawls(&self, name: &str) -> Asked<()>;

    /// Whether the Glue database is there.
    fn database(&self, name: &str) -> Asked<()>;

    /// Whether a Glue table is there; its location.
    fn table(&self, database: &str, table: &str) -> Asked<Option<String>>;

    /// Whether a table's partitions may be read.
    fn partitions(&self, database: &str, table: &str) -> Asked<()>;

    /// A workgroup.
    fn workgroup(&self, name: &str) -> Asked<WorkGroupFacts>;

    /// Starts a statement that fails at once, costs nothing and writes nothing; its id.
    fn start_query(&self, workgroup: &str, output: Option<&str>) -> Asked<String>;

    /// Whether a statement may be looked at.
    fn query(&self, id: &str) -> Asked<()>;

    /// Whether a statement's results may be read.
    fn query_results(&self, id: &str) -> Asked<()>;

    /// Whether a statement may be stopped; one that has ended is left as it is.
    fn stop_query(&self, id: &str) -> Asked<()>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_name_the_action_and_the_resource() {
        let denial = Denial::from_words(
            "AccessDenied (403), User: arn:aws:sts::1:assumed-role/r/i is not authorized to perform: s3:ListBucket \
             on resource: \"arn:aws:s3:::b\" because no identity-based policy allows the s3:ListBucket action",
        );
        assert_eq!(denial.action.as_deref(), Some("s3:ListBucket"));
        assert_eq!(denial.resource.as_deref(), Some("arn:aws:s3:::b"));
        let silent = Denial::from_words("AccessDenied (403), Access Denied");
        assert_eq!((silent.action, silent.resource), (None, None));
    }
}
