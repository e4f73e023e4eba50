//! The policy of docs/iam.md, enforced: with all of it nothing is missing, and without one action just that one is named.

use std::collections::BTreeSet;

use aws_sdk_athena::types::{ResultConfiguration, WorkGroupConfiguration};
use aws_sdk_glue::types::{
    CatalogTarget, CrawlerTargets, DatabaseInput, DeleteBehavior, SchemaChangePolicy, StorageDescriptor,
    TableInput, UpdateBehavior,
};
use aws_sdk_s3::types::{
    AbortIncompleteMultipartUpload, BucketLifecycleConfiguration, BucketLocationConstraint,
    BucketVersioningStatus, CreateBucketConfiguration, Event, ExpirationStatus, LifecycleExpiration,
    LifecycleRule, LifecycleRuleFilter, NoncurrentVersionExpiration, NotificationConfiguration,
    QueueConfiguration, VersioningConfiguration,
};
use aws_sdk_sqs::types::QueueAttributeName;
use serde_json::{Value, json};
use sluicegate::aws::AwsClients;
use sluicegate::check::{Level, PERMISSIONS, Permission};

use crate::binary::{Checked, check};
use crate::emulator::{REGION, fresh_name};
use crate::iam_user::{User, endpoint, owner, role};
use crate::permissions::{NOT_TRIED, wanted};

/// Checks at a time.
const AT_ONCE: usize = 3;
const CONFIGURATION: &str =
    r#"{"Version":1.0,"CrawlerOutput":{"Partitions":{"AddOrUpdateBehavior":"InheritFromTable"}}}"#;

/// Everything that a job needs, made by the account's owner.
struct Deployment {
    endpoint: String,
    landing: String,
    archive: String,
    curated: String,
    results: String,
    queue: String,
    queue_arn: String,
    topic: String,
    crawler: String,
    database: String,
    workgroup: String,
}

impl Deployment {
    fn new() -> Option<Self> {
        let endpoint = endpoint()?;
        let clients = owner(&endpoint);
        let [landing, archive, curated, results] =
            ["landing", "archive", "curated", "results"].map(|what| bucket(&clients, what));
        let (queue, queue_arn) = queue_of(&clients, &landing);
        let deployment = Self {
            topic: topic_of(&clients, &landing),
            landing,
            archive,
            curated,
            results,
            queue,
            queue_arn,
            crawler: fresh_name("crawler"),
            database: fresh_name("books").replace('-', "_"),
            workgroup: fresh_name("group"),
            endpoint,
        };
        deployment.settings(&clients);
        deployment.catalog(&clients);
        deployment.workgroup(&clients);
        Some(deployment)
    }

