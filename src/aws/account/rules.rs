//! Lifecycle rules as `check` looks at them: all of them, also those that concern only some objects.

use aws_sdk_s3::primitives::DateTimeFormat;
use aws_sdk_s3::types::{ExpirationStatus, TransitionStorageClass};

use crate::ports::account::LifecycleRule;

/// Storage classes whose objects have to be restored before they can be read.
const COLD: [TransitionStorageClass; 2] =
    [TransitionStorageClass::DeepArchive, TransitionStorageClass::Glacier];

pub(super) fn rule(rule: &aws_sdk_s3::types::LifecycleRule) -> LifecycleRule {
    let filter = rule.filter();
    let and = filter.and_then(|filter| filter.and());
    // The prefix beside the filter is the older form of a rule.
    #[allow(deprecated)]
    let prefix = and
        .and_then(|and| and.prefix())
        .or_else(|| filter.and_then(|filter| filter.prefix()))
        .or_else(|| rule.prefix());
    let one = filter.is_some_and(|filter| {
        filter.tag().is_some()
            || filter.object_size_greater_than().is_some()
            || filter.object_size_less_than().is_some()
    });
    let several = and.is_some_and(|and| {
        !and.tags().is_empty()
            || and.object_size_greater_than().is_some()
            || and.object_size_less_than().is_some()
    });
    let cold = rule.transitions().iter().filter_map(|transition| transition.storage_class());
    let date = rule.expiration().and_then(|expiration| expiration.date());
    LifecycleRule {
        id: rule.id().unwrap_or("without a name").to_owned(),
        enabled: *rule.status() == ExpirationStatus::Enabled,
        prefix: prefix.unwrap_or_default().to_owned(),
        is_partial: one || several,
        days: rule.expiration().and_then(|expiration| expiration.days()).map(i64::from),
        date: date.and_then(|date| date.fmt(DateTimeFormat::DateTime).ok()),
        noncurrent_days: rule
            .noncurrent_version_expiration()
            .and_then(|expiration| expiration.noncurrent_days())
            .map(i64::from),
        abort_days: rule
            .abort_incomplete_multipart_upload()
            .and_then(|abort| abort.days_after_initiation())
            .map(i64::from),
        cold: cold.filter(|class| COLD.contains(class)).map(|class| class.as_str().to_owned()).next(),
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_s3::types::{
        AbortIncompleteMultipartUpload, LifecycleExpiration, LifecycleRuleAndOperator, LifecycleRuleFilter,
        Tag, Transition,
    };

    use super::*;

    #[test]
    fn a_rule_is_read_whole() {
        let tag = Tag::builder().key("k").value("v").build().unwrap();
        let and = LifecycleRuleAndOperator::builder().prefix("in/").tags(tag).build();
        let given = aws_sdk_s3::types::LifecycleRule::builder()
            .id("r")
            .status(ExpirationStatus::Enabled)
            .filter(LifecycleRuleFilter::builder().and(and).build())
            .expiration(LifecycleExpiration::builder().days(1).build())
            .transitions(Transition::builder().storage_class(TransitionStorageClass::StandardIa).build())
            .transitions(Transition::builder().storage_class(TransitionStorageClass::Glacier).build())
            .abort_incomplete_multipart_upload(
                AbortIncompleteMultipartUpload::builder().days_after_initiation(3).build(),
            )
            .build()
            .unwrap();
        let expected = LifecycleRule {
            id: "r".to_owned(),
            enabled: true,
            prefix: "in/".to_owned(),
            is_partial: true,
            days: Some(1),
            date: None,
            noncurrent_days: None,
            abort_days: Some(3),
            cold: Some("GLACIER".to_owned()),
        };
        assert_eq!(rule(&given), expected);
    }
}
