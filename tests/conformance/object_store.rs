//! What every object store must do.

use std::io::{Cursor, Read};

use chrono::SubsecRound;
use sluicegate::failure::Outcome;
use sluicegate::ports::object_store::{
    Announced, Fetched, Got, ObjectInfo, ObjectStore, PutAnswer, Refusal, VersionSource,
};

/// What puts bytes at a key.
type Upload = dyn Fn(&str, &[u8]);

/// A store without objects, and what customers do to it behind the pipeline's back.
pub(crate) struct Place {
    pub(crate) store: Box<dyn ObjectStore>,
    /// Puts an object there, whatever was there before.
    pub(crate) upload: Box<Upload>,
    /// Takes an object away.
    pub(crate) remove: Box<dyn Fn(&str)>,
}

/// Runs every case, each over a place of its own.
pub(crate) fn object_store_suite(make: &mut dyn FnMut() -> Place) {
    let cases: [fn(&Place); 11] = [
        what_was_put_is_there_as_it_was,
        a_part_is_read_alone,
        an_object_is_never_replaced,
        every_key_is_a_key,
        of_nothing_there_is_nothing,
        head_says_what_get_says,
        a_listing_is_in_the_order_of_keys,
        a_listing_ends_where_its_reader_fails,
        what_was_announced_is_read,
        what_was_overwritten_is_not_read,
        what_is_gone_is_not_found,
    ];
    for case in cases {
        case(&make());
    }
}

/// Keys that customers come up with.
const ODD_KEYS: [&str; 9] = [
    "plain.txt",
    "with space/and  two.txt",
    "plus+and%20percent%.txt",
    "é/東京/😀.txt",
    "quote's/\"double\".txt",
    "a/b/c/d/e/f/g/h/i/j.txt",
    "back\\slash.txt",
    "semi;colon&ampersand=?#.txt",
    "-dash/~tilde/.hidden.txt",
];

fn put(place: &Place, key: &str, bytes: &[u8]) -> PutAnswer {
    use sha2::{Digest, Sha256};
    let sha256 = hex::encode(Sha256::digest(bytes));
    place.store.put_new(key, &mut Cursor::new(bytes.to_vec()), bytes.len() as u64, &sha256).unwrap()
}

fn read(fetched: Fetched) -> (ObjectInfo, Vec<u8>) {
    let Fetched { info, mut body } = fetched;
    let mut bytes = Vec::new();
    body.read_to_end(&mut bytes).unwrap();
    (info, bytes)
}

fn get(place: &Place, key: &str) -> Option<Vec<u8>> {
    place.store.get(key).unwrap().map(|fetched| read(fetched).1)
}

fn listed(place: &Place, prefix: &str) -> Vec<String> {
    let mut keys = Vec::new();
    let mut visit = |info: ObjectInfo| -> Outcome<()> {
        keys.push(info.key);
        Ok(())
    };
    place.store.list(prefix, &mut visit).unwrap();
    keys
}

/// The refusal of the object that `info` describes, or its bytes.
fn get_announced(place: &Place, info: &ObjectInfo) -> Result<Vec<u8>, Refusal> {
    let version_id = match &info.version {
        VersionSource::Id(id) => Some(id.as_str()),
        _ => None,
    };
    let announced = Announced { key: &info.key, version_id, etag: &info.etag };
    match place.store.get_announced(&announced).unwrap() {
        Got::Object(fetched) => Ok(read(fetched).1),
        Got::Refused(refusal) => Err(refusal),
    }
}

fn a_part_is_read_alone(place: &Place) {
    let bytes: Vec<u8> = (0..3_000_000_u32).map(|number| (number % 251) as u8).collect();
    put(place, "parts", &bytes);
    for (offset, length) in [(0, 1), (0, 3_000_000), (1_234_567, 765_433), (2_999_999, 1), (17, 100)] {
        let mut found = Vec::new();
        let part = place.store.get_range("parts", offset as u64, length as u64).unwrap();
        part.expect("it is there").read_to_end(&mut found).unwrap();
        assert!(
            found == bytes[offset..offset + length],
            "{length} bytes from {offset}: {} came",
            found.len()
        );
    }
}

