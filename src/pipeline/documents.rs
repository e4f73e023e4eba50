//! The documents of an archived batch, transformed: read from the archive in order, parsed in parallel, shown in order.
//!
//! A small batch is parsed once and kept; a larger one is parsed again at each visit, so that memory stays bounded
//! whatever a customer sends. Either way the result is a function of the archive and the definition alone.

use std::borrow::Cow;
use std::cell::RefCell;
use std::io::{BufReader, Read};
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;

use crate::archive::{ArchiveError, ArchiveReader, Outcomes, Verified, read_verified};
use crate::failure::{Failure, Outcome};
use crate::ports::warehouse::{DocumentEnd, DocumentSource, DocumentVisitor, Flow};
use crate::transform::{Collected, Definition, Stopped};

use super::handover::Content;

/// A member above this size is parsed as a stream.
const LARGE_BYTES: u64 = 4 << 20;
/// Original bytes that are parsed at a time.
const CHUNK_BYTES: u64 = 8 << 20;
/// Documents that are parsed at a time.
const CHUNK_DOCUMENTS: usize = 512;
/// Documents that one thread parses before it looks for others.
const DOCUMENTS_AT_LEAST: usize = 8;
/// Text that the records of one collected document may have; above it the document is parsed as a stream.
const DOCUMENT_TEXT: usize = 16 << 20;
/// Text that the records of the documents that are parsed at a time may have, and those under way on each thread besides.
const CHUNK_TEXT: usize = 64 << 20;
/// Text of records that is kept between visits.
const KEPT_TEXT: usize = 32 << 20;

/// A parsed document and its place in the batch.
type Parsed = (u32, Collected);

/// The documents of one batch.
pub struct ArchivedDocuments<'a> {
    definition: &'a Definition,
    outcomes: &'a Outcomes,
    content: RefCell<&'a mut Content>,
    kept: RefCell<Option<Vec<Parsed>>>,
}

impl<'a> ArchivedDocuments<'a> {
    /// The documents in `content`, whose outcomes are `outcomes`.
    pub fn new(definition: &'a Definition, outcomes: &'a Outcomes, content: &'a mut Content) -> Self {
        Self { definition, outcomes, content: RefCell::new(content), kept: RefCell::new(None) }
    }
}

impl DocumentSource for ArchivedDocuments<'_> {
    fn visit(&self, visitor: &mut dyn DocumentVisitor) -> Outcome<()> {
        if let Some(kept) = self.kept.borrow().as_ref() {
            return kept.iter().try_for_each(|(ordinal, document)| show(*ordinal, document, visitor));
        }
        let mut content = self.content.borrow_mut();
        let mut pass = Pass {
            definition: self.definition,
            chunk: Vec::new(),
            chunk_bytes: 0,
            kept: Some(Vec::new()),
            kept_text: 0,
            visitor,
        };
        match &mut **content {
            Content::Packed(copy) => {
                let rewound = copy.rewind();
                rewound.map_err(|error| Failure::transient(format!("cannot read the spool: {error}")))?;
                pass.run(BufReader::new(&mut copy.file), self.outcomes)?;
            }
            Content::Originals(originals) => pass.run_originals(originals)?,
        }
        *self.kept.borrow_mut() = pass.kept;
        Ok(())
    }
}

/// One reading of the archive.
struct Pass<'a> {
    definition: &'a Definition,
    chunk: Vec<(u32, Cow<'a, [u8]>)>,
    chunk_bytes: u64,
    /// What is kept for the next visit; none once the batch turned out to be too large for that.
    kept: Option<Vec<Parsed>>,
    kept_text: usize,
    visitor: &'a mut dyn DocumentVisitor,
}

impl<'a> Pass<'a> {
    fn run(&mut self, archive: impl Read, outcomes: &Outcomes) -> Outcome<()> {
        let mut reader = ArchiveReader::new(archive).map_err(archive_failure)?;
        while let Some(member) = reader.next_member().map_err(archive_failure)? {
            let (ordinal, size) = (member.ordinal(), member.size());
            let expected = outcomes.member(ordinal).ok_or_else(|| {
                Failure::permanent(format!("the archive says nothing about its member {ordinal}"))
            })?;
            if size > LARGE_BYTES {
                self.flush()?;
                self.kept = None;
                self.stream(ordinal, Verified::new(member, expected))?;
            } else {
                let bytes = read_verified(member, expected).map_err(archive_failure)?;
                self.add(ordinal, Cow::Owned(bytes))?;
            }
        }
        self.flush()
    }