    fn settings(&self, clients: &AwsClients) {
        let enabled = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled).build();
        let request = clients.s3().put_bucket_versioning().bucket(&self.landing);
        clients.block_on(request.versioning_configuration(enabled).send()).unwrap();
        let old = NoncurrentVersionExpiration::builder().noncurrent_days(1).build();
        let daily = LifecycleRule::builder()
            .id("daily")
            .filter(LifecycleRuleFilter::builder().prefix("in/").build())
            .expiration(LifecycleExpiration::builder().days(1).build())
            .noncurrent_version_expiration(old);
        put_rule(clients, &self.landing, daily);
        for bucket in [&self.archive, &self.curated] {
            let abort = AbortIncompleteMultipartUpload::builder().days_after_initiation(3).build();
            let filter = LifecycleRuleFilter::builder().prefix("").build();
            let clears = LifecycleRule::builder().id("leftovers").filter(filter);
            put_rule(clients, bucket, clears.abort_incomplete_multipart_upload(abort));
        }
        let wiring = QueueConfiguration::builder().queue_arn(&self.queue_arn);
        let wiring = wiring.events(Event::from("s3:ObjectCreated:*")).build().unwrap();
        let wiring = NotificationConfiguration::builder().queue_configurations(wiring).build();
        let request = clients.s3().put_bucket_notification_configuration().bucket(&self.landing);
        clients.block_on(request.notification_configuration(wiring).send()).unwrap();
    }

    fn catalog(&self, clients: &AwsClients) {
        let glue = clients.glue();
        let database = DatabaseInput::builder().name(&self.database).build().unwrap();
        clients.block_on(glue.create_database().database_input(database).send()).unwrap();
        let mut targets = CatalogTarget::builder().database_name(&self.database);
        for table in ["invoices", "invoice_items"] {
            let place = format!("s3://{}/csv/{table}/", self.curated);
            let storage = StorageDescriptor::builder().location(place).build();
            let input = TableInput::builder().name(format!("{table}_csv")).storage_descriptor(storage);
            let request = glue.create_table().database_name(&self.database);
            clients.block_on(request.table_input(input.build().unwrap()).send()).unwrap();
            targets = targets.tables(format!("{table}_csv"));
        }
        let targets = CrawlerTargets::builder().catalog_targets(targets.build().unwrap()).build();
        let logging = SchemaChangePolicy::builder().delete_behavior(DeleteBehavior::Log);
        let request = glue
            .create_crawler()
            .name(&self.crawler)
            .role(role(&self.endpoint))
            .database_name(&self.database)
            .targets(targets)
            .schema_change_policy(logging.update_behavior(UpdateBehavior::Log).build())
            .configuration(CONFIGURATION);
        clients.block_on(request.send()).unwrap();
    }

    fn workgroup(&self, clients: &AwsClients) {
        let place = format!("s3://{}/athena/", self.results);
        let results = ResultConfiguration::builder().output_location(place).build();
        let settings = WorkGroupConfiguration::builder().result_configuration(results).build();
        let request = clients.athena().create_work_group().name(&self.workgroup).configuration(settings);
        clients.block_on(request.send()).unwrap();
    }

    /// The page's policy with this deployment's names, without one action of one place.
    fn policy(&self, without: Option<Permission>) -> Value {
        let page = include_str!("../../docs/iam.md");
        let text = page.split("```json").nth(1).unwrap().split("```").next().unwrap();
        let mut text = text.to_owned();
        for (theirs, ours) in [
            ("arn:aws:sqs:eu-west-1:111122223333:landed", self.queue_arn.as_str()),
            ("arn:aws:sns:eu-west-1:111122223333:landed-events", &self.topic),
            ("111122223333", "000000000000"),
            ("my-landing", &self.landing),
            ("my-archive", &self.archive),
            ("my-curated", &self.curated),
            ("my-results", &self.results),
            ("crawler/invoices", &format!("crawler/{}", self.crawler)),
            ("database/books", &format!("database/{}", self.database)),
            ("table/books", &format!("table/{}", self.database)),
            ("workgroup/finance", &format!("workgroup/{}", self.workgroup)),
        ] {
            assert!(text.contains(theirs), "{theirs}");
            text = text.replace(theirs, ours);
        }
        let mut policy: Value = serde_json::from_str(&text).unwrap();
        for statement in policy["Statement"].as_array_mut().unwrap() {
            let place = statement["Sid"].clone();
            let is_kept = |action: &Value| {
                !without.is_some_and(|gone| place == gone.place.name() && *action == gone.action)
            };
            statement["Action"].as_array_mut().unwrap().retain(is_kept);
            // The stand-in takes the name of a crawler for that of a table, and knows no statement's workgroup.
            if place == "Catalog" || place == "Athena" {
                statement["Resource"] = json!("*");
            }
        }
        // A statement about no action is no statement.
        let statements = policy["Statement"].as_array_mut().unwrap();
        statements.retain(|statement| !statement["Action"].as_array().unwrap().is_empty());
        policy
    }

    fn check(&self, without: Option<Permission>) -> Checked {
        let user = User::with(&self.endpoint, &self.policy(without));
        check(&[
            ("AWS_ENDPOINT_URL", self.endpoint.clone()),
            ("AWS_REGION", REGION.to_owned()),
            ("AWS_ACCESS_KEY_ID", user.key),
            ("AWS_SECRET_ACCESS_KEY", user.secret),
            ("SLUICEGATE_LANDING", format!("s3://{}/in", self.landing)),
            ("SLUICEGATE_ARCHIVE", format!("s3://{}/originals", self.archive)),
            ("SLUICEGATE_CURATED", format!("s3://{}/csv", self.curated)),
            ("SLUICEGATE_QUEUE", self.queue.clone()),
            ("SLUICEGATE_TOPIC", self.topic.clone()),
            ("SLUICEGATE_CRAWLER", self.crawler.clone()),
            ("SLUICEGATE_DATABASE", self.database.clone()),
            ("SLUICEGATE_WORKGROUP", self.workgroup.clone()),
            ("SLUICEGATE_ATHENA_OUTPUT", format!("s3://{}/athena", self.results)),
            ("SLUICEGATE_WINDOW", "0 0 * * * *".to_owned()),
        ])
    }

    fn upload(&self, clients: &AwsClients, bucket: &str, key: &str) {
        let body = aws_sdk_s3::primitives::ByteStream::from_static(b"x");
        clients.block_on(clients.s3().put_object().bucket(bucket).key(key).body(body).send()).unwrap();
    }

    /// Of the landing and of our own places. The place of results is left out: without a SQL engine the stand-in lets
    /// every statement succeed.
    fn keys(&self, clients: &AwsClients) -> Vec<String> {
        let mut keys = Vec::new();
        for bucket in [&self.landing, &self.archive, &self.curated] {
            let page = clients.block_on(clients.s3().list_objects_v2().bucket(bucket).send()).unwrap();
            keys.extend(page.contents().iter().map(|object| object.key().unwrap().to_owned()));
            let uploads = clients.s3().list_multipart_uploads().bucket(bucket).send();
            assert!(clients.block_on(uploads).unwrap().uploads().is_empty());
        }
        keys
    }
}

