//! Goal: every key has a path that extracts safely, different keys stay apart, and what was encoded can be decoded.

use proptest::prelude::*;

use super::super::{MAX_ORDINAL, batch_date, batch_id_of, member_path, object_key};
use super::odd_keys;

/// The inverse of `member_path`, written from its description; none for what was shortened.
fn decode(path: &str) -> Option<String> {
    let (_, encoded) = path.split_once('/')?;
    let segments: Option<Vec<String>> = encoded.split('/').map(decode_segment).collect();
    Some(segments?.join("/"))
}

fn decode_segment(segment: &str) -> Option<String> {
    if segment == "%" {
        return Some(String::new());
    }
    let mut parts = segment.split('%');
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        bytes.push(u8::from_str_radix(part.get(..2)?, 16).ok()?);
        bytes.extend_from_slice(&part.as_bytes()[2..]);
    }
    String::from_utf8(bytes).ok()
}

fn assert_safe(path: &str) {
    assert!(path.len() <= 2048, "{path}");
    for segment in path.split('/') {
        assert!(!matches!(segment, "" | "." | ".."), "{path}");
        assert!(segment.len() <= 255, "{path}");
        assert!(!segment.contains(|c: char| c.is_control() || c == '\\'), "{path}");
        assert!(!segment.starts_with([' ', '-', '~']) && !segment.ends_with([' ', '.']), "{path}");
    }
}

#[test]
fn paths_read_as_people_expect() {
    assert_eq!(member_path(7, "in/March 2018/a+b é.txt"), "000007/in/March 2018/a+b é.txt");
    assert_eq!(member_path(7, "../a//b\n%"), "000007/%2E%2E/a/%/b%0A%25");
    assert_eq!(member_path(MAX_ORDINAL, ""), "999999/%");
}

#[test]
fn a_long_segment_is_shortened_without_cutting_an_encoded_byte() {
    let path = member_path(1, &("a".repeat(199) + &"%".repeat(100)));
    assert!(path.starts_with(&format!("000001/{}%~", "a".repeat(199))), "{path}");
    assert_ne!(member_path(1, &("s".repeat(300) + "a")), member_path(1, &("s".repeat(300) + "b")));
}

#[test]
fn odd_keys_are_safe_and_kept_apart() {
    let mut paths: Vec<String> = odd_keys().iter().map(|key| member_path(1, key)).collect();
    paths.iter().for_each(|path| assert_safe(path));
    paths.sort();
    paths.dedup();
    assert_eq!(paths.len(), odd_keys().len());
}

#[test]
fn an_object_key_can_be_read_back() {
    let key = object_key("invoices", "20180331T235959Z-0123456789abcdef");
    assert_eq!(key, "invoices/dt=2018-03-31/20180331T235959Z-0123456789abcdef.tar.zst");
    assert_eq!(batch_id_of(&key), Some(("invoices", "20180331T235959Z-0123456789abcdef")));
    assert_eq!(batch_id_of("invoices/dt=2018-04-01/20180331T235959Z-0123456789abcdef.tar.zst"), None);
    assert_eq!(batch_id_of("invoices/dt=2018-03-31/20180331T235959Z-0123456789abcdef.tar"), None);
    for not_an_id in ["", "20180331", "20180331T235959Z-0123", "20181331T235959Z-0123456789abcdef", "é-é"] {
        assert_eq!(batch_date(not_an_id), None, "{not_an_id}");
    }
}

proptest! {
    #[test]
    fn any_key_is_safe_and_comes_back(key in "[-a-c./%~ \\\\é\0\n]{0,40}|.{0,60}") {
        let path = member_path(3, &key);
        assert_safe(&path);
        prop_assert_eq!(decode(&path), Some(key));
    }
}