    /// They are what this process hashed and packed a moment ago, and small.
    fn run_originals(&mut self, originals: &'a [(u32, Vec<u8>)]) -> Outcome<()> {
        for (ordinal, bytes) in originals {
            self.add(*ordinal, Cow::Borrowed(bytes))?;
        }
        self.flush()
    }

    fn add(&mut self, ordinal: u32, bytes: Cow<'a, [u8]>) -> Outcome<()> {
        self.chunk_bytes += bytes.len() as u64;
        self.chunk.push((ordinal, bytes));
        if self.chunk_bytes >= CHUNK_BYTES || self.chunk.len() >= CHUNK_DOCUMENTS {
            self.flush()?;
        }
        Ok(())
    }

    /// Parses what has gathered, in parallel, and shows it in order.
    fn flush(&mut self) -> Outcome<()> {
        let chunk = std::mem::take(&mut self.chunk);
        self.chunk_bytes = 0;
        let definition = self.definition;
        // Small files may unpack to large texts: together they may be kept up to a bound, and what is beyond it is read as a
        // stream, in its turn.
        let text = AtomicUsize::new(0);
        let parse = |bytes: &[u8]| {
            if text.load(Ordering::Relaxed) > CHUNK_TEXT {
                return Collected::TooLarge;
            }
            let collected = definition.collect(bytes, DOCUMENT_TEXT);
            if let Collected::Records(records, _) = &collected {
                text.fetch_add(records.text_bytes(), Ordering::Relaxed);
            }
            collected
        };
        let parsed: Vec<Collected> =
            chunk.par_iter().with_min_len(DOCUMENTS_AT_LEAST).map(|(_, bytes)| parse(bytes)).collect();
        for ((ordinal, bytes), document) in chunk.into_iter().zip(parsed) {
            if matches!(document, Collected::TooLarge) {
                // A small file that unpacks to a large one.
                self.kept = None;
                self.stream(ordinal, &*bytes)?;
                continue;
            }
            show(ordinal, &document, self.visitor)?;
            self.keep(ordinal, document);
        }
        Ok(())
    }

    fn keep(&mut self, ordinal: u32, document: Collected) {
        if let Collected::Records(records, _) = &document {
            self.kept_text += records.text_bytes();
        }
        if self.kept_text > KEPT_TEXT {
            self.kept = None;
        }
        if let Some(kept) = &mut self.kept {
            kept.push((ordinal, document));
        }
    }

    fn stream(&mut self, ordinal: u32, bytes: impl Read) -> Outcome<()> {
        if self.visitor.begin(ordinal)? == Flow::Skip {
            return Ok(());
        }
        let mut index = 0;
        let mut input = BufReader::with_capacity(256 << 10, bytes);
        let visitor = &mut *self.visitor;
        let result = self.definition.transform(&mut input, &mut |record| {
            visitor.record(ordinal, index, record)?;
            index += 1;
            Ok(())
        });
        match result {
            Ok(summary) => self.visitor.end(ordinal, DocumentEnd::Whole(&summary)),
            Err(Stopped::Rejected(reject)) => self.visitor.end(ordinal, DocumentEnd::Rejected(&reject)),
            Err(Stopped::Sink(failure)) => Err(failure),
            Err(Stopped::Read(error)) => Err(archive_failure(ArchiveError::from(error))),
        }
    }
}

fn show(ordinal: u32, document: &Collected, visitor: &mut dyn DocumentVisitor) -> Outcome<()> {
    if visitor.begin(ordinal)? == Flow::Skip {
        return Ok(());
    }
    match document {
        Collected::Records(records, summary) => {
            for (index, record) in records.iter().enumerate() {
                visitor.record(ordinal, index as u64, record)?;
            }
            visitor.end(ordinal, DocumentEnd::Whole(summary))
        }
        Collected::Rejected(reject) => visitor.end(ordinal, DocumentEnd::Rejected(reject)),
        Collected::TooLarge => {
            Err(Failure::permanent("a document too large to keep was kept; this is a defect of Sluicegate"))
        }
    }
}

/// Damage is a person's business; trouble with reading passes.
pub fn archive_failure(error: ArchiveError) -> Failure {
    let message = format!("reading the archive: {error}");
    match error {
        ArchiveError::Io(_) => Failure::transient(message),
        _ => Failure::permanent(message),
    }
}
