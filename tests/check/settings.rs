//! Each setting in turn is wrong: just that one is named. The whole of a sound account's findings is a snapshot.

use sluicegate::check::{Inboxes, Level, landing};
use sluicegate::ports::account::{
    BucketNotification, CrawlerFacts, EventTarget, LifecycleRule, WorkGroupFacts,
};

use crate::account::{MadeUp, QUEUE_ARN, TOPIC, job, rule};

/// `level what: found → todo`, one a line.
fn lines(account: &MadeUp) -> String {
    let line = |finding: &sluicegate::check::Finding| {
        let todo =
            if finding.todo.is_empty() { String::new() } else { format!("\n    → {}", finding.todo) };
        format!("{:?} {}: {}{todo}\n", finding.level, finding.what, finding.found)
    };
    account.findings().iter().map(line).collect()
}

#[test]
fn a_sound_account() {
    insta::assert_snapshot!(lines(&MadeUp::sound()));
}

fn with_attribute(name: &str, value: &str) -> MadeUp {
    let mut account = MadeUp::sound();
    account.attributes.insert(name.to_owned(), value.to_owned());
    account
}

fn with_landing_rule(rule: LifecycleRule) -> MadeUp {
    MadeUp { landing_rules: vec![rule], ..MadeUp::sound() }
}

fn with_own_rule(rule: LifecycleRule) -> MadeUp {
    let own_rules = vec![LifecycleRule { abort_days: Some(1), ..rule }];
    MadeUp { own_rules, ..MadeUp::sound() }
}

fn with_notification(change: impl FnOnce(&mut BucketNotification)) -> MadeUp {
    let mut account = MadeUp::sound();
    change(&mut account.notifications[0]);
    account
}

fn with_crawler(change: impl FnOnce(&mut CrawlerFacts)) -> MadeUp {
    let mut account = MadeUp::sound();
    change(&mut account.crawler);
    account
}

fn with_workgroup(workgroup: WorkGroupFacts) -> MadeUp {
    MadeUp { workgroup, ..MadeUp::sound() }
}

/// The account, what is found, how bad it is, and a word of what to do.
type Case = (MadeUp, &'static str, Level, &'static str);

fn check_each(cases: Vec<Case>) {
    for (account, what, level, todo) in cases {
        let troubles = account.troubles();
        assert!(!troubles.is_empty(), "{what}");
        for trouble in &troubles {
            assert_eq!((trouble.what.as_str(), trouble.level), (what, level), "{troubles:#?}");
            assert!(trouble.todo.contains(todo), "{todo:?} in {trouble:#?}");
        }
    }
}

#[test]
fn each_setting_of_the_landing_is_named_alone() {
    let daily = || LifecycleRule { days: Some(1), noncurrent_days: Some(1), ..rule("daily", "in/") };
    let what = "landing of invoices: lifecycle";
    check_each(vec![
        (with_landing_rule(LifecycleRule { enabled: false, ..daily() }), what, Level::Note, "Expiration"),
        (
            with_landing_rule(LifecycleRule { prefix: "out/".to_owned(), ..daily() }),
            what,
            Level::Note,
            "Expiration",
        ),
        (with_landing_rule(LifecycleRule { is_partial: true, ..daily() }), what, Level::Note, ""),
        (
            with_landing_rule(LifecycleRule { noncurrent_days: None, ..daily() }),
            what,
            Level::Note,
            "Noncurrent",
        ),
        (
            with_landing_rule(LifecycleRule { days: None, date: Some("2024-01-01".to_owned()), ..daily() }),
            what,
            Level::Wrong,
            "Days instead of Date",
        ),
    ]);
    let what = "landing of invoices: notifications";
    check_each(vec![
        (
            MadeUp { notifications: Vec::new(), ..MadeUp::sound() },
            what,
            Level::Wrong,
            "put-bucket-notification",
        ),
        (
            with_notification(|one| one.events = vec!["s3:ObjectCreated:Put".to_owned()]),
            what,
            Level::Wrong,
            "s3:ObjectCreated:*",
        ),
        (with_notification(|one| one.prefix = "in/new/".to_owned()), what, Level::Wrong, "widen"),
        (
            with_notification(|one| one.prefix = "out/".to_owned()),
            what,
            Level::Wrong,
            "put-bucket-notification",
        ),
        (with_notification(|one| one.suffix = ".txt".to_owned()), what, Level::Wrong, "suffix"),
        (
            with_notification(|one| one.target = EventTarget::Queue(format!("{QUEUE_ARN}-of-others"))),
            what,
            Level::Wrong,
            "put-bucket-notification",
        ),
    ]);
}

