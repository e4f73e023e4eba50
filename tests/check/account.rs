//! An account that answers as a test says: sound, with everything allowed, unless it is told otherwise.

use std::collections::BTreeMap;
use std::path::Path;

use chrono::TimeDelta;
use sluicegate::check::{Finding, Inboxes, Level, Place, athena, crawler, landing, own_place, queue, topic};
use sluicegate::config::Location;
use sluicegate::job::Job;
use sluicegate::ports::account::{
    Account, Asked, BucketNotification, Caller, CrawlerFacts, Denial, EventTarget, LifecycleRule, Listed,
    Versioning, WorkGroupFacts,
};

pub(crate) const QUEUE: &str = "https://sqs.eu-west-1.amazonaws.com/111122223333/landed";
pub(crate) const QUEUE_ARN: &str = "arn:aws:sqs:eu-west-1:111122223333:landed";
pub(crate) const TOPIC: &str = "arn:aws:sns:eu-west-1:111122223333:landed";

/// What is there, and what is forbidden.
#[derive(Clone)]
pub(crate) struct MadeUp {
    /// A place and an action.
    pub(crate) forbidden: Option<(Place, &'static str)>,
    /// Refusals say which action they are about.
    pub(crate) is_talkative: bool,
    /// Keys in every bucket, relative to nothing.
    pub(crate) keys: Vec<String>,
    pub(crate) versioning: Versioning,
    pub(crate) landing_rules: Vec<LifecycleRule>,
    pub(crate) own_rules: Vec<LifecycleRule>,
    pub(crate) notifications: Vec<BucketNotification>,
    pub(crate) attributes: BTreeMap<String, String>,
    pub(crate) topic: BTreeMap<String, String>,
    pub(crate) crawler: CrawlerFacts,
    pub(crate) table_location: String,
    pub(crate) workgroup: WorkGroupFacts,
    /// A missing object is forbidden because the permission to list has a condition.
    pub(crate) hides_missing: bool,
}

pub(crate) fn rule(id: &str, prefix: &str) -> LifecycleRule {
    LifecycleRule { id: id.to_owned(), enabled: true, prefix: prefix.to_owned(), ..LifecycleRule::default() }
}

impl MadeUp {
    pub(crate) fn sound() -> Self {
        let policy = serde_json::json!({ "Statement": [{
            "Effect": "Allow", "Principal": { "Service": "sns.amazonaws.com" }, "Action": "sqs:SendMessage",
            "Resource": QUEUE_ARN, "Condition": { "ArnEquals": { "aws:SourceArn": TOPIC } },
        }] });
        let publishing = serde_json::json!({ "Statement": [{
            "Effect": "Allow", "Principal": { "Service": "s3.amazonaws.com" }, "Action": "SNS:Publish",
            "Resource": TOPIC, "Condition": { "ArnLike": { "aws:SourceArn": "arn:aws:s3:::landing" } },
        }] });
        let attributes = [
            ("QueueArn", QUEUE_ARN.to_owned()),
            ("MessageRetentionPeriod", "345600".to_owned()),
            ("MaximumMessageSize", "262144".to_owned()),
            ("ApproximateNumberOfMessages", "0".to_owned()),
            ("Policy", policy.to_string()),
        ];
        let tables = ["invoices_csv", "invoice_items_csv"].map(str::to_owned).to_vec();
        Self {
            forbidden: None,
            is_talkative: true,
            keys: vec!["in/1.txt".to_owned()],
            versioning: Versioning::Kept,
            landing_rules: vec![LifecycleRule {
                days: Some(1),
                noncurrent_days: Some(1),
                ..rule("daily", "in/")
            }],
            own_rules: vec![LifecycleRule { abort_days: Some(3), ..rule("leftovers", "") }],
            notifications: vec![BucketNotification {
                target: EventTarget::Topic(TOPIC.to_owned()),
                events: vec!["s3:ObjectCreated:*".to_owned()],
                prefix: "in/".to_owned(),
                suffix: String::new(),
            }],
            attributes: attributes.map(|(name, value)| (name.to_owned(), value)).into(),
            topic: [("SubscriptionsConfirmed", "1".to_owned()), ("Policy", publishing.to_string())]
                .map(|(name, value)| (name.to_owned(), value))
                .into(),
            crawler: CrawlerFacts {
                catalog_targets: vec![("books".to_owned(), tables)],
                delete_behavior: Some("LOG".to_owned()),
                configuration:
                    r#"{"CrawlerOutput":{"Partitions":{"AddOrUpdateBehavior":"InheritFromTable"}}}"#
                        .to_owned(),
                ..CrawlerFacts::default()
            },
            table_location: "s3://data/csv/".to_owned(),
            workgroup: WorkGroupFacts {
                enabled: true,
                output: Some("s3://results/athena/".to_owned()),
                ..WorkGroupFacts::default()
            },
            hides_missing: false,
        }
    }

