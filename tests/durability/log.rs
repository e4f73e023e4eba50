//! What `shim.c` wrote down.

use std::fs;
use std::path::Path;

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Event {
    /// Bytes of a file were written, or its length was changed; where the offset is known, at which.
    Written { offset: Option<u64> },
    /// A sync of a file or folder begins.
    SyncBegins,
    /// It has succeeded.
    Synced,
    /// A name was made in a folder, and with it perhaps what it is for: an inode may have been another file's before.
    Named { folder: String, fresh: bool },
    /// A name is about to go, and whether it is the last one of its file.
    Unnamed { folder: String, last: bool },
    /// The program says that it comes to one of its effects, or from it.
    Moment { effect: String, after: bool },
}

/// A line.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    /// Counted from one.
    pub(crate) number: usize,
    pub(crate) event: Event,
    /// Of which process start and which thread of it: thread ids may come again.
    pub(crate) thread: (usize, u64),
    /// Device and inode.
    pub(crate) file: String,
    pub(crate) path: String,
}

/// The log of a process, the `process`-th.
pub(crate) fn read(log: &Path, process: usize) -> Vec<Line> {
    let text = fs::read_to_string(log).unwrap();
    let mut lines = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let cells: Vec<&str> = line.splitn(6, '\t').collect();
        let [event, thread, file, folder, offset, rest] = cells[..] else {
            panic!("a line of a log: {line:?}")
        };
        let offset: i64 = offset.parse().unwrap();
        let event = match event {
            "W" => Event::Written { offset: u64::try_from(offset).ok() },
            "s" => Event::SyncBegins,
            "S" => Event::Synced,
            "C" | "N" => Event::Named { folder: folder.to_owned(), fresh: event == "C" },
            "U" => Event::Unnamed { folder: folder.to_owned(), last: offset == 1 },
            "T" => moment(rest),
            _ => panic!("a line of a log: {line:?}"),
        };
        lines.push(Line {
            number: index + 1,
            event,
            thread: (process, thread.parse().unwrap()),
            file: file.to_owned(),
            path: rest.to_owned(),
        });
    }
    lines
}

/// A line of the program's own trace: process, two numbers, name, moment, command.
fn moment(text: &str) -> Event {
    let cells: Vec<&str> = text.split('\t').collect();
    let [_, _, _, effect, moment, _] = cells[..] else { panic!("a line of a trace: {text:?}") };
    assert!(["before", "after"].contains(&moment), "nothing fails here: {text:?}");
    Event::Moment { effect: effect.to_owned(), after: moment == "after" }
}
