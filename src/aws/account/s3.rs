//! Questions to S3.

use aws_sdk_s3::types::{
    CompletedMultipartUpload, CompletedPart, EncodingType, EventBridgeConfiguration, FilterRuleName,
    NotificationConfigurationFilter,
};

use super::super::failure::{code, status};
use super::super::s3::has_versions;
use super::{AwsAccount, rules};
use crate::events::form_decode;
use crate::ports::account::{Asked, BucketNotification, EventTarget, LifecycleRule, Listed, Versioning};

/// An upload that was never begun. S3 looks at permissions before it looks for the upload, and answers `NoSuchUpload`.
const NO_UPLOAD: &str = "sluicegate-check-no-such-upload";

impl AwsAccount {
    pub(super) fn list_objects(&self, bucket: &str, prefix: &str) -> Asked<Vec<Listed>> {
        let request = self.clients.s3().list_objects_v2().bucket(bucket).prefix(prefix);
        let request = request.encoding_type(EncodingType::Url);
        match self.clients.block_on(request.send()) {
            Ok(page) => {
                let is_encoded = page.encoding_type() == Some(&EncodingType::Url);
                let keys = page.contents().iter().filter_map(|object| object.key());
                let listed = |key| Listed { key: decoded(key, is_encoded), version_id: None };
                Asked::Told(keys.map(listed).collect())
            }
            Err(error) => self.answer(&format!("listing s3://{bucket}/{prefix}"), &error),
        }
    }

    pub(super) fn list_object_versions(&self, bucket: &str, prefix: &str) -> Asked<Vec<Listed>> {
        let request = self.clients.s3().list_object_versions().bucket(bucket).prefix(prefix);
        let request = request.encoding_type(EncodingType::Url).max_keys(10);
        match self.clients.block_on(request.send()) {
            Ok(page) => {
                let is_encoded = page.encoding_type() == Some(&EncodingType::Url);
                let listed = page.versions().iter().filter_map(|version| {
                    let key = decoded(version.key()?, is_encoded);
                    Some(Listed { key, version_id: version.version_id().map(str::to_owned) })
                });
                Asked::Told(listed.collect())
            }
            Err(error) => self.answer(&format!("listing versions of s3://{bucket}/{prefix}"), &error),
        }
    }

    pub(super) fn get_object(&self, bucket: &str, key: &str, version_id: Option<&str>) -> Asked<bool> {
        let request = self.clients.s3().get_object().bucket(bucket).key(key).range("bytes=0-0");
        let request = request.set_version_id(version_id.map(str::to_owned));
        let error = match self.clients.block_on(request.send()) {
            Ok(_) => return Asked::Told(true),
            Err(error) => error,
        };
        match self.answer(&format!("reading s3://{bucket}/{key}"), &error) {
            Asked::Silent(_) if matches!(status(&error), Some(404 | 405)) => Asked::Told(false),
            // A version id of another form than this storage's.
            Asked::Silent(_) if version_id.is_some() && status(&error) == Some(400) => Asked::Told(false),
            // An empty object has no first byte; a frozen one is there all the same.
            Asked::Silent(_) if status(&error) == Some(416) || code(&error) == Some("InvalidObjectState") => {
                Asked::Told(true)
            }
            other => other,
        }
    }

    /// The permission to put an object is the one to complete an upload (S3 user guide, multipart upload and permissions).
    pub(super) fn complete_nothing(&self, bucket: &str, key: &str) -> Asked<()> {
        let part = CompletedPart::builder().part_number(1).e_tag("\"00000000000000000000000000000000\"");
        let parts = CompletedMultipartUpload::builder().parts(part.build()).build();
        let request = self.clients.s3().complete_multipart_upload().bucket(bucket).key(key);
        // A bucket's policy may demand that nothing is ever overwritten, as ours never is.
        let request = request.upload_id(NO_UPLOAD).multipart_upload(parts).if_none_match("*");
        match self.clients.block_on(request.send()) {
            Ok(_) => Asked::Told(()),
            Err(error) => self.impossible(&format!("trying to write s3://{bucket}/{key}"), &error),
        }
    }

