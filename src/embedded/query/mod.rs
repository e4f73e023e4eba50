//! The embedded query engine: SQL over the CSV objects themselves, so that what is queried is what was published.
//!
//! Each statement gets a private database on disk with just the tables that it names, filled from every published object and
//! gone afterwards. Decimals are exact in columns and in `sum`; expressions have 15 significant digits (see [`exact`]), and the
//! places of the columns that they name (see [`scale`]).

mod exact;
mod functions;
mod load;
mod scale;

#[cfg(test)]
mod tests;

use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::config::DbConfig;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Error, ErrorCode, Row, Statement};

use self::exact::{Exact, Precision, plain_real};
use self::load::{Needed, declared_scale, raw_name};
use self::scale::computed_scales;
use super::sqlite_failure;
use crate::curated::io_failure;
use crate::failure::{Failure, Outcome};
use crate::ports::query_engine::{Answer, QueryEngine, Value};
use crate::query_text::ONLY_READING;
use crate::schema::Schema;

/// Runs SQL over the CSV objects of a curated folder.
pub struct EmbeddedQueryEngine {
    curated: PathBuf,
    schemas: Vec<Schema>,
    temporary: PathBuf,
}

impl EmbeddedQueryEngine {
    /// An engine over the tables of these jobs. `temporary` is where a statement's database lies while it runs, unlinked, so
    /// that no death leaves it behind.
    pub fn new(curated: &Path, schemas: Vec<Schema>, temporary: &Path) -> Self {
        Self { curated: curated.to_owned(), schemas, temporary: temporary.to_owned() }
    }

    /// A private database that exists only as long as the connection.
    fn open(&self) -> Outcome<Connection> {
        let failed = |error: std::io::Error| {
            io_failure(&error, format!("make a temporary database in {}: {error}", self.temporary.display()))
        };
        fs::create_dir_all(&self.temporary).map_err(failed)?;
        let file = tempfile::Builder::new().prefix("query-").suffix(".db").tempfile_in(&self.temporary);
        let file = file.map_err(failed)?;
        let connect = || {
            let connection = Connection::open(file.path())?;
            // Nothing of it is worth a journal, and 64 MiB of pages bound its memory.
            connection.execute_batch(
                "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -65536;
                 PRAGMA locking_mode = EXCLUSIVE; PRAGMA trusted_schema = OFF;",
            )?;
            // A name in double quotes is a name, and never quietly a text where no column has it.
            connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DML, false)?;
            functions::register(&connection, Precision::of(&self.schemas))?;
            Ok(connection)
        };
        let connection = connect().map_err(|error| sqlite_failure(&error))?;
        file.close().map_err(failed)?;
        Ok(connection)
    }

    /// What went wrong with the statement, in the engine's words.
    fn statement_failure(&self, error: &Error) -> Failure {
        let words = match error {
            Error::MultipleStatement => return Failure::permanent(ONLY_READING),
            Error::SqlInputError { error, msg, .. }
                if error.code != ErrorCode::AuthorizationForStatementDenied =>
            {
                msg
            }
            Error::SqliteFailure(error, Some(msg))
                if error.code != ErrorCode::AuthorizationForStatementDenied =>
            {
                msg
            }
            other if other.sqlite_error_code() == Some(ErrorCode::AuthorizationForStatementDenied) => {
                return Failure::permanent(ONLY_READING);
            }
            other => &other.to_string(),
        };
        match sqlite_failure(error) {
            passing if passing.kind == crate::failure::FailureKind::Transient => passing,
            _ => Failure::permanent(format!("{words}; the tables are {}", self.table_names())),
        }
    }

    fn table_names(&self) -> String {
        let tables = self.schemas.iter().flat_map(|schema| &schema.tables);
        tables.map(|table| format!("{}, {}", table.name, raw_name(table))).collect::<Vec<_>>().join(", ")
    }

    /// Runs `read` on the prepared statement, behind a guard that lets it only read.
    fn guarded<T>(
        &self,
        connection: &mut Connection,
        sql: &str,
        read: impl FnOnce(&mut Statement<'_>) -> rusqlite::Result<T>,
    ) -> Outcome<T> {
        connection.authorizer(Some(only_reading)).map_err(|error| sqlite_failure(&error))?;
        let result = match connection.prepare(sql) {
            Ok(statement) if statement.column_count() == 0 || !statement.readonly() => {
                Err(Failure::permanent(ONLY_READING))
            }
            Ok(mut statement) => read(&mut statement).map_err(|error| self.statement_failure(&error)),
            Err(error) => Err(self.statement_failure(&error)),
        };
        let unguard = connection.authorizer(None::<fn(AuthContext<'_>) -> Authorization>);
        unguard.map_err(|error| sqlite_failure(&error))?;
        result
    }
}

impl QueryEngine for EmbeddedQueryEngine {
    fn query(&mut self, sql: &str) -> Outcome<Answer> {
        let needed: Vec<Needed<'_>> = load::needed(&self.schemas, sql);
        let mut connection = self.open()?;
        load::create(&connection, &needed)?;
        // A slip of the pen is told before gigabytes are read.
        self.guarded(&mut connection, sql, |_| Ok(()))?;
        load::load(&mut connection, &self.curated, &needed)?;
        self.guarded(&mut connection, sql, |statement| {
            let scales = computed_scales(&needed, sql, statement.column_count());
            answer(statement, &scales)
        })
    }
}

/// Everything that is not reading tables and calling functions is refused while a statement is compiled.
fn only_reading(context: AuthContext<'_>) -> Authorization {
    match context.action {
        AuthAction::Select
        | AuthAction::Read { .. }
        | AuthAction::Function { .. }
        | AuthAction::Recursive => Authorization::Allow,
        _ => Authorization::Deny,
    }
}

/// `computed`: the places of each column where it is none of a table.
fn answer(statement: &mut Statement<'_>, computed: &[Option<u32>]) -> rusqlite::Result<Answer> {
    let columns: Vec<_> = statement.column_names().map(str::to_owned).collect();
    let declared = statement.columns().map(|column| column.decl_type().and_then(declared_scale));
    let scales: Vec<_> = declared.zip(computed).map(|(declared, computed)| declared.or(*computed)).collect();
    let rows = statement.query_map([], |row| values(row, &scales))?.collect::<Result<_, _>>()?;
    Ok(Answer { columns, rows, scan: None })
}

fn values(row: &Row<'_>, scales: &[Option<u32>]) -> rusqlite::Result<Vec<Value>> {
    scales.iter().enumerate().map(|(index, &scale)| Ok(value(row.get_ref(index)?, scale))).collect()
}

/// One value of the answer; a decimal has as many places as its column, or more where it needs them.
fn value(value: ValueRef<'_>, scale: Option<u32>) -> Value {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(integer) => Value::Integer(integer),
        ValueRef::Text(bytes) => Value::Text(String::from_utf8_lossy(bytes).into_owned()),
        ValueRef::Real(real) => match (Exact::from_real(real), scale) {
            (Some(exact), Some(scale)) => Value::Decimal(exact.with_scale(scale)),
            _ if real.is_finite() => Value::Decimal(plain_real(real)),
            _ => Value::Text(real.to_string()),
        },
        ValueRef::Blob(bytes) => match Exact::from_sql(value) {
            Some(exact) => Value::Decimal(exact.with_scale(scale.unwrap_or(0))),
            None => Value::Text(hex::encode(bytes)),
        },
    }
}
