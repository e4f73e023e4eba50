//! A made-up week in which everything happens.

use std::fs;

use serde_json::Value;

use crate::support::{Project, until};
use crate::world::{
    Blocked, as_told, begins_today, by_hand, date, day, days_ago, discrepancies, invoice, kinds, land,
    machines_seen, objects, reconcile,
};

/// Journals what has landed, without reading it.
fn listen(project: &Project, keys: &[&str]) {
    let listener = project.start(&["listen"]);
    until("everything is journaled", || {
        let state = rusqlite::Connection::open(project.path("var/state/state.db")).ok()?;
        let journaled = |key: &&str| {
            let sql = "SELECT count(*) FROM notification WHERE key = ?1";
            state.query_row(sql, [*key], |row| row.get::<_, i64>(0)).is_ok_and(|count| count > 0)
        };
        keys.iter().all(journaled).then_some(())
    });
    listener.signal("TERM");
    listener.wait().0.exits(0);
}

fn attention(report: &Value) -> Vec<String> {
    let days = report["jobs"].as_array().unwrap();
    let of = |day: &Value| day["attention"].as_array().unwrap().clone();
    let mut told: Vec<String> =
        days.iter().flat_map(of).map(|attention| attention["what"].as_str().unwrap().to_owned()).collect();
    told.sort();
    told
}

/// All that goes wrong.
fn a_week(project: Project) -> Project {
    let mut project = project.with("SLUICEGATE_STATE", "var/state");
    project.edit("jobs/invoices.toml", "documents = 1000\n", "documents = 4\n");
    // Four good days, and a customer who sends a broken date.
    land(&project, 0..8, 6);
    let broken = invoice(100).text().replacen("Dated: ", "Dated: the day after ", 1);
    assert_ne!(broken, invoice(100).text());
    project.land("broken date.txt", broken.as_bytes(), days_ago(6));
    project.run(&["drain", "--crawl"]).exits(3);
    // An object is overwritten before it is read, and another one expires.
    project.land("overwritten.txt", invoice(101).text().as_bytes(), days_ago(5));
    project.land("expired.txt", invoice(103).text().as_bytes(), days_ago(5));
    project.edit(
        "jobs/invoices.toml",
        "on_conflict = \"reject\"\n",
        "on_conflict = \"reject\"\nexpires_after_hours = 24\n",
    );
    listen(&project, &["overwritten.txt", "expired.txt"]);
    project.land("overwritten.txt", invoice(102).text().as_bytes(), days_ago(4));
    fs::remove_file(project.landing().join("expired.txt")).unwrap();
    project.run(&["drain", "--crawl"]).exits(3);
    // An invoice comes again with another amount.
    let mut again = invoice(3);
    again.items[0].price += 100;
    project.land("sent again.txt", again.text().as_bytes(), days_ago(4));
    project.run(&["drain", "--crawl"]).exits(3);
    // Another machine loads a document and is lost before it publishes it.
    project.land("lost machine.txt", invoice(104).text().as_bytes(), days_ago(3));
    let curated = Blocked::new(project.path("var/curated"));
    project.set("SLUICEGATE_STATE", "var/other");
    project.run(&["drain", "--patience", "100ms"]).exits(1);
    project.set("SLUICEGATE_STATE", "var/state");
    fs::remove_dir_all(project.path("var/other")).unwrap();
    curated.free();
    // It counts as alive for some minutes; a sign of life from further ahead would be one of a clock that was wrong.
    let ahead = chrono::Utc::now() + chrono::TimeDelta::minutes(4);
    let time_type = project.variable("SLUICEGATE_WAREHOUSE").map_or("text", |_| "timestamptz");
    let seen_at = format!("CAST('{}' AS {time_type})", ahead.format("%Y-%m-%dT%H:%M:%S%.6fZ"));
    by_hand(
        &project,
        &format!(
            "INSERT INTO sluicegate_machine SELECT DISTINCT incarnation, 'elsewhere', {seen_at}
         FROM sluicegate_batch WHERE published_at IS NULL"
        ),
    );
    // A crawl fails.
    land(&project, 105..106, 2);
    project.run(&["drain"]).exits(0);
    let invoices = Blocked::new(project.path("var/curated/invoices"));
    project.run(&["drain", "--crawl", "--patience", "100ms"]).exits(1);
    invoices.free();
    machines_seen(&project, "2000-01-01T00:00:00.000000Z");
    // Hands in the warehouse and in the bucket, and a notification that never came.
    let number = |number: u64| invoice(number).number;
    by_hand(&project, &format!("DELETE FROM invoices WHERE invoice_id = '{}'", number(1)));
    by_hand(&project, &format!("DELETE FROM invoice_items WHERE invoice_id = '{}'", number(1)));
    by_hand(&project, &format!("UPDATE invoices SET total = '1.00' WHERE invoice_id = '{}'", number(6)));
    fs::remove_file(&objects(&project, "invoice_items")[0]).unwrap();
    land(&project, 106..107, 1);
    project
}

