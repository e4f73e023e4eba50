//! The customers' side: a landing in which files change at the worst moment, and an inbox that watches when it is
//! acknowledged.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rusqlite::Connection;
use sluicegate::failure::Outcome;
use sluicegate::folder::{FolderInbox, FolderStore};
use sluicegate::ports::inbox::{Inbox, Poll};
use sluicegate::ports::object_store::{
    Announced, Fetched, Got, ObjectInfo, ObjectStore, PutAnswer, ReadSeek,
};
use sluicegate_state::{Arrival, Notification, Timestamp};

use crate::workload::{OVERWRITTEN, VANISHING, second_version};

/// Puts a file into a folder whole, as landed at `at`.
pub(crate) fn land(folder: &Path, key: &str, bytes: &[u8], at: Timestamp) {
    let path = folder.join(key);
    let parent = path.parent().expect("a key lies in a folder");
    fs::create_dir_all(parent).unwrap();
    // Renamed into place from outside of the landing, so that nobody sees it growing.
    let outside = folder.with_file_name("upload");
    fs::write(&outside, bytes).unwrap();
    let modified = SystemTime::UNIX_EPOCH + Duration::from_secs(at.timestamp() as u64);
    fs::File::options().write(true).open(&outside).unwrap().set_modified(modified).unwrap();
    fs::rename(&outside, &path).unwrap();
}

/// A landing folder where [`OVERWRITTEN`] gets its second version just before anybody reads the first, and [`VANISHING`]
/// goes.
pub(crate) struct MeddledLanding {
    folder: PathBuf,
    store: FolderStore,
}

impl MeddledLanding {
    pub(crate) fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), store: FolderStore::new(folder) }
    }
}

impl ObjectStore for MeddledLanding {
    fn bucket(&self) -> &str {
        self.store.bucket()
    }

    fn location(&self) -> String {
        self.store.location()
    }

    fn get_announced(&self, announced: &Announced<'_>) -> Outcome<Got> {
        let second = second_version();
        if announced.key == OVERWRITTEN && fs::read(self.folder.join(OVERWRITTEN)).unwrap() != second.bytes {
            land(&self.folder, OVERWRITTEN, &second.bytes, second.landed_at);
        }
        if announced.key == VANISHING {
            // At a second GET it is gone already.
            let _ = fs::remove_file(self.folder.join(VANISHING));
        }
        self.store.get_announced(announced)
    }

    fn get(&self, key: &str) -> Outcome<Option<Fetched>> {
        self.store.get(key)
    }

    fn head(&self, key: &str) -> Outcome<Option<ObjectInfo>> {
        self.store.head(key)
    }

    fn put_new(&self, key: &str, _: &mut dyn ReadSeek, _: u64, _: &str) -> Outcome<PutAnswer> {
        panic!("nothing is ever written in the landing: {key}")
    }

    fn list(&self, prefix: &str, visit: &mut dyn FnMut(ObjectInfo) -> Outcome<()>) -> Outcome<()> {
        self.store.list(prefix, visit)
    }
}

/// Sees to it that nothing is acknowledged that is not in the journal (I1).
pub(crate) struct WatchedInbox {
    inbox: FolderInbox,
    journal: PathBuf,
    offered: Vec<(String, Vec<Notification>)>,
}

impl WatchedInbox {
    pub(crate) fn new(inbox: FolderInbox, state: &Path) -> Self {
        Self { inbox, journal: state.join("state.db"), offered: Vec::new() }
    }
}

impl Inbox for WatchedInbox {
    fn poll(&mut self) -> Outcome<Poll> {
        let poll = self.inbox.poll()?;
        let notifications = |arrivals: &[Arrival]| {
            let found = arrivals.iter().filter_map(|arrival| match arrival {
                Arrival::Notification(notification) => Some(notification.clone()),
                _ => None,
            });
            found.collect()
        };
        self.offered = poll
            .deliveries
            .iter()
            .map(|delivery| (delivery.receipt.clone(), notifications(&delivery.arrivals)))
            .collect();
        Ok(poll)
    }

    fn acknowledge(&mut self, receipts: &[String]) -> Outcome<()> {
        let journal = Connection::open(&self.journal).unwrap();
        let known = "SELECT count(*) FROM notification WHERE key = ?1 AND etag = ?2";
        let mut known = journal.prepare(known).unwrap();
        for (_, notifications) in self.offered.iter().filter(|(receipt, _)| receipts.contains(receipt)) {
            for Notification { key, etag, .. } in notifications {
                let count: i64 = known.query_row([key, etag], |row| row.get(0)).unwrap();
                assert_eq!(count, 1, "{key} is acknowledged and was not journaled (I1)");
            }
        }
        self.inbox.acknowledge(receipts)
    }

    fn is_listing(&self) -> bool {
        self.inbox.is_listing()
    }
}
