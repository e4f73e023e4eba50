//! The crawler, its database and its tables, and what crawls may cost.

use chrono::TimeDelta;
use sluicegate_state::Timestamp;

use super::finding::{Finding, Report, Silence};
use super::permission::{Place, permission};
use super::{arn, queue};
use crate::config::Location;
use crate::job::Job;
use crate::ports::account::{Account, CrawlerFacts};

/// Cents for a crawl by one DPU: 0.44 USD a DPU-hour, ten minutes at least (AWS Glue pricing), so 22 cents for three.
const CENTS_FOR_THREE: u64 = 22;
/// Windows of a month that are counted; a window of a second has 2.6 million.
const MOST_TICKS: u64 = 100_000;
/// More windows a month than hours: worth a word.
const HOURLY: u64 = 24 * 31;
const APPLY: &str = "sluicegate catalog --apply";

/// The Glue side of a job.
pub struct Glue<'a> {
    /// The job.
    pub job: &'a Job,
    /// Its crawler.
    pub crawler: &'a str,
    /// The database.
    pub database: &'a str,
    /// Where the CSV objects are.
    pub curated: &'a Location,
    /// A crawl of this job that has succeeded, by the ledger.
    pub last_success: Option<&'a str>,
}

/// Looks at it.
pub fn crawler(account: &dyn Account, glue: &Glue<'_>, now: Timestamp) -> Vec<Finding> {
    let mut report = Report::new(format!("crawler of {}", glue.job.name));
    cost(&mut report, glue.job, now);
    // A silent service has been reported, and everything else would be silent too.
    let _ = look(&mut report, account, glue);
    report.into_findings()
}

fn look(report: &mut Report, account: &dyn Account, glue: &Glue<'_>) -> Result<(), Silence> {
    let region = account.caller().region;
    let crawler_arn = arn::of_service("glue", &region, &format!("crawler/{}", glue.crawler));
    let of = |action: &str| permission(Place::Catalog, action);
    let asked = account.crawler(glue.crawler);
    let facts = report.told("", asked, of("glue:GetCrawler"), &crawler_arn, APPLY)?;
    let mut has_run = glue.last_success.is_some();
    if let Some(facts) = &facts {
        settings(report, glue, facts);
        has_run |= facts.last_crawl.as_deref() == Some("SUCCEEDED");
        let asked = account.crawls(glue.crawler);
        if report.told("history", asked, of("glue:ListCrawls"), &crawler_arn, "")?.is_some() {
            report.ok("history", "may be read");
        }
    }
    match glue.last_success {
        Some(at) => report
            .ok("starting", format!("a crawl that Sluicegate started has succeeded, for the window of {at}")),
        None => {
            let why = if has_run {
                "it has crawled before, but not for this ledger, and a try would cost a crawl"
            } else {
                "a try would cost a crawl"
            };
            queue::not_tried(report, "starting", why, "glue:StartCrawler", &crawler_arn);
        }
    }
    tables(report, account, glue, &region)
}

fn settings(report: &mut Report, glue: &Glue<'_>, facts: &CrawlerFacts) {
    let name = glue.crawler;
    if let Some(schedule) = &facts.schedule {
        let found =
            format!("{name} has a schedule of its own, {schedule}: those crawls cover nothing, and cost");
        report.wrong("schedule", found, format!("aws glue stop-crawler-schedule --crawler-name {name}"));
    } else {
        report.ok("schedule", "none of its own");
    }
    targets(report, glue, facts);
    if facts.delete_behavior.as_deref().is_some_and(|behavior| behavior != "LOG") {
        let found =
            format!("what is gone is not only logged: {}", facts.delete_behavior.as_deref().unwrap_or(""));
        let todo = format!(
            "aws glue update-crawler --name {name} --schema-change-policy UpdateBehavior=LOG,DeleteBehavior=LOG"
        );
        report.note("deleting", found, todo);
    }
    if !facts.configuration.contains("InheritFromTable") {
        let found = "partitions do not inherit from their table, so that a guess can make them unreadable";
        let todo =
            r#"set its configuration's CrawlerOutput.Partitions.AddOrUpdateBehavior to InheritFromTable"#;
        report.note("partitions", found, todo);
    }
}

