//! The client library as this adapter uses it: blocking, and with every answer waited for within the limit of its
//! [`Line`]. What is asked in two steps (a statement is prepared, then executed) has the limit for each of them.

use std::io::Cursor;
use std::pin::Pin;
use std::time::Duration;

use futures_util::{SinkExt, TryStreamExt};
use postgres::types::ToSql;
use postgres::{IsolationLevel, NoTls, Row};
use tokio_postgres::{CopyInSink, RowStream, Statement};

use crate::failure::Outcome;

use super::address::{Address, TlsMode};
use super::error::{Error, failure};
use super::line::Line;
use super::tls;

/// Values of a statement's parameters.
type Values<'v> = [&'v (dyn ToSql + Sync)];

/// An open connection.
pub(super) struct Client {
    // Dropped before the line, whose traffic then ends.
    inner: tokio_postgres::Client,
    line: Line,
}

impl Client {
    /// Connects; the name is resolved anew each time. Until [`Self::connected`] the limit of connecting goes on.
    pub(super) fn connect(address: &Address, application_name: &str) -> Outcome<Self> {
        let config = address.config(application_name)?;
        let mut line = Line::new(address)?;
        let inner = match address.tls {
            TlsMode::Disable => line.connect(&config, NoTls),
            _ => line.connect(&config, tls::connector(address)?),
        };
        Ok(Self { inner: inner.map_err(failure)?, line })
    }

    /// What belongs to connecting is over; from here on each statement may take so long.
    pub(super) fn connected(&mut self, work: Duration) {
        self.line.connected(work);
    }

    /// Begins a transaction.
    pub(super) fn transaction(&mut self) -> Result<Transaction<'_>, Error> {
        let Self { inner, line } = self;
        let inner = line.wait(inner.transaction())?;
        Ok(Transaction::new(inner, line))
    }

    /// Begins a transaction that sees the same at all of its statements.
    pub(super) fn snapshot(&mut self) -> Result<Transaction<'_>, Error> {
        let Self { inner, line } = self;
        let builder = inner.build_transaction().isolation_level(IsolationLevel::RepeatableRead);
        let inner = line.wait(builder.start())?;
        Ok(Transaction::new(inner, line))
    }

    fn parts(&mut self) -> (&tokio_postgres::Client, &mut Line) {
        (&self.inner, &mut self.line)
    }
}

/// An open transaction; rolled back when it is dropped.
pub(super) struct Transaction<'a> {
    /// None once it has ended.
    inner: Option<tokio_postgres::Transaction<'a>>,
    line: &'a mut Line,
    /// What the server may take for a statement outside of it.
    outside: Duration,
}

impl<'a> Transaction<'a> {
    fn new(inner: tokio_postgres::Transaction<'a>, line: &'a mut Line) -> Self {
        Self { inner: Some(inner), outside: line.work(), line }
    }

    fn parts(&mut self) -> (&tokio_postgres::Transaction<'a>, &mut Line) {
        (self.inner.as_ref().expect("who ends it has it no more"), self.line)
    }

    /// Lets the server take so long for each of the statements that follow in this transaction, and waits accordingly.
    pub(super) fn allow(&mut self, work: Duration) -> Result<(), Error> {
        self.batch_execute(&format!("SET LOCAL statement_timeout = '{}s'", work.as_secs()))?;
        self.line.set_work(work);
        Ok(())
    }

    pub(super) fn prepare(&mut self, sql: &str) -> Result<Statement, Error> {
        let (inner, line) = self.parts();
        line.wait(inner.prepare(sql))
    }

    pub(super) fn query_prepared(
        &mut self,
        statement: &Statement,
        values: &Values<'_>,
    ) -> Result<Vec<Row>, Error> {
        let (inner, line) = self.parts();
        line.wait(inner.query(statement, values))
    }

