//! Goal: a damaged archive is always noticed, named as such, and never taken for a failing store, nor the other way.

use std::io::{self, Cursor, Read};

use super::super::{ArchiveError, ArchiveReader, TRAILER_BYTES, Trailer, read_outcomes, read_verified};
use super::{TestMember, member, outcome, read, write};

fn some_members() -> Vec<TestMember> {
    let text = |n: u32| (0..200).map(|line| format!("Line: {}\n", line * n)).collect::<String>();
    vec![member("a.txt", text(3)), ("gone".into(), None), member(&"long".repeat(60), text(7))]
}

/// Packs changed tar bytes the way another program would.
fn pack(tar: &[u8]) -> Vec<u8> {
    zstd::encode_all(tar, 1).expect("it can be packed")
}

fn unpack(archive: &[u8]) -> Vec<u8> {
    zstd::decode_all(archive).expect("it is zstd")
}

#[test]
fn every_cut_is_noticed() {
    let whole = write(&some_members()).spool;
    let without_trailer = whole.len() - TRAILER_BYTES as usize;
    for cut in 0..whole.len() {
        let by_stream = read(&whole[..cut]);
        let by_tail = read_outcomes(Cursor::new(&whole[..cut]));
        if cut == without_trailer {
            assert!(by_stream.is_ok() && by_tail.is_ok(), "the trailer is for speed only");
            continue;
        }
        assert!(matches!(by_stream, Err(ArchiveError::Corrupt(_))), "cut at {cut}: {by_stream:?}");
        assert!(matches!(by_tail, Err(ArchiveError::Corrupt(_))), "cut at {cut}: {by_tail:?}");
    }
}

#[test]
fn every_changed_byte_is_noticed_or_harmless() {
    let members = some_members();
    let finished = write(&members);
    let expected = read(&finished.spool).expect("it can be read");
    for place in 0..finished.spool.len() {
        for mask in [0x01, 0x80, 0xff] {
            let mut damaged = finished.spool.clone();
            damaged[place] ^= mask;
            // The frames hold checksums; a few bits of their headers and of the trailer mean nothing to a stream.
            match read(&damaged) {
                Ok(found) => assert_eq!(found, expected, "byte {place}"),
                Err(ArchiveError::Io(error)) => panic!("byte {place} was taken for a failing store: {error}"),
                Err(_) => {}
            }
            if let Ok(found) = read_outcomes(Cursor::new(&damaged)) {
                assert_eq!(found, finished.outcomes, "byte {place}");
            }
        }
    }
}

#[test]
fn something_else_is_no_archive() {
    for bytes in
        [&b""[..], b"PK\x03\x04", &[0; 4096], &pack(b""), &pack(&[0; 1024]), &pack(b"Customer-ID: 1")]
    {
        let error = read(bytes).expect_err("it is none");
        assert!(matches!(error, ArchiveError::Corrupt(_)), "{error}");
        assert!(error.to_string().starts_with("the archive is damaged: "), "{error}");
    }
}

#[test]
fn a_trailer_of_another_archive_is_noticed() {
    let finished = write(&some_members());
    let mut joined = b"more".to_vec();
    joined.extend_from_slice(&finished.spool);
    assert!(Trailer::parse(&joined).is_some_and(|trailer| !trailer.fits(joined.len() as u64)));
    assert!(matches!(read_outcomes(Cursor::new(joined)), Err(ArchiveError::Corrupt(_))));
}

#[test]
fn something_behind_the_end_is_noticed() {
    let mut twice = write(&some_members()).spool;
    twice.extend_from_within(..);
    assert!(matches!(read(&twice), Err(ArchiveError::Corrupt(_))));
}