fn bucket(clients: &AwsClients, what: &str) -> String {
    let name = fresh_name(what);
    let place = BucketLocationConstraint::from(REGION);
    let configuration = CreateBucketConfiguration::builder().location_constraint(place).build();
    let request = clients.s3().create_bucket().bucket(&name).create_bucket_configuration(configuration);
    clients.block_on(request.send()).unwrap();
    name
}

fn put_rule(clients: &AwsClients, bucket: &str, rule: aws_sdk_s3::types::builders::LifecycleRuleBuilder) {
    let rule = rule.status(ExpirationStatus::Enabled).build().unwrap();
    let rules = BucketLifecycleConfiguration::builder().rules(rule).build().unwrap();
    let request = clients.s3().put_bucket_lifecycle_configuration().bucket(bucket);
    clients.block_on(request.lifecycle_configuration(rules).send()).unwrap();
}

/// A queue that the bucket may send to: its URL and its ARN.
fn queue_of(clients: &AwsClients, bucket: &str) -> (String, String) {
    let name = fresh_name("queue");
    let url = clients.block_on(clients.sqs().create_queue().queue_name(&name).send()).unwrap();
    let url = url.queue_url.unwrap();
    let request = clients.sqs().get_queue_attributes().queue_url(&url);
    let attributes = clients.block_on(request.attribute_names(QueueAttributeName::QueueArn).send()).unwrap();
    let arn = attributes.attributes.unwrap()[&QueueAttributeName::QueueArn].clone();
    let policy = json!({ "Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Principal": { "Service": "s3.amazonaws.com" }, "Action": "sqs:SendMessage",
        "Resource": arn, "Condition": { "ArnLike": { "aws:SourceArn": format!("arn:aws:s3:::{bucket}") } },
    }] });
    let request = clients.sqs().set_queue_attributes().queue_url(&url);
    let request = request.attributes(QueueAttributeName::Policy, policy.to_string());
    clients.block_on(request.send()).unwrap();
    (url, arn)
}

