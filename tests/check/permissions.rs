//! Each permission in turn is missing: just that one is named.

use std::collections::BTreeSet;

use sluicegate::check::{Finding, Level, PERMISSIONS};

use crate::account::MadeUp;

/// What costs something, or tells somebody something. The statement is printed instead.
pub(crate) const NOT_TRIED: [&str; 2] = ["glue:StartCrawler", "sns:Publish"];

/// The actions of the statements that the findings want to be added.
pub(crate) fn wanted(findings: &[Finding]) -> BTreeSet<String> {
    let statement = |finding: &Finding| {
        let start = finding.todo.find("{\"Effect\"")?;
        let statement: serde_json::Value = serde_json::from_str(&finding.todo[start..]).ok()?;
        Some(statement["Action"].as_str()?.to_owned())
    };
    findings.iter().filter_map(statement).collect()
}

#[test]
fn a_sound_account_gives_no_reason_to_do_anything() {
    let troubles = MadeUp::sound().troubles();
    assert_eq!(troubles, []);
}

#[test]
fn each_missing_permission_is_named_alone() {
    let empty = MadeUp { keys: Vec::new(), ..MadeUp::sound() };
    for account in [MadeUp::sound(), empty] {
        for permission in PERMISSIONS {
            if NOT_TRIED.contains(&permission.action) {
                continue;
            }
            let denied = MadeUp { forbidden: Some((permission.place, permission.action)), ..account.clone() };
            let findings = denied.findings();
            assert_eq!(wanted(&findings), [permission.action.to_owned()].into(), "{findings:#?}");
            let worst = findings.iter().map(|finding| finding.level).max_by_key(|level| *level as u8);
            let expected = if permission.is_needed { Level::Wrong } else { Level::Note };
            assert_eq!(worst, Some(expected), "{permission:?}: {findings:#?}");
        }
    }
}

/// S3 does not always say which action it means.
#[test]
fn a_refusal_without_a_word_is_not_taken_for_another() {
    for keys in [Vec::new(), MadeUp::sound().keys] {
        for permission in PERMISSIONS.iter().filter(|permission| !NOT_TRIED.contains(&permission.action)) {
            let denied = MadeUp {
                forbidden: Some((permission.place, permission.action)),
                is_talkative: false,
                keys: keys.clone(),
                ..MadeUp::sound()
            };
            let findings = denied.findings();
            let wanted = wanted(&findings);
            assert_eq!(wanted, [permission.action.to_owned()].into(), "{findings:#?}");
        }
    }
}

#[test]
fn the_line_to_add_is_a_statement() {
    let denied =
        MadeUp { forbidden: Some((sluicegate::check::Place::Landing, "s3:GetObject")), ..MadeUp::sound() };
    let todo: Vec<String> = denied.troubles().into_iter().map(|finding| finding.todo).collect();
    assert_eq!(
        todo,
        [
            r#"add to the role's policy: {"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::landing/in/*"}"#
        ]
    );
}

#[test]
fn listing_that_depends_on_a_prefix_is_told() {
    for keys in [Vec::new(), MadeUp::sound().keys] {
        let account = MadeUp { hides_missing: true, keys, ..MadeUp::sound() };
        let troubles = account.troubles();
        assert!(!troubles.is_empty());
        for trouble in troubles.iter().filter(|trouble| trouble.what.ends_with(": reading")) {
            assert!(trouble.todo.starts_with("take conditions on s3:prefix away"), "{trouble:?}");
        }
    }
}

#[test]
fn what_a_crawl_would_cost_is_not_tried() {
    use sluicegate::check::crawler::{Glue, crawler};
    let (account, job) = (MadeUp::sound(), crate::account::job());
    let curated = sluicegate::config::Location::parse("s3://data/csv").unwrap();
    let glue =
        Glue { job: &job, crawler: "invoices", database: "books", curated: &curated, last_success: None };
    let findings = crawler(&account, &glue, "2024-05-06T10:00:00Z".parse().unwrap());
    assert_eq!(wanted(&findings), ["glue:StartCrawler".to_owned()].into());
    assert!(findings.iter().all(|finding| finding.level != Level::Wrong), "{findings:#?}");
}

#[test]
fn an_alert_is_not_tried() {
    let findings = sluicegate::check::alerts(&MadeUp::sound(), crate::account::TOPIC);
    assert_eq!(wanted(&findings), ["sns:Publish".to_owned()].into());
    assert!(findings.iter().all(|finding| finding.level != Level::Wrong), "{findings:#?}");
}
