//! The inbox that looks into the landing folder. A file that was written a moment ago may still be growing: it is taken
//! when two looks, at least 200 ms apart, find the same size and modification time.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use chrono::TimeDelta;
use sluicegate_state::{Arrival, Notification, Timestamp};

use crate::failure::Outcome;
use crate::job::Job;
use crate::ports::clock::Clock;
use crate::ports::inbox::{Delivery, Inbox, Poll};

use super::store::walk;
use super::{FileStamp, LOCAL_BUCKET};

/// A file older than this is taken at the first look.
const SETTLED_AGE: TimeDelta = TimeDelta::seconds(2);
/// The least time between the two looks at a younger one.
const SETTLING_TIME: TimeDelta = TimeDelta::milliseconds(200);
/// Files in one delivery: one journal commit covers them all.
const DELIVERY_FILES: usize = 5_000;

/// Scans one job's landing folder.
pub struct FolderInbox {
    job: Arc<Job>,
    root: PathBuf,
    clock: Arc<dyn Clock>,
    /// Files handed over and acknowledged in this process.
    taken: HashSet<(String, FileStamp)>,
    /// Files handed over, not yet acknowledged, by receipt.
    offered: HashMap<String, Vec<(String, FileStamp)>>,
    /// Young files and the first look at their present state.
    young: HashMap<String, (FileStamp, Timestamp)>,
    next_receipt: u64,
}

impl FolderInbox {
    /// An inbox over the landing folder `root` of `job`.
    pub fn new(job: Arc<Job>, root: impl Into<PathBuf>, clock: Arc<dyn Clock>) -> Self {
        Self {
            job,
            root: root.into(),
            clock,
            taken: HashSet::new(),
            offered: HashMap::new(),
            young: HashMap::new(),
            next_receipt: 0,
        }
    }

    /// The files of the job that have not been taken in their present state.
    fn look(&self) -> Outcome<Vec<(String, FileStamp)>> {
        let mut found = Vec::new();
        walk(&self.root, &self.root, &mut |key, path| {
            if !self.job.matches(LOCAL_BUCKET, key) {
                return;
            }
            // A file that vanishes between the two calls is simply not there.
            if let Ok(stamp) = fs::metadata(path).and_then(|metadata| FileStamp::of(&metadata)) {
                found.push((key.to_owned(), stamp));
            }
        })?;
        found.retain(|file| !self.taken.contains(file));
        found.sort_by(|(a_key, a), (b_key, b)| (a.mtime_ns, a_key).cmp(&(b.mtime_ns, b_key)));
        Ok(found)
    }

    /// Whether a file may be taken now.
    fn has_settled(&mut self, key: &str, stamp: FileStamp, now: Timestamp) -> bool {
        let age = now - stamp.modified();
        if age >= SETTLED_AGE {
            self.young.remove(key);
            return true;
        }
        match self.young.get(key) {
            Some((before, since)) if *before == stamp => {
                let settled = now - *since >= SETTLING_TIME || now < *since;
                if settled {
                    self.young.remove(key);
                }
                settled
            }
            _ => {
                self.young.insert(key.to_owned(), (stamp, now));
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
        let arrivals = files.iter().map(|(key, stamp)| self.arrival(key, *stamp)).collect();
        self.offered.insert(receipt.clone(), files);
        Delivery { arrivals, receipt }
    }
}

impl Inbox for FolderInbox {
    fn poll(&mut self) -> Outcome<Poll> {
        let now = self.clock.now();
        let found = self.look()?;
        let present: HashSet<&str> = found.iter().map(|(key, _)| key.as_str()).collect();
        self.young.retain(|key, _| present.contains(key.as_str()));
        let total = found.len();
        let settled: Vec<_> =
            found.into_iter().filter(|(key, stamp)| self.has_settled(key, *stamp, now)).collect();
        let unsettled = (total - settled.len()) as u64;
        self.offered.clear();
        // The rest is found again by the next look.
        let more = settled.len() > DELIVERY_FILES;
        let now_taken: Vec<_> = settled.into_iter().take(DELIVERY_FILES).collect();
        let deliveries = if now_taken.is_empty() { Vec::new() } else { vec![self.delivery(now_taken)] };
        Ok(Poll { deliveries, unsettled, more })
    }

    fn acknowledge(&mut self, receipts: &[String]) -> Outcome<()> {
        for receipt in receipts {
            if let Some(files) = self.offered.remove(receipt) {
                self.taken.extend(files);
            }
        }
        Ok(())
    }

    fn is_listing(&self) -> bool {
        true
    }
}
