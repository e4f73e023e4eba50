//! The text of SQL for Athena and its like: the typed newest-wins view of each target table, and a statement with the views
//! that it mentions put in front of it. Pure.
//!
//! It keeps to what Trino and DuckDB both take: no `max_by`, no `QUALIFY`, plain window functions, names in double quotes.
//! (Athena's engine version 3 is Trino; DuckDB stands in for it where there is no Athena.)

mod compare;
mod statement;
#[cfg(test)]
mod tests;
mod tokens;
mod view;

pub use compare::same_statement;
pub use statement::{NotReading, ONLY_READING, Statement, mentions, with_views};
pub(crate) use tokens::{Token, tokens};
pub use view::{raw_name, view_select};
