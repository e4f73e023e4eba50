//! What lies in AWS.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::check::{Finding, Inboxes, Place, alerts, athena, crawler, landing, own_place, queue, topic};
use crate::config::{Config, Location};
use crate::job::Job;
use crate::ports::account::Account;
use crate::ports::clock::{Clock, SystemClock};

use super::super::assemble;
use super::super::exit::Stop;
use super::groups::Groups;

/// The workgroup that every account has.
const PRIMARY: &str = "primary";
const CREDENTIALS: &str =
    "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give the machine a role";

/// Adds what has to be asked of AWS; none where nothing lies there.
pub(super) fn ask(
    config: &Arc<Config>,
    groups: &mut Groups,
    findings: &mut Vec<Finding>,
) -> Result<Option<Arc<dyn Account>>, Stop> {
    if !lies_in_aws(config) {
        return Ok(None);
    }
    let Some(account) = assemble::account()? else { return Ok(None) };
    let caller = account.caller();
    if let Err(why) = caller.credentials {
        let found = format!("none found: {why}; nothing in AWS was asked");
        findings.push(Finding::wrong("AWS credentials", found, CREDENTIALS));
        return Ok(None);
    }
    findings.push(Finding::ok("AWS credentials", format!("found; region {}", caller.region)));
    add_topics(config, &account, groups);
    for job in &config.jobs {
        if is_bucket(&job.landing) {
            add_landing(config, job, &account, groups);
        }
    }
    add_own_places(config, &account, groups);
    if let Some(url) = config.settings.inbox.queue.clone() {
        let account = account.clone();
        groups.add("queue", move || queue(account.as_ref(), &url));
    }
    for job in &config.jobs {
        add_crawler(config, job, &account, groups);
    }
    add_athena(config, &account, groups);
    Ok(Some(account))
}

fn add_topics(config: &Arc<Config>, account: &Arc<dyn Account>, groups: &mut Groups) {
    if let Some(arn) = config.settings.inbox.topic.clone() {
        let (config, account) = (config.clone(), account.clone());
        groups.add("topic", move || {
            let landings = config.jobs.iter().filter(|job| is_bucket(&job.landing));
            let buckets: BTreeSet<&str> = landings.map(|job| job.landing.bucket()).collect();
            topic(account.as_ref(), &arn, &Vec::from_iter(buckets))
        });
    }
    if let Some(arn) = config.settings.alert.topic.clone() {
        let account = account.clone();
        groups.add("alerts", move || alerts(account.as_ref(), &arn));
    }
}

fn is_bucket(location: &Location) -> bool {
    matches!(location, Location::S3 { .. })
}

fn lies_in_aws(config: &Config) -> bool {
    let settings = &config.settings;
    config.jobs.iter().any(|job| is_bucket(&job.landing) || job.crawler.is_some())
        || is_bucket(&settings.archive)
        || is_bucket(&settings.curated)
        || settings.inbox.queue.is_some()
        || settings.athena_workgroup.is_some()
        || settings.alert.topic.is_some()
}

fn add_landing(config: &Arc<Config>, job: &Job, account: &Arc<dyn Account>, groups: &mut Groups) {
    let (config, job, account) = (config.clone(), job.clone(), account.clone());
    groups.add(format!("landing of {}", job.name), move || {
        let inbox = &config.settings.inbox;
        let inboxes = Inboxes {
            queue: inbox.queue.as_deref(),
            topic: inbox.topic.as_deref(),
            listens: inbox.sns_listen.is_some(),
        };
        landing(account.as_ref(), &job, &inboxes)
    });
}

/// A key in each place that a job could write. It is never made.
fn add_own_places(config: &Config, account: &Arc<dyn Account>, groups: &mut Groups) {
    let Some(job) = config.jobs.first() else { return };
    let table = job.definition.schema().tables.first().map_or("table", |table| table.name.as_str());
    let archive = format!("{}/dt=1970-01-01/sluicegate-check.tar.zst", job.name);
    let curated = format!("{table}/dt=1970-01-01/sluicegate-check.csv");
    let settings = &config.settings;
    for (place, location, key) in
        [(Place::Archive, &settings.archive, archive), (Place::Curated, &settings.curated, curated)]
    {
        if let Location::S3 { bucket, prefix } = location.clone() {
            let account = account.clone();
            groups.add(place.name().to_lowercase(), move || {
                own_place(account.as_ref(), place, &bucket, &prefix, &key)
            });
        }
    }
}

fn add_crawler(config: &Arc<Config>, job: &Job, account: &Arc<dyn Account>, groups: &mut Groups) {
    let Some(name) = job.crawler.clone() else { return };
    let what = format!("crawler of {}", job.name);
    let (config, job, account) = (config.clone(), job.clone(), account.clone());
    groups.add(what.clone(), move || {
        let Some(database) = &config.settings.catalog_database else {
            let found = "the configuration names no Glue database";
            return vec![Finding::wrong(
                what,
                found,
                "export SLUICEGATE_DATABASE=the database of the tables",
            )];
        };
        let last_success = last_success(&config, &job);
        let glue = crawler::Glue {
            job: &job,
            crawler: &name,
            database,
            curated: &config.settings.curated,
            last_success: last_success.as_deref(),
        };
        crawler::crawler(account.as_ref(), &glue, SystemClock.now())
    });
}

/// The end of the window of the job's last crawl, where that has succeeded; an unreachable ledger is told elsewhere.
fn last_success(config: &Config, job: &Job) -> Option<String> {
    let mut warehouse = super::warehouse::current_warehouse(config).ok()??;
    let crawl = warehouse.last_crawl(&job.name).ok()??;
    (crawl.state == "succeeded").then_some(crawl.window_end)
}

fn add_athena(config: &Arc<Config>, account: &Arc<dyn Account>, groups: &mut Groups) {
    let settings = &config.settings;
    if settings.athena_workgroup.is_none()
        && !(is_bucket(&settings.curated) && settings.athena_output.is_some())
    {
        return;
    }
    let workgroup = settings.athena_workgroup.clone().unwrap_or_else(|| PRIMARY.to_owned());
    let (output, account) = (settings.athena_output.clone(), account.clone());
    groups.add("Athena", move || athena::athena(account.as_ref(), &workgroup, output.as_deref()));
}
