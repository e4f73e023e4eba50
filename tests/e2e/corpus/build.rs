//! Builds a landing folder's worth of documents from a seed.

use std::io::Write;
use std::time::{Duration, SystemTime};

use flate2::Compression;
use flate2::write::GzEncoder;

use super::broken::FAULTS;
use super::invoice::Invoice;
use super::random::Random;

/// What a file means, as the one who wrote it knows.
#[derive(Debug, Clone)]
pub(crate) enum Meaning {
    /// These invoices, in this order.
    Invoices(Vec<Invoice>),
    /// Nothing that can be loaded; the reason has to hold these words.
    Broken(&'static str),
}

/// One file of the landing.
#[derive(Debug, Clone)]
pub(crate) struct Document {
    /// Its path in the landing folder.
    pub(crate) key: String,
    pub(crate) bytes: Vec<u8>,
    pub(crate) modified: SystemTime,
    pub(crate) meaning: Meaning,
}

/// Early in 2024, so that the documents of a corpus have landed on several days, a leap day among them.
const FIRST_LANDED: Duration = Duration::from_secs(1_709_071_200);
/// Between one original and the next.
const STEP: Duration = Duration::from_secs(47);

/// Folders and beginnings of names.
const PLACES: [&str; 9] = [
    "",
    "2024/02/",
    "with blanks in it/",
    "50 % + more/",
    "Rechnungen für März/é/",
    "a+b=c/100%/",
    "quotes \"and\" 'commas', too/",
    "deep/er/and/deep/er/still/",
    "%41%2F/",
];

/// `originals` documents, of which one in twenty is broken, and every seventh a second time under another name.
pub(crate) fn corpus(seed: u64, originals: usize) -> Vec<Document> {
    let mut builder = Builder { random: Random::new(seed), next_number: 1, known: Vec::new() };
    let mut documents = Vec::new();
    for index in 0..originals {
        let original = builder.original(index);
        if index % 7 == 3 {
            documents.push(builder.copy(index, &original));
        }
        documents.push(original);
    }
    documents
}

/// The time at which original number `index` landed; all times of a corpus differ.
pub(crate) fn landed(index: usize) -> SystemTime {
    SystemTime::UNIX_EPOCH + FIRST_LANDED + STEP * index as u32 + Duration::from_nanos(index as u64)
}

/// Packs bytes as gzip.
pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::fast());
    packer.write_all(bytes).expect("a Vec takes any bytes");
    packer.finish().expect("a Vec takes any bytes")
}

struct Builder {
    random: Random,
    next_number: u64,
    /// Invoices of earlier documents.
    known: Vec<Invoice>,
}

impl Builder {
    fn invoice(&mut self) -> Invoice {
        self.next_number += 1;
        Invoice::made_up(&mut self.random, self.next_number)
    }

    fn known(&mut self) -> Option<Invoice> {
        (!self.known.is_empty()).then(|| self.random.pick(&self.known).clone())
    }

    fn original(&mut self, index: usize) -> Document {
        let place = PLACES[index % PLACES.len()];
        let modified = landed(index);
        if index % 20 == 7 {
            let fault = &FAULTS[index / 20 % FAULTS.len()];
            let bytes = (fault.breaks)(&self.invoice());
            let key = format!("{place}{} {index}.txt", fault.name);
            return Document { key, bytes, modified, meaning: Meaning::Broken(fault.told) };
        }
        let invoices = self.invoices(index);
        let text: String = invoices.iter().map(Invoice::text).collect();
        let (bytes, ending) = self.written(&text);
        let key = format!("{place}invoice {index}{ending}");
        Document { key, bytes, modified, meaning: Meaning::Invoices(invoices) }
    }

    /// Mostly one new invoice; now and then several, known ones again, or known ones with other content.
    fn invoices(&mut self, index: usize) -> Vec<Invoice> {
        let mut invoices = vec![self.invoice()];
        if index % 11 == 2 {
            for _ in 0..1 + self.random.below(4) {
                invoices.push(self.invoice());
            }
            // The same record twice in one document is the same record.
            if self.random.one_in(2) {
                invoices.push(invoices[0].clone());
            }
        }
        let known = self.known();
        match (known, index % 41) {
            (Some(known), 9) => invoices.push(known),
            (Some(known), 19) => invoices.push(self.other_content(known)),
            (Some(known), 29) => invoices = vec![self.other_content(known)],
            (Some(known), 39) => invoices = vec![known],
            _ => self.known.extend(invoices.iter().cloned()),
        }
        invoices
    }

    /// The same key with something else in it: a column of the parent, a child row more, or a child row less.
    fn other_content(&mut self, known: Invoice) -> Invoice {
        let mut other = known;
        match self.random.below(3) {
            0 => other.from.push_str(" (corrected)"),
            1 => other.items.push(other.items[0].clone()),
            // The sums stay the same, only the children differ.
            _ => other.items[0].description.push_str(", used"),
        }
        other
    }

    /// The bytes of a good document, and how its name ends.
    fn written(&mut self, text: &str) -> (Vec<u8>, &'static str) {
        let mut text = text.to_owned();
        if self.random.one_in(6) {
            text.pop();
        }
        if self.random.one_in(5) {
            text = text.replace('\n', "\r\n");
        }
        if self.random.one_in(6) {
            text.insert(0, '\u{feff}');
        }
        match self.random.below(12) {
            0 => (gzip(text.as_bytes()), ".txt.gz"),
            // The bytes decide, not the name.
            1 => (gzip(text.as_bytes()), ".txt"),
            2 => (text.into_bytes(), ".txt.gz"),
            _ => (text.into_bytes(), ".txt"),
        }
    }

    /// The same document once more: the same bytes, or the same text written otherwise, some time later.
    fn copy(&mut self, index: usize, original: &Document) -> Document {
        let later = Duration::from_nanos(500) + STEP * (1 + self.random.below(300) as u32);
        let bytes = match &original.meaning {
            Meaning::Invoices(invoices) if self.random.one_in(3) => {
                let text: String = invoices.iter().map(Invoice::text).collect();
                gzip(text.replace('\n', "\r\n").as_bytes())
            }
            _ => original.bytes.clone(),
        };
        Document {
            key: format!("sent again/{} (copy of no. {index}).txt", index % 10),
            bytes,
            modified: original.modified + later,
            meaning: original.meaning.clone(),
        }
    }
}
