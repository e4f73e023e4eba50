//! How the landing bucket says that something landed.

use super::finding::Report;
use crate::job::Job;
use crate::ports::account::{BucketNotification, EventTarget, Listed};

/// How documents come into being in a bucket (S3 user guide, supported event types).
const CREATED: [&str; 4] = [
    "s3:ObjectCreated:Put",
    "s3:ObjectCreated:Post",
    "s3:ObjectCreated:Copy",
    "s3:ObjectCreated:CompleteMultipartUpload",
];
const PART: &str = "notifications";

/// Where the events should go.
pub(super) struct Wanted<'a> {
    /// Our queue's ARN, where there is a queue.
    pub(super) queue: Option<&'a str>,
    /// The topic that the configuration names.
    pub(super) topic: Option<&'a str>,
}

/// Looks for a notification of everything that the job takes. Returns the targets that could bring it.
pub(super) fn of_landing(
    report: &mut Report,
    notifications: &[BucketNotification],
    job: &Job,
    root: &str,
    wanted: &Wanted<'_>,
    listed: &[Listed],
) -> Vec<EventTarget> {
    let fitting: Vec<&BucketNotification> = notifications
        .iter()
        .filter(|notification| leads_to_us(&notification.target, wanted))
        .filter(|notification| overlaps(notification, root))
        .collect();
    if fitting.is_empty() {
        let found = match notifications.len() {
            0 => "the bucket notifies nobody".to_owned(),
            count => format!("none of the bucket's {count} notifications leads here from s3://…/{root}"),
        };
        report.wrong(PART, found, suggestion(wanted, root));
        return Vec::new();
    }
    let told =
        |event: &str| fitting.iter().any(|one| one.target == EventTarget::EventBridge || tells(one, event));
    let missing: Vec<&str> = CREATED.into_iter().filter(|event| !told(event)).collect();
    let unheard = listed
        .iter()
        .filter(|object| job.matches(job.landing.bucket(), &object.key))
        .find(|object| !fitting.iter().any(|one| covers_key(one, &object.key)));
    if !missing.is_empty() {
        let found = format!("nobody is told of {}", missing.join(", "));
        report.wrong(PART, found, "let the notification have the event s3:ObjectCreated:*");
    } else if let Some(object) = unheard {
        let found = format!("no notification's filter fits the document {}", object.key);
        report.wrong(PART, found, "widen the filter's prefix and suffix, or take them away");
    } else if let Some(narrow) = narrow_suffix(&fitting, job, root) {
        report.wrong(PART, narrow, "widen the filter's suffix, or take it away");
    } else {
        report.ok(PART, fitting.iter().map(|one| in_words(&one.target)).collect::<Vec<_>>().join(", "));
    }
    fitting.into_iter().map(|notification| notification.target.clone()).collect()
}

fn leads_to_us(target: &EventTarget, wanted: &Wanted<'_>) -> bool {
    match target {
        EventTarget::Queue(arn) => wanted.queue == Some(arn.as_str()),
        // Any topic can feed the queue; the configured one is only the one that may post to us.
        EventTarget::Topic(arn) => wanted.queue.is_some() || wanted.topic.is_none_or(|topic| topic == arn),
        EventTarget::EventBridge => true,
        EventTarget::Other(_) => false,
    }
}

fn overlaps(notification: &BucketNotification, root: &str) -> bool {
    root.starts_with(&notification.prefix) || notification.prefix.starts_with(root)
}

fn tells(notification: &BucketNotification, event: &str) -> bool {
    let is_it =
        |one: &String| one == event || one.strip_suffix('*').is_some_and(|start| event.starts_with(start));
    notification.events.iter().any(is_it)
}

fn covers_key(notification: &BucketNotification, key: &str) -> bool {
    key.starts_with(&notification.prefix) && key.ends_with(&notification.suffix)
}

/// A filter for names that the job does not take, or for one of several endings that it takes.
fn narrow_suffix(fitting: &[&BucketNotification], job: &Job, root: &str) -> Option<String> {
    let takes = |key: &str| job.matches(job.landing.bucket(), key);
    let is_open = |one: &&&BucketNotification| one.suffix.is_empty();
    if fitting.iter().any(|one| is_open(&one) && root.starts_with(&one.prefix)) {
        return None;
    }
    if let Some(below) = fitting.iter().find(|one| !root.starts_with(&one.prefix)) {
        return Some(format!("only keys under {} are told of", below.prefix));
    }
    let mut endings: Vec<String> = fitting.iter().map(|one| one.suffix.clone()).collect();
    endings.extend(["", ".txt", ".csv", ".json", ".xml"].map(str::to_owned));
    let compressed: Vec<String> = endings.iter().map(|ending| format!("{ending}.gz")).collect();
    let unheard = endings.iter().chain(&compressed).map(|ending| format!("{root}a{ending}"));
    let unheard =
        unheard.filter(|key| takes(key)).find(|key| !fitting.iter().any(|one| covers_key(one, key)))?;
    Some(format!("the job takes keys such as {unheard}, and the filter's suffix leaves them out"))
}

fn in_words(target: &EventTarget) -> String {
    match target {
        EventTarget::Topic(arn) => format!("to the topic {arn}"),
        EventTarget::Queue(arn) => format!("to the queue {arn}"),
        EventTarget::Other(arn) => format!("to {arn}"),
        EventTarget::EventBridge => "to EventBridge, whose rules are not looked at".to_owned(),
    }
}

/// The notification to add; what is there already has to stay in what is put.
fn suggestion(wanted: &Wanted<'_>, root: &str) -> String {
    let filter = serde_json::json!({ "Key": { "FilterRules": [{ "Name": "prefix", "Value": root }] } });
    let mut notification = serde_json::json!({ "Events": ["s3:ObjectCreated:*"] });
    if !root.is_empty() {
        notification["Filter"] = filter;
    }
    let kind = match (wanted.topic, wanted.queue) {
        (Some(topic), _) => {
            notification["TopicArn"] = topic.into();
            "TopicConfigurations"
        }
        (None, queue) => {
            notification["QueueArn"] = queue.unwrap_or("the queue's ARN").into();
            "QueueConfigurations"
        }
    };
    format!(
        "aws s3api put-bucket-notification-configuration, with what is there already and, in {kind}: {notification}"
    )
}
