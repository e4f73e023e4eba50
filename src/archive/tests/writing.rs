//! Goal: nothing unfinished or wrong ever gets into an archive, and a failed write can be tried again.

use std::io::{self, Write};

use super::super::{ArchiveError, ArchiveWriter, FORMAT_VERSION, Got, Outcomes, Spool, encode_member};
use super::{landed_at, manifest, member, outcome, outcomes, read, write};

fn writer(keys: &[&str]) -> ArchiveWriter<Vec<u8>> {
    ArchiveWriter::new(Vec::new(), &manifest(keys)).expect("the manifest is written")
}

fn many_bytes() -> Vec<u8> {
    (0..1_000_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect()
}

#[test]
fn a_member_that_was_not_finished_leaves_no_trace() {
    let members = [("a".to_string(), None), member("b", b"b")];
    let expected = write(&members).spool;
    for explicitly in [false, true] {
        let mut writer = writer(&["a", "b"]);
        let mut begun = writer.begin_member(0, landed_at(), 5_000_000).expect("the member is begun");
        begun.write_all(&many_bytes()).expect("written");
        if explicitly {
            begun.discard().expect("the spool is cut");
        } else {
            drop(begun);
        }
        writer.add_member_bytes(1, landed_at(), b"b").expect("the member is written");
        assert_eq!(writer.finish(outcomes(&members)).expect("written").spool, expected);
    }
}

#[test]
fn discarding_frees_the_spool_at_once() {
    let mut file = tempfile::tempfile().expect("a temporary file");
    let mut writer = ArchiveWriter::new(&mut file, &manifest(&["a"])).expect("the manifest is written");
    let before = writer.position();
    let mut begun = writer.begin_member(0, landed_at(), 4_000_000).expect("the member is begun");
    begun.write_all(&many_bytes()).expect("written");
    begun.discard().expect("the spool is cut");
    drop(writer);
    assert_eq!(file.metadata().expect("it is there").len(), before);
}

#[test]
fn a_member_of_another_size_than_announced_is_refused() {
    let mut writer = writer(&["a"]);
    let mut begun = writer.begin_member(0, landed_at(), 3).expect("the member is begun");
    begun.write_all(b"ab").expect("written");
    let error = begun.finish().expect_err("one byte is lacking");
    assert_eq!(error.to_string(), "member 0: size is 2, expected 3");

    let mut begun = writer.begin_member(0, landed_at(), 3).expect("the member is begun again");
    let error = ArchiveError::from(begun.write_all(b"abcd").expect_err("one byte too many"));
    assert!(matches!(error, ArchiveError::Mismatch { ordinal: 0, what: "size", .. }), "{error}");
    drop(begun);

    writer.add_member_bytes(0, landed_at(), b"abc").expect("the member is written");
    let finished = writer.finish(outcomes(&[member("a", b"abc")])).expect("written");
    assert_eq!(finished.spool, write(&[member("a", b"abc")]).spool);
}

#[test]
fn members_out_of_place_are_refused() {
    let mut writer = writer(&["a", "b"]);
    writer.add_member_bytes(1, landed_at(), b"b").expect("the member is written");
    for ordinal in [0, 1, 2] {
        let error = writer.add_member_bytes(ordinal, landed_at(), b"").expect_err("out of place");
        assert!(matches!(error, ArchiveError::Invalid(_)), "{error}");
    }
}

#[test]
fn a_frame_made_for_another_key_is_refused() {
    let other = encode_member(0, "other", landed_at(), b"x").expect("compressed");
    let error = writer(&["a"]).append_member(&other).expect_err("another key");
    assert!(matches!(error, ArchiveError::Mismatch { what: "path", .. }), "{error}");
}

#[test]
fn outcomes_that_do_not_fit_are_refused() {
    let right = outcome(0, Some(b"a"));
    let mut wrong_size = right.clone();
    wrong_size.size = 2;
    let mut unread = right.clone();
    unread.got = Got::Deferred;
    let mut without_hash = right.clone();
    without_hash.sha256 = None;
    let never_written = outcome(1, Some(b"b"));
    for members in [
        vec![],
        vec![right.clone()],
        vec![wrong_size, outcome(1, None)],
        vec![unread, outcome(1, None)],
        vec![without_hash, outcome(1, None)],
        vec![right.clone(), never_written],
        vec![outcome(1, None), right.clone()],
        vec![right.clone(), outcome(1, None), outcome(2, None)],
    ] {
        let mut writer = writer(&["a", "b"]);
        writer.add_member_bytes(0, landed_at(), b"a").expect("the member is written");
        let outcomes = Outcomes { format_version: FORMAT_VERSION, members, fetched_at: None };
        let error = writer.finish(outcomes.clone()).expect_err("they do not fit");
        assert!(!matches!(error, ArchiveError::Io(_) | ArchiveError::Corrupt(_)), "{error}: {outcomes:?}");
    }
}

#[test]
fn a_manifest_that_no_reader_accepts_is_refused() {
    let mut twice = manifest(&["a", "b"]);
    twice.members[1].ordinal = 0;
    let mut too_high = manifest(&["a"]);
    too_high.members[0].ordinal = 1_000_000;
    for manifest in [twice, too_high] {
        let error = ArchiveWriter::new(Vec::new(), &manifest).expect_err("it is refused");
        assert!(matches!(error, ArchiveError::Invalid(_)), "{error}");
    }
}

/// A disk that is full at every other write, after it took half of it.
#[derive(Default)]
struct FullDisk {
    bytes: Vec<u8>,
    writes: u32,
}

impl Write for FullDisk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writes += 1;
        if self.writes.is_multiple_of(2) {
            self.bytes.extend_from_slice(&bytes[..bytes.len() / 2]);
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.bytes.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Spool for FullDisk {
    fn truncate_to(&mut self, length: u64) -> io::Result<()> {
        self.bytes.truncate_to(length)
    }
}

#[test]
fn a_failed_write_can_be_tried_again() {
    let mut disk = FullDisk::default();
    let mut writer = ArchiveWriter::new(&mut disk, &manifest(&["a"])).expect("the first write works");
    let error = writer.add_member_bytes(0, landed_at(), b"a").expect_err("the disk is full");
    assert!(matches!(error, ArchiveError::Io(_)), "{error}");
    writer.add_member_bytes(0, landed_at(), b"a").expect("the member is written");
    drop(writer);
    let expected = write(&[member("a", b"a")]);
    let frame = expected.outcomes.members[0].frame.expect("it was read");
    assert_eq!(disk.bytes, expected.spool[..(frame.offset + frame.length) as usize]);
    assert!(read(&disk.bytes).is_err(), "it is not finished");
}