#[test]
fn an_entry_that_is_missing_or_unknown_is_noticed() {
    let tar = unpack(&write(&[member("a", b"a")]).spool);
    let name = tar.windows(8).position(|window| window == b"000000/a").expect("the member's header");
    let without = [&tar[..name], &tar[name + 1024..]].concat();
    let error = read(&pack(&without)).expect_err("the member is missing");
    assert_eq!(
        error.to_string(),
        "the archive is damaged: the outcomes name other members than there are entries"
    );

    let other = unpack(&write(&[member("b", b"a")]).spool);
    let entry = other.windows(8).position(|window| window == b"000000/b").expect("the member's header");
    let unknown = [&tar[..name], &other[entry..entry + 1024], &tar[name + 1024..]].concat();
    let error = read(&pack(&unknown)).expect_err("the member is another one");
    assert_eq!(error.to_string(), "the archive is damaged: the entry `000000/b` is not in the manifest");
}

#[test]
fn outcomes_of_another_batch_are_noticed() {
    let split = |members: &[TestMember]| {
        let tar = unpack(&write(members).spool);
        let place = tar.windows(13).position(|window| window == b"outcomes.json").expect("the last header");
        (tar[..place].to_vec(), tar[place..].to_vec())
    };
    let two = split(&[("gone".into(), None), ("gone too".into(), None)]);
    let one = split(&[("gone".into(), None)]);
    let error = read(&pack(&[two.0, one.1].concat())).expect_err("they belong to another batch");
    let expected = "the outcomes do not speak about exactly the members of the manifest";
    assert_eq!(error.to_string(), format!("the archive is damaged: {expected}"));
}

#[test]
fn a_changed_header_is_noticed_in_an_archive_that_was_packed_again() {
    let mut tar = unpack(&write(&some_members()).spool);
    let mode = 100; // The field after the name.
    tar[mode + 3] ^= 1;
    let error = read(&pack(&tar)).expect_err("the checksum is wrong");
    assert_eq!(error.to_string(), "the archive is damaged: a tar header whose checksum is wrong");
}

#[test]
fn a_format_of_the_future_is_refused_by_name() {
    let tar = String::from_utf8(unpack(&write(&[]).spool)).expect("it is text");
    let future = tar.replacen("\"format_version\": 1", "\"format_version\": 7", 1);
    let error = read(&pack(future.as_bytes())).expect_err("it is from the future");
    assert!(matches!(error, ArchiveError::NewerFormat { found: 7, known: 1 }), "{error}");
}

#[test]
fn unknown_fields_are_ignored() {
    let tar = String::from_utf8(unpack(&write(&[]).spool)).expect("it is text");
    let more = tar.replacen("\"replay\": 0", "\"new\": 0   ", 1);
    assert_eq!(more.len(), tar.len());
    read(&pack(more.as_bytes())).expect("a field that is unknown, and one that has a default");
}

#[test]
fn other_bytes_than_the_recorded_ones_are_noticed() {
    let expected = outcome(5, Some(b"abc"));
    assert_eq!(read_verified(&b"abc"[..], &expected).expect("they are the same"), b"abc");
    for (bytes, what) in [(&b"abd"[..], "SHA-256"), (b"ab", "size"), (b"abcd", "size")] {
        match read_verified(bytes, &expected) {
            Err(ArchiveError::Mismatch { ordinal: 5, what: found, .. }) => assert_eq!(found, what),
            other => panic!("{other:?}"),
        }
    }
    let endless = read_verified(io::repeat(b'a'), &expected).expect_err("it ends at the first byte too many");
    assert!(matches!(endless, ArchiveError::Mismatch { what: "size", .. }), "{endless}");
}

/// A store whose connection is lost in the middle.
struct Lost<'a>(&'a [u8]);

impl Read for Lost<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buffer)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            count => Ok(count),
        }
    }
}

#[test]
fn a_lost_connection_is_no_damage() {
    let whole = write(&some_members()).spool;
    for cut in 0..whole.len() {
        let walk = || -> Result<(), ArchiveError> {
            let mut reader = ArchiveReader::new(Lost(&whole[..cut]))?;
            while let Some(mut member) = reader.next_member()? {
                io::copy(&mut member, &mut io::sink())?;
            }
            Ok(())
        };
        let error = walk().expect_err("the connection is lost");
        assert!(matches!(error, ArchiveError::Io(_)), "cut at {cut}: {error}");
    }
}