    pub(super) fn abort_nothing(&self, bucket: &str, key: &str) -> Asked<()> {
        let request = self.clients.s3().abort_multipart_upload().bucket(bucket).key(key);
        match self.clients.block_on(request.upload_id(NO_UPLOAD).send()) {
            Ok(_) => Asked::Told(()),
            Err(error) => self.impossible(&format!("giving up an upload of s3://{bucket}/{key}"), &error),
        }
    }

    pub(super) fn bucket_location(&self, bucket: &str) -> Asked<()> {
        match self.clients.block_on(self.clients.s3().get_bucket_location().bucket(bucket).send()) {
            Ok(_) => Asked::Told(()),
            // An answer whose form is a little other than documented is an answer.
            Err(error) if status(&error) == Some(200) => Asked::Told(()),
            Err(error) => self.answer(&format!("asking where the bucket {bucket} is"), &error),
        }
    }

    pub(super) fn bucket_versioning(&self, bucket: &str) -> Asked<Versioning> {
        let of = |kept: bool| if kept { Versioning::Kept } else { Versioning::Never };
        match has_versions(&self.clients, bucket) {
            Ok(kept) => Asked::Told(of(kept)),
            Err(error) => self.answer(&format!("asking whether {bucket} has versions"), &error),
        }
    }

    pub(super) fn bucket_lifecycle(&self, bucket: &str) -> Asked<Vec<LifecycleRule>> {
        let request = self.clients.s3().get_bucket_lifecycle_configuration().bucket(bucket);
        match self.clients.block_on(request.send()) {
            Ok(answer) => Asked::Told(answer.rules().iter().map(rules::rule).collect()),
            Err(error) if code(&error) == Some("NoSuchLifecycleConfiguration") => Asked::Told(Vec::new()),
            Err(error) => self.answer(&format!("reading the lifecycle of {bucket}"), &error),
        }
    }

    pub(super) fn bucket_notifications(&self, bucket: &str) -> Asked<Vec<BucketNotification>> {
        let request = self.clients.s3().get_bucket_notification_configuration().bucket(bucket);
        let answer = match self.clients.block_on(request.send()) {
            Ok(answer) => answer,
            Err(error) => return self.answer(&format!("reading the notifications of {bucket}"), &error),
        };
        let mut list = Vec::new();
        for one in answer.topic_configurations() {
            let target = EventTarget::Topic(one.topic_arn().to_owned());
            list.push(notification(target, one.events(), one.filter()));
        }
        for one in answer.queue_configurations() {
            let target = EventTarget::Queue(one.queue_arn().to_owned());
            list.push(notification(target, one.events(), one.filter()));
        }
        for one in answer.lambda_function_configurations() {
            let target = EventTarget::Other(one.lambda_function_arn().to_owned());
            list.push(notification(target, one.events(), one.filter()));
        }
        let bridge: Option<&EventBridgeConfiguration> = answer.event_bridge_configuration();
        list.extend(bridge.map(|_| notification(EventTarget::EventBridge, &[], None)));
        Asked::Told(list)
    }
}

fn decoded(key: &str, is_encoded: bool) -> String {
    let plain = if is_encoded { form_decode(key).ok() } else { None };
    plain.unwrap_or_else(|| key.to_owned())
}

/// Filters are written as keys are in events: form-encoded.
fn notification(
    target: EventTarget,
    events: &[aws_sdk_s3::types::Event],
    filter: Option<&NotificationConfigurationFilter>,
) -> BucketNotification {
    let rules = filter.and_then(|filter| filter.key()).map_or(&[][..], |key| key.filter_rules());
    let value = |name: &str| {
        let is_it = |rule: &&aws_sdk_s3::types::FilterRule| {
            // S3 answers `Prefix` where `prefix` was put.
            rule.name().map(FilterRuleName::as_str).is_some_and(|known| known.eq_ignore_ascii_case(name))
        };
        rules.iter().find(is_it).and_then(|rule| rule.value()).map(|value| decoded(value, true))
    };
    BucketNotification {
        target,
        events: events.iter().map(|event| event.as_str().to_owned()).collect(),
        prefix: value("prefix").unwrap_or_default(),
        suffix: value("suffix").unwrap_or_default(),
    }
}