#[test]
fn a_week_in_which_everything_happens_is_told_and_mended() {
    is_told_and_mended(&a_week(Project::new()));
}

#[cfg(feature = "postgres")]
#[test]
fn the_same_week_with_postgresql() {
    let Some(database) = crate::server::Database::new() else { return };
    is_told_and_mended(&a_week(Project::new().with("SLUICEGATE_WAREHOUSE", database.url.as_str())));
}

fn is_told_and_mended(project: &Project) {
    let report = reconcile(project, &[], 3);
    assert_eq!(report["balanced"], false);
    assert_eq!(
        kinds(&report),
        [
            "changed_rows",
            "deleted_rows",
            "failed_crawl",
            "missed_document",
            "missing_object",
            "unfinished_batch"
        ],
        "{report:#}"
    );
    assert_eq!(
        attention(&report),
        [
            "broken date.txt is rejected",
            "expired.txt is expired",
            "overwritten.txt is superseded",
            "sent again.txt is conflict",
        ],
        "{report:#}"
    );
    let days = report["jobs"].as_array().unwrap();
    let helps: Vec<&str> = days
        .iter()
        .flat_map(|day| day["attention"].as_array().unwrap())
        .map(|attention| attention["command"].as_str().unwrap())
        .collect();
    assert_eq!(helps.len(), 4, "{helps:?}");
    let missed = &day(&report, &date(1))["discrepancies"][0];
    assert_eq!(
        (missed["kind"].as_str(), &missed["documents"]),
        (Some("missed_document"), &["in/106.txt"][..].into())
    );
    assert_eq!(day(&report, &date(1))["balance"]["difference"], 1, "{report:#}");
    let page = fs::read_dir(project.path("var/state/reports")).unwrap().count();
    assert_eq!(page, 3, "a page, JSON and CSV");

    let commands: std::collections::BTreeSet<String> =
        discrepancies(&report).iter().map(|found| found["command"].as_str().unwrap().to_owned()).collect();
    assert_eq!(commands.len(), 5, "{commands:?}");
    // What needs the warehouse whole comes before the drains; the set has just this order, but for one.
    for command in commands.iter().filter(|command| command.contains("reconcile")) {
        as_told(project, command);
    }
    for command in commands.iter().filter(|command| command.contains("drain")) {
        as_told(project, command).exits(0);
    }
    let mended = reconcile(project, &[], 0);
    assert_eq!((mended["balanced"].as_bool(), kinds(&mended)), (Some(true), vec![]), "{mended:#}");
    // Each command that helps a document runs as it is told; without a terminal a replay cannot ask.
    for command in helps {
        if command.contains("jobs replay --rejected --key 'broken date.txt'") {
            // The job file is as it was, so it is rejected again.
            as_told(project, &format!("{command} --yes")).exits(3).prints("broken date.txt");
        } else {
            as_told(project, command).exits(0).prints(".txt");
        }
    }
    as_told(project, "sluicegate jobs abandon 'broken date.txt' --because 'sent again by hand'").exits(0);
    let given_up = reconcile(project, &[], 0);
    assert_eq!(
        day(&given_up, &date(6))["balance"]["abandoned"],
        1,
        "a closed day is looked at again: {given_up:#}"
    );
    let first = reconcile(project, &["--date", &date(6)], 0);
    assert_eq!(day(&first, &date(6))["accepted"][0]["kind"], "changed_rows", "{first:#}");
    // Everything but today is closed now, and nothing has changed since.
    let next = reconcile(project, &[], 0);
    assert!(begins_today(&next), "{next:#}");
}