    /// The place that a bucket is.
    fn place(bucket: &str) -> Place {
        match bucket {
            "landing" => Place::Landing,
            "originals" => Place::Archive,
            "data" => Place::Curated,
            "results" => Place::Results,
            other => panic!("nobody should ask for {other}"),
        }
    }

    fn is_forbidden(&self, place: Place, action: &str) -> bool {
        self.forbidden == Some((place, action))
    }

    fn denied<T>(&self, action: &str) -> Asked<T> {
        Asked::Denied(Denial::from_words(if self.is_talkative {
            format!(
                "AccessDenied (403), User: arn:aws:iam::1:user/me is not authorized to perform: {action} because no"
            )
        } else {
            "AccessDenied (403), Access Denied".to_owned()
        }))
    }

    fn answer<T>(&self, place: Place, action: &str, told: T) -> Asked<T> {
        if self.is_forbidden(place, action) { self.denied(action) } else { Asked::Told(told) }
    }

    /// Everything that `check` asks, in one list.
    pub(crate) fn findings(&self) -> Vec<Finding> {
        let job = job();
        let inboxes = Inboxes { queue: Some(QUEUE), topic: None, listens: false };
        let mut findings = landing(self, &job, &inboxes);
        findings.extend(own_place(self, Place::Archive, "originals", "", "invoices/dt=1970-01-01/x.tar.zst"));
        findings.extend(own_place(self, Place::Curated, "data", "csv", "invoices/dt=1970-01-01/x.csv"));
        findings.extend(queue(self, QUEUE));
        findings.extend(topic(self, TOPIC, &["landing"]));
        let glue = crawler::Glue {
            job: &job,
            crawler: "invoices",
            database: "books",
            curated: &Location::parse("s3://data/csv").unwrap(),
            last_success: Some("2024-05-06T10:00:00Z"),
        };
        findings.extend(crawler::crawler(self, &glue, "2024-05-06T10:00:00Z".parse().unwrap()));
        findings.extend(athena::athena(self, "finance", None));
        findings
    }

    /// Those that are not as they should be.
    pub(crate) fn troubles(&self) -> Vec<Finding> {
        self.findings().into_iter().filter(|finding| finding.level != Level::Ok).collect()
    }
}

/// The shipped job, hourly, in a bucket.
pub(crate) fn job() -> Job {
    let text = include_str!("../../jobs/invoices.toml");
    let environment = |name: &str| match name {
        "SLUICEGATE_LANDING" => Some("s3://landing/in".to_owned()),
        "SLUICEGATE_CRAWLER" => Some("invoices".to_owned()),
        "SLUICEGATE_WINDOW" => Some("0 0 * * * *".to_owned()),
        _ => None,
    };
    Job::parse(Path::new("jobs/invoices.toml"), text, &environment).unwrap()
}

impl Account for MadeUp {
    fn caller(&self) -> Caller {
        Caller { region: "eu-west-1".to_owned(), credentials: Ok(()) }
    }

    fn clock_ahead(&self) -> Option<TimeDelta> {
        None
    }

    fn list(&self, bucket: &str, _prefix: &str) -> Asked<Vec<Listed>> {
        let listed = |key: &String| Listed { key: key.clone(), version_id: None };
        self.answer(Self::place(bucket), "s3:ListBucket", self.keys.iter().map(listed).collect())
    }

    fn list_versions(&self, bucket: &str, _prefix: &str) -> Asked<Vec<Listed>> {
        let listed = |key: &String| Listed { key: key.clone(), version_id: Some("v".to_owned()) };
        self.answer(Self::place(bucket), "s3:ListBucketVersions", self.keys.iter().map(listed).collect())
    }