    /// Rows one by one, for what may be more than fits into memory.
    pub(super) fn query_raw(&mut self, sql: &str, values: &Values<'_>) -> Result<Rows<'_>, Error> {
        let statement = self.prepare(sql)?;
        let (inner, line) = self.parts();
        let stream = line.wait(inner.query_raw(&statement, values.iter().copied()))?;
        Ok(Rows { stream: Box::pin(stream), line })
    }

    /// Begins a COPY into a table.
    pub(super) fn copy_in(&mut self, sql: &str) -> Result<CopyIn<'_>, Error> {
        let statement = self.prepare(sql)?;
        let (inner, line) = self.parts();
        let sink = line.wait(inner.copy_in(&statement))?;
        Ok(CopyIn { sink: Box::pin(sink), line })
    }

    /// Where this fails without an answer, nobody knows whether it was committed.
    pub(super) fn commit(mut self) -> Result<(), Error> {
        let inner = self.inner.take().expect("who ends it has it no more");
        self.line.wait(inner.commit())
    }

    pub(super) fn rollback(mut self) -> Result<(), Error> {
        let inner = self.inner.take().expect("who ends it has it no more");
        self.line.wait(inner.rollback())
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        if let Some(inner) = self.inner.take() {
            // A connection that cannot even do this fails at its next use.
            let _ = self.line.wait(inner.rollback());
        }
        self.line.set_work(self.outside);
    }
}

/// What can be asked inside of a transaction and outside.
macro_rules! asked {
    () => {
        /// Executes statements without parameters, divided by semicolons.
        pub(super) fn batch_execute(&mut self, sql: &str) -> Result<(), Error> {
            let (inner, line) = self.parts();
            line.wait_for(statements(sql), inner.batch_execute(sql))
        }

        /// Executes a statement; the number of rows that it changed.
        pub(super) fn execute(&mut self, sql: &str, values: &Values<'_>) -> Result<u64, Error> {
            let (inner, line) = self.parts();
            let statement = line.wait(inner.prepare(sql))?;
            line.wait(inner.execute(&statement, values))
        }

        pub(super) fn query(&mut self, sql: &str, values: &Values<'_>) -> Result<Vec<Row>, Error> {
            let (inner, line) = self.parts();
            let statement = line.wait(inner.prepare(sql))?;
            line.wait(inner.query(&statement, values))
        }

        pub(super) fn query_one(&mut self, sql: &str, values: &Values<'_>) -> Result<Row, Error> {
            let (inner, line) = self.parts();
            let statement = line.wait(inner.prepare(sql))?;
            line.wait(inner.query_one(&statement, values))
        }

        pub(super) fn query_opt(&mut self, sql: &str, values: &Values<'_>) -> Result<Option<Row>, Error> {
            let (inner, line) = self.parts();
            let statement = line.wait(inner.prepare(sql))?;
            line.wait(inner.query_opt(&statement, values))
        }
    };
}

impl Client {
    asked!();
}

impl Transaction<'_> {
    asked!();
}

/// How many statements a text has at the most.
fn statements(sql: &str) -> u32 {
    u32::try_from(sql.trim_end().trim_end_matches(';').split(';').count()).unwrap_or(u32::MAX)
}

/// Rows on their way.
pub(super) struct Rows<'t> {
    stream: Pin<Box<RowStream>>,
    line: &'t mut Line,
}

impl Rows<'_> {
    /// The next one, if there is one.
    pub(super) fn next(&mut self) -> Result<Option<Row>, Error> {
        self.line.wait(self.stream.try_next())
    }
}

/// A COPY that is under way. The limit is for each step: who is listened to is not given up.
pub(super) struct CopyIn<'t> {
    sink: Pin<Box<CopyInSink<Cursor<Vec<u8>>>>>,
    line: &'t mut Line,
}

impl CopyIn<'_> {
    /// Sends a part.
    pub(super) fn send(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.line.wait(self.sink.send(Cursor::new(bytes.to_vec())))
    }

    /// Ends it; the number of rows.
    pub(super) fn finish(mut self) -> Result<u64, Error> {
        self.line.wait(self.sink.as_mut().finish())
    }
}

#[cfg(test)]
mod tests {
    use super::statements;

    #[test]
    fn statements_are_counted() {
        for (sql, count) in
            [("COMMIT", 1), ("COMMIT; ", 1), ("ROLLBACK TO a; RELEASE a", 2), ("", 1), ("a;\nb;\nc", 3)]
        {
            assert_eq!(statements(sql), count, "{sql}");
        }
    }
}
