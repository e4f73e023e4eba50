//! Reading an archive as a stream, from the manifest through the members to the outcomes.

use std::io::{self, Read};

use super::entry::{Entries, Entry};
use super::error::ArchiveError;
use super::index::{MAX_INDEX_BYTES, Manifest, Outcomes, from_json};
use super::names::member_path;
use super::writer::{MANIFEST, OUTCOMES};

/// Reads one archive. Members come in the order of their ordinals; only those that were read are there.
pub struct ArchiveReader<R: Read> {
    entries: Entries<R>,
    manifest: Manifest,
    /// Ordinals and sizes of the members so far.
    seen: Vec<(u32, u64)>,
    outcomes: Option<Outcomes>,
}

impl<R: Read> ArchiveReader<R> {
    /// Reads and checks the manifest.
    ///
    /// # Errors
    /// If the source fails, or does not begin as an archive does.
    pub fn new(source: R) -> Result<Self, ArchiveError> {
        let mut entries = Entries::new(source)?;
        match entries.next_entry()? {
            Some(entry) if entry.name == MANIFEST => {}
            _ => return Err(ArchiveError::corrupt(format!("it does not begin with {MANIFEST}"))),
        }
        let manifest: Manifest = from_json(MANIFEST, &entries.read_all(MAX_INDEX_BYTES)?)?;
        manifest.check().map_err(ArchiveError::Corrupt)?;
        Ok(Self { entries, manifest, seen: Vec::new(), outcomes: None })
    }

    /// What was sealed.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Goes to the next member, past what was not read of the present one; none after the last.
    ///
    /// # Errors
    /// If the source fails, or the archive is damaged or does not agree with itself.
    pub fn next_member(&mut self) -> Result<Option<Member<'_, R>>, ArchiveError> {
        if self.outcomes.is_some() {
            return Ok(None);
        }
        let entry = self.entries.next_entry()?;
        let entry = entry.ok_or_else(|| ArchiveError::corrupt(format!("{OUTCOMES} is not there")))?;
        if entry.name == OUTCOMES {
            self.outcomes = Some(self.read_outcomes()?);
            return Ok(None);
        }
        let ordinal = self.identify(&entry)?;
        self.seen.push((ordinal, entry.size));
        Ok(Some(Member { ordinal, size: entry.size, entries: &mut self.entries }))
    }

    /// What came of the members; none before [`next_member`](Self::next_member) has gone past the last one.
    pub fn outcomes(&self) -> Option<&Outcomes> {
        self.outcomes.as_ref()
    }

    /// Goes past all members and gives the manifest and what came of them.
    ///
    /// # Errors
    /// As [`next_member`](Self::next_member).
    pub fn into_index(mut self) -> Result<(Manifest, Outcomes), ArchiveError> {
        while self.next_member()?.is_some() {}
        let outcomes =
            self.outcomes.ok_or_else(|| ArchiveError::corrupt(format!("{OUTCOMES} is not there")))?;
        Ok((self.manifest, outcomes))
    }

    /// Finds the entry in the manifest.
    fn identify(&self, entry: &Entry) -> Result<u32, ArchiveError> {
        let unknown = || ArchiveError::corrupt(format!("the entry `{}` is not in the manifest", entry.name));
        let ordinal = ordinal_of(&entry.name).ok_or_else(unknown)?;
        let member = self.manifest.member(ordinal).ok_or_else(unknown)?;
        if member_path(ordinal, &member.key) != entry.name {
            return Err(unknown());
        }
        match self.seen.last() {
            Some((last, _)) if *last >= ordinal => {
                Err(ArchiveError::corrupt(format!("member {ordinal} comes after member {last}")))
            }
            _ => Ok(ordinal),
        }
    }

    /// Reads the outcomes, and compares them with the manifest and with the members that came by.
    fn read_outcomes(&mut self) -> Result<Outcomes, ArchiveError> {
        let outcomes = parse_outcomes(&mut self.entries)?;
        let ordinals = self.manifest.members.iter().map(|member| member.ordinal);
        outcomes.check_against(ordinals).map_err(ArchiveError::Corrupt)?;
        let recorded = outcomes.members.iter().filter(|member| member.frame.is_some());
        if !recorded.clone().map(|member| member.ordinal).eq(self.seen.iter().map(|seen| seen.0)) {
            return Err(ArchiveError::corrupt("the outcomes name other members than there are entries"));
        }
        for (member, (ordinal, size)) in recorded.zip(&self.seen) {
            if member.size != *size {
                return Err(ArchiveError::size(*ordinal, member.size, *size));
            }
        }
        Ok(outcomes)
    }
}

/// Reads the outcomes that `entries` stands before the data of, to the very end of the archive.
pub(super) fn parse_outcomes<R: Read>(entries: &mut Entries<R>) -> Result<Outcomes, ArchiveError> {
    let outcomes: Outcomes = from_json(OUTCOMES, &entries.read_all(MAX_INDEX_BYTES)?)?;
    entries.expect_end_of_archive()?;
    outcomes.check().map_err(ArchiveError::Corrupt)?;
    Ok(outcomes)
}

fn ordinal_of(path: &str) -> Option<u32> {
    path.split_once('/')?.0.parse().ok()
}

/// One member: reading it yields its data as a stream. Its end is reported once the frame's checksum was right.
pub struct Member<'a, R: Read> {
    ordinal: u32,
    size: u64,
    entries: &'a mut Entries<R>,
}

impl<R: Read> Member<'_, R> {
    /// Its place in the batch.
    pub fn ordinal(&self) -> u32 {
        self.ordinal
    }

    /// The number of its bytes.
    pub fn size(&self) -> u64 {
        self.size
    }
}

impl<R: Read> Read for Member<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.entries.read(buffer)
    }
}
