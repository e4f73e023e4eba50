//! Reads an object as a blocking stream that survives broken connections.

use std::io::{self, Read};
use std::time::Duration;

use aws_sdk_s3::config::ResponseChecksumValidation;
use aws_sdk_s3::error::SdkError;
use aws_sdk_s3::operation::get_object::GetObjectError;
use aws_sdk_s3::operation::get_object::builders::GetObjectFluentBuilder;
use aws_sdk_s3::primitives::ByteStream;
use bytes::{Buf, Bytes};
use sluicegate_state::canary::{Canary, sings};

use super::super::client::AwsClients;
use super::super::failure::{HttpResponse, describe, status};
use super::super::pause::jittered;
use super::S3Store;
use super::info::{Get, Told, present_version, unquoted};
use super::refusal::{Answer, classify};
use crate::failure::{Failure, Outcome};
use crate::ports::object_store::{Fetched, OverwrittenWhileRead, Refusal};

/// Broken connections in a row without much progress between them.
const MOST_BREAKS: u32 = 4;
/// Progress that makes earlier breaks forgotten.
const PROGRESS_BYTES: u64 = 256 << 10;
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(3);

type GetError = Box<SdkError<GetObjectError, HttpResponse>>;

impl S3Store {
    /// GET of one version, else of just the entity tag, else of whatever is there.
    pub(super) fn open(
        &self,
        key: &str,
        version_id: Option<&str>,
        etag: &str,
    ) -> Result<Outcome<Fetched>, GetError> {
        let full_key = self.full(key);
        let version_id = present_version(version_id);
        let request = self.s3().get_object().bucket(&self.bucket).key(&full_key);
        let request = exactly(request, version_id, etag);
        let get = self.clients.block_on(request.send())?;
        Ok(self.fetched(key, full_key, version_id, get))
    }

    /// A part of an object. It is asked for at the first read; an object that is not there is an error of that read.
    pub(super) fn range(&self, full_key: &str, offset: u64, length: u64) -> Box<dyn Read + Send> {
        let place = Place {
            clients: self.clients.clone(),
            bucket: self.bucket.clone(),
            full_key: full_key.to_owned(),
            version_id: None,
            etag: String::new(),
            end: Some(offset + length),
        };
        Box::new(ObjectReader {
            place,
            size: offset + length,
            position: offset,
            stream: None,
            chunk: Bytes::new(),
            breaks: 0,
            broke_at: offset,
        })
    }

    fn fetched(
        &self,
        key: &str,
        full_key: String,
        version_id: Option<&str>,
        mut get: Get,
    ) -> Outcome<Fetched> {
        let stream = std::mem::take(&mut get.body);
        // A proxy on the way may hand the body over in chunks and leave its length out; without it nobody knows the end.
        let length = match get.content_length() {
            Some(length) => Some(length),
            None => self.length(&full_key, version_id, unquoted(get.e_tag().unwrap_or_default()))?,
        };
        let mut told = Told::by_get(&get);
        told.size = length;
        told.version_id = present_version(told.version_id).or(version_id);
        let info = self.describe(key, told)?;
        let place = Place {
            clients: self.clients.clone(),
            bucket: self.bucket.clone(),
            full_key,
            version_id: present_version(get.version_id()).or(version_id).map(str::to_owned),
            etag: unquoted(get.e_tag().unwrap_or_default()).to_owned(),
            end: None,
        };
        let body = ObjectReader {
            place,
            size: info.size,
            position: 0,
            stream: Some(stream),
            chunk: Bytes::new(),
            breaks: 0,
            broke_at: 0,
        };
        Ok(Fetched { info, body: Box::new(body) })
    }
}

impl S3Store {
    /// The length of just this object, as the answer to a request for its first byte tells it. HEAD would be the same
    /// question, and loses its answer on the same way.
    fn length(&self, full_key: &str, version_id: Option<&str>, etag: &str) -> Outcome<Option<i64>> {
        let request = self.s3().get_object().bucket(&self.bucket).key(full_key).range("bytes=0-0");
        match self.clients.block_on(exactly(request, version_id, etag).send()) {
            // `bytes 0-0/1234`
            Ok(get) => {
                let total = get.content_range().and_then(|range| range.rsplit_once('/'));
                Ok(total.and_then(|(_, total)| total.parse().ok()))
            }
            // Not even a first byte is there.
            Err(error) if status(&error) == Some(416) => Ok(Some(0)),
            Err(error) => {
                let doing = self.doing("asking for the length of", full_key);
                Err(Failure::transient(format!("{doing}: {}", describe(&error))))
            }
        }
    }
}

