//! A look at the server for `check`: version, TLS, rights, clock, ledger and target tables. Nothing is made or migrated, and
//! nothing is waited for longer than a few seconds.

use std::time::Duration;

use chrono::Utc;

use crate::config::Secret;
use crate::failure::{FailureKind, Outcome};
use crate::ports::server::{LedgerFacts, ServerFacts};
use crate::ports::warehouse::LedgerIdentity;
use crate::schema::Schema;

use super::address::Address;
use super::client::Transaction;
use super::error::{Error, failure};
use super::ledger::time_text;
use super::session::{Session, connect};
use super::sql::quoted;
use super::{migrate, parse_time, target};

/// How long the server may take to accept a connection.
const PATIENCE: Duration = Duration::from_secs(5);
/// No statement of a look takes longer, nor waits for anybody.
const LIMITS: &str =
    "SET lock_timeout = '2s'; SET statement_timeout = '5s'; SET default_transaction_read_only = on";

/// Tables of the ledger whose rows are changed after they were made.
const CHANGED: [&str; 6] = ["batch", "crawl", "crawl_attempt", "document", "listing", "machine"];
/// Tables of the ledger whose rows are taken away.
const CLEARED: [&str; 1] = ["machine"];

/// A job's tables, and whether its records may replace each other.
pub struct Wanted<'a> {
    /// Its tables.
    pub schema: &'a Schema,
    /// `on_conflict = "replace"`.
    pub replaces: bool,
}