    /// As S3 does: what is missing is forbidden to whoever may not list.
    fn read(&self, bucket: &str, key: &str, version_id: Option<&str>) -> Asked<bool> {
        let place = Self::place(bucket);
        let (reading, listing) = match version_id {
            None => ("s3:GetObject", "s3:ListBucket"),
            Some(_) => ("s3:GetObjectVersion", "s3:ListBucketVersions"),
        };
        if self.is_forbidden(place, reading) {
            return self.denied(reading);
        }
        let is_there = self.keys.iter().any(|known| known == key);
        if !is_there && (self.is_forbidden(place, listing) || self.hides_missing) {
            return self.denied(listing);
        }
        Asked::Told(is_there)
    }

    fn write(&self, bucket: &str, _key: &str) -> Asked<()> {
        assert_ne!(bucket, "landing", "nothing is ever written there");
        self.answer(Self::place(bucket), "s3:PutObject", ())
    }

    fn abort(&self, bucket: &str, _key: &str) -> Asked<()> {
        self.answer(Self::place(bucket), "s3:AbortMultipartUpload", ())
    }

    fn location(&self, bucket: &str) -> Asked<()> {
        self.answer(Self::place(bucket), "s3:GetBucketLocation", ())
    }

    fn versioning(&self, bucket: &str) -> Asked<Versioning> {
        self.answer(Self::place(bucket), "s3:GetBucketVersioning", self.versioning)
    }

    fn lifecycle(&self, bucket: &str) -> Asked<Vec<LifecycleRule>> {
        let place = Self::place(bucket);
        let rules = if place == Place::Landing { &self.landing_rules } else { &self.own_rules };
        self.answer(place, "s3:GetLifecycleConfiguration", rules.clone())
    }

    fn notifications(&self, bucket: &str) -> Asked<Vec<BucketNotification>> {
        self.answer(Self::place(bucket), "s3:GetBucketNotification", self.notifications.clone())
    }

    fn queue(&self, url: &str) -> Asked<BTreeMap<String, String>> {
        assert_eq!(url, QUEUE);
        self.answer(Place::Queue, "sqs:GetQueueAttributes", self.attributes.clone())
    }

    fn topic(&self, arn: &str) -> Asked<BTreeMap<String, String>> {
        assert_eq!(arn, TOPIC);
        self.answer(Place::Topic, "sns:GetTopicAttributes", self.topic.clone())
    }

    fn receive(&self, _url: &str) -> Asked<()> {
        self.answer(Place::Queue, "sqs:ReceiveMessage", ())
    }

    fn delete_message(&self, _url: &str) -> Asked<()> {
        self.answer(Place::Queue, "sqs:DeleteMessage", ())
    }

    fn change_visibility(&self, _url: &str) -> Asked<()> {
        self.answer(Place::Queue, "sqs:ChangeMessageVisibility", ())
    }

    fn crawler(&self, _name: &str) -> Asked<CrawlerFacts> {
        self.answer(Place::Catalog, "glue:GetCrawler", self.crawler.clone())
    }

    fn crawls(&self, _name: &str) -> Asked<()> {
        self.answer(Place::Catalog, "glue:ListCrawls", ())
    }

    fn database(&self, _name: &str) -> Asked<()> {
        self.answer(Place::Catalog, "glue:GetDatabase", ())
    }

    fn table(&self, _database: &str, table: &str) -> Asked<Option<String>> {
        let name = table.trim_end_matches("_csv");
        self.answer(Place::Catalog, "glue:GetTable", Some(format!("{}{name}/", self.table_location)))
    }

    fn partitions(&self, _database: &str, _table: &str) -> Asked<()> {
        self.answer(Place::Catalog, "glue:GetPartitions", ())
    }

    fn workgroup(&self, _name: &str) -> Asked<WorkGroupFacts> {
        self.answer(Place::Athena, "athena:GetWorkGroup", self.workgroup.clone())
    }

    fn start_query(&self, _workgroup: &str, _output: Option<&str>) -> Asked<String> {
        self.answer(Place::Athena, "athena:StartQueryExecution", "id".to_owned())
    }

    fn query(&self, _id: &str) -> Asked<()> {
        self.answer(Place::Athena, "athena:GetQueryExecution", ())
    }

    fn query_results(&self, _id: &str) -> Asked<()> {
        self.answer(Place::Athena, "athena:GetQueryResults", ())
    }

    fn stop_query(&self, _id: &str) -> Asked<()> {
        self.answer(Place::Athena, "athena:StopQueryExecution", ())
    }
}
