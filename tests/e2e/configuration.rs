//! Goal: what is configured wrongly, or cannot be done, is refused with exit status 2 and words that lead to the place,
//! before anything is touched; a ledger that is not the state's own is never loaded into.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::corpus::{Invoice, Random};
use crate::support::{Ended, Project, files_under};

fn some_invoice(number: u64) -> String {
    Invoice::made_up(&mut Random::new(number), number).text()
}

/// Every command that reads the configuration refuses it in the same words, and makes nothing.
#[track_caller]
fn refused(project: &Project, told: &[&str]) {
    for words in [&["drain"][..], &["listen"], &["run"], &["check"], &["status"], &["query", "SELECT 1"]] {
        let ended = project.run(words).exits(2);
        assert!(ended.stdout.is_empty(), "{ended:#?}");
        assert!(ended.stderr.starts_with("sluicegate: "), "{ended:#?}");
        for words in told {
            assert!(ended.stderr.contains(words), "expected {words:?}: {ended:#?}");
        }
    }
    let made: Vec<_> = files_under(&project.path("var")).into_iter().map(|(name, _)| name).collect();
    assert!(made.iter().all(|name| name.starts_with("landing/")), "a refusal made {made:?}");
}

#[test]
fn mistakes_name_file_line_and_key() {
    let cases = [
        ("sluicegate.toml", "[pipeline]", "[pipeline]\nbogus = 1", "sluicegate.toml:41: unknown key `bogus`"),
        ("sluicegate.toml", "archive = \"", "archives = \"", "sluicegate.toml:13: unknown key `archives`"),
        (
            "jobs/invoices.toml",
            "on_conflict",
            "on_conflicts",
            "jobs/invoices.toml:11: unknown key `on_conflicts`",
        ),
        (
            "jobs/invoices.toml",
            "[window]",
            "[window]\nbogus = 1",
            "jobs/invoices.toml:19: unknown key `bogus`",
        ),
        ("jobs/invoices.toml", r"'\.txt(\.gz)?$'", r"'(\.txt'", "jobs/invoices.toml:8: key `keys`"),
        ("jobs/invoices.toml", "(?<line>", "(?<line", "jobs/invoices.toml:61: key `row`"),
        (
            "jobs/invoices.toml",
            ":-var/landing}",
            "}",
            "jobs/invoices.toml:7: key `landing`: the variable SLUICEGATE_LANDING is not set",
        ),
        ("jobs/invoices.toml", "name = \"invoices\"", "name = ", "jobs/invoices.toml:4: is not TOML"),
    ];
    for (file, from, to, told) in cases {
        let project = Project::new();
        project.edit(file, from, to);
        refused(&project, &[told]);
    }
}

#[test]
fn a_bad_cron_line_is_refused_wherever_it_comes_from() {
    let project = Project::new().with("SLUICEGATE_WINDOW", "*/15 * * * *");
    refused(&project, &["jobs/invoices.toml:21: key `cron`", "has 5 fields"]);
    let project = Project::new().with("SLUICEGATE_WINDOW", "every now and then please");
    refused(&project, &["key `cron`"]);
}

#[test]
fn a_configuration_that_is_not_there_is_named() {
    let project = Project::new();
    let ended = project.run(&["drain", "--config", "elsewhere/sluicegate.toml"]).exits(2);
    ended.tells("elsewhere/sluicegate.toml");
    let project = Project::new().with("SLUICEGATE_CONFIG", "nowhere.toml");
    project.run(&["status"]).exits(2).tells("nowhere.toml");
    for words in [&["drain", "--nonsense"][..], &["drian"], &[], &["drain", "--watch", "--crawl"]] {
        let ended = project.run(words).exits(2);
        assert!(ended.stdout.is_empty() && !ended.stderr.is_empty(), "{ended:#?}");
    }
}

#[test]
fn an_endpoint_for_sns_needs_its_topic_and_an_address() {
    let project = Project::new().with("SLUICEGATE_SNS_LISTEN", "127.0.0.1:8080");
    refused(
        &project,
        &["sluicegate.toml:19: key `sns_listen` in [inbox]: needs `topic`", "SLUICEGATE_TOPIC"],
    );
    let project = project.with("SLUICEGATE_TOPIC", "landed");
    refused(&project, &["sluicegate.toml:18: key `topic` in [inbox]: `landed` is no ARN of an SNS topic"]);
    for address in
        ["8080", "127.0.0.1", "127.0.0.1:http", "127.0.0.1:70000", ":8080", "https://example.com/x"]
    {
        let project = Project::new()
            .with("SLUICEGATE_SNS_LISTEN", address)
            .with("SLUICEGATE_TOPIC", "arn:aws:sns:eu-west-1:123456789012:landed");
        refused(&project, &["sluicegate.toml:19: key `sns_listen` in [inbox]", "no address to listen on"]);
    }
}

