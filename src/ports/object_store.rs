//! The object store port: the landing, the archive and the curated objects (S3, or a folder).

use std::io::{Read, Seek};

use sluicegate_state::Timestamp;

use crate::failure::{Failure, Outcome};

/// The longest key, in bytes of UTF-8 ("object keys" in the S3 user guide). The indexes of the ledger hold one of this length,
/// and none of more than about 2,700 bytes.
pub const LONGEST_KEY: usize = 1_024;

/// The object exactly as a notification announced it; GET must answer with this one or not at all (I2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announced<'a> {
    /// Full decoded key, or the path relative to the landing folder.
    pub key: &'a str,
    /// The object version, where the bucket has versions.
    pub version_id: Option<&'a str>,
    /// The entity tag as announced, without quotes.
    pub etag: &'a str,
}

/// Where a document's version comes from (I2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VersionSource {
    /// The bucket's version id is the version.
    Id(String),
    /// `<eTag>@<Last-Modified>`.
    ETag(String),
    /// `sha256:<hex>@<Last-Modified>`: a folder knows no other identity of content.
    Content,
}

/// What the store knows of an object besides its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectInfo {
    /// Full key.
    pub key: String,
    /// Bytes.
    pub size: u64,
    /// What a notification of this very object would carry.
    pub etag: String,
    /// Where the document's version comes from.
    pub version: VersionSource,
    /// Last-Modified, whole seconds.
    pub last_modified: Timestamp,
    /// When the lifecycle takes the object, where the store says.
    pub expires_at: Option<Timestamp>,
}

/// An object being read.
pub struct Fetched {
    /// What the store knows of it.
    pub info: ObjectInfo,
    /// Its bytes. A read error for which [`was_overwritten`] holds means that the object changed under the reader.
    pub body: Box<dyn Read + Send>,
}

/// Why GET did not answer with the object: verdicts about the object, not failures of the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// 404: it is not there.
    NotFound,
    /// 405: the version named is a delete marker.
    DeleteMarker,
    /// 412: something else is there now.
    Overwritten,
    /// 403: we may not read it.
    Forbidden(String),
    /// 400: the store does not understand the request for this object.
    BadRequest(String),
}

/// The answer to GET.
pub enum Got {
    /// The object announced.
    Object(Fetched),
    /// Not this object.
    Refused(Refusal),
}

/// The answer to a PUT that must not overwrite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PutAnswer {
    /// Ours is there now.
    Written,
    /// Something was there before; it is untouched.
    Exists,
}

/// Bytes that can be sent again from their beginning.
pub trait ReadSeek: Read + Seek + Send {}
impl<T: Read + Seek + Send> ReadSeek for T {}

/// A place for objects. Objects are never rewritten and never deleted by the pipeline.
pub trait ObjectStore: Send + Sync {
    /// The bucket's name; `local` for a folder.
    fn bucket(&self) -> &str;

    /// Where the store is, for messages.
    fn location(&self) -> String;

    /// Reads exactly the announced object.
    ///
    /// # Errors
    /// Transient when the store itself cannot be reached, so that nothing is known about the object.
    fn get_announced(&self, announced: &Announced<'_>) -> Outcome<Got>;

    /// Reads whatever is at `key`, or `None`.
    fn get(&self, key: &str) -> Outcome<Option<Fetched>>;

    /// Reads `length` bytes of what is at `key`, from byte `offset` on, or `None`. A store that cannot do better reads
    /// and drops what lies before them. What is not there is `None`, or an error of the first read.
    fn get_range(&self, key: &str, offset: u64, length: u64) -> Outcome<Option<Box<dyn Read + Send>>> {
        let Some(mut fetched) = self.get(key)? else { return Ok(None) };
        std::io::copy(&mut (&mut fetched.body).take(offset), &mut std::io::sink())
            .map_err(|error| Failure::transient(format!("reading {key} broke off: {error}")))?;
        Ok(Some(Box::new(fetched.body.take(length))))
    }

    /// What is at `key` now, or `None`.
    fn head(&self, key: &str) -> Outcome<Option<ObjectInfo>>;

    /// Writes an object unless there is one (If-None-Match: *). It appears whole or not at all.
    fn put_new(&self, key: &str, body: &mut dyn ReadSeek, size: u64, sha256: &str) -> Outcome<PutAnswer>;

    /// When the place's own rules remove an object that landed then, where they are known and say so.
    fn expires_at(&self, _key: &str, _size: u64, _landed_at: Timestamp) -> Option<Timestamp> {
        None
    }

    /// Calls `visit` for every object under `prefix`, in key order.
    fn list(&self, prefix: &str, visit: &mut dyn FnMut(ObjectInfo) -> Outcome<()>) -> Outcome<()>;
}

/// The marker inside an [`std::io::Error`] that says: the object changed while it was read.
#[derive(Debug)]
pub struct OverwrittenWhileRead;

impl std::fmt::Display for OverwrittenWhileRead {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the object was overwritten while it was read")
    }
}

impl std::error::Error for OverwrittenWhileRead {}

/// Whether a read of [`Fetched::body`] failed because the object changed under the reader.
pub fn was_overwritten(error: &std::io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<OverwrittenWhileRead>())
}
