//! Goal: what was written is what is read, by stream, by trailer and by frame, and the same input gives the same bytes.

use std::io::{Cursor, Read, Write};

use proptest::prelude::*;

use super::super::{
    ArchiveReader, ArchiveWriter, Trailer, decode_member, decode_outcomes, encode_member, open_member,
    read_outcomes,
};
use super::{TestMember, landed_at, manifest, member, odd_keys, only_read, outcome, outcomes, read, write};

fn odd_members() -> Vec<TestMember> {
    let bytes = |key: &String| key.bytes().cycle().take(key.len() * 7 % 1500).collect::<Vec<u8>>();
    let mut members: Vec<TestMember> =
        odd_keys().into_iter().map(|key| (key.clone(), Some(bytes(&key)))).collect();
    members.insert(3, ("gone.txt".into(), None));
    members.push(("gone too".into(), None));
    members
}

#[test]
fn odd_keys_come_back() {
    let members = odd_members();
    let finished = write(&members);
    let (found, said) = read(&finished.spool).expect("it can be read");
    assert_eq!(found, only_read(&members));
    assert_eq!(said, finished.outcomes);
    assert_eq!(finished.length, finished.spool.len() as u64);
}

#[test]
fn the_manifest_comes_back_and_the_true_keys_with_it() {
    let keys = odd_keys();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let members: Vec<TestMember> = keys.iter().map(|key| (key.to_string(), None)).collect();
    let finished = write(&members);
    let reader = ArchiveReader::new(finished.spool.as_slice()).expect("it can be read");
    assert_eq!(*reader.manifest(), manifest(&keys));
}

#[test]
fn an_archive_without_any_member_is_one_too() {
    for members in [vec![], vec![("gone".to_string(), None)]] {
        let finished = write(&members);
        let (found, said) = read(&finished.spool).expect("it can be read");
        assert!(found.is_empty());
        assert_eq!(said.members.len(), members.len());
    }
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    assert_eq!(write(&odd_members()).spool, write(&odd_members()).spool);
}

#[test]
fn members_may_be_skipped_without_reading_them() {
    let members = odd_members();
    let finished = write(&members);
    let mut reader = ArchiveReader::new(finished.spool.as_slice()).expect("it can be read");
    let mut count = 0;
    while let Some(mut member) = reader.next_member().expect("it can be read") {
        count += 1;
        if count % 2 == 0 {
            let mut byte = [0];
            let _some = member.read(&mut byte).expect("it can be read");
        }
    }
    assert_eq!(count, only_read(&members).len());
    assert!(reader.next_member().expect("it stays at its end").is_none());
}

#[test]
fn the_outcomes_are_found_from_the_tail() {
    let finished = write(&odd_members());
    let mut source = Cursor::new(&finished.spool);
    assert_eq!(read_outcomes(&mut source).expect("it can be read"), finished.outcomes);
    assert_eq!(source.position(), 0, "a reader can go on from the beginning");

    // The same with two ranged reads, as over a network.
    let place = Trailer::parse(&finished.spool).expect("it has a trailer").outcomes;
    let range = place.offset as usize..(place.offset + place.length) as usize;
    assert_eq!(decode_outcomes(&finished.spool[range]).expect("it can be read"), finished.outcomes);
}

#[test]
fn the_outcomes_are_found_without_a_trailer() {
    let finished = write(&odd_members());
    let tar = zstd::decode_all(finished.spool.as_slice()).expect("it is zstd");
    let packed_again = zstd::encode_all(tar.as_slice(), 1).expect("it can be packed");
    let said = read_outcomes(Cursor::new(packed_again)).expect("it can be read");
    assert_eq!(said, finished.outcomes);
}

#[test]
fn one_member_is_read_through_its_frame() {
    let members = odd_members();
    let finished = write(&members);
    for (outcome, (key, bytes)) in finished.outcomes.members.iter().zip(&members) {
        let Some(frame) = outcome.frame else { continue };
        let range = &finished.spool[frame.offset as usize..(frame.offset + frame.length) as usize];
        let found = decode_member(outcome.ordinal, key, range).expect("it can be read");
        assert_eq!(Some(found), *bytes);
        assert!(decode_member(outcome.ordinal, "another", range).is_err());
        assert!(decode_member(outcome.ordinal, key, &range[..range.len() - 1]).is_err());
    }
}

