//! Buckets: the landing, and those of ours.

use std::collections::BTreeMap;

use super::finding::{Finding, Report, Silence};
use super::permission::Place;
use super::queue::Retention;
use super::reading::{Spot, listing_and_reading, versions};
use super::{arn, lifecycle, queue, wiring};
use crate::job::Job;
use crate::ports::account::{Account, EventTarget, Versioning};

/// How a job's notifications are meant to come.
#[derive(Debug, Clone, Copy, Default)]
pub struct Inboxes<'a> {
    /// The queue's URL.
    pub queue: Option<&'a str>,
    /// The topic's ARN.
    pub topic: Option<&'a str>,
    /// SNS posts to us.
    pub listens: bool,
}

/// The landing bucket of a job, and whether the queue suits it.
pub fn landing(account: &dyn Account, job: &Job, inboxes: &Inboxes<'_>) -> Vec<Finding> {
    let mut report = Report::new(format!("landing of {}", job.name));
    // A silent service has been reported, and everything else would be silent too.
    let _ = look_at_landing(&mut report, account, job, inboxes);
    report.into_findings()
}

fn root_of(job: &Job) -> String {
    match job.landing.key_prefix() {
        "" => String::new(),
        prefix => format!("{prefix}/"),
    }
}

fn look_at_landing(
    report: &mut Report,
    account: &dyn Account,
    job: &Job,
    inboxes: &Inboxes<'_>,
) -> Result<(), Silence> {
    let (region, root) = (account.caller().region, root_of(job));
    let spot = Spot { place: Place::Landing, region: &region, bucket: job.landing.bucket(), root: &root };
    let listed = listing_and_reading(report, account, &spot)?;
    let asked = account.versioning(spot.bucket);
    let permission = spot.permission("s3:GetBucketVersioning");
    let versioning = report.told("versioning", asked, permission, &spot.bucket_arn(), &spot.no_bucket())?;
    match versioning {
        Some(Versioning::Kept) => {
            report.ok("versioning", "the bucket keeps versions");
            versions(report, account, &spot)?;
        }
        Some(Versioning::Never) => report.ok("versioning", "the bucket keeps no versions"),
        None => {}
    }
    let asked = account.lifecycle(spot.bucket);
    let permission = spot.permission("s3:GetLifecycleConfiguration");
    let rules = report.told("lifecycle", asked, permission, &spot.bucket_arn(), &spot.no_bucket())?;
    let life = rules
        .and_then(|rules| lifecycle::of_landing(report, &rules, &root, versioning, job.expires_after_hours));
    if inboxes.queue.is_none() && !inboxes.listens {
        report.note(
            "notifications",
            "nobody listens: documents are found by the hourly listing alone",
            "set SLUICEGATE_QUEUE, or SLUICEGATE_SNS_LISTEN and SLUICEGATE_TOPIC",
        );
        return Ok(());
    }
    // The queue's own settings are reported with the queue; here they only say whether it suits the landing.
    let attributes = inboxes.queue.and_then(|url| account.queue(url).into_told());
    let named = attributes.as_ref().and_then(|attributes| attributes.get("QueueArn").cloned());
    let queue_arn = named.or_else(|| inboxes.queue.map(|url| arn::queue(&region, url)));
    let wanted = wiring::Wanted { queue: queue_arn.as_deref(), topic: inboxes.topic };
    let asked = account.notifications(spot.bucket);
    let permission = spot.permission("s3:GetBucketNotification");
    let notifications = report.told("notifications", asked, permission, &spot.bucket_arn(), "")?;
    let targets = notifications.map(|notifications| {
        let listed = listed.as_deref().unwrap_or_default();
        wiring::of_landing(report, &notifications, job, &root, &wanted, listed)
    });
    suits(report, attributes.as_ref(), life, targets.as_deref());
    Ok(())
}

/// What the queue's settings mean to this landing. The queue's own findings come with [`queue()`](super::queue()).
fn suits(
    report: &mut Report,
    attributes: Option<&BTreeMap<String, String>>,
    life: Option<lifecycle::Life>,
    targets: Option<&[EventTarget]>,
) {
    let Some(attributes) = attributes else { return };
    if let Some(retention) = Retention::of(attributes) {
        queue::lasts(report, retention, life);
    }
    if let Some(targets) = targets.filter(|targets| !targets.is_empty()) {
        queue::accepts(report, attributes, targets);
    }
}

/// A bucket of ours, under a prefix. `key` is one that a job could write; it is never made.
pub fn own_place(account: &dyn Account, place: Place, bucket: &str, prefix: &str, key: &str) -> Vec<Finding> {
    let mut report = Report::new(place.name().to_lowercase());
    let root = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
    let region = account.caller().region;
    let spot = Spot { place, region: &region, bucket, root: &root };
    // As above.
    let _ = look_at_own_place(&mut report, account, &spot, key);
    report.into_findings()
}

fn look_at_own_place(
    report: &mut Report,
    account: &dyn Account,
    spot: &Spot<'_>,
    key: &str,
) -> Result<(), Silence> {
    listing_and_reading(report, account, spot)?;
    let key = format!("{}{key}", spot.root);
    let asked = account.write(spot.bucket, &key);
    let permission = spot.permission("s3:PutObject");
    if report.told("writing", asked, permission, &spot.objects_arn(), &spot.no_bucket())?.is_some() {
        report.ok("writing", "allowed; nothing was written");
    }
    if spot.place == Place::Results {
        return Ok(());
    }
    let asked = account.abort(spot.bucket, &key);
    let permission = spot.permission("s3:AbortMultipartUpload");
    if report.told("clearing up", asked, permission, &spot.objects_arn(), &spot.no_bucket())?.is_some() {
        report.ok("clearing up", "an upload that failed may be given up");
    }
    let asked = account.lifecycle(spot.bucket);
    let permission = spot.permission("s3:GetLifecycleConfiguration");
    let rules = report.told("lifecycle", asked, permission, &spot.bucket_arn(), &spot.no_bucket())?;
    if let Some(rules) = rules {
        lifecycle::of_own_place(report, &rules, spot.root);
    }
    Ok(())
}
