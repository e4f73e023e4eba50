//! Lifecycle rules: what removes documents from the landing, and what must not touch what is ours.

use super::finding::Report;
use crate::ports::account::{LifecycleRule, Versioning};

/// Hours until the first moment at which a rule may take an object, and until the last: days are counted from the next
/// midnight UTC (S3 user guide, lifecycle elements).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Life {
    pub(super) first_hours: i64,
    pub(super) last_hours: i64,
}

fn expires(rule: &LifecycleRule) -> bool {
    rule.enabled && (rule.days.is_some() || rule.date.is_some())
}

/// Whether a rule concerns everything under a root, or something of it.
fn covers(rule: &LifecycleRule, root: &str) -> bool {
    root.starts_with(&rule.prefix)
}

fn touches(rule: &LifecycleRule, root: &str) -> bool {
    covers(rule, root) || rule.prefix.starts_with(root)
}

/// The rules of the landing; how long documents live there, where a rule says so of all of them.
pub(super) fn of_landing(
    report: &mut Report,
    rules: &[LifecycleRule],
    root: &str,
    versioning: Option<Versioning>,
    expires_after_hours: Option<u32>,
) -> Option<Life> {
    const PART: &str = "lifecycle";
    let all = rules.iter().filter(|rule| expires(rule) && covers(rule, root) && !rule.is_partial);
    let shortest = all.min_by_key(|rule| rule.days.unwrap_or(0));
    for rule in rules.iter().filter(|rule| expires(rule) && touches(rule, root)) {
        if rule.is_partial || !covers(rule, root) {
            let found = format!("the rule {} removes only some of the documents", rule.id);
            report.note(PART, found, "nothing, if it is meant so: each document's own expiry is asked for");
        }
    }
    let Some(rule) = shortest else {
        report.note(
            PART,
            "no rule removes documents from the landing: they stay for ever",
            "add a rule with Expiration Days of 1 or more under this prefix, if they shall go",
        );
        return None;
    };
    let life = match (rule.days, &rule.date) {
        (Some(days), _) => {
            report.ok(PART, days_in_words(rule, days));
            Some(Life { first_hours: days * 24, last_hours: (days + 1) * 24 })
        }
        (None, date) => {
            let date = date.as_deref().unwrap_or("a date");
            let found = format!("the rule {} removes everything from {date} on, at once", rule.id);
            report.wrong(PART, found, "give it Days instead of Date");
            None
        }
    };
    if let (Some(life), Some(hours)) = (life, expires_after_hours)
        && i64::from(hours) > life.first_hours
    {
        let found = format!("the job says {hours} hours, the rule may remove after {}", life.first_hours);
        report.note(PART, found, format!("write expires_after_hours = {} in the job", life.first_hours));
    }
    if versioning == Some(Versioning::Kept) && !rules.iter().any(|rule| forgets_versions(rule, root)) {
        report.note(
            PART,
            "versions are kept for ever: a removed document's bytes stay, and cost",
            "add NoncurrentVersionExpiration to the rule, of a day or more",
        );
    }
    life
}

fn forgets_versions(rule: &LifecycleRule, root: &str) -> bool {
    rule.enabled && covers(rule, root) && rule.noncurrent_days.is_some()
}

fn days_in_words(rule: &LifecycleRule, days: i64) -> String {
    let (first, last) = (days * 24, (days + 1) * 24);
    format!("the rule {} removes documents between {first} and {last} hours after they landed", rule.id)
}

/// The rules of a place of ours: nothing may go, and leftovers of uploads should.
pub(super) fn of_own_place(report: &mut Report, rules: &[LifecycleRule], root: &str) {
    const PART: &str = "lifecycle";
    let mut is_sound = true;
    for rule in rules.iter().filter(|rule| rule.enabled && touches(rule, root)) {
        if expires(rule) {
            let found = format!("the rule {} removes objects here", rule.id);
            report.wrong(PART, found, format!("narrow the prefix of the rule {}, or disable it", rule.id));
            is_sound = false;
        }
        if let Some(class) = &rule.cold {
            let found = format!("the rule {} moves objects to {class}, where they cannot be read", rule.id);
            report.wrong(PART, found, format!("take the transition out of the rule {}", rule.id));
            is_sound = false;
        }
    }
    let clears_up = |rule: &LifecycleRule| rule.enabled && covers(rule, root) && rule.abort_days.is_some();
    if !rules.iter().any(clears_up) {
        report.note(
            PART,
            "no rule clears up unfinished uploads: parts of a killed one stay, and cost",
            "add a rule with AbortIncompleteMultipartUpload, DaysAfterInitiation 3",
        );
    } else if is_sound {
        report.ok(PART, "nothing is removed; unfinished uploads are cleared up");
    }
}
