//! AWS Glue: definitions of databases, tables and crawlers.

mod convert;
mod definitions;
mod statement;

pub use definitions::{GlueDefinitions, StatementPlace};
