//! docs/iam.md against the program's own list of permissions.

use serde_json::Value;
use sluicegate::check::PERMISSIONS;

use crate::{page, section};

#[test]
fn the_policy_is_the_list_that_check_tries() {
    let page = page("docs/iam.md");
    let text = section(&page, "policy");
    let json = text.trim().trim_start_matches("```json").trim_end_matches("```");
    let policy: Value = serde_json::from_str(json).unwrap();
    let mut told = Vec::new();
    for statement in policy["Statement"].as_array().unwrap() {
        for action in statement["Action"].as_array().unwrap() {
            told.push((statement["Sid"].as_str().unwrap(), action.as_str().unwrap()));
        }
    }
    let there: Vec<(&str, &str)> =
        PERMISSIONS.iter().map(|permission| (permission.place.name(), permission.action)).collect();
    assert_eq!(told, there);
}

#[test]
fn what_is_optional_is_told_as_such() {
    let page = page("docs/iam.md");
    let paragraph = page.split("**What stands still without one.**").nth(1).unwrap();
    let paragraph = paragraph.split("reports these as notes").next().unwrap();
    for permission in PERMISSIONS {
        let is_told = paragraph.contains(&format!("`{}`", permission.action));
        assert_eq!(is_told, !permission.is_needed, "{}", permission.action);
    }
}
