//! Messages that say that objects landed, and what they become in the journal. Pure: no clock, no I/O.
//!
//! Whatever inbox a message came through, it is read here. The shapes, each recognised by what it holds and not by where
//! it came from:
//!
//! | shape | recognised by | keys |
//! |---|---|---|
//! | S3 event notification, direct or by SNS raw delivery | `Records` | form-encoded |
//! | the storage's test message | `"Event": "s3:TestEvent"` | none |
//! | Amazon EventBridge | `detail-type` and `detail` | as they are |
//! | any of these inside an SNS envelope | `Type` and a `Message` string | as inside |
//!
//! Keys of S3 notifications are form-decoded exactly once: a space arrives as `+` (or `%20` from other storages), a plus
//! sign as `%2B`, and a key may really contain `%25`. The AWS documentation does not say how EventBridge writes keys; its
//! examples show them plainly, so they are taken as they are. A storage that encodes them there makes documents that
//! are `missing`, which a listing of the landing then finds.

mod eventbridge;
mod field;
mod form;
mod message;
mod s3;
#[cfg(test)]
mod tests;

pub use form::form_decode;
pub use message::read_message;

/// Finds the job that a bucket and a decoded key belong to.
pub type Route<'a> = dyn Fn(&str, &str) -> Option<String> + 'a;
