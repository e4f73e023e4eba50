//! Lists objects. Keys come url-encoded (`encoding-type=url`): XML 1.0 cannot carry every character that a key may have.

use aws_sdk_s3::error::SdkError;
use aws_sdk_s3::operation::get_bucket_versioning::GetBucketVersioningError;
use aws_sdk_s3::operation::list_object_versions::ListObjectVersionsOutput;
use aws_sdk_s3::operation::list_objects_v2::ListObjectsV2Output;
use aws_sdk_s3::types::{BucketVersioningStatus, EncodingType, Object, ObjectVersion};

use super::super::client::AwsClients;
use super::super::failure::{HttpResponse, failure, status};
use super::S3Store;
use super::info::Told;
use crate::events::form_decode;
use crate::failure::{Failure, Outcome};
use crate::ports::object_store::ObjectInfo;

type Visit<'a> = dyn FnMut(ObjectInfo) -> Outcome<()> + 'a;

/// Visits every object below `prefix`, in the order of keys, which is S3's own order in general purpose buckets. In a
/// landing with versions each object has the id of its present version.
pub(super) fn list(store: &S3Store, prefix: &str, visit: &mut Visit<'_>) -> Outcome<()> {
    let full_prefix = store.full(prefix);
    if store.is_landing && has_versions(store)? {
        list_versions(store, &full_prefix, visit)
    } else {
        list_objects(store, &full_prefix, visit)
    }
}

/// Whether the bucket has, or once had, versions. Without this an event and a listing could make two documents of one
/// object (I2), so not knowing is no answer.
fn has_versions(store: &S3Store) -> Outcome<bool> {
    versioning(&store.clients, &store.bucket).map_err(|error| {
        let doing = format!("asking whether {} has versions (s3:GetBucketVersioning)", store.bucket);
        failure(&doing, &error)
    })
}

/// The same, with the service's error.
pub(in crate::aws) fn versioning(
    clients: &AwsClients,
    bucket: &str,
) -> Result<bool, Box<SdkError<GetBucketVersioningError, HttpResponse>>> {
    let request = clients.s3().get_bucket_versioning().bucket(bucket);
    match clients.block_on(request.send()) {
        Ok(answer) => Ok(matches!(
            answer.status(),
            Some(BucketVersioningStatus::Enabled | BucketVersioningStatus::Suspended)
        )),
        // A storage that knows no versions.
        Err(error) if status(&error) == Some(501) => Ok(false),
        // Some storages give the answer's outermost element another name than the documented one.
        Err(error) if status(&error) == Some(200) => Ok(body_says_versions(&error)),
        Err(error) => Err(Box::new(error)),
    }
}

fn body_says_versions<E>(error: &SdkError<E, HttpResponse>) -> bool {
    let body = error.raw_response().and_then(|response| response.body().bytes()).unwrap_or_default();
    let body = String::from_utf8_lossy(body);
    ["Enabled", "Suspended"].iter().any(|status| body.contains(&format!("<Status>{status}</Status>")))
}

fn list_objects(store: &S3Store, full_prefix: &str, visit: &mut Visit<'_>) -> Outcome<()> {
    let mut token = None;
    loop {
        let request = store.s3().list_objects_v2().bucket(&store.bucket).prefix(full_prefix);
        let request = request.encoding_type(EncodingType::Url).set_continuation_token(token);
        let page = store
            .clients
            .block_on(request.send())
            .map_err(|error| failure(&store.doing("listing", full_prefix), &error))?;
        let is_encoded = page.encoding_type() == Some(&EncodingType::Url);
        for object in page.contents() {
            let key = listed_key(store, object.key(), is_encoded)?;
            visit(store.describe(&key, told_by_object(object))?)?;
        }
        token = next_token(store, &page)?;
        if token.is_none() {
            return Ok(());
        }
    }
}

fn next_token(store: &S3Store, page: &ListObjectsV2Output) -> Outcome<Option<String>> {
    if page.is_truncated() != Some(true) {
        return Ok(None);
    }
    page.next_continuation_token().map(|token| Some(token.to_owned())).ok_or_else(|| cut_off(store))
}

fn list_versions(store: &S3Store, full_prefix: &str, visit: &mut Visit<'_>) -> Outcome<()> {
    let (mut key_marker, mut version_marker) = (None, None);
    loop {
        let request = store.s3().list_object_versions().bucket(&store.bucket).prefix(full_prefix);
        let request = request.encoding_type(EncodingType::Url);
        let request = request.set_key_marker(key_marker).set_version_id_marker(version_marker);
        let page = store
            .clients
            .block_on(request.send())
            .map_err(|error| failure(&store.doing("listing versions of", full_prefix), &error))?;
        let is_encoded = page.encoding_type() == Some(&EncodingType::Url);
        for version in page.versions().iter().filter(|version| version.is_latest() == Some(true)) {
            let key = listed_key(store, version.key(), is_encoded)?;
            visit(store.describe(&key, told_by_version(version))?)?;
        }
        key_marker = next_key(store, &page, is_encoded)?;
        version_marker = page.next_version_id_marker().map(str::to_owned);
        if key_marker.is_none() {
            return Ok(());
        }
    }
}

fn next_key(store: &S3Store, page: &ListObjectVersionsOutput, is_encoded: bool) -> Outcome<Option<String>> {
    if page.is_truncated() != Some(true) {
        return Ok(None);
    }
    let marker = page.next_key_marker().ok_or_else(|| cut_off(store))?;
    decoded(store, marker, is_encoded).map(Some)
}

/// A listing that ends early would make documents look as if they were gone.
fn cut_off(store: &S3Store) -> Failure {
    Failure::transient(format!("the listing of {} was cut off without a place to go on from", store.bucket))
}

/// The key of a listed object, relative to the store's own prefix.
fn listed_key(store: &S3Store, key: Option<&str>, is_encoded: bool) -> Outcome<String> {
    let full_key = decoded(store, key.unwrap_or_default(), is_encoded)?;
    full_key
        .strip_prefix(&store.root)
        .map(str::to_owned)
        .ok_or_else(|| Failure::transient(format!("the listing of {} names {full_key:?}", store.bucket)))
}

fn decoded(store: &S3Store, key: &str, is_encoded: bool) -> Outcome<String> {
    if !is_encoded {
        return Ok(key.to_owned());
    }
    form_decode(key).map_err(|reason| {
        Failure::permanent(format!("the listing of {}: the key {key:?} {reason}", store.bucket))
    })
}

fn told_by_object(object: &Object) -> Told<'_> {
    Told {
        size: object.size(),
        etag: object.e_tag(),
        last_modified: object.last_modified(),
        ..Told::default()
    }
}

fn told_by_version(version: &ObjectVersion) -> Told<'_> {
    Told {
        size: version.size(),
        etag: version.e_tag(),
        version_id: version.version_id(),
        last_modified: version.last_modified(),
        expiration: None,
    }
}
