//! The landing bucket, in memory: versions or none, a lifecycle of a day, objects that change and go; and the log of
//! everything that ever landed, which the oracle reads.

use std::io::Cursor;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{SubsecRound, TimeDelta};
use sha2::{Digest, Sha256};
use sluicegate::failure::{Failure, Outcome};
use sluicegate::ports::object_store::{
    Announced, Fetched, Got, ObjectInfo, ObjectStore, PutAnswer, ReadSeek, Refusal, VersionSource,
};
use sluicegate_state::{Notification, Timestamp};

use crate::documents::Content;
use crate::hub::Hub;

pub(crate) const BUCKET: &str = "landing";

/// One version of an object, as it landed.
#[derive(Debug, Clone)]
pub(crate) struct Landed {
    pub(crate) key: String,
    pub(crate) version_id: Option<String>,
    pub(crate) etag: String,
    pub(crate) sequencer: Option<String>,
    pub(crate) content: Content,
    pub(crate) bytes: Arc<Vec<u8>>,
    /// By the storage's clock.
    pub(crate) landed_at: Timestamp,
    pub(crate) expires_at: Timestamp,
    /// Something else is at its key now.
    pub(crate) is_overwritten: bool,
    pub(crate) is_deleted: bool,
    /// The lifecycle has taken it.
    pub(crate) has_expired: bool,
    pub(crate) forbidden_until: Option<Timestamp>,
    /// It was in the archive when the landing still had it, while the ledger was away.
    pub(crate) is_secured: bool,
    /// Machines whose present disk has acknowledged a notification of it.
    pub(crate) acknowledged_by: Vec<usize>,
}

impl Landed {
    /// Whether a listing shows it.
    pub(crate) fn is_there(&self) -> bool {
        !self.is_overwritten && !self.is_deleted && !self.has_expired
    }

    /// The version of its document once it was fetched or listed.
    pub(crate) fn version(&self) -> String {
        let at = self.landed_at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
        self.version_id.clone().unwrap_or_else(|| format!("{}@{at}", self.etag))
    }

    pub(crate) fn sha256(&self) -> String {
        hex::encode(Sha256::digest(&*self.bytes))
    }

    pub(crate) fn notification(&self) -> Notification {
        Notification {
            job: "invoices".to_owned(),
            bucket: BUCKET.to_owned(),
            key: self.key.clone(),
            version_id: self.version_id.clone(),
            etag: self.etag.clone(),
            sequencer: self.sequencer.clone(),
            size: Some(self.bytes.len() as u64),
            event_time: self.landed_at,
            event_name: "ObjectCreated:Put".to_owned(),
            source: "sqs".to_owned(),
            expires_at: None,
        }
    }
}

/// The bucket.
pub(crate) struct Landing {
    hub: Arc<Hub>,
    log: Mutex<Vec<Landed>>,
}

impl Landing {
    pub(crate) fn new(hub: Arc<Hub>) -> Arc<Self> {
        Arc::new(Self { hub, log: Mutex::default() })
    }

