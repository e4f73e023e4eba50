//! SNS topics: the one that posts to us, and the one that people are told by.

use serde_json::json;

use super::arn;
use super::finding::{Finding, Level, Report, Silence};
use super::permission::{Place, permission};
use super::policy::{allows, of_attributes};
use super::queue::not_tried;
use crate::ports::account::Account;

/// The topic that posts to us; `buckets` are those of the landings.
pub fn topic(account: &dyn Account, arn: &str, buckets: &[&str]) -> Vec<Finding> {
    let region = account.caller().region;
    let name = name("topic", "SLUICEGATE_TOPIC", arn, &region);
    if name.level == Level::Wrong {
        return vec![name];
    }
    let mut report = Report::new("topic");
    // A silent service has been reported.
    let _ = settings(&mut report, account, arn, buckets, &region);
    std::iter::once(name).chain(report.into_findings()).collect()
}

/// The topic that people are told by.
pub fn alerts(account: &dyn Account, arn: &str) -> Vec<Finding> {
    let name = name("alerts", "SLUICEGATE_ALERT_TOPIC", arn, &account.caller().region);
    let mut report = Report::new("alerts");
    if name.level != Level::Wrong {
        let permission = permission(Place::Alerts, "sns:Publish");
        not_tried(&mut report, "publishing", "a try would tell people something", permission.action, arn);
    }
    std::iter::once(name).chain(report.into_findings()).collect()
}

fn settings(
    report: &mut Report,
    account: &dyn Account,
    arn: &str,
    buckets: &[&str],
    region: &str,
) -> Result<(), Silence> {
    const TODO: &str = "create the topic, or correct SLUICEGATE_TOPIC";
    let permission = permission(Place::Topic, "sns:GetTopicAttributes");
    let Some(attributes) = report.told("settings", account.topic(arn), permission, arn, TODO)? else {
        return Ok(());
    };
    if attributes.get("SubscriptionsConfirmed").is_some_and(|count| count == "0") {
        let todo = "subscribe the queue, or the address on which SNS reaches SLUICEGATE_SNS_LISTEN";
        report.note("subscriptions", "nobody is subscribed to it", todo);
    }
    let policy = of_attributes(&attributes);
    let may_publish = |service: &str, source: &str| allows(&policy, "sns:Publish", service, Some(source));
    for bucket in buckets {
        let source = arn::bucket(region, bucket);
        if may_publish("s3.amazonaws.com", &source) || may_publish("events.amazonaws.com", &source) {
            report.ok("publishing", format!("the topic's policy lets {bucket} publish"));
            continue;
        }
        let statement = json!({
            "Effect": "Allow", "Principal": { "Service": "s3.amazonaws.com" }, "Action": "sns:Publish",
            "Resource": arn, "Condition": { "ArnEquals": { "aws:SourceArn": source } },
        });
        let found = format!("the topic's policy does not let the bucket {bucket} publish");
        report.wrong("publishing", found, format!("add to the topic's policy: {statement}"));
    }
    Ok(())
}

/// Looks at the name of a topic, as far as it tells something.
fn name(what: &str, variable: &str, arn: &str, region: &str) -> Finding {
    let todo = format!("correct {variable}: arn:aws:sns:region:account:name");
    let no_name = || Finding::wrong(what, format!("{arn} is no name of a topic"), &todo);
    let parts: Vec<&str> = arn.split(':').collect();
    let ["arn", partition, "sns", of_region, account, name] = parts[..] else { return no_name() };
    let is_account = account.len() == 12 && account.chars().all(|c| c.is_ascii_digit());
    if !partition.starts_with("aws") || !is_account || of_region.is_empty() || name.is_empty() {
        return no_name();
    }
    if name.ends_with(".fifo") {
        return Finding::wrong(what, format!("{arn} is a FIFO topic"), "make a standard topic");
    }
    if of_region != region {
        let found = format!("{arn} is in {of_region}, and requests are signed for {region}");
        return Finding::note(
            what,
            found,
            "a bucket sends to topics of its own region only: are both right?",
        );
    }
    Finding::ok(what, arn)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_looked_at() {
        for (arn, level) in [
            ("arn:aws:sns:eu-west-1:111122223333:landed", Level::Ok),
            ("arn:aws:sns:eu-west-2:111122223333:landed", Level::Note),
            ("arn:aws:sns:eu-west-1:111122223333:landed.fifo", Level::Wrong),
            ("arn:aws:sqs:eu-west-1:111122223333:landed", Level::Wrong),
            ("arn:aws:sns:eu-west-1:me:landed", Level::Wrong),
            ("landed", Level::Wrong),
        ] {
            assert_eq!(name("topic", "SLUICEGATE_TOPIC", arn, "eu-west-1").level, level, "{arn}");
        }
    }
}
