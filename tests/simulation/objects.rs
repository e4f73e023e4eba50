//! The archive and the curated place, in memory.

use std::collections::BTreeMap;
use std::io::{Cursor, Read};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::SubsecRound;
use rusqlite::OptionalExtension;
use sha2::{Digest, Sha256};
use sluicegate::failure::{Failure, Outcome};
use sluicegate::ports::object_store::{
    Announced, Fetched, Got, ObjectInfo, ObjectStore, PutAnswer, ReadSeek, Refusal, VersionSource,
};
use sluicegate_state::Timestamp;

use crate::hub::Hub;

#[derive(Clone)]
pub(crate) struct Object {
    pub(crate) bytes: Arc<Vec<u8>>,
    last_modified: Timestamp,
    /// By the true time.
    pub(crate) put_at: Timestamp,
}

pub(crate) struct Objects {
    hub: Arc<Hub>,
    name: &'static str,
    /// Nothing may be put here that no COMMIT has fixed (I5).
    is_curated: bool,
    objects: Mutex<BTreeMap<String, Object>>,
}

impl Objects {
    pub(crate) fn new(hub: Arc<Hub>, name: &'static str, is_curated: bool) -> Arc<Self> {
        Arc::new(Self { hub, name, is_curated, objects: Mutex::default() })
    }

    pub(crate) fn all(&self) -> MutexGuard<'_, BTreeMap<String, Object>> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn info(&self, key: &str, object: &Object) -> ObjectInfo {
        ObjectInfo {
            key: key.to_owned(),
            size: object.bytes.len() as u64,
            etag: hex::encode(&Sha256::digest(&*object.bytes)[..16]),
            version: VersionSource::ETag(String::new()),
            last_modified: object.last_modified,
            expires_at: None,
        }
    }

    fn read(&self, key: &str) -> Option<Fetched> {
        let object = self.all().get(key).cloned()?;
        let mut readable = object.bytes.to_vec();
        let breaks = self.hub.strikes("throttled");
        if breaks {
            readable.truncate(readable.len() / 2);
        }
        let body: Box<dyn Read + Send> = if breaks {
            Box::new(Cursor::new(readable).chain(Broken))
        } else {
            Box::new(Cursor::new(readable))
        };
        Some(Fetched { info: self.info(key, &object), body })
    }

    /// A CSV object shows only after the COMMIT that fixed its bytes.
    fn check_committed(&self, key: &str, sha256: &str) {
        let sql = "SELECT csv_sha256 FROM sluicegate_batch_table WHERE csv_key = ?1";
        let fixed: Option<String> = self.hub.ask_ledger(|ledger| {
            let mut statement = ledger.prepare_cached(sql).expect("the ledger can be asked");
            statement.query_row([key], |row| row.get(0)).optional().expect("the ledger answers")
        });
        if fixed.as_deref() != Some(sha256) {
            self.hub.violate(format!("{key} is put with {sha256}, and the ledger has fixed {fixed:?} (I5)"));
        }
        self.check_children(key);
    }

    /// Children before parents: whoever sees an invoice can see its items.
    fn check_children(&self, key: &str) {
        if !key.starts_with("invoices/") {
            return;
        }
        let sql = "SELECT child.csv_key FROM sluicegate_batch_table AS parent JOIN sluicegate_batch_table AS child USING (batch_id)
                   WHERE parent.csv_key = ?1 AND child.table_name = 'invoice_items' AND child.csv_key IS NOT NULL";
        let child: Option<String> = self.hub.ask_ledger(|ledger| {
            let mut statement = ledger.prepare_cached(sql).expect("the ledger can be asked");
            statement.query_row([key], |row| row.get(0)).optional().expect("the ledger answers")
        });
        if let Some(child) = child.filter(|child| !self.all().contains_key(child)) {
            self.hub.violate(format!("{key} is put before {child} (I5)"));
        }
    }
}

/// A connection that breaks off.
struct Broken;

impl Read for Broken {
    fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
        Err(std::io::Error::new(std::io::ErrorKind::ConnectionReset, "test fault: the connection broke off"))
    }
}

impl ObjectStore for Objects {
    fn bucket(&self) -> &str {
        self.name
    }

    fn location(&self) -> String {
        format!("s3://{}", self.name)
    }

    fn get_announced(&self, announced: &Announced<'_>) -> Outcome<Got> {
        Ok(match self.get(announced.key)? {
            Some(fetched) => Got::Object(fetched),
            None => Got::Refused(Refusal::NotFound),
        })
    }

    fn get(&self, key: &str) -> Outcome<Option<Fetched>> {
        self.hub.gate("throttled", "GET")?;
        Ok(self.read(key))
    }

    fn head(&self, key: &str) -> Outcome<Option<ObjectInfo>> {
        self.hub.gate("throttled", "HEAD")?;
        Ok(self.all().get(key).map(|object| self.info(key, object)))
    }

    fn put_new(&self, key: &str, body: &mut dyn ReadSeek, size: u64, sha256: &str) -> Outcome<PutAnswer> {
        self.hub.gate("throttled", "PUT")?;
        let mut bytes = Vec::new();
        let read = body.rewind().and_then(|()| body.read_to_end(&mut bytes));
        read.map_err(|error| Failure::transient(format!("the body: {error}")))?;
        let found = hex::encode(Sha256::digest(&bytes));
        if bytes.len() as u64 != size || found != sha256 {
            self.hub.violate(format!(
                "{key}: {} bytes and {found} came, {size} and {sha256} were said",
                bytes.len()
            ));
        }
        if self.is_curated {
            self.check_committed(key, sha256);
        }
        let now = self.hub.now();
        let last_modified = (now + self.hub.options.storage_skew).trunc_subsecs(0);
        let answer = {
            let mut objects = self.all();
            if objects.contains_key(key) {
                PutAnswer::Exists
            } else {
                objects.insert(key.to_owned(), Object { bytes: Arc::new(bytes), last_modified, put_at: now });
                PutAnswer::Written
            }
        };
        if answer == PutAnswer::Exists {
            self.hub.meets_what_the_other_did();
        }
        self.hub.trace(|| format!("  {} PUT {key}: {answer:?}", self.name));
        self.hub.gate("throttled", "the answer to PUT")?;
        Ok(answer)
    }

    fn list(&self, prefix: &str, visit: &mut dyn FnMut(ObjectInfo) -> Outcome<()>) -> Outcome<()> {
        self.hub.gate("throttled", "LIST")?;
        let infos: Vec<ObjectInfo> = {
            let objects = self.all();
            let shown = objects.iter().filter(|(key, _)| key.starts_with(prefix));
            shown.map(|(key, object)| self.info(key, object)).collect()
        };
        for info in infos {
            visit(info)?;
        }
        self.hub.gate("throttled", "the end of LIST")
    }
}
