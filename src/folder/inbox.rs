//! The inbox that looks into the landing folder. A file that was written a moment ago may still be growing: it is taken
//! when two looks, at least 200 ms apart, find the same size and modification time.

use std::collections::{HashMap, HashSet, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;

use chrono::TimeDelta;
use sluicegate_state::{Arrival, Notification, Timestamp};

use crate::failure::{Failure, Outcome};
use crate::job::Job;
use crate::ports::clock::Clock;
use crate::ports::inbox::{Delivery, Inbox, Poll};

use super::walk::{Found, walk, why_no_key};
use super::{FileStamp, LOCAL_BUCKET};

/// A file older than this is taken at the first look.
const SETTLED_AGE: TimeDelta = TimeDelta::seconds(2);
/// The least time between the two looks at a younger one.
const SETTLING_TIME: TimeDelta = TimeDelta::milliseconds(200);
/// Files in one delivery: one journal commit covers them all.
const DELIVERY_FILES: usize = 1_000;

/// Scans one job's landing folder.
pub struct FolderInbox {
    job: Arc<Job>,
    root: PathBuf,
    clock: Arc<dyn Clock>,
    /// Found by the last look and ready to be taken, the oldest first.
    settled: VecDeque<(String, FileStamp)>,
    /// How many files the last look found too young.
    unsettled: u64,
    /// Files handed over and acknowledged in this process.
    taken: HashSet<(String, FileStamp)>,
    /// Files handed over, not yet acknowledged, by receipt.
    offered: HashMap<String, Vec<(String, FileStamp)>>,
    /// Young files and the first look at their present state.
    young: HashMap<String, (FileStamp, Timestamp)>,
    /// Files that can have no key, found by the last look and not yet told of in this process.
    nameless: Vec<PathBuf>,
    /// Handed over, not yet acknowledged.
    telling: Vec<PathBuf>,
    told: HashSet<PathBuf>,
    /// Why the last look did not see everything. What it saw is offered first: one folder that may not be read stops no
    /// document beside it.
    trouble: Option<Failure>,
    next_receipt: u64,
}

impl FolderInbox {
    /// An inbox over the landing folder `root` of `job`.
    pub fn new(job: Arc<Job>, root: impl Into<PathBuf>, clock: Arc<dyn Clock>) -> Self {
        Self {
            job,
            root: root.into(),
            clock,
            settled: VecDeque::new(),
            unsettled: 0,
            taken: HashSet::new(),
            offered: HashMap::new(),
            young: HashMap::new(),
            nameless: Vec::new(),
            telling: Vec::new(),
            told: HashSet::new(),
            trouble: None,
            next_receipt: 0,
        }
    }

    /// Walks through the landing, once for all that it has: what may be taken is offered piece by piece.
    fn look(&mut self) {
        let began = self.clock.now();
        let found = self.walk();
        let ended = self.clock.now();
        let present: HashSet<&str> = found.iter().map(|(key, _)| key.as_str()).collect();
        self.young.retain(|key, _| present.contains(key.as_str()));
        let total = found.len();
        let settled: VecDeque<_> =
            found.into_iter().filter(|(key, stamp)| self.has_settled(key, *stamp, began, ended)).collect();
        self.unsettled = (total - settled.len()) as u64;
        self.settled = settled;
    }

    /// The files of the job that have not been taken in their present state, the oldest first.
    fn walk(&mut self) -> Vec<(String, FileStamp)> {
        let mut found = Vec::new();
        let mut nameless = Vec::new();
        let job = &self.job;
        let whole = walk(&self.root, false, &mut |file| match file {
            Found::File(file) if job.matches(LOCAL_BUCKET, file.key) => {
                // A file that vanishes between the two calls is simply not there.
                if let Ok(stamp) = file.metadata().and_then(|metadata| FileStamp::of(&metadata)) {
                    found.push((file.key.to_owned(), stamp));
                }
            }
            Found::File(_) => {}
            Found::Nameless(path) => nameless.push(path.to_owned()),
        });
        self.trouble = whole.err();
        self.nameless = nameless.into_iter().filter(|path| !self.told.contains(path)).collect();
        found.retain(|file| !self.taken.contains(file));
        found.sort_by(|(a_key, a), (b_key, b)| (a.mtime_ns, a_key).cmp(&(b.mtime_ns, b_key)));
        found
    }

    /// Whether a file may be taken, that was seen so in a look from `began` to `ended`: at some moment of it, so that the time
    /// between two looks is counted from the end of the first to the beginning of the second.
    fn has_settled(&mut self, key: &str, stamp: FileStamp, began: Timestamp, ended: Timestamp) -> bool {
        let age = began - stamp.modified();
        if age >= SETTLED_AGE {
            self.young.remove(key);
            return true;
        }
        match self.young.get(key) {
            Some((before, since)) if *before == stamp => {
                let settled = began - *since >= SETTLING_TIME || began < *since;
                if settled {
                    self.young.remove(key);
                }
                settled
            }
            _ => {
                self.young.insert(key.to_owned(), (stamp, ended));
                false
            }
        }
    }

    fn arrival(&self, key: &str, stamp: FileStamp) -> Arrival {
        Arrival::Notification(Notification {
            job: self.job.name.clone(),
            bucket: LOCAL_BUCKET.to_owned(),
            key: key.to_owned(),
            version_id: None,
            etag: stamp.etag(),
            sequencer: None,
            size: Some(stamp.size),
            event_time: stamp.modified(),
            event_name: "Folder:Found".to_owned(),
            source: "folder".to_owned(),
            expires_at: None,
        })
    }

    fn delivery(&mut self, files: Vec<(String, FileStamp)>) -> Delivery {
        self.next_receipt += 1;
        let receipt = self.next_receipt.to_string();
        let mut arrivals: Vec<Arrival> = files.iter().map(|(key, stamp)| self.arrival(key, *stamp)).collect();
        arrivals.extend(self.nameless.iter().map(|path| nameless(path)));
        self.telling = self.nameless.drain(..).collect();
        self.offered.insert(receipt.clone(), files);
        Delivery { arrivals, receipt }
    }
}

/// A file that can be no document is kept in the journal by its name, so that somebody sees it.
fn nameless(path: &std::path::Path) -> Arrival {
    Arrival::Unreadable {
        source: "folder".to_owned(),
        body: path.as_os_str().as_encoded_bytes().to_vec(),
        reason: why_no_key(path),
    }
}

impl Inbox for FolderInbox {
    fn poll(&mut self) -> Outcome<Poll> {
        self.offered.clear();
        // What was offered and not acknowledged is found again by a later look.
        if self.settled.is_empty() {
            self.look();
        }
        let count = self.settled.len().min(DELIVERY_FILES);
        let offer: Vec<_> = self.settled.drain(..count).collect();
        let deliveries = if offer.is_empty() && self.nameless.is_empty() {
            self.trouble.take().map_or(Ok(Vec::new()), Err)?
        } else {
            vec![self.delivery(offer)]
        };
        Ok(Poll { deliveries, unsettled: self.unsettled, more: !self.settled.is_empty() })
    }

    fn acknowledge(&mut self, receipts: &[String]) -> Outcome<()> {
        for receipt in receipts {
            if let Some(files) = self.offered.remove(receipt) {
                self.taken.extend(files);
                self.told.extend(self.telling.drain(..));
            }
        }
        Ok(())
    }

    fn is_listing(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::fs;
    use std::os::unix::ffi::OsStrExt;
    use std::process::Command;
    use std::sync::Mutex;

    use super::*;
    use crate::ports::clock::SystemClock;

    fn arrivals(inbox: &mut FolderInbox) -> Vec<Arrival> {
        let poll = inbox.poll().unwrap();
        let receipts: Vec<String> = poll.deliveries.iter().map(|delivery| delivery.receipt.clone()).collect();
        inbox.acknowledge(&receipts).unwrap();
        poll.deliveries.into_iter().flat_map(|delivery| delivery.arrivals).collect()
    }

    /// A folder, its landing inside, and an inbox over that.
    fn landing() -> (tempfile::TempDir, PathBuf, FolderInbox) {
        let folder = tempfile::tempdir().unwrap();
        let job = Arc::new(crate::config::demo(folder.path()).jobs.remove(0));
        let landing = folder.path().join("landing");
        fs::create_dir_all(&landing).unwrap();
        let inbox = FolderInbox::new(job, &landing, Arc::new(SystemClock));
        (folder, landing, inbox)
    }

    #[test]
    fn a_file_name_that_is_no_utf8_is_told_of_once() {
        let (_folder, landing, mut inbox) = landing();
        let name = OsStr::from_bytes(b"caf\xe9.txt");
        if fs::write(landing.join(name), "x").is_err() {
            eprintln!("this file system allows no such name");
            return;
        }
        let first = arrivals(&mut inbox);
        assert!(
            matches!(&first[..], [Arrival::Unreadable { body, .. }] if body.ends_with(b"caf\xe9.txt")),
            "{first:?}"
        );
        assert_eq!(arrivals(&mut inbox), []);
    }

    /// As many folders of long names as make a path of `length` bytes, inside of each other.
    fn nested(length: usize) -> PathBuf {
        (0..length / 200).map(|_| "d".repeat(199)).collect()
    }

    #[test]
    fn a_path_that_no_index_holds_is_told_of_once() {
        let (_folder, landing, mut inbox) = landing();
        let deep = landing.join(nested(1_200));
        fs::create_dir_all(&deep).unwrap();
        fs::write(deep.join("far.txt"), "x").unwrap();
        let first = arrivals(&mut inbox);
        assert!(
            matches!(&first[..], [Arrival::Unreadable { reason, .. }] if reason.contains("more than 1024 bytes")),
            "{first:?}"
        );
        assert_eq!(arrivals(&mut inbox), []);
    }

    #[test]
    fn a_folder_that_cannot_be_read_stops_no_document_beside_it() {
        let (_folder, landing, mut inbox) = landing();
        // A path that no system call takes: unlike a missing permission, it stops root too.
        let deep = landing.join(nested(3_800));
        fs::create_dir_all(&deep).unwrap();
        let too_deep = ["a".repeat(150), "b".repeat(250)];
        let made =
            Command::new("mkdir").current_dir(&deep).arg("-p").arg(too_deep.join("/")).status().unwrap();
        assert!(made.success());
        let document = landing.join("invoice.txt");
        fs::write(&document, "x").unwrap();
        fs::File::open(&document).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
        let first = arrivals(&mut inbox);
        assert!(
            matches!(&first[..], [Arrival::Notification(document)] if document.key == "invoice.txt"),
            "{first:?}"
        );
        let failure = inbox.poll().unwrap_err();
        assert!(failure.message.contains("cannot read the folder"), "{failure}");
    }

    /// Tells one time after the other.
    struct Times(Mutex<VecDeque<Timestamp>>);

    impl Clock for Times {
        fn now(&self) -> Timestamp {
            self.0.lock().unwrap().pop_front().unwrap()
        }
    }

    #[test]
    fn a_look_that_takes_long_is_no_time_between_looks() {
        let (_folder, landing, mut inbox) = landing();
        let path = landing.join("invoice.txt");
        fs::write(&path, "x").unwrap();
        let written = Timestamp::from(fs::metadata(&path).unwrap().modified().unwrap());
        let looks = [(0, 300), (310, 320), (510, 520)];
        let times = looks.iter().flat_map(|(began, ended)| [*began, *ended]);
        let times = times.map(|milliseconds| written + TimeDelta::milliseconds(milliseconds)).collect();
        inbox.clock = Arc::new(Times(Mutex::new(times)));
        // The first may have seen it at its end, and the second at its beginning.
        assert_eq!([arrivals(&mut inbox), arrivals(&mut inbox)], [vec![], vec![]]);
        assert_eq!(arrivals(&mut inbox).len(), 1);
    }
}
