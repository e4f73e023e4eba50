//! Reasons grouped: what differs from document to document is left out, so that one trouble is one line.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use regex::Regex;
use serde::Serialize;

use crate::ports::decisions::Decision;

/// Customers that a group names; the others are counted.
const MOST_CUSTOMERS: usize = 1_000;

/// One trouble.
#[derive(Debug, Serialize)]
pub(super) struct Group {
    pub(super) job: String,
    pub(super) outcome: String,
    /// Without what differs.
    pub(super) reason: String,
    pub(super) documents: u64,
    /// One of them, the newest.
    pub(super) example: Example,
    /// When the first of them landed, RFC 3339.
    pub(super) first_seen: String,
    /// When the last of them landed.
    pub(super) last_seen: String,
    /// Documents by customer.
    pub(super) customers: BTreeMap<String, u64>,
    /// Documents of customers beyond those.
    pub(super) more: u64,
}

/// One document of a group.
#[derive(Debug, Default, Serialize)]
pub(super) struct Example {
    pub(super) key: String,
    pub(super) line: Option<u64>,
    pub(super) reason: String,
    pub(super) text: String,
    pub(super) batch_id: String,
}

/// Groups by job, outcome and reason.
#[derive(Debug, Default)]
pub(super) struct Groups(BTreeMap<(String, String, String), Group>);

impl Groups {
    /// Adds a document of `customer`.
    pub(super) fn add(&mut self, job: &str, customer: &str, decision: &Decision) {
        let reason = normalised(&decision.reason);
        let place = (job.to_owned(), decision.outcome.clone(), reason.clone());
        let group = self.0.entry(place).or_insert_with(|| Group {
            job: job.to_owned(),
            outcome: decision.outcome.clone(),
            reason,
            documents: 0,
            example: Example::default(),
            first_seen: decision.landed_at.clone(),
            last_seen: String::new(),
            customers: BTreeMap::new(),
            more: 0,
        });
        group.documents += 1;
        if decision.landed_at < group.first_seen {
            group.first_seen.clone_from(&decision.landed_at);
        }
        if decision.landed_at >= group.last_seen {
            group.last_seen.clone_from(&decision.landed_at);
            group.example = Example {
                key: decision.key.clone(),
                line: decision.line,
                reason: decision.reason.clone(),
                text: decision.text.clone().unwrap_or_default(),
                batch_id: decision.batch_id.clone(),
            };
        }
        if group.customers.len() < MOST_CUSTOMERS || group.customers.contains_key(customer) {
            *group.customers.entry(customer.to_owned()).or_default() += 1;
        } else {
            group.more += 1;
        }
    }

    /// The groups, the largest first.
    pub(super) fn sorted(self) -> Vec<Group> {
        let mut groups: Vec<Group> = self.0.into_values().collect();
        groups.sort_by_key(|group| std::cmp::Reverse(group.documents));
        groups
    }
}

/// A reason without the values in it: quoted texts, numbers, dates, keys, batch ids. Names in back quotes stay, because
/// they are the job's own.
pub(super) fn normalised(reason: &str) -> String {
    static VALUES: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
        let rules = [
            (r"[0-9]{8}T[0-9]{6}Z-[0-9a-f]{16}", "…"),
            ("\"[^\"]*\"", "…"),
            (r"^.* is already there with other content", "a record is already there with other content"),
            (r"^the document holds .* twice", "the document holds a record twice"),
            (r"(: [a-z0-9_.]+ is ).*? there and .*? here", "${1}… there and … here"),
            (r"[-+]?[0-9][0-9.,:/-]*[0-9]|[0-9]+", "…"),
        ];
        rules.into_iter().map(|(rule, put)| (Regex::new(rule).expect("a constant pattern"), put)).collect()
    });
    // What a job calls its own may hold digits.
    let mut parts: Vec<String> = reason.split('`').map(str::to_owned).collect();
    let whole = parts.len() % 2 == 1;
    for (index, part) in parts.iter_mut().enumerate() {
        if index % 2 == 1 && whole {
            continue;
        }
        for (rule, put) in VALUES.iter() {
            *part = rule.replace_all(part, *put).into_owned();
        }
    }
    parts.join("`")
}

#[cfg(test)]
mod tests {
    use super::normalised;

    #[test]
    fn what_differs_is_left_out() {
        assert_eq!(normalised("`Dated` \"31 Feb\" is no date"), "`Dated` … is no date");
        assert_eq!(normalised("total is 12.50, amount + sgst is 1,234"), "total is …, amount + sgst is …");
        assert_eq!(normalised("`line2` is missing"), "`line2` is missing");
        let one = "A/1 is already there with other content, from batch 20260301T090000Z-0123456789abcdef: amount is 7.00 \
                   there and 8.00 here";
        let other = "Bcd/22 is already there with other content, from batch 20260302T100000Z-fedcba9876543210: amount is \
                     1.00 there and 2.00 here";
        assert_eq!(normalised(one), normalised(other));
        assert!(normalised(one).contains("amount is … there and … here"));
    }
}