/// Asks for one version, else for one entity tag.
fn exactly(request: GetObjectFluentBuilder, version_id: Option<&str>, etag: &str) -> GetObjectFluentBuilder {
    match version_id {
        Some(id) => request.version_id(id),
        None if etag.is_empty() || sings(Canary::NoIfMatch) => request,
        None => request.if_match(format!("\"{etag}\"")),
    }
}

/// Which object is being read.
struct Place {
    clients: AwsClients,
    bucket: String,
    full_key: String,
    version_id: Option<String>,
    etag: String,
    /// The byte before which a ranged read ends.
    end: Option<u64>,
}

/// The bytes of one object, from its first to its last, whatever becomes of the connections.
struct ObjectReader {
    place: Place,
    size: u64,
    /// Bytes that have come, those in `chunk` included.
    position: u64,
    stream: Option<ByteStream>,
    chunk: Bytes,
    breaks: u32,
    broke_at: u64,
}

impl ObjectReader {
    /// The next bytes; none at the end.
    fn next_chunk(&mut self) -> io::Result<Bytes> {
        loop {
            let Some(stream) = self.stream.as_mut() else {
                self.stream = self.reopen()?;
                continue;
            };
            match self.place.clients.block_on(stream.try_next()) {
                Ok(Some(chunk)) => {
                    self.position += chunk.len() as u64;
                    if self.position > self.size {
                        return Err(io::Error::other("more bytes came than the object has"));
                    }
                    if !chunk.is_empty() {
                        return Ok(chunk);
                    }
                }
                Ok(None) if self.position == self.size => return Ok(Bytes::new()),
                Ok(None) => self.broke("the body ended too early")?,
                // All bytes have come, and they are not what was stored.
                Err(error) if self.position == self.size => return Err(io::Error::other(error)),
                Err(error) => self.broke(&error.to_string())?,
            }
        }
    }

    /// Notes a broken connection and waits a little, unless it has broken too often.
    fn broke(&mut self, why: &str) -> io::Result<()> {
        if self.position - self.broke_at >= PROGRESS_BYTES {
            self.breaks = 0;
        }
        self.stream = None;
        self.broke_at = self.position;
        self.breaks += 1;
        if self.breaks > MOST_BREAKS {
            return Err(io::Error::other(format!("{why}, {} times at byte {}", self.breaks, self.position)));
        }
        tracing::debug!(key = %self.place.full_key, position = self.position, "reading on after a break: {why}");
        std::thread::sleep(jittered(FIRST_PAUSE, LONGEST_PAUSE, self.breaks - 1));
        Ok(())
    }

    /// The rest of the same object, over a new connection; `None` when that broke too.
    fn reopen(&mut self) -> io::Result<Option<ByteStream>> {
        match self.place.rest(self.position) {
            Ok(get) => {
                let begins = format!("bytes {}-", self.position);
                if self.position > 0 && !get.content_range().is_some_and(|range| range.starts_with(&begins)) {
                    return Err(io::Error::other("the storage ignores Range"));
                }
                Ok(Some(get.body))
            }
            Err(error) => match classify(&error) {
                Answer::Refused(Refusal::Overwritten) => Err(io::Error::other(OverwrittenWhileRead)),
                Answer::Refused(_) => Err(io::Error::other(describe(&error))),
                Answer::Trouble => self.broke(&describe(&error)).map(|()| None),
            },
        }
    }
}

impl Place {
    fn rest(&self, position: u64) -> Result<Get, GetError> {
        let request = self.clients.s3().get_object().bucket(&self.bucket).key(&self.full_key);
        let mut request = exactly(request, self.version_id.as_deref(), &self.etag);
        request = match self.end {
            Some(end) => request.range(format!("bytes={position}-{}", end.saturating_sub(1))),
            None if position > 0 => request.range(format!("bytes={position}-")),
            None => request,
        };
        // The checksum of the whole object says nothing about its rest, and some storages send it all the same.
        let unchecked = aws_sdk_s3::config::Builder::new()
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired);
        self.clients.block_on(request.customize().config_override(unchecked).send()).map_err(Box::new)
    }
}

impl Read for ObjectReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        if self.chunk.is_empty() {
            self.chunk = self.next_chunk()?;
        }
        let count = buffer.len().min(self.chunk.len());
        self.chunk.copy_to_slice(&mut buffer[..count]);
        Ok(count)
    }
}
