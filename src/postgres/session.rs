//! A connection with the settings that the design asks for.
//!
//! **The no-progress limit.** There is no time limit on a load: it may take as long as it takes. There is one on every
//! statement, and every statement does a bounded piece of work: COPY goes in pieces of a few MiB, each a statement of its
//! own. The few statements over all rows of a batch get a limit that grows with the rows ([`work_over`]). So a server
//! that answers and gets nothing done is left (SQLSTATE 57014, transient). A machine that does not answer at all is noticed
//! by keepalives and TCP_USER_TIMEOUT, and a server that says nothing, though its machine does, by [`super::line`].

use std::time::Duration;

use crate::failure::{Failure, Outcome};

use super::address::Address;
use super::client::Client;
use super::count;
use super::error::failure;

/// How long a statement may take that does a bounded piece of work.
const NO_PROGRESS_SECONDS: u64 = 300;

/// Schema-qualified names everywhere, and still nothing but the system's own functions can be found without one.
const SETTINGS: &str = "
    SET search_path = pg_catalog, pg_temp;
    SET synchronous_commit = on;
    SET default_transaction_isolation = 'read committed';
    SET default_transaction_deferrable = off;
    SET DateStyle = 'ISO, YMD';
    SET TimeZone = 'UTC';
    SET client_encoding = 'UTF8';
    SET client_min_messages = warning;
    SET standard_conforming_strings = on";

/// Limits that the address may set otherwise (`options=-c lock_timeout=5s`); a server without limits gets these.
const LIMITS: &str = "
    SELECT set_config(name, value, false)
    FROM (VALUES ('lock_timeout', '30s'), ('statement_timeout', '300s'),
                 ('idle_in_transaction_session_timeout', '15min')) AS wanted (name, value)
    WHERE current_setting(name) = '0'";

/// What holds now, in milliseconds.
const LIMIT: &str = "SELECT setting::bigint FROM pg_settings WHERE name = 'statement_timeout'";

/// What not every server knows: it then notices a dead client later, by its own settings.
const COURTESIES: [&str; 4] = [
    "SET client_connection_check_interval = '10s'",
    "SET tcp_keepalives_idle = 30",
    "SET tcp_keepalives_interval = 10",
    "SET tcp_keepalives_count = 3",
];

/// An open connection.
pub(super) struct Session {
    pub(super) client: Client,
    /// The schema of the target tables: the first of the user's search path.
    pub(super) schema: String,
}

/// Connects; the name is resolved anew each time. The first questions belong to connecting, which has one limit
/// ([`Address::connect_limit`]).
pub(super) fn connect(address: &Address, incarnation: &str) -> Outcome<Session> {
    let mut client = Client::connect(address, &format!("sluicegate {incarnation}"))?;
    let schema = target_schema(&mut client)?;
    client.batch_execute(SETTINGS).map_err(failure)?;
    client.batch_execute(LIMITS).map_err(failure)?;
    for courtesy in COURTESIES {
        match client.batch_execute(courtesy) {
            Err(error) if error.as_db_error().is_none() => return Err(failure(error)),
            _ => {}
        }
    }
    let limit = client.query_one(LIMIT, &[]).map_err(failure)?;
    client.connected(Duration::from_millis(count(limit.get(0))));
    Ok(Session { client, schema })
}

/// Looks before the search path is narrowed.
fn target_schema(client: &mut Client) -> Outcome<String> {
    let row = client
        .query_one("SELECT current_schema()::text, current_setting('server_encoding')", &[])
        .map_err(failure)?;
    let encoding: String = row.get(1);
    if encoding != "UTF8" {
        return Err(Failure::permanent(format!(
            "the database's encoding is {encoding}, which does not hold every text: create it with ENCODING 'UTF8'"
        )));
    }
    row.get::<_, Option<String>>(0).ok_or_else(|| {
        Failure::permanent(
            "no schema of the user's search_path exists, so the target tables have no place: create it, or set the \
             role's search_path",
        )
    })
}

/// How long a statement over `rows` rows of a batch may take: 10 ms a row on top, over fifty times what it takes.
pub(super) fn work_over(rows: u64) -> Duration {
    Duration::from_secs(NO_PROGRESS_SECONDS + rows / 100)
}