/// A topic that the bucket may publish to.
fn topic_of(clients: &AwsClients, bucket: &str) -> String {
    let answer = clients.block_on(clients.sns().create_topic().name(fresh_name("topic")).send()).unwrap();
    let arn = answer.topic_arn.unwrap();
    let policy = json!({ "Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Principal": { "Service": "s3.amazonaws.com" }, "Action": "sns:Publish",
        "Resource": arn, "Condition": { "ArnLike": { "aws:SourceArn": format!("arn:aws:s3:::{bucket}") } },
    }] });
    let request = clients.sns().set_topic_attributes().topic_arn(&arn).attribute_name("Policy");
    clients.block_on(request.attribute_value(policy.to_string()).send()).unwrap();
    arn
}

/// What is missing, apart from what is printed because it is not tried.
fn missing(checked: &Checked) -> BTreeSet<String> {
    let tried = checked.findings.iter().filter(|finding| !finding.found.starts_with("not tried"));
    wanted(&tried.cloned().collect::<Vec<_>>())
}

fn each_missing_permission_is_named_alone(deployment: &Deployment) {
    let sound = deployment.check(None);
    assert_eq!(missing(&sound), BTreeSet::new(), "{:#?}", sound.troubles());
    assert_eq!(sound.status, Some(0), "{:#?}", sound.troubles());
    let tried = PERMISSIONS.iter().filter(|permission| !NOT_TRIED.contains(&permission.action));
    let tried: Vec<&Permission> = tried.collect();
    std::thread::scope(|scope| {
        for part in tried.chunks(tried.len().div_ceil(AT_ONCE)) {
            scope.spawn(move || {
                for permission in part {
                    let checked = deployment.check(Some(**permission));
                    let troubles = checked.troubles();
                    assert_eq!(missing(&checked), [permission.action.to_owned()].into(), "{troubles:#?}");
                    let expected = i32::from(permission.is_needed);
                    assert_eq!(checked.status, Some(expected), "{permission:?}: {troubles:#?}");
                }
            });
        }
    });
}

#[test]
fn each_permission_in_turn_is_taken_away() {
    let Some(deployment) = Deployment::new() else { return };
    let clients = owner(&deployment.endpoint);
    each_missing_permission_is_named_alone(&deployment);
    assert_eq!(deployment.keys(&clients), [] as [&str; 0], "nothing was written, and nothing begun");
    let keys = ["in/1.txt", "originals/a", "csv/invoices/b"];
    let buckets = [&deployment.landing, &deployment.archive, &deployment.curated];
    for (bucket, key) in buckets.into_iter().zip(keys) {
        deployment.upload(&clients, bucket, key);
    }
    each_missing_permission_is_named_alone(&deployment);
    assert_eq!(deployment.keys(&clients), keys);
    let request = clients.sqs().get_queue_attributes().queue_url(&deployment.queue);
    let name = QueueAttributeName::ApproximateNumberOfMessages;
    let attributes =
        clients.block_on(request.attribute_names(name.clone()).send()).unwrap().attributes.unwrap();
    assert_ne!(attributes[&name], "0", "the announcement is there still, for everybody to see");
}

#[test]
fn nobody_in_particular_may_do_nothing() {
    let Some(deployment) = Deployment::new() else { return };
    let nothing = json!({ "Version": "2012-10-17", "Statement": [
        { "Effect": "Deny", "Action": "*", "Resource": "*" },
    ] });
    let user = User::with(&deployment.endpoint, &nothing);
    let checked = check(&[
        ("AWS_ENDPOINT_URL", deployment.endpoint.clone()),
        ("AWS_REGION", REGION.to_owned()),
        ("AWS_ACCESS_KEY_ID", user.key),
        ("AWS_SECRET_ACCESS_KEY", user.secret),
        ("SLUICEGATE_LANDING", format!("s3://{}/in", deployment.landing)),
        ("SLUICEGATE_QUEUE", deployment.queue.clone()),
    ]);
    assert_eq!(checked.status, Some(1));
    assert_eq!(
        checked.level("landing of invoices: listing"),
        Some(Level::Wrong),
        "{:#?}",
        checked.troubles()
    );
    let listing =
        checked.findings.iter().find(|finding| finding.what == "landing of invoices: listing").unwrap();
    assert!(listing.todo.starts_with("remove the explicit deny"), "{listing:?}");
}