/// Looks.
///
/// # Errors
/// Those of a connection: transient where the server cannot be reached now, permanent where address, credentials or
/// certificate are wrong.
pub fn inspect(url: &Secret, jobs: &[Wanted<'_>]) -> Outcome<ServerFacts> {
    let address = Address::read(url, &|name| std::env::var(name).ok())?.impatient(PATIENCE);
    let location = address.location();
    let what = || format!("cannot look at the warehouse {location}");
    let mut session = connect(&address, "check").map_err(|f| f.while_doing(what()))?;
    look(&mut session, &address, jobs).map_err(|f| f.while_doing(what()))
}

fn look(session: &mut Session, address: &Address, jobs: &[Wanted<'_>]) -> Outcome<ServerFacts> {
    let Session { client, schema: place } = session;
    // What the server may take for them is within what an answer may take anyway.
    client.connected(Duration::ZERO);
    client.batch_execute(LIMITS).map_err(failure)?;
    let mut transaction = client.transaction().map_err(failure)?;
    let (ledger, is_newer) = ledger(&mut transaction)?;
    let sql = format!(
        "SELECT current_setting('server_version'), current_setting('server_version_num')::int,
                (SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid() AND ssl),
                current_user::text, current_database()::text, current_setting('fsync') = 'on',
                current_setting('max_connections')::bigint - current_setting('superuser_reserved_connections')::bigint,
                (SELECT count(*) FROM pg_stat_activity WHERE datname IS NOT NULL), {}",
        time_text("clock_timestamp()")
    );
    let asked_at = Utc::now();
    let row = transaction.query_one(&sql, &[]).map_err(failure)?;
    let mut facts = ServerFacts {
        location: address.location(),
        is_local: address.is_local(),
        version: row.get(0),
        version_number: row.get(1),
        tls: row.get(2),
        is_verified: address.is_verified(),
        user: row.get(3),
        database: row.get(4),
        schema: place.clone(),
        fsync: row.get(5),
        most_sessions: row.get(6),
        sessions: row.get(7),
        now: parse_time(row.get(8))?,
        asked_at,
        ledger,
        missing_rights: Vec::new(),
        differences: Vec::new(),
    };
    for job in jobs {
        facts.differences.push(target::compare(&mut transaction, place, job.schema)?);
    }
    if !is_newer {
        facts.missing_rights = missing_rights(&mut transaction, &facts, jobs).map_err(failure)?;
    }
    transaction.commit().map_err(failure)?;
    Ok(facts)
}

/// The ledger, and whether a newer program made it.
fn ledger(transaction: &mut Transaction<'_>) -> Outcome<(LedgerFacts, bool)> {
    // A role without any right on the schema cannot even be told what is in it.
    let hidden = "SELECT EXISTS (SELECT 1 FROM pg_namespace
                                WHERE nspname = 'sluicegate' AND NOT has_schema_privilege(oid, 'USAGE'))";
    if transaction.query_one(hidden, &[]).map_err(failure)?.get(0) {
        return Ok((LedgerFacts::Forbidden, false));
    }
    let readable = "SELECT coalesce(bool_and(has_table_privilege(c.oid, 'SELECT')), true)
                    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                    WHERE n.nspname = 'sluicegate' AND c.relname IN ('schema_version', 'ledger', 'batch')";
    if !transaction.query_one(readable, &[]).map_err(failure)?.get::<_, bool>(0) {
        return Ok((LedgerFacts::Forbidden, false));
    }
    match migrate::is_current(transaction) {
        Err(error) if error.kind == FailureKind::WrongLedger => Ok((LedgerFacts::Newer, true)),
        Err(error) => Err(error),
        Ok(true) => Ok((identity(transaction)?.map_or(LedgerFacts::Missing, LedgerFacts::Current), false)),
        Ok(false) => {
            let is_there = migrate::version(transaction)?.is_some();
            Ok((if is_there { LedgerFacts::Older } else { LedgerFacts::Missing }, false))
        }
    }
}

fn identity(transaction: &mut Transaction<'_>) -> Outcome<Option<LedgerIdentity>> {
    let sql = "SELECT l.id, (SELECT batch_id::text FROM sluicegate.batch ORDER BY load_number DESC LIMIT 1)
               FROM sluicegate.ledger l";
    let row = transaction.query_opt(sql, &[]).map_err(failure)?;
    Ok(row.map(|row| LedgerIdentity { id: row.get(0), newest_batch: row.get(1) }))
}

/// What the user lacks, as the statements that grant it.
fn missing_rights(
    transaction: &mut Transaction<'_>,
    facts: &ServerFacts,
    jobs: &[Wanted<'_>],
) -> Result<Vec<String>, Error> {
    let (user, database, place) = (quoted(&facts.user), quoted(&facts.database), quoted(&facts.schema));
    let mut missing = Vec::new();
    let mut need = |holds: bool, statement: String| {
        if !holds {
            missing.push(statement);
        }
    };
    let row = transaction.query_one(
        "SELECT has_database_privilege(current_database(), 'TEMP'),
                has_database_privilege(current_database(), 'CREATE'),
                has_schema_privilege($1, 'CREATE'), has_schema_privilege($1, 'USAGE'),
                coalesce((SELECT has_schema_privilege(oid, 'USAGE') FROM pg_namespace WHERE nspname = 'sluicegate'), true)",
        &[&facts.schema],
    )?;
    need(row.get(0), format!("GRANT TEMPORARY ON DATABASE {database} TO {user}"));
    if facts.ledger == LedgerFacts::Missing {
        need(row.get(1), format!("GRANT CREATE ON DATABASE {database} TO {user}"));
    }
    need(row.get(3), format!("GRANT USAGE ON SCHEMA {place} TO {user}"));
    let is_missing = |difference: &crate::ports::warehouse::Difference| difference.otherwise().is_none();
    if facts.differences.iter().flatten().any(is_missing) {
        need(row.get(2), format!("GRANT CREATE ON SCHEMA {place} TO {user}"));
    }
    need(row.get(4), format!("GRANT USAGE ON SCHEMA sluicegate TO {user}"));
    for (table, rights) in ledger_rights(transaction)?.into_iter().chain(target_rights(facts, jobs)) {
        let lacking = lacking(transaction, &table, &rights)?;
        if !lacking.is_empty() {
            let (space, name) = (quoted(&table.0), quoted(&table.1));
            missing.push(format!("GRANT {} ON {space}.{name} TO {user}", lacking.join(", ")));
        }
    }
    Ok(missing)
}

/// Schema and name.
type TableName = (String, String);

fn ledger_rights(transaction: &mut Transaction<'_>) -> Result<Vec<(TableName, Vec<&'static str>)>, Error> {
    let sql = "SELECT c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
               WHERE n.nspname = 'sluicegate' AND c.relkind IN ('r', 'p') ORDER BY 1";
    let rights = |name: String| {
        let mut rights = vec!["SELECT"];
        if !matches!(name.as_str(), "schema_version" | "ledger") {
            rights.push("INSERT");
        }
        if CHANGED.contains(&name.as_str()) {
            rights.push("UPDATE");
        }
        if CLEARED.contains(&name.as_str()) {
            rights.push("DELETE");
        }
        (("sluicegate".to_owned(), name), rights)
    };
    Ok(transaction.query(sql, &[])?.iter().map(|row| rights(row.get(0))).collect())
}

fn target_rights(facts: &ServerFacts, jobs: &[Wanted<'_>]) -> Vec<(TableName, Vec<&'static str>)> {
    let of_job = |job: &Wanted<'_>| {
        let rights = if job.replaces {
            vec!["SELECT", "INSERT", "UPDATE", "DELETE"]
        } else {
            vec!["SELECT", "INSERT"]
        };
        let tables = job.schema.tables.iter();
        tables.map(|table| ((facts.schema.clone(), table.name.clone()), rights.clone())).collect::<Vec<_>>()
    };
    jobs.iter().flat_map(of_job).collect()
}

/// Those of `rights` that the user does not have on a table; none where there is no such table.
fn lacking(
    transaction: &mut Transaction<'_>,
    (space, name): &TableName,
    rights: &[&'static str],
) -> Result<Vec<String>, Error> {
    let rights: Vec<String> = rights.iter().map(|right| (*right).to_owned()).collect();
    let sql = "SELECT wanted.name FROM unnest($3::text[]) WITH ORDINALITY AS wanted (name, place),
                      pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
               WHERE n.nspname = $1 AND c.relname = $2 AND NOT has_table_privilege(c.oid, wanted.name)
               ORDER BY wanted.place";
    let rows = transaction.query(sql, &[space, name, &rights])?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}