    /// The lifecycle takes what is due, and the log is handed over.
    pub(crate) fn log(&self) -> MutexGuard<'_, Vec<Landed>> {
        let now = self.storage_now();
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        for landed in log.iter_mut().filter(|landed| landed.expires_at <= now) {
            // What is no longer there cannot be taken; old versions are.
            if self.hub.options.versioned || landed.is_there() {
                landed.has_expired = true;
            }
        }
        log
    }

    pub(crate) fn storage_now(&self) -> Timestamp {
        self.hub.now() + self.hub.options.storage_skew
    }

    /// Puts an object; its number in the log.
    pub(crate) fn put(&self, key: &str, content: Content) -> usize {
        // No two versions of a key land in one second.
        self.hub.advance(TimeDelta::seconds(1));
        let landed_at = self.storage_now().trunc_subsecs(0);
        let bytes = content.bytes();
        let options = &self.hub.options;
        let mut log = self.log();
        let number = log.len();
        for before in log.iter_mut().filter(|before| before.key == key) {
            before.is_overwritten = true;
        }
        // A day, and then until midnight.
        let midnight = (landed_at + TimeDelta::days(2)).date_naive().and_hms_opt(0, 0, 0).expect("midnight");
        log.push(Landed {
            key: key.to_owned(),
            version_id: options.versioned.then(|| format!("v{number:06}")),
            etag: hex::encode(&Sha256::digest(&bytes)[..16]),
            sequencer: options.sequencers.then(|| format!("{number:016X}")),
            content,
            bytes: Arc::new(bytes),
            landed_at,
            expires_at: midnight.and_utc(),
            is_overwritten: false,
            is_deleted: false,
            has_expired: false,
            forbidden_until: None,
            is_secured: false,
            acknowledged_by: Vec::new(),
        });
        number
    }

    fn info(&self, landed: &Landed) -> ObjectInfo {
        let version = match &landed.version_id {
            Some(id) => VersionSource::Id(id.clone()),
            None => VersionSource::ETag(landed.etag.clone()),
        };
        ObjectInfo {
            key: landed.key.clone(),
            size: landed.bytes.len() as u64,
            etag: landed.etag.clone(),
            version,
            last_modified: landed.landed_at,
            expires_at: self.hub.options.tells_expiry.then_some(landed.expires_at),
        }
    }

    fn fetched(&self, landed: &Landed) -> Fetched {
        Fetched { info: self.info(landed), body: Box::new(Cursor::new(landed.bytes.to_vec())) }
    }

    fn refusal(&self, log: &[Landed], announced: &Announced<'_>) -> Result<usize, Refusal> {
        let of_key = |landed: &&Landed| landed.key == announced.key;
        let position =
            |found: &Landed| log.iter().position(|landed| std::ptr::eq(landed, found)).expect("it is there");
        if let Some(id) = announced.version_id {
            let found = log.iter().filter(of_key).find(|landed| landed.version_id.as_deref() == Some(id));
            return match found {
                Some(landed) if !landed.has_expired && !landed.is_deleted => Ok(position(landed)),
                _ => Err(Refusal::NotFound),
            };
        }
        match log.iter().filter(of_key).find(|landed| landed.is_there()) {
            None => Err(Refusal::NotFound),
            Some(landed) if landed.etag != announced.etag => Err(Refusal::Overwritten),
            Some(landed) => Ok(position(landed)),
        }
    }
}

impl ObjectStore for Landing {
    fn bucket(&self) -> &str {
        BUCKET
    }

    fn location(&self) -> String {
        "s3://landing".to_owned()
    }

    fn get_announced(&self, announced: &Announced<'_>) -> Outcome<Got> {
        self.hub.gate("throttled", "landing GET")?;
        let log = self.log();
        let found = self.refusal(&log, announced);
        let is_forbidden = found
            .as_ref()
            .is_ok_and(|number| log[*number].forbidden_until.is_some_and(|until| until > self.hub.now()));
        if is_forbidden {
            return Ok(Got::Refused(Refusal::Forbidden("access denied".to_owned())));
        }
        Ok(match found {
            Ok(number) => Got::Object(self.fetched(&log[number])),
            Err(refusal) => Got::Refused(refusal),
        })
    }

    fn get(&self, key: &str) -> Outcome<Option<Fetched>> {
        self.hub.gate("throttled", "landing GET")?;
        let log = self.log();
        Ok(log
            .iter()
            .find(|landed| landed.key == key && landed.is_there())
            .map(|landed| self.fetched(landed)))
    }

    fn head(&self, key: &str) -> Outcome<Option<ObjectInfo>> {
        self.hub.gate("throttled", "landing HEAD")?;
        let log = self.log();
        Ok(log.iter().find(|landed| landed.key == key && landed.is_there()).map(|landed| self.info(landed)))
    }

    fn put_new(&self, key: &str, _: &mut dyn ReadSeek, _: u64, _: &str) -> Outcome<PutAnswer> {
        self.hub.violate(format!("something was written in the landing: {key}"));
        Err(Failure::permanent("nothing is ever written in the landing"))
    }

    fn expires_at(&self, _key: &str, _size: u64, landed_at: Timestamp) -> Option<Timestamp> {
        let midnight = (landed_at + TimeDelta::days(2)).date_naive().and_hms_opt(0, 0, 0)?;
        self.hub.options.tells_expiry.then(|| midnight.and_utc())
    }

    fn list(&self, prefix: &str, visit: &mut dyn FnMut(ObjectInfo) -> Outcome<()>) -> Outcome<()> {
        self.hub.gate("throttled", "landing LIST")?;
        let mut infos: Vec<ObjectInfo> = {
            let log = self.log();
            let shown = log.iter().filter(|landed| landed.key.starts_with(prefix) && landed.is_there());
            shown.map(|landed| self.info(landed)).collect()
        };
        infos.sort_by(|one, two| one.key.cmp(&two.key));
        for info in infos {
            visit(info)?;
        }
        self.hub.gate("throttled", "the end of landing LIST")
    }
}
