//! When the landing's lifecycle rule takes an object, where the answer about the object does not say it.
//!
//! "Amazon S3 calculates the time by adding the number of days specified in the rule to the object creation time and
//! rounding the resulting time to the next day midnight UTC" (user guide, lifecycle elements). The creation time is
//! Last-Modified.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use aws_sdk_s3::types::{ExpirationStatus, LifecycleRule};
use chrono::{DurationRound, TimeDelta};
use sluicegate_state::Timestamp;

use super::super::client::AwsClients;
use super::super::failure::{describe, status};
use super::info::whole_seconds;

/// Rules are seldom changed, and a change takes S3 minutes.
const KNOWN_FOR: Duration = Duration::from_secs(3_600);
/// Trouble is asked about again sooner; the objects are read meanwhile.
const UNKNOWN_FOR: Duration = Duration::from_secs(60);

/// The rules of one bucket, read when they are first needed.
#[derive(Default)]
pub(super) struct Lifecycle {
    read: Mutex<Option<Read>>,
}

struct Read {
    rules: Vec<Rule>,
    good_until: Instant,
}

/// A rule that is in force and removes objects.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    prefix: String,
    larger_than: Option<u64>,
    smaller_than: Option<u64>,
    when: When,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum When {
    Days(i64),
    Date(Timestamp),
}

impl Lifecycle {
    /// The earliest time at which a rule takes this object.
    pub(super) fn expires_at(
        &self,
        clients: &AwsClients,
        bucket: &str,
        full_key: &str,
        size: u64,
        last_modified: Timestamp,
    ) -> Option<Timestamp> {
        // A panic elsewhere leaves the rules as they were.
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = read.take().filter(|read| Instant::now() < read.good_until);
        let read = read.insert(fresh.unwrap_or_else(|| ask(clients, bucket)));
        let rules = read.rules.iter().filter(|rule| rule.takes(full_key, size));
        rules.filter_map(|rule| rule.when.expires_at(last_modified)).min()
    }
}

/// Reads the rules. A refusal is tolerated: the expiry is then what the job file says.
fn ask(clients: &AwsClients, bucket: &str) -> Read {
    let request = clients.s3().get_bucket_lifecycle_configuration().bucket(bucket);
    match clients.block_on(request.send()) {
        Ok(answer) => {
            let rules = answer.rules().iter().filter_map(rule).collect();
            Read { rules, good_until: Instant::now() + KNOWN_FOR }
        }
        Err(error) => {
            // 404: there is no lifecycle. 403: it is not ours to know. Others pass.
            let is_answer = matches!(status(&error), Some(400..=499 | 501));
            tracing::debug!("the lifecycle of {bucket} is not known: {}", describe(&error));
            let good_for = if is_answer { KNOWN_FOR } else { UNKNOWN_FOR };
            Read { rules: Vec::new(), good_until: Instant::now() + good_for }
        }
    }
}

/// A rule that can be understood; one that asks for tags could concern any object or none, and promises nothing.
fn rule(rule: &LifecycleRule) -> Option<Rule> {
    let expiration = rule.expiration().filter(|_| *rule.status() == ExpirationStatus::Enabled)?;
    let when = match (expiration.days(), expiration.date()) {
        (Some(days), _) => When::Days(i64::from(days)),
        (None, Some(date)) => When::Date(whole_seconds(date)?),
        (None, None) => return None,
    };
    let filter = rule.filter();
    let and = filter.and_then(|filter| filter.and());
    if filter.is_some_and(|filter| filter.tag().is_some()) || and.is_some_and(|and| !and.tags().is_empty()) {
        return None;
    }
    // The prefix beside the filter is the older form of a rule.
    #[allow(deprecated)]
    let prefix = and
        .and_then(|and| and.prefix())
        .or_else(|| filter.and_then(|filter| filter.prefix()))
        .or_else(|| rule.prefix());
    let larger = and.and_then(|and| and.object_size_greater_than());
    let smaller = and.and_then(|and| and.object_size_less_than());
    let bytes = |bytes: Option<i64>| bytes.and_then(|bytes| u64::try_from(bytes).ok());
    Some(Rule {
        prefix: prefix.unwrap_or_default().to_owned(),
        larger_than: bytes(larger.or_else(|| filter.and_then(|f| f.object_size_greater_than()))),
        smaller_than: bytes(smaller.or_else(|| filter.and_then(|f| f.object_size_less_than()))),
        when,
    })
}

impl Rule {
    fn takes(&self, full_key: &str, size: u64) -> bool {
        full_key.starts_with(&self.prefix)
            && self.larger_than.is_none_or(|limit| size > limit)
            && self.smaller_than.is_none_or(|limit| size < limit)
    }
}

impl When {
    fn expires_at(self, last_modified: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Date(date) => Some(date),
            Self::Days(days) => {
                let exact = last_modified.checked_add_signed(TimeDelta::try_days(days)?)?;
                exact.duration_round_up(TimeDelta::days(1)).ok()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_s3::types::{LifecycleExpiration, LifecycleRuleAndOperator, LifecycleRuleFilter, Tag};

    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn days_are_rounded_up_to_midnight() {
        for (days, landed, expires) in [
            (1, "2024-01-15T10:30:00Z", "2024-01-17T00:00:00Z"),
            (3, "2014-01-15T10:30:00Z", "2014-01-19T00:00:00Z"),
            (1, "2024-02-28T23:59:59Z", "2024-03-01T00:00:00Z"),
            (1, "2024-01-15T00:00:00Z", "2024-01-16T00:00:00Z"),
        ] {
            assert_eq!(When::Days(days).expires_at(at(landed)), Some(at(expires)), "{landed}");
        }
        assert_eq!(When::Days(i64::MAX).expires_at(at("2024-01-15T00:00:00Z")), None);
    }

    fn in_force(filter: LifecycleRuleFilter) -> LifecycleRule {
        LifecycleRule::builder()
            .status(ExpirationStatus::Enabled)
            .expiration(LifecycleExpiration::builder().days(1).build())
            .filter(filter)
            .build()
            .unwrap()
    }

    #[test]
    fn a_rule_takes_what_its_filter_says() {
        let of_prefix = rule(&in_force(LifecycleRuleFilter::builder().prefix("in/").build())).unwrap();
        assert!(of_prefix.takes("in/a.txt", 1) && !of_prefix.takes("out/a.txt", 1));
        let and = LifecycleRuleAndOperator::builder().prefix("in/").object_size_greater_than(10);
        let of_size = rule(&in_force(LifecycleRuleFilter::builder().and(and.build()).build())).unwrap();
        assert!(of_size.takes("in/a.txt", 11) && !of_size.takes("in/a.txt", 10));
        let everything = rule(&in_force(LifecycleRuleFilter::builder().build())).unwrap();
        assert!(everything.takes("a.txt", 0));
    }

    #[test]
    fn a_rule_that_promises_nothing_is_left_out() {
        let tag = Tag::builder().key("k").value("v").build().unwrap();
        assert_eq!(rule(&in_force(LifecycleRuleFilter::builder().tag(tag).build())), None);
        let disabled = LifecycleRule::builder()
            .status(ExpirationStatus::Disabled)
            .expiration(LifecycleExpiration::builder().days(1).build())
            .build()
            .unwrap();
        assert_eq!(rule(&disabled), None);
        let markers = LifecycleExpiration::builder().expired_object_delete_marker(true).build();
        let only_markers =
            LifecycleRule::builder().status(ExpirationStatus::Enabled).expiration(markers).build().unwrap();
        assert_eq!(rule(&only_markers), None);
    }
}