#[test]
fn frames_compressed_elsewhere_give_the_same_archive() {
    use rayon::prelude::*;
    let members = only_read(&odd_members());
    let keys: Vec<&str> = members.iter().map(|(key, _)| key.as_str()).collect();
    let encoded: Vec<_> = members
        .par_iter()
        .enumerate()
        .map(|(ordinal, (key, bytes))| {
            encode_member(ordinal as u32, key, landed_at(), bytes.as_ref().expect("it was read"))
        })
        .collect();
    let mut writer = ArchiveWriter::new(Vec::new(), &manifest(&keys)).expect("the manifest is written");
    for member in encoded {
        writer.append_member(&member.expect("it was compressed")).expect("the member is written");
    }
    let finished = writer.finish(outcomes(&members)).expect("the outcomes are written");
    assert_eq!(finished.spool, write(&members).spool);
}

/// `count` bytes that compress badly, without holding them.
struct Noise {
    left: u64,
    state: u64,
}

impl Read for Noise {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = buffer.len().min(self.left as usize);
        for byte in &mut buffer[..count] {
            self.state = self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            *byte = (self.state >> 56) as u8;
        }
        self.left -= count as u64;
        Ok(count)
    }
}

#[test]
fn a_big_member_is_streamed_in_and_out_through_a_file() {
    const SIZE: u64 = 9 * 1024 * 1024 + 77;
    let noise = || Noise { left: SIZE, state: 1 };
    let spool = tempfile::tempfile().expect("a temporary file");
    let mut writer =
        ArchiveWriter::new(spool, &manifest(&["big", "small"])).expect("the manifest is written");
    let mut big = writer.begin_member(0, landed_at(), SIZE).expect("the member is begun");
    std::io::copy(&mut noise(), &mut big).expect("the member is written");
    big.finish().expect("the member is whole");
    writer.add_member_bytes(1, landed_at(), b"small").expect("the member is written");

    let mut said = outcomes(&[member("big", b""), member("small", b"small")]);
    let mut bytes = Vec::new();
    noise().read_to_end(&mut bytes).expect("noise");
    said.members[0] = outcome(0, Some(&bytes));
    let finished = writer.finish(said).expect("the outcomes are written");

    let mut file = finished.spool;
    let said = read_outcomes(&mut file).expect("it can be read");
    assert_eq!(file.metadata().expect("it is there").len(), finished.length);
    let mut reader = ArchiveReader::new(file).expect("it can be read");
    let big = reader.next_member().expect("it can be read").expect("the big one");
    let mut verified = super::super::Verified::new(big, &said.members[0]);
    assert_eq!(std::io::copy(&mut verified, &mut std::io::sink()).expect("it is verified"), SIZE);
    let small = reader.next_member().expect("it can be read").expect("the small one");
    assert_eq!(super::super::read_verified(small, &said.members[1]).expect("it is verified"), b"small");
    assert!(reader.next_member().expect("it can be read").is_none());
}

#[test]
fn a_streamed_member_reads_through_its_frame_too() {
    let mut writer = ArchiveWriter::new(Vec::new(), &manifest(&["a"])).expect("the manifest is written");
    let mut streamed = writer.begin_member(0, landed_at(), 6).expect("the member is begun");
    streamed.write_all(b"abc").expect("written");
    streamed.write_all(b"def").expect("written");
    let frame = streamed.finish().expect("the member is whole");
    let finished = writer.finish(outcomes(&[member("a", b"abcdef")])).expect("the outcomes are written");
    let range = &finished.spool[frame.offset as usize..][..frame.length as usize];
    let mut text = String::new();
    open_member(0, "a", range).expect("opened").read_to_string(&mut text).expect("read");
    assert_eq!(text, "abcdef");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_batch_comes_back(members in prop::collection::vec(
        (".{0,150}", prop::option::of(prop::collection::vec(any::<u8>(), 0..1500))), 0..12,
    )) {
        let finished = write(&members);
        let (found, said) = read(&finished.spool).expect("it can be read");
        prop_assert_eq!(found, only_read(&members));
        prop_assert_eq!(read_outcomes(Cursor::new(&finished.spool)).expect("it can be read"), said);
    }
}
