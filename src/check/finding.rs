//! Findings, and how an answer becomes one.

use serde::Serialize;

use super::permission::Permission;
use crate::ports::account::{Asked, Denial};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// As it should be.
    Ok,
    /// Worth knowing; work goes on.
    Note,
    /// Something does not work, or will not.
    Wrong,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub level: Level,
    /// What was looked at.
    pub what: String,
    /// What was found.
    pub found: String,
    /// What to do; empty where there is nothing to do.
    pub todo: String,
}

impl Finding {
    /// As it should be.
    pub fn ok(what: impl Into<String>, found: impl Into<String>) -> Self {
        Self { level: Level::Ok, what: what.into(), found: found.into(), todo: String::new() }
    }

    /// Worth knowing.
    pub fn note(what: impl Into<String>, found: impl Into<String>, todo: impl Into<String>) -> Self {
        Self { level: Level::Note, what: what.into(), found: found.into(), todo: todo.into() }
    }

    /// Something does not work.
    pub fn wrong(what: impl Into<String>, found: impl Into<String>, todo: impl Into<String>) -> Self {
        Self { level: Level::Wrong, what: what.into(), found: found.into(), todo: todo.into() }
    }
}

/// The findings about one place.
#[derive(Debug)]
pub struct Report {
    /// In front of every `what`.
    subject: String,
    findings: Vec<Finding>,
}

/// A service that gives no answer is not asked again, for each question would be waited for; nor is a place that is not there.
#[derive(Debug)]
pub(super) struct Silence;

/// What a question told, if it told something.
pub(super) type Told<T> = Result<Option<T>, Silence>;

impl Report {
    /// Findings about `subject`.
    pub fn new(subject: impl Into<String>) -> Self {
        Self { subject: subject.into(), findings: Vec::new() }
    }

    /// What was found.
    pub fn into_findings(self) -> Vec<Finding> {
        self.findings
    }

    pub(super) fn what(&self, part: &str) -> String {
        if part.is_empty() { self.subject.clone() } else { format!("{}: {part}", self.subject) }
    }

    pub(super) fn ok(&mut self, part: &str, found: impl Into<String>) {
        self.findings.push(Finding::ok(self.what(part), found));
    }

    pub(super) fn note(&mut self, part: &str, found: impl Into<String>, todo: impl Into<String>) {
        self.findings.push(Finding::note(self.what(part), found, todo));
    }

    pub(super) fn wrong(&mut self, part: &str, found: impl Into<String>, todo: impl Into<String>) {
        self.findings.push(Finding::wrong(self.what(part), found, todo));
    }

    /// Takes an answer: what it tells, or a finding about why it tells nothing. `todo` is for a thing that is not there.
    pub(super) fn told<T>(
        &mut self,
        part: &str,
        asked: Asked<T>,
        permission: Permission,
        resource: &str,
        todo: &str,
    ) -> Told<T> {
        match asked {
            Asked::Told(told) => return Ok(Some(told)),
            Asked::Denied(denial) => self.denied(part, &denial, permission, resource),
            Asked::Absent(words) => {
                self.wrong(part, words, todo);
                // Everything else about a bucket or a queue that is not there would say the same.
                if permission.action.starts_with("s3:") || permission.action.starts_with("sqs:") {
                    return Err(Silence);
                }
            }
            Asked::Unknown(words) => {
                self.note(part, format!("this service cannot tell: {words}"), "nothing, unless it is AWS");
            }
            Asked::Silent(words) => {
                self.wrong(part, words, "see the message; what comes after it was not asked");
                return Err(Silence);
            }
        }
        Ok(None)
    }

    /// A refusal, with the statement that would allow it. What the words name wins, where it is no part of our list: a key
    /// in KMS, for one.
    pub(super) fn denied(&mut self, part: &str, denial: &Denial, permission: Permission, resource: &str) {
        let named = denial.action.as_deref().filter(|action| action.starts_with("kms:"));
        let (action, resource) = match named {
            Some(action) => (action, denial.resource.as_deref().unwrap_or("*")),
            None => (permission.action, resource),
        };
        let statement = statement(action, resource);
        let todo = if denial.words.contains("explicit deny") {
            format!("remove the explicit deny that the message names; what is needed is {statement}")
        } else {
            format!("add to the role's policy: {statement}")
        };
        let found = format!("{action} is not allowed: {}", denial.words);
        if permission.is_needed {
            self.wrong(part, found, todo);
        } else {
            self.note(part, found, todo);
        }
    }
}

/// A statement of a policy on one line. Several resources are separated by blanks, which no name has.
pub(super) fn statement(action: &str, resource: &str) -> String {
    let resources: Vec<&str> = resource.split(' ').collect();
    let mut statement = serde_json::json!({ "Effect": "Allow", "Action": action, "Resource": resource });
    if resources.len() > 1 {
        statement["Resource"] = resources.into();
    }
    statement.to_string()
}

#[cfg(test)]
mod tests {
    use super::super::permission::{Place, permission};
    use super::*;

    fn of_words(words: &str) -> Finding {
        let mut report = Report::new("archive");
        let permission = permission(Place::Archive, "s3:GetObject");
        report.denied("reading", &Denial::from_words(words), permission, "arn:aws:s3:::b/*");
        report.into_findings().remove(0)
    }

    #[test]
    fn a_key_is_named_by_the_words_alone() {
        let finding = of_words(
            "AccessDenied (403), User: me is not authorized to perform: kms:Decrypt on resource: \
             arn:aws:kms:eu-west-1:1:key/k because no identity-based policy allows the kms:Decrypt action",
        );
        let expected =
            r#"{"Effect":"Allow","Action":"kms:Decrypt","Resource":"arn:aws:kms:eu-west-1:1:key/k"}"#;
        assert_eq!(finding.todo, format!("add to the role's policy: {expected}"));
    }

    #[test]
    fn an_explicit_deny_is_not_mended_by_another_statement() {
        let finding =
            of_words("AccessDenied (403), not authorized to perform: s3:GetObject with an explicit deny");
        assert!(finding.todo.starts_with("remove the explicit deny"), "{finding:?}");
    }

    #[test]
    fn several_resources_are_a_list() {
        assert_eq!(statement("a:B", "x y"), r#"{"Effect":"Allow","Action":"a:B","Resource":["x","y"]}"#);
    }
}