fn what_was_put_is_there_as_it_was(place: &Place) {
    let large: Vec<u8> =
        (0..5_000_011_u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    for (key, bytes) in [("empty", &b""[..]), ("one", b"\0"), ("text", "é\r\n".as_bytes()), ("large", &large)]
    {
        assert_eq!(put(place, key, bytes), PutAnswer::Written, "{key}");
        let (info, found) = read(place.store.get(key).unwrap().unwrap());
        assert!(found == bytes, "{key}: {} bytes came back", found.len());
        assert_eq!((info.key.as_str(), info.size), (key, bytes.len() as u64));
        assert_eq!(
            info.last_modified.trunc_subsecs(0),
            info.last_modified,
            "Last-Modified is in whole seconds"
        );
    }
}

fn an_object_is_never_replaced(place: &Place) {
    assert_eq!(put(place, "a/b.csv", b"first"), PutAnswer::Written);
    assert_eq!(put(place, "a/b.csv", b"the second"), PutAnswer::Exists);
    // The very same bytes too: the caller finds out by reading that they are its own.
    assert_eq!(put(place, "a/b.csv", b"first"), PutAnswer::Exists);
    assert_eq!(get(place, "a/b.csv").unwrap(), b"first");
    assert_eq!(listed(place, ""), ["a/b.csv"]);
}

fn every_key_is_a_key(place: &Place) {
    for key in ODD_KEYS {
        assert_eq!(put(place, key, key.as_bytes()), PutAnswer::Written, "{key}");
    }
    for key in ODD_KEYS {
        assert_eq!(get(place, key).as_deref(), Some(key.as_bytes()), "{key}");
        let info = place.store.head(key).unwrap().unwrap();
        assert_eq!(info.key, key);
        assert_eq!(get_announced(place, &info).unwrap(), key.as_bytes(), "{key}");
    }
    let mut sorted = ODD_KEYS.to_vec();
    sorted.sort_unstable();
    assert_eq!(listed(place, ""), sorted);
}

fn of_nothing_there_is_nothing(place: &Place) {
    put(place, "folder/object", b"x");
    for key in ["nothing", "folder/nothing", "nothing/at/all", "folder/object/below"] {
        assert!(place.store.get(key).unwrap().is_none(), "{key}");
        assert!(place.store.head(key).unwrap().is_none(), "{key}");
    }
    assert!(place.store.get("folder").unwrap().is_none(), "a prefix is no object");
    assert!(place.store.head("folder").unwrap().is_none(), "a prefix is no object");
    assert!(listed(place, "nothing").is_empty());
}

fn head_says_what_get_says(place: &Place) {
    put(place, "a.txt", b"some bytes");
    let head = place.store.head("a.txt").unwrap().unwrap();
    assert_eq!(head, read(place.store.get("a.txt").unwrap().unwrap()).0);
    assert_eq!(head.size, 10);
    assert!(!head.etag.is_empty() && !head.etag.contains('"'), "{}", head.etag);
    let mut from_listing = None;
    let mut visit = |info: ObjectInfo| -> Outcome<()> {
        from_listing = Some(info);
        Ok(())
    };
    place.store.list("", &mut visit).unwrap();
    // A listing knows no version ids; everything else makes the same document as an event does (I2).
    let from_listing = from_listing.unwrap();
    assert_eq!(
        (from_listing.key, from_listing.size, from_listing.etag, from_listing.last_modified),
        (head.key, head.size, head.etag, head.last_modified)
    );
}

fn a_listing_is_in_the_order_of_keys(place: &Place) {
    // In the order of bytes, `a-b` and `a.b` come before `a/b`, however folders are walked.
    let keys = ["b", "a/c", "a/b/c", "a.b", "a/b", "a-b", "aa", "é", "A/b"];
    let mut expected: Vec<&str> = keys.iter().copied().filter(|key| *key != "a/b").collect();
    for key in &expected {
        put(place, key, b"");
    }
    expected.sort_unstable();
    assert_eq!(listed(place, ""), expected);
    for prefix in ["a", "a/", "a/b", "a.", "é", "b", "z"] {
        let some: Vec<&str> = expected.iter().copied().filter(|key| key.starts_with(prefix)).collect();
        assert_eq!(listed(place, prefix), some, "below {prefix}");
    }
}

fn a_listing_ends_where_its_reader_fails(place: &Place) {
    put(place, "a", b"");
    put(place, "b", b"");
    let mut seen = 0;
    let mut visit = |_: ObjectInfo| {
        seen += 1;
        Err(sluicegate::failure::Failure::transient("enough"))
    };
    assert_eq!(place.store.list("", &mut visit).unwrap_err().message, "enough");
    assert_eq!(seen, 1);
}

fn what_was_announced_is_read(place: &Place) {
    (place.upload)("in/a.txt", b"first");
    let info = place.store.head("in/a.txt").unwrap().unwrap();
    assert_eq!(get_announced(place, &info).unwrap(), b"first");
    assert_eq!(get_announced(place, &info).unwrap(), b"first", "and again");
}

fn what_was_overwritten_is_not_read(place: &Place) {
    (place.upload)("in/a.txt", b"first");
    let first = place.store.head("in/a.txt").unwrap().unwrap();
    (place.upload)("in/a.txt", b"the second");
    let second = place.store.head("in/a.txt").unwrap().unwrap();
    assert_ne!(first.etag, second.etag);
    match get_announced(place, &first) {
        // A bucket with versions still has the old one.
        Ok(bytes) => assert_eq!(bytes, b"first"),
        Err(refusal) => assert_eq!(refusal, Refusal::Overwritten),
    }
    assert_eq!(get_announced(place, &second).unwrap(), b"the second");
}

fn what_is_gone_is_not_found(place: &Place) {
    (place.upload)("in/a.txt", b"first");
    let info = place.store.head("in/a.txt").unwrap().unwrap();
    (place.remove)("in/a.txt");
    match get_announced(place, &info) {
        Ok(bytes) => assert_eq!(bytes, b"first", "a bucket with versions still has it"),
        Err(refusal) => assert!(matches!(refusal, Refusal::NotFound | Refusal::DeleteMarker), "{refusal:?}"),
    }
    assert!(place.store.get("in/a.txt").unwrap().is_none());
    let never = ObjectInfo { key: "in/never.txt".to_owned(), version: VersionSource::Content, ..info };
    assert_eq!(get_announced(place, &never), Err(Refusal::NotFound));
}
