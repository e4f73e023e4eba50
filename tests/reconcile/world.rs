//! Files of days ago, hands in the warehouse, and what a reconciliation says.

use std::fs;
use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use rusqlite::Connection;
use serde_json::Value;

use crate::corpus::{Invoice, Random};
use crate::support::{Ended, Project};

const DAY: u64 = 86_400;

/// Days since 1970, as they were when the first test asked: midnight may pass while the tests run, and a document of the
/// day before yesterday is then still of the day that it landed on.
static TODAY: LazyLock<u64> = LazyLock::new(day_now);

fn day_now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs() / DAY
}

fn noon(day: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(day * DAY + DAY / 2)
}

fn named(day: u64) -> String {
    let at: chrono::DateTime<chrono::Utc> = noon(day).into();
    at.format("%Y-%m-%d").to_string()
}

/// Noon, so many days ago.
pub(crate) fn days_ago(days: u64) -> SystemTime {
    noon(*TODAY - days)
}

/// The day, as reports name it.
pub(crate) fn date(days: u64) -> String {
    named(*TODAY - days)
}

/// Whether a report begins today: everything before is closed, and nothing of it has changed since.
#[track_caller]
pub(crate) fn begins_today(report: &Value) -> bool {
    let from = report["from"].as_str().unwrap();
    (*TODAY..=day_now()).any(|day| from == named(day))
}

pub(crate) fn invoice(number: u64) -> Invoice {
    Invoice::made_up(&mut Random::new(number), number)
}

/// Lands invoices with these numbers under `in/<number>.txt`.
pub(crate) fn land(project: &Project, numbers: std::ops::Range<u64>, days: u64) {
    for number in numbers {
        project.land(&format!("in/{number}.txt"), invoice(number).text().as_bytes(), days_ago(days));
    }
}

/// A hand in the warehouse: the SQLite file, or the PostgreSQL database that the project was told to use.
pub(crate) fn by_hand(project: &Project, sql: &str) {
    #[cfg(feature = "postgres")]
    if let Some(url) = project.variable("SLUICEGATE_WAREHOUSE") {
        let mut client = postgres::Client::connect(url, postgres::NoTls).unwrap();
        let changed = client.execute(&sql.replace("sluicegate_", "sluicegate."), &[]).unwrap();
        assert!(changed > 0, "{sql}");
        return;
    }
    let warehouse = Connection::open(project.path("var/warehouse.db")).unwrap();
    warehouse.busy_timeout(Duration::from_secs(30)).unwrap();
    let changed = warehouse.execute(sql, []).unwrap();
    assert!(changed > 0, "{sql}");
}

/// A reconciliation that has to end so.
#[track_caller]
pub(crate) fn reconcile(project: &Project, words: &[&str], code: i32) -> Value {
    let words = [&["reconcile", "--output", "json"], words].concat();
    project.run(&words).exits(code).json()
}

/// Every discrepancy of all days.
pub(crate) fn discrepancies(report: &Value) -> Vec<Value> {
    let days = report["jobs"].as_array().unwrap();
    days.iter().flat_map(|day| day["discrepancies"].as_array().unwrap().clone()).collect()
}

/// Their kinds, sorted.
pub(crate) fn kinds(report: &Value) -> Vec<String> {
    let mut kinds: Vec<String> =
        discrepancies(report).iter().map(|found| found["kind"].as_str().unwrap().to_owned()).collect();
    kinds.sort();
    kinds
}

/// The only discrepancy.
#[track_caller]
pub(crate) fn only(report: &Value, kind: &str) -> Value {
    let found = discrepancies(report);
    assert_eq!(kinds(report), [kind], "{report:#}");
    found[0].clone()
}

/// The entry of a day.
pub(crate) fn day<'a>(report: &'a Value, date: &str) -> &'a Value {
    let days = report["jobs"].as_array().unwrap();
    days.iter().find(|day| day["day"] == date).unwrap_or_else(|| panic!("no {date}: {report:#}"))
}

/// Runs a command as the report gives it.
pub(crate) fn as_told(project: &Project, command: &str) -> Ended {
    let words = command.strip_prefix("sluicegate ").expect("a command of this program");
    let mut split = Vec::new();
    for (index, part) in words.split('\'').enumerate() {
        if index % 2 == 1 {
            split.push(part);
        } else {
            split.extend(part.split_whitespace());
        }
    }
    project.run(&split)
}

/// The CSV objects of a table.
pub(crate) fn objects(project: &Project, table: &str) -> Vec<std::path::PathBuf> {
    let found = crate::support::files_under(&project.path("var/curated").join(table));
    found.into_iter().map(|(_, path)| path).collect()
}

/// As if a minute had passed for every machine; or as if they all lived for ever.
pub(crate) fn machines_seen(project: &Project, at: &str) {
    by_hand(project, &format!("UPDATE sluicegate_machine SET seen_at = '{at}'"));
}

/// A place that nobody can use for a while: a file lies where a folder belongs.
pub(crate) struct Blocked {
    place: std::path::PathBuf,
    aside: std::path::PathBuf,
}

impl Blocked {
    pub(crate) fn new(place: std::path::PathBuf) -> Self {
        let aside = place.with_extension("aside");
        fs::rename(&place, &aside).unwrap();
        fs::write(&place, "in the way").unwrap();
        Self { place, aside }
    }

    pub(crate) fn free(self) {
        fs::remove_file(&self.place).unwrap();
        fs::rename(&self.aside, &self.place).unwrap();
    }
}
