//! What the archive and the curated store need of S3.

use std::io::{Cursor, Read};

use sha2::{Digest, Sha256};
use sluicegate::aws::{S3Options, S3Store};
use sluicegate::failure::{FailureKind, Outcome};
use sluicegate::ports::object_store::{Fetched, ObjectInfo, ObjectStore, PutAnswer};

use crate::emulator::{Kind, emulator, on_each};

/// Keys that customers come up with.
pub(crate) const ODD_KEYS: [&str; 10] = [
    "plain.txt",
    "with space/and  two.txt",
    "plus+and%20percent%.txt",
    "é/東京/😀.txt",
    "quote's/\"double\".txt",
    "a/b/c/d/e/f/g/h/i/j.txt",
    "semi;colon&ampersand=?#.txt",
    "-dash/~tilde/.hidden.txt",
    "a//b.txt",
    "<angle>.txt",
];

pub(crate) fn put(store: &dyn ObjectStore, key: &str, bytes: &[u8]) -> Outcome<PutAnswer> {
    let sha256 = hex::encode(Sha256::digest(bytes));
    store.put_new(key, &mut Cursor::new(bytes.to_vec()), bytes.len() as u64, &sha256)
}

pub(crate) fn read(fetched: Fetched) -> (ObjectInfo, Vec<u8>) {
    let Fetched { info, mut body } = fetched;
    let mut bytes = Vec::new();
    body.read_to_end(&mut bytes).unwrap();
    (info, bytes)
}

pub(crate) fn listed(store: &dyn ObjectStore, prefix: &str) -> Vec<ObjectInfo> {
    let mut infos = Vec::new();
    let mut visit = |info: ObjectInfo| -> Outcome<()> {
        infos.push(info);
        Ok(())
    };
    store.list(prefix, &mut visit).unwrap();
    infos
}