#[test]
fn each_setting_of_our_places_is_named_alone() {
    for (account, level, todo) in [
        (
            with_own_rule(LifecycleRule { days: Some(30), ..rule("sweep", "") }),
            Level::Wrong,
            "narrow the prefix",
        ),
        (
            with_own_rule(LifecycleRule { cold: Some("GLACIER".to_owned()), ..rule("cold", "") }),
            Level::Wrong,
            "transition",
        ),
        (MadeUp { own_rules: Vec::new(), ..MadeUp::sound() }, Level::Note, "AbortIncompleteMultipartUpload"),
    ] {
        let troubles = account.troubles();
        let what: Vec<&str> = troubles.iter().map(|trouble| trouble.what.as_str()).collect();
        assert_eq!(what, ["archive: lifecycle", "curated: lifecycle"], "{troubles:#?}");
        assert!(
            troubles.iter().all(|trouble| trouble.level == level && trouble.todo.contains(todo)),
            "{troubles:#?}"
        );
    }
    let elsewhere = with_own_rule(LifecycleRule { days: Some(30), ..rule("tmp", "tmp/") });
    let wrong = elsewhere.troubles().into_iter().filter(|trouble| trouble.level == Level::Wrong);
    let wrong: Vec<String> = wrong.map(|trouble| trouble.what).collect();
    assert_eq!(
        wrong,
        ["archive: lifecycle"],
        "the archive is the whole bucket, the CSV objects lie elsewhere"
    );
}

#[test]
fn each_setting_of_the_queue_is_named_alone() {
    let few = r#"{"deadLetterTargetArn":"arn:aws:sqs:eu-west-1:1:dead","maxReceiveCount":"3"}"#;
    let mut sealed = MadeUp::sound();
    sealed.attributes.remove("Policy");
    check_each(vec![
        (with_attribute("FifoQueue", "true"), "queue: settings", Level::Wrong, "standard queue"),
        (with_attribute("MaximumMessageSize", "1024"), "queue: settings", Level::Wrong, "MaximumMessageSize"),
        (
            with_attribute("MessageRetentionPeriod", "86400"),
            "landing of invoices: how long the queue remembers",
            Level::Wrong,
            "MessageRetentionPeriod",
        ),
        (sealed, "landing of invoices: sending to the queue", Level::Wrong, TOPIC),
    ]);
    let troubles = with_attribute("RedrivePolicy", few).troubles();
    let named: Vec<(&str, Level)> = troubles.iter().map(|one| (one.what.as_str(), one.level)).collect();
    assert_eq!(named, [("queue: settings", Level::Note), ("queue: receiving", Level::Note)]);
}

#[test]
fn each_setting_of_the_topic_is_named_alone() {
    let with = |name: &str, value: &str| {
        let mut account = MadeUp::sound();
        account.topic.insert(name.to_owned(), value.to_owned());
        account
    };
    check_each(vec![
        (with("SubscriptionsConfirmed", "0"), "topic: subscriptions", Level::Note, "subscribe"),
        (with("Policy", ""), "topic: publishing", Level::Wrong, "arn:aws:s3:::landing"),
    ]);
}

#[test]
fn each_setting_of_the_crawler_and_the_workgroup_is_named_alone() {
    check_each(vec![
        (
            with_crawler(|one| one.schedule = Some("cron(0 * * * ? *)".to_owned())),
            "crawler of invoices: schedule",
            Level::Wrong,
            "stop-crawler-schedule",
        ),
        (
            with_crawler(|one| {
                one.catalog_targets[0].1.pop();
            }),
            "crawler of invoices: targets",
            Level::Wrong,
            "catalog --apply",
        ),
        (
            with_crawler(|one| one.s3_targets = vec!["s3://other/x".to_owned()]),
            "crawler of invoices: targets",
            Level::Note,
            "",
        ),
        (
            with_crawler(|one| one.delete_behavior = Some("DEPRECATE_IN_DATABASE".to_owned())),
            "crawler of invoices: deleting",
            Level::Note,
            "DeleteBehavior=LOG",
        ),
        (
            with_crawler(|one| one.configuration.clear()),
            "crawler of invoices: partitions",
            Level::Note,
            "InheritFromTable",
        ),
        (
            MadeUp { table_location: "s3://data/old/".to_owned(), ..MadeUp::sound() },
            "crawler of invoices: tables",
            Level::Wrong,
            "catalog --apply",
        ),
        (
            with_workgroup(WorkGroupFacts { enabled: false, ..MadeUp::sound().workgroup }),
            "Athena: workgroup",
            Level::Wrong,
            "ENABLED",
        ),
        (
            with_workgroup(WorkGroupFacts { output: None, ..MadeUp::sound().workgroup }),
            "Athena: place of results",
            Level::Wrong,
            "SLUICEGATE_ATHENA_OUTPUT",
        ),
    ]);
    // The tables may be crawled where they lie, too.
    let by_place = with_crawler(|one| {
        one.catalog_targets.clear();
        one.s3_targets = vec!["s3://data/csv/".to_owned()];
    });
    assert_eq!(by_place.troubles(), []);
}

/// What a job's landing says, with other ways for notifications to come.
fn notifications(account: &MadeUp, inboxes: &Inboxes<'_>) -> Vec<(Level, String)> {
    let findings = landing(account, &job(), inboxes).into_iter();
    let of_wiring = findings.filter(|finding| finding.what.ends_with(": notifications"));
    of_wiring.map(|finding| (finding.level, finding.found)).collect()
}

#[test]
fn a_topic_may_post_to_us() {
    let posted = |topic| Inboxes { queue: None, topic: Some(topic), listens: true };
    let sound = MadeUp::sound();
    assert_eq!(notifications(&sound, &posted(TOPIC))[0].0, Level::Ok);
    assert_eq!(notifications(&sound, &posted("arn:aws:sns:eu-west-1:111122223333:other"))[0].0, Level::Wrong);
    let nobody = notifications(&sound, &Inboxes::default());
    assert_eq!(nobody[0].0, Level::Note, "{nobody:?}");
}