#[cfg(not(feature = "aws"))]
#[test]
fn an_endpoint_for_sns_that_was_not_built_in_is_refused() {
    let project = Project::new()
        .with("SLUICEGATE_SNS_LISTEN", "127.0.0.1:8080")
        .with("SLUICEGATE_TOPIC", "arn:aws:sns:eu-west-1:123456789012:landed");
    refused(&project, &["SLUICEGATE_SNS_LISTEN 127.0.0.1:8080", "built without AWS"]);
}

#[cfg(feature = "aws")]
#[test]
fn a_query_over_a_curated_bucket_without_athena_is_refused() {
    let project = Project::new().with("SLUICEGATE_CURATED", "s3://bucket/curated");
    let ended = project.run(&["query", "SELECT 1"]).exits(2);
    assert!(ended.stdout.is_empty(), "{ended:#?}");
    ended.tells("s3://bucket/curated: a bucket is queried through Athena: set SLUICEGATE_WORKGROUP");
    assert!(!project.path("var/state.db").exists());
}

#[cfg(not(feature = "aws"))]
#[test]
fn what_was_not_built_in_is_refused() {
    let places = [
        ("SLUICEGATE_LANDING", "s3://bucket/in"),
        ("SLUICEGATE_ARCHIVE", "s3://bucket/archive"),
        ("SLUICEGATE_CURATED", "s3://bucket/curated"),
        ("SLUICEGATE_QUEUE", "https://sqs.eu-west-1.amazonaws.com/1/queue"),
    ];
    for (variable, value) in places {
        let project = Project::new().with(variable, value);
        refused(&project, &[value, "built without AWS; build it with the default features"]);
    }
}

#[cfg(not(feature = "postgres"))]
#[test]
fn a_postgresql_warehouse_that_was_not_built_in_is_refused() {
    let address = "postgres://user:hunter2@host/db?sslmode=verify-full";
    let project = Project::new().with("SLUICEGATE_WAREHOUSE", address);
    for words in [&["drain"][..], &["listen"], &["run"]] {
        let ended = project.run(words).exits(2);
        let ended = ended.tells(
            "a PostgreSQL warehouse: this program was built without it; build it with the default features",
        );
        assert!(!ended.stderr.contains("hunter2"), "a password is never shown: {ended:#?}");
    }
}

/// Nobody listens at this port of this machine, so nothing is asked for on the network.
#[cfg(feature = "postgres")]
#[test]
fn a_password_is_never_shown() {
    for (address, told) in [
        ("postgres://user:hunter2@127.0.0.1:1/db?sslmode=disable", "the warehouse cannot be reached"),
        ("postgres://user:hunter2@127.0.0.1:1/db?sslmode=hunter2", "sslmode is not known"),
        ("postgres://user:hunter2@/db", "names no host"),
    ] {
        let project = Project::new().with("SLUICEGATE_WAREHOUSE", address);
        project.land_settled("1.txt", &some_invoice(1));
        let commands =
            [&["drain", "--patience", "0s", "-vv"][..], &["status"], &["check"], &["jobs", "show", "1.txt"]];
        for words in commands {
            let ended = project.run(words);
            let said = ended.stdout.clone() + &ended.stderr;
            assert!(!said.contains("hunter2"), "{ended:#?}");
            assert!(words[0] != "check" || said.contains(told), "expected {told:?}: {ended:#?}");
        }
    }
}

#[cfg(feature = "aws")]
#[test]
fn a_crawler_without_its_database_is_refused() {
    let project = Project::new().with("SLUICEGATE_CRAWLER", "some-crawler");
    refused(&project, &["the Glue crawler some-crawler: its database is not known: set SLUICEGATE_DATABASE"]);
}

#[cfg(not(feature = "aws"))]
#[test]
fn a_crawler_is_refused_where_aws_was_not_built_in() {
    let project =
        Project::new().with("SLUICEGATE_CRAWLER", "some-crawler").with("SLUICEGATE_DATABASE", "sales");
    refused(&project, &["the Glue crawler some-crawler: this program was built without AWS"]);
}

#[test]
fn two_jobs_that_share_a_crawler_are_refused() {
    let project =
        Project::new().with("SLUICEGATE_CRAWLER", "some-crawler").with("SLUICEGATE_DATABASE", "sales");
    let second = std::fs::read_to_string(project.path("jobs/invoices.toml")).unwrap();
    let second = second
        .replace("name = \"invoices\"", "name = \"others\"")
        .replace("table = \"invoices\"", "table = \"others\"")
        .replace("table = \"invoice_items\"", "table = \"other_items\"");
    std::fs::write(project.path("jobs/others.toml"), second).unwrap();
    refused(&project, &["jobs/others.toml", "share the crawler `some-crawler`; give each job its own"]);
}

