//! Goal: memory stays bounded whatever the document is, and what goes over a bound is refused in words.

use std::io::{self, BufRead, BufReader, Read};

use super::super::{MAX_LINE_BYTES, MAX_RECORD_BYTES, Stopped};
use super::*;

/// Repeats one line and counts what was taken.
struct Endless {
    line: &'static [u8],
    at: usize,
    taken: usize,
}

impl Read for Endless {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        for byte in buffer.iter_mut() {
            *byte = self.line[self.at];
            self.at = (self.at + 1) % self.line.len();
        }
        self.taken += buffer.len();
        Ok(buffer.len())
    }
}

fn rejected<T>(result: Result<T, Stopped<()>>) -> Reject {
    match result {
        Err(Stopped::Rejected(reject)) => reject,
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("nothing was wrong"),
    }
}

#[test]
fn an_endless_line_is_refused_without_reading_on() {
    let mut endless = Endless { line: b"x", at: 0, taken: 0 };
    let result = invoices().transform(&mut BufReader::new(&mut endless), &mut |_| Ok(()));
    insta::assert_snapshot!(rejected(result).reason, @"the line is longer than 1048576 bytes");
    assert!(endless.taken < MAX_LINE_BYTES + (64 << 10));
}

#[test]
fn the_longest_line_is_read() {
    let value = "x".repeat(MAX_LINE_BYTES - "InWords: ".len());
    let document = INVOICE.replace("InWords: One", &format!("InWords: {value}\r\nInWords: One"));
    assert!(reject(&invoices(), document.as_bytes()).reason.contains("twice"));
}

#[test]
fn an_endless_record_is_refused_without_reading_on() {
    let mut endless = Endless { line: b"Items\n", at: 0, taken: 0 };
    let job = SHIPPED
        .replace("header = '^\\s*Items\\s*$'", "header = '^Header$'")
        .replace("'^\\s*\\*{3,}\\s*$'", "'^Items$'");
    let definition = definition(&job);
    let mut input = BufReader::new((&b"Header\n"[..]).chain(&mut endless));
    let result = definition.transform(&mut input, &mut |_| Ok(()));
    insta::assert_snapshot!(rejected(result).reason, @"the record that begins on line 1 is larger than 16777216 bytes");
    // The line ends are not counted.
    assert!(endless.taken < MAX_RECORD_BYTES / 5 * 6 + (64 << 10));
}

#[test]
fn a_packed_document_has_a_bound_when_unpacked() {
    let definition = definition(&SHIPPED.replace("\"1 GiB\"", "\"1 KiB\""));
    assert!(records(&definition, &gzip(INVOICE.as_bytes())).1.records == 1);
    let reject = reject(&definition, &gzip(INVOICE.repeat(3).as_bytes()));
    insta::assert_snapshot!(reject.reason, @"the packed document is larger than 1024 bytes when unpacked");
    // The bound is against packed bombs; a plain document of any size is read as a stream.
    assert_eq!(records(&definition, INVOICE.repeat(3).as_bytes()).1.records, 3);
}

#[test]
fn rows_that_repeat_a_long_key_are_bounded() {
    let mut document = INVOICE.replace("ac-0042", &"é".repeat(256)).replace("a-7", &"é".repeat(256));
    for line in 6..80_000 {
        document.push_str(&format!("{line}) x, 0\n"));
    }
    insta::assert_snapshot!(reject(&invoices(), document.as_bytes()).reason, @"the rows of the record that begins on line 2 take more than 67108864 bytes");
}

#[test]
fn collect_stops_at_its_bound() {
    let document = INVOICE.repeat(100);
    let definition = invoices();
    assert_eq!(definition.collect(document.as_bytes(), 10_000), Collected::TooLarge);
    assert!(matches!(definition.collect(document.as_bytes(), 100_000), Collected::Records(..)));
}

/// Fails in the middle, as a connection does.
struct Broken(usize);

impl Read for Broken {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::Error::new(io::ErrorKind::ConnectionReset, "gone"))
    }
}

impl BufRead for Broken {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.0 += 1;
        Err(io::Error::new(io::ErrorKind::ConnectionReset, "gone"))
    }

    fn consume(&mut self, _: usize) {}
}

#[test]
fn a_failed_read_is_no_reject() {
    let packed = gzip(INVOICE.as_bytes());
    for head in [&b""[..], b"I", INVOICE.as_bytes(), &packed[..1], &packed[..2], &packed[..60]] {
        let result = invoices().transform(&mut head.chain(Broken(0)), &mut |_| Ok::<(), ()>(()));
        assert!(matches!(&result, Err(Stopped::Read(error)) if error.to_string() == "gone"), "{result:?}");
    }
}

#[test]
fn a_failed_sink_ends_the_stream() {
    let mut seen = 0;
    let document = INVOICE.repeat(5);
    let result = invoices().transform(&mut document.as_bytes(), &mut |_| {
        seen += 1;
        if seen == 3 { Err("full") } else { Ok(()) }
    });
    assert!(matches!(result, Err(Stopped::Sink("full"))));
    assert_eq!(seen, 3);
}
