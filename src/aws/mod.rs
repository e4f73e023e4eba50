//! The adapters over AWS: S3 as an object store, SQS as an inbox, Glue as a catalog, Athena as a query engine. The only place that knows the AWS SDK and tokio; the
//! pipeline calls from plain threads and blocks.

mod account;
mod alarm;
mod athena;
mod client;
mod failure;
mod glue;
mod pause;
mod s3;
mod sqs;

pub use account::AwsAccount;
pub use alarm::SnsAlarm;
pub use athena::{AthenaOptions, AthenaQueryEngine, Patience};
pub use client::AwsClients;
pub use failure::failure;
pub use glue::{GlueCatalog, GlueDefinitions, StatementPlace};
pub use s3::{Pace, S3Options, S3Store};
pub use sqs::{Mode, Route, SqsInbox, SqsOptions};