pub(crate) fn noise(length: usize) -> Vec<u8> {
    (0..length as u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

#[test]
fn what_was_put_is_there_and_never_replaced() {
    on_each(|emulator| {
        let store = S3Store::under(emulator.clients.clone(), emulator.bucket(), "curated/");
        for (key, bytes) in [("empty", &b""[..]), ("one", b"\0"), ("text", "é\r\n".as_bytes())] {
            assert_eq!(put(&store, key, bytes), Ok(PutAnswer::Written), "{key}");
            assert_eq!(put(&store, key, b"something else"), Ok(PutAnswer::Exists), "{key}");
            assert_eq!(put(&store, key, bytes), Ok(PutAnswer::Exists), "{key}");
            let (info, found) = read(store.get(key).unwrap().unwrap());
            assert_eq!((found.as_slice(), info.key.as_str()), (bytes, key));
            assert_eq!(store.head(key).unwrap().unwrap(), info);
        }
        assert!(store.get("nothing").unwrap().is_none());
        assert!(store.head("nothing").unwrap().is_none());
        assert!(store.location().ends_with("/curated"), "{}", store.location());
    });
}

#[test]
fn every_key_is_a_key() {
    on_each(|emulator| {
        let store = S3Store::under(emulator.clients.clone(), emulator.bucket(), "archive");
        for key in ODD_KEYS {
            assert_eq!(put(&store, key, key.as_bytes()), Ok(PutAnswer::Written), "{key}");
            let (info, bytes) = read(store.get(key).unwrap().unwrap());
            assert_eq!((info.key.as_str(), bytes.as_slice()), (key, key.as_bytes()));
            assert_eq!(store.head(key).unwrap().unwrap(), info);
        }
        let mut sorted = ODD_KEYS.to_vec();
        sorted.sort_unstable();
        let keys: Vec<String> = listed(&store, "").into_iter().map(|info| info.key).collect();
        assert_eq!(keys, sorted, "{:?}", emulator.kind);
    });
}

#[test]
fn a_prefix_keeps_to_itself() {
    on_each(|emulator| {
        let bucket = emulator.bucket();
        let ours = S3Store::under(emulator.clients.clone(), &bucket, "a");
        let others = S3Store::under(emulator.clients.clone(), &bucket, "ab");
        put(&ours, "x/1", b"").unwrap();
        put(&ours, "x/2", b"").unwrap();
        put(&ours, "y", b"").unwrap();
        put(&others, "x/3", b"").unwrap();
        let keys = |prefix| listed(&ours, prefix).into_iter().map(|info| info.key).collect::<Vec<_>>();
        assert_eq!(keys(""), ["x/1", "x/2", "y"]);
        assert_eq!(keys("x/"), ["x/1", "x/2"]);
        assert_eq!(keys("z"), Vec::<String>::new());
    });
}

#[test]
fn a_listing_has_many_pages() {
    // Only one stand-in is fast enough for more than a page of objects.
    let Some(emulator) = emulator(Kind::Ministack) else { return };
    for (bucket, store) in [emulator.bucket(), emulator.versioned_bucket()]
        .map(|bucket| (bucket.clone(), S3Store::landing(emulator.clients.clone(), bucket)))
    {
        let keys: Vec<String> = (0..1_203).map(|number| format!("in/{number:04} +.txt")).collect();
        std::thread::scope(|scope| {
            for chunk in keys.chunks(200) {
                let (emulator, bucket) = (&emulator, &bucket);
                scope.spawn(move || chunk.iter().for_each(|key| emulator.upload(bucket, key, b"x")));
            }
        });
        let found: Vec<String> = listed(&store, "in/").into_iter().map(|info| info.key).collect();
        assert!(found == keys, "{} keys were listed", found.len());
    }
}

#[test]
fn a_large_object_goes_in_parts_and_comes_as_a_stream() {
    on_each(|emulator| {
        let options = S3Options { multipart_above: 1 << 20, part_bytes: 5 << 20, ..S3Options::default() };
        let store = S3Store::under(emulator.clients.clone(), emulator.bucket(), "").with_options(options);
        let bytes = noise(20_000_003);
        assert_eq!(put(&store, "large", &bytes), Ok(PutAnswer::Written));
        assert_eq!(store.head("large").unwrap().unwrap().size, bytes.len() as u64);
        let (_, found) = read(store.get("large").unwrap().unwrap());
        assert!(found == bytes, "{} bytes came back", found.len());
        // A conditional CompleteMultipartUpload is refused by one stand-in only.
        if emulator.kind == Kind::Ministack {
            assert_eq!(put(&store, "large", &noise(6 << 20)), Ok(PutAnswer::Exists));
            assert_eq!(store.head("large").unwrap().unwrap().size, bytes.len() as u64);
        }
        let uploads = emulator.clients.s3().list_multipart_uploads().bucket(store.bucket());
        let uploads = emulator.clients.block_on(uploads.send()).unwrap();
        assert!(uploads.uploads().is_empty(), "{:?}: parts were left behind", emulator.kind);
    });
}

#[test]
fn a_large_object_goes_in_one_piece_below_the_threshold() {
    on_each(|emulator| {
        let store = S3Store::under(emulator.clients.clone(), emulator.bucket(), "");
        let bytes = noise(20_000_003);
        assert_eq!(put(&store, "large", &bytes), Ok(PutAnswer::Written));
        let (_, found) = read(store.get("large").unwrap().unwrap());
        assert!(found == bytes, "{} bytes came back", found.len());
        assert_eq!(put(&store, "large", &bytes), Ok(PutAnswer::Exists));
    });
}

#[test]
fn bytes_that_are_not_those_that_were_hashed_are_not_written() {
    let Some(emulator) = emulator(Kind::Ministack) else { return };
    for multipart_above in [1 << 20, 100 << 20] {
        let options = S3Options { multipart_above, part_bytes: 5 << 20, ..S3Options::default() };
        let store = S3Store::under(emulator.clients.clone(), emulator.bucket(), "").with_options(options);
        let wrong = hex::encode(Sha256::digest("other bytes"));
        let bytes = noise(2 << 20);
        let answer = store.put_new("a", &mut Cursor::new(&bytes), bytes.len() as u64, &wrong);
        assert_eq!(answer.unwrap_err().kind, FailureKind::Transient);
        assert!(store.head("a").unwrap().is_none());
    }
}

#[test]
fn a_bucket_that_is_not_there_is_no_verdict_about_an_object() {
    on_each(|emulator| {
        let store = S3Store::under(emulator.clients.clone(), "no-such-bucket-anywhere", "x");
        for message in [
            store.get("a").map(drop).unwrap_err().message,
            store.head("a").map(drop).unwrap_err().message,
            put(&store, "a", b"x").unwrap_err().message,
            store.list("", &mut |_| Ok(())).unwrap_err().message,
        ] {
            assert!(message.contains("bucket"), "{:?}: {message}", emulator.kind);
        }
    });
}

#[test]
fn many_writers_of_one_key_have_one_winner() {
    // The other stand-in takes two of them.
    let Some(emulator) = emulator(Kind::Ministack) else { return };
    let bucket = emulator.bucket();
    let answers: Vec<PutAnswer> = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..8)
            .map(|number| {
                let store = S3Store::under(emulator.clients.clone(), &bucket, "");
                scope.spawn(move || put(&store, "one", format!("writer {number}").as_bytes()).unwrap())
            })
            .collect();
        writers.into_iter().map(|writer| writer.join().unwrap()).collect()
    });
    assert_eq!(answers.iter().filter(|answer| **answer == PutAnswer::Written).count(), 1, "{answers:?}");
}
