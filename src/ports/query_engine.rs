//! The query port: SQL over the published CSV objects (Athena, or the embedded engine).

use crate::failure::Outcome;

/// One value of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// NULL.
    Null,
    /// A whole number; a number in JSON.
    Integer(i64),
    /// An exact decimal in plain notation; a string in JSON, because money is never a float.
    Decimal(String),
    /// Text, and everything else.
    Text(String),
}

/// The answer to a statement.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Answer {
    /// Column names in order; they may repeat.
    pub columns: Vec<String>,
    /// The rows, each as long as `columns`.
    pub rows: Vec<Vec<Value>>,
}

/// Runs SQL. For each target table `T` of the job there is the raw table `T_csv` (every column text, and `dt`) and the
/// typed, newest-wins view `T`.
pub trait QueryEngine: Send {
    /// Runs one statement, which only reads.
    ///
    /// # Errors
    /// A permanent failure holds the engine's words about the statement.
    fn query(&mut self, sql: &str) -> Outcome<Answer>;
}