/// Whether it crawls every table of the job.
fn targets(report: &mut Report, glue: &Glue<'_>, facts: &CrawlerFacts) {
    let tables: Vec<String> =
        glue.job.definition.schema().tables.iter().map(|table| table.name.clone()).collect();
    let in_catalog = |table: &String| {
        let wanted = format!("{table}_csv");
        let holds = |(database, tables): &(String, Vec<String>)| {
            database == glue.database && tables.contains(&wanted)
        };
        facts.catalog_targets.iter().any(holds)
    };
    let place = format!("{}/", glue.curated);
    let in_place = |table: &String| {
        let wanted = format!("{place}{table}/");
        let slashed = |target: &String| format!("{}/", target.trim_end_matches('/'));
        facts.s3_targets.iter().any(|target| wanted.starts_with(&slashed(target)))
    };
    let missing: Vec<String> =
        tables.iter().filter(|table| !in_catalog(table) && !in_place(table)).cloned().collect();
    if !missing.is_empty() {
        let found = format!("{} does not crawl {}", glue.crawler, missing.join(", "));
        report.wrong("targets", found, format!("{APPLY}, or give it the targets under {place}"));
        return;
    }
    let is_ours = |target: &String| target.starts_with(&place) || place.starts_with(target.as_str());
    let has_strangers = facts.has_other_targets || facts.s3_targets.iter().any(|target| !is_ours(target));
    if has_strangers {
        let found = format!("{} also crawls what is not this job's, which costs more", glue.crawler);
        report.note("targets", found, "nothing, if it is meant so; it works");
    } else {
        report.ok("targets", tables.join(", "));
    }
}

fn tables(report: &mut Report, account: &dyn Account, glue: &Glue<'_>, region: &str) -> Result<(), Silence> {
    let of = |action: &str| permission(Place::Catalog, action);
    let database = glue.database;
    // Glue wants a permission for everything above a thing too (developer guide, resource-level permissions).
    let catalog_arn = arn::of_service("glue", region, "catalog");
    let database_arn =
        format!("{catalog_arn} {}", arn::of_service("glue", region, &format!("database/{database}")));
    let asked = account.database(database);
    if report.told("database", asked, of("glue:GetDatabase"), &database_arn, APPLY)?.is_some() {
        report.ok("database", format!("{database} is there"));
    }
    let schema = glue.job.definition.schema();
    let mut partitions_were_asked = false;
    for table in &schema.tables {
        let name = format!("{}_csv", table.name);
        let own = arn::of_service("glue", region, &format!("table/{database}/{name}"));
        let table_arn = format!("{database_arn} {own}");
        let asked = account.table(database, &name);
        let location = report.told("tables", asked, of("glue:GetTable"), &table_arn, APPLY)?;
        let Some(location) = location else { continue };
        let wanted = format!("{}/{}", glue.curated, table.name);
        match location.as_deref().map(|location| location.trim_end_matches('/')) {
            Some(other) if other != wanted => {
                let found = format!("{name} reads {other}, and its objects are in {wanted}");
                report.wrong(
                    "tables",
                    found,
                    format!("{APPLY} names each difference; correct the table's location"),
                );
            }
            _ => report.ok("tables", format!("{name} is there")),
        }
        if !partitions_were_asked {
            partitions_were_asked = true;
            let asked = account.partitions(database, &name);
            if report.told("partitions", asked, of("glue:GetPartitions"), &table_arn, APPLY)?.is_some() {
                report.ok("partitions", "may be read");
            }
        }
    }
    Ok(())
}

/// What the windows of a month may cost at the least.
fn cost(report: &mut Report, job: &Job, now: Timestamp) {
    let ticks = ticks_of_a_month(job, now);
    let dollars = |dpus: u64| (ticks * dpus * CENTS_FOR_THREE).div_ceil(300);
    let many = if ticks >= MOST_TICKS { "at least " } else { "" };
    let found = format!(
        "{many}{ticks} windows a month: {} to {} USD if each has new rows (10 minutes at least, 1 to 2 DPU)",
        dollars(1),
        dollars(2)
    );
    if ticks > HOURLY {
        report.note("cost", found, "a longer window, such as SLUICEGATE_WINDOW=\"0 0 * * * *\", costs less");
    } else {
        report.ok("cost", found);
    }
}

fn ticks_of_a_month(job: &Job, now: Timestamp) -> u64 {
    let end = now + TimeDelta::days(30);
    let (mut ticks, mut at) = (0, now);
    while let Some(next) = job.window.next_tick(at).filter(|next| *next <= end && ticks < MOST_TICKS) {
        ticks += 1;
        at = next;
    }
    ticks
}
