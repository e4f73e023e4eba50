//! What the landing needs of S3: the announced object, and nothing else.

use aws_sdk_s3::types::{
    BucketLifecycleConfiguration, ExpirationStatus, LifecycleExpiration, LifecycleRule, LifecycleRuleFilter,
};
use chrono::{DurationRound, TimeDelta};
use sluicegate::aws::S3Store;
use sluicegate::ports::object_store::{Announced, Got, ObjectInfo, ObjectStore, Refusal, VersionSource};

use crate::emulator::{Emulator, Kind, emulator, on_each};
use crate::store::{ODD_KEYS, listed, noise, read};

fn landing(emulator: &Emulator, bucket: &str) -> S3Store {
    S3Store::landing(emulator.clients.clone(), bucket)
}

fn version_id(info: &ObjectInfo) -> Option<&str> {
    match &info.version {
        VersionSource::Id(id) => Some(id),
        _ => None,
    }
}

/// The announced object's bytes, or why not.
fn get(store: &S3Store, info: &ObjectInfo) -> Result<Vec<u8>, Refusal> {
    let announced = Announced { key: &info.key, version_id: version_id(info), etag: &info.etag };
    match store.get_announced(&announced).unwrap() {
        Got::Object(fetched) => {
            let (found, bytes) = read(fetched);
            assert_eq!(found, *info);
            Ok(bytes)
        }
        Got::Refused(refusal) => Err(refusal),
    }
}

#[test]
fn what_was_announced_is_read() {
    on_each(|emulator| {
        let bucket = emulator.bucket();
        let store = landing(emulator, &bucket);
        for key in ODD_KEYS {
            emulator.upload(&bucket, key, key.as_bytes());
            let info = store.head(key).unwrap().unwrap();
            assert_eq!(get(&store, &info).unwrap(), key.as_bytes(), "{key}");
            assert_eq!(info.version, VersionSource::ETag(info.etag.clone()));
            assert!(!info.etag.contains('"') && !info.etag.is_empty());
        }
        let large = noise(20_000_000);
        emulator.upload(&bucket, "large.txt", &large);
        let info = store.head("large.txt").unwrap().unwrap();
        assert!(get(&store, &info).unwrap() == large);
        let mut expected: Vec<&str> = ODD_KEYS.iter().copied().chain(["large.txt"]).collect();
        expected.sort_unstable();
        let found = listed(&store, "");
        assert_eq!(found.iter().map(|info| info.key.as_str()).collect::<Vec<_>>(), expected);
        // An event and a listing that find the same object make one document (I2).
        assert_eq!(found[expected.binary_search(&"large.txt").unwrap()], info);
    });
}

#[test]
fn what_was_overwritten_or_removed_is_not_read() {
    on_each(|emulator| {
        let bucket = emulator.bucket();
        let store = landing(emulator, &bucket);
        emulator.upload(&bucket, "in/a.txt", b"first");
        let first = store.head("in/a.txt").unwrap().unwrap();
        emulator.upload(&bucket, "in/a.txt", b"the second");
        assert_eq!(get(&store, &first), Err(Refusal::Overwritten));
        emulator.remove(&bucket, "in/a.txt");
        assert_eq!(get(&store, &first), Err(Refusal::NotFound));
        assert!(store.head("in/a.txt").unwrap().is_none());
        let nowhere = S3Store::landing(emulator.clients.clone(), "no-such-bucket-anywhere");
        let announced = Announced { key: "in/a.txt", version_id: None, etag: &first.etag };
        assert!(nowhere.get_announced(&announced).is_err(), "{:?}", emulator.kind);
    });
}

#[test]
fn a_version_is_read_whatever_came_after_it() {
    on_each(|emulator| {
        let bucket = emulator.versioned_bucket();
        let store = landing(emulator, &bucket);
        emulator.upload(&bucket, "in/é a+.txt", b"first");
        let first = store.head("in/é a+.txt").unwrap().unwrap();
        emulator.upload(&bucket, "in/é a+.txt", b"the second");
        emulator.upload(&bucket, "in/b.txt", b"b");
        let second = store.head("in/é a+.txt").unwrap().unwrap();
        assert!(version_id(&first).is_some() && version_id(&first) != version_id(&second));
        let keys = |infos: Vec<ObjectInfo>| infos.into_iter().map(|info| info.key).collect::<Vec<_>>();
        let found = listed(&store, "in/");
        assert_eq!(found[1], second, "{:?}", emulator.kind);
        assert_eq!(keys(found), ["in/b.txt", "in/é a+.txt"]);
        emulator.remove(&bucket, "in/é a+.txt");
        assert_eq!(get(&store, &first).unwrap(), b"first");
        assert_eq!(get(&store, &second).unwrap(), b"the second");
        assert!(store.head("in/é a+.txt").unwrap().is_none());
        assert_eq!(keys(listed(&store, "in/")), ["in/b.txt"]);
        let never = Announced { key: "in/never.txt", version_id: version_id(&first), etag: "" };
        assert!(matches!(store.get_announced(&never), Ok(Got::Refused(_))), "{:?}", emulator.kind);
    });
}

#[test]
fn an_object_says_when_the_lifecycle_takes_it() {
    let Some(emulator) = emulator(Kind::Ministack) else { return };
    let bucket = emulator.bucket();
    let rule = LifecycleRule::builder()
        .id("one day")
        .status(ExpirationStatus::Enabled)
        .filter(LifecycleRuleFilter::builder().prefix("in/").build())
        .expiration(LifecycleExpiration::builder().days(1).build())
        .build()
        .unwrap();
    let configuration = BucketLifecycleConfiguration::builder().rules(rule).build().unwrap();
    let request = emulator.clients.s3().put_bucket_lifecycle_configuration().bucket(&bucket);
    emulator.clients.block_on(request.lifecycle_configuration(configuration).send()).unwrap();
    let store = landing(&emulator, &bucket);
    emulator.upload(&bucket, "in/a.txt", b"x");
    emulator.upload(&bucket, "out/a.txt", b"x");
    let info = store.head("in/a.txt").unwrap().unwrap();
    let day = TimeDelta::days(1);
    assert_eq!(info.expires_at, (info.last_modified + day).duration_round_up(day).ok());
    assert_eq!(listed(&store, "in/"), [info]);
    assert_eq!(store.head("out/a.txt").unwrap().unwrap().expires_at, None);
}
