//! The queue: its settings, and what may be done with its messages.

use std::collections::BTreeMap;

use serde_json::Value;

use super::finding::{Finding, Report, Silence};
use super::lifecycle::Life;
use super::permission::{Place, permission};
use super::policy::{self, allows};
use super::{arn, finding};
use crate::ports::account::{Account, EventTarget};

/// An event of S3 has at most 64 KB (S3 user guide, event message structure).
const EVENT_BYTES: i64 = 64 << 10;
/// Fewer receives than this, and an outage of an hour's length could move messages away.
const FEW_RECEIVES: i64 = 10;
/// What SQS gives a queue of which nothing is said: four days; and the most it takes: fourteen.
const LONGEST_RETENTION: i64 = 14 * 86_400;
const NO_QUEUE: &str = "create the queue, or correct SLUICEGATE_QUEUE";

/// How long a queue keeps messages, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Retention(i64);

impl Retention {
    pub(super) fn of(attributes: &BTreeMap<String, String>) -> Option<Self> {
        number(attributes, "MessageRetentionPeriod").map(Self)
    }
}

fn number(attributes: &BTreeMap<String, String>, name: &str) -> Option<i64> {
    attributes.get(name)?.parse().ok()
}

/// The queue itself.
pub fn queue(account: &dyn Account, url: &str) -> Vec<Finding> {
    let mut report = Report::new("queue");
    // A silent service has been reported, and everything else would be silent too.
    let _ = look(&mut report, account, url);
    report.into_findings()
}

fn look(report: &mut Report, account: &dyn Account, url: &str) -> Result<(), Silence> {
    let region = account.caller().region;
    let resource = arn::queue(&region, url);
    if let Some(other) = arn::region_of_queue_url(url).filter(|other| *other != region) {
        let found = format!("the queue is in {other}, and requests are signed for {region}");
        report.wrong("region", found, format!("export AWS_REGION={other}"));
    }
    let of = |action: &str| permission(Place::Queue, action);
    let asked = account.queue(url);
    let attributes = report.told("settings", asked, of("sqs:GetQueueAttributes"), &resource, NO_QUEUE)?;
    let mut moves_soon = false;
    if let Some(attributes) = &attributes {
        settings(report, url, attributes);
        moves_soon = receives_before_moved(attributes).is_some_and(|count| count < FEW_RECEIVES);
    }
    if moves_soon {
        let found = "not tried: each receive brings a message nearer to the dead-letter queue";
        report.note("receiving", found, "set a larger maxReceiveCount, then run check again");
    } else {
        let asked = account.receive(url);
        if report.told("receiving", asked, of("sqs:ReceiveMessage"), &resource, NO_QUEUE)?.is_some() {
            report.ok("receiving", "allowed; nothing was taken");
        }
    }
    let asked = account.delete_message(url);
    if report.told("deleting", asked, of("sqs:DeleteMessage"), &resource, NO_QUEUE)?.is_some() {
        report.ok("deleting", "allowed; nothing was deleted");
    }
    let asked = account.change_visibility(url);
    if report.told("giving back", asked, of("sqs:ChangeMessageVisibility"), &resource, NO_QUEUE)?.is_some() {
        report.ok("giving back", "allowed; nothing was changed");
    }
    Ok(())
}

fn receives_before_moved(attributes: &BTreeMap<String, String>) -> Option<i64> {
    let policy: Value = serde_json::from_str(attributes.get("RedrivePolicy")?).ok()?;
    let count = policy.get("maxReceiveCount")?;
    count.as_i64().or_else(|| count.as_str()?.parse().ok())
}

fn settings(report: &mut Report, url: &str, attributes: &BTreeMap<String, String>) {
    let set = |name: &str, value: &str| {
        format!("aws sqs set-queue-attributes --queue-url {url} --attributes {name}={value}")
    };
    if attributes.get("FifoQueue").is_some_and(|is_fifo| is_fifo == "true") || url.ends_with(".fifo") {
        let found = "it is a FIFO queue, and neither S3 nor SNS's standard topics send to one";
        report.wrong("settings", found, "make a standard queue, and set SLUICEGATE_QUEUE to it");
        return;
    }
    if let Some(bytes) = number(attributes, "MaximumMessageSize").filter(|bytes| *bytes < EVENT_BYTES) {
        let found = format!("messages above {bytes} bytes are refused, and an event has up to {EVENT_BYTES}");
        report.wrong("settings", found, set("MaximumMessageSize", "262144"));
    }
    if let Some(count) = receives_before_moved(attributes).filter(|count| *count < FEW_RECEIVES) {
        let found = format!("after {count} receives a message goes to the dead-letter queue, read or not");
        report.note("settings", found, "let maxReceiveCount be 10 or more in the RedrivePolicy");
    }
    let waiting = attributes.get("ApproximateNumberOfMessages").map_or("?", String::as_str);
    report.ok("settings", format!("{url}: a standard queue, about {waiting} messages waiting"));
}

/// Whether messages live as long as the documents that they tell of.
pub(super) fn lasts(report: &mut Report, Retention(seconds): Retention, life: Option<Life>) {
    const PART: &str = "how long the queue remembers";
    let hours = seconds / 3_600;
    let Some(life) = life else {
        report.ok(PART, format!("{hours} hours"));
        return;
    };
    if hours >= life.last_hours {
        // What the ledger knows is never forgotten, so a message may be as old as the queue lets it be.
        report.ok(PART, format!("{hours} hours, and documents live {} at the most", life.last_hours));
        return;
    }
    let found = format!(
        "messages live {hours} hours and documents up to {}: what nobody received in time is only found by a listing",
        life.last_hours
    );
    let todo = format!("aws sqs set-queue-attributes with MessageRetentionPeriod={LONGEST_RETENTION}");
    report.wrong(PART, found, todo);
}

/// Whether the queue's policy lets those send who have something to tell.
pub(super) fn accepts(report: &mut Report, attributes: &BTreeMap<String, String>, targets: &[EventTarget]) {
    const PART: &str = "sending to the queue";
    let policy = policy::of_attributes(attributes);
    let queue = attributes.get("QueueArn").map_or("the queue's ARN", String::as_str);
    let mut refused = Vec::new();
    for target in targets {
        let (service, source) = match target {
            EventTarget::Topic(topic) => ("sns.amazonaws.com", Some(topic.as_str())),
            EventTarget::Queue(_) => ("s3.amazonaws.com", None),
            EventTarget::EventBridge => ("events.amazonaws.com", None),
            EventTarget::Other(_) => continue,
        };
        if !allows(&policy, "sqs:SendMessage", service, source) {
            refused.push((service, source));
        }
    }
    // One way in is enough: the others may lead elsewhere.
    if refused.len() < targets.len() {
        report.ok(PART, "the queue's policy allows it");
        return;
    }
    for (service, source) in refused {
        let mut statement = serde_json::json!({
            "Effect": "Allow", "Principal": { "Service": service }, "Action": "sqs:SendMessage", "Resource": queue,
        });
        if let Some(source) = source {
            statement["Condition"] = serde_json::json!({ "ArnEquals": { "aws:SourceArn": source } });
        }
        let found = format!("the queue's policy does not let {service} send: no notification arrives");
        report.wrong(PART, found, format!("add to the queue's policy: {statement}"));
    }
}

/// What cannot be tried without doing it.
pub(super) fn not_tried(report: &mut Report, part: &str, why: &str, action: &str, resource: &str) {
    let todo = format!("see that the role's policy has: {}", finding::statement(action, resource));
    report.note(part, format!("not tried: {why}"), todo);
}