#[test]
fn a_job_may_replace_what_is_known() {
    let project = Project::new();
    project.edit("jobs/invoices.toml", "on_conflict = \"reject\"", "on_conflict = \"replace\"");
    let mut invoice = Invoice::made_up(&mut Random::new(1), 1);
    // The order is that of landing, in whole seconds; within one second it is nobody's.
    for (key, to, age) in [("first.txt", "First & Sons", 90), ("second.txt", "Second & Sons", 60)] {
        invoice.to = to.to_owned();
        let landed = SystemTime::now() - Duration::from_secs(age);
        project.land(key, invoice.text().as_bytes(), landed);
        assert_eq!(project.drain(0)["documents"]["loaded"], 1, "{key}");
        assert_eq!(project.ask::<String>("SELECT group_concat(to_party) FROM invoices").as_deref(), Some(to));
    }
    assert_eq!(project.outcome_words("first.txt"), ["superseded"]);
    assert_eq!(project.outcome_words("second.txt"), ["loaded"]);
}

#[test]
fn a_landing_that_is_not_there_is_told_with_what_to_do() {
    let project = Project::new();
    fs::remove_dir(project.landing()).unwrap();
    let ended = project.run(&["drain"]).exits(1);
    ended.tells("var/landing is not there: mkdir -p var/landing");
    project.run(&["check"]).exits(1).prints("mkdir -p var/landing");
}

/// Drains one new file that must be loaded.
fn load_one(project: &Project, number: u64) {
    project.land_settled(&format!("{number}.txt"), &some_invoice(number));
    assert_eq!(project.drain(0)["documents"]["loaded"], 1);
}

fn wrong_ledger(project: &Project, told: &str) -> Ended {
    project.land_settled("not to be loaded.txt", &some_invoice(99));
    for words in [&["drain"][..], &["drain", "--crawl"], &["run"]] {
        project.run(words).exits(2).tells(told);
    }
    project.run(&["check"]).exits(1).prints("WRONG")
}

#[test]
fn another_warehouse_under_the_same_state_is_refused() {
    let mut project = Project::new();
    load_one(&project, 1);
    project.set("SLUICEGATE_WAREHOUSE", "sqlite:var/other.db");
    wrong_ledger(&project, "belongs to the ledger");
    let other = rusqlite::Connection::open(project.path("var/other.db")).unwrap();
    let batches: i64 =
        other.query_row("SELECT count(*) FROM sluicegate_batch", [], |row| row.get(0)).unwrap();
    assert_eq!(batches, 0, "nothing is loaded into a stranger's warehouse");
    project.set("SLUICEGATE_WAREHOUSE", "sqlite:var/warehouse.db");
    assert_eq!(project.drain(0)["documents"]["loaded"], 1, "back at its own, it goes on");
}

fn copy_database(from: &Path, to: &Path) {
    for ending in ["", "-wal", "-shm"] {
        let named = |path: &Path| format!("{}{ending}", path.display());
        let _ = fs::remove_file(named(to));
        if Path::new(&named(from)).exists() {
            fs::copy(named(from), named(to)).unwrap();
        }
    }
}

#[test]
fn a_warehouse_restored_to_the_past_is_refused() {
    let project = Project::new();
    let (warehouse, backup) = (project.path("var/warehouse.db"), project.path("backup.db"));
    let newer = project.path("newer.db");
    load_one(&project, 1);
    copy_database(&warehouse, &backup);
    load_one(&project, 2);
    copy_database(&warehouse, &newer);
    copy_database(&backup, &warehouse);
    wrong_ledger(&project, "restored to the past");
    assert_eq!(project.ask("SELECT count(*) FROM invoices"), Some(1), "nothing is loaded into the past");
    copy_database(&newer, &warehouse);
    assert_eq!(project.drain(0)["documents"]["loaded"], 1, "the newer one is its own again");
}

#[test]
fn a_lost_state_folder_loads_nothing_twice() {
    let project = Project::new().with("SLUICEGATE_STATE", "var/state");
    load_one(&project, 1);
    load_one(&project, 2);
    project.land_settled("broken.txt", "nothing that anybody could load\n");
    project.drain(3);
    let rows = |project: &Project| {
        let count =
            "SELECT (SELECT count(*) FROM invoices) || ' ' || (SELECT count(*) FROM invoice_items) || ' ' ||
                            (SELECT group_concat(key || outcome || batch_id) FROM sluicegate_document)";
        project.ask::<String>(count).unwrap()
    };
    let before = (rows(&project), files_under(&project.path("var/curated")));
    for _ in 0..2 {
        fs::remove_dir_all(project.path("var/state")).unwrap();
        let summary = project.drain(0);
        assert_eq!((&summary["documents"]["loaded"], &summary["rows"]), (&0.into(), &0.into()), "{summary}");
        assert!(
            before == (rows(&project), files_under(&project.path("var/curated"))),
            "something was loaded again"
        );
    }
    load_one(&project, 3);
}
