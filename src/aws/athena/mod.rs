//! Athena as a query engine. The facts about its answers are those of its API reference (StartQueryExecution,
//! GetQueryExecution, GetQueryResults, AthenaError, ColumnInfo).
//!
//! A statement is started under a token, asked after with growing pauses until it has ended, and read page by page. Results
//! are never reused: an old answer would be a wrong one.

mod calls;
mod execution;
mod results;
mod value;

use std::time::Duration;

use sha2::{Digest, Sha256};

use self::execution::{Ended, Execution};
use super::client::AwsClients;
use super::pause::jittered;
use crate::failure::{Failure, Outcome};
use crate::ports::query_engine::{Answer, Interrupt, QueryEngine};
use crate::query_text::{NotReading, Statement, raw_name, with_views};
use crate::schema::Schema;

/// The longest statement that Athena takes, in bytes (its service quotas).
const LONGEST_STATEMENT: usize = 262_144;
/// How often a statement is run where Athena fails it and says that it can be tried again.
const RUNS: u32 = 3;
/// A definition takes a second or two; queued behind others it can take longer.
const LONGEST_DEFINITION: Duration = Duration::from_secs(120);
/// Athena's longest time limit of a statement that asks is four hours (its service quotas); it may wait for its turn before.
const LONGEST_RUN: Duration = Duration::from_secs(6 * 3_600);
/// How long a run is asked after whose answers say nothing that is understood.
const NOT_UNDERSTOOD: Duration = Duration::from_secs(600);
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Where statements run.
#[derive(Debug, Clone, Default)]
pub struct AthenaOptions {
    /// The workgroup; none: Athena's own default, `primary`.
    pub workgroup: Option<String>,
    /// The Glue database of the tables; none: Athena's own default, `default`.
    pub database: Option<String>,
    /// `s3://bucket/prefix` for the results; none: what the workgroup says.
    pub output: Option<String>,
}

/// How long the end of a run is waited for.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// At the most.
    pub longest: Duration,
    /// While Athena says nothing that is understood: no state, or one that is not known here.
    pub not_understood: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { longest: LONGEST_RUN, not_understood: NOT_UNDERSTOOD }
    }
}

/// Runs SQL in Athena, with the typed views of the jobs in front of each statement that mentions them.
pub struct AthenaQueryEngine {
    clients: AwsClients,
    options: AthenaOptions,
    schemas: Vec<Schema>,
    interrupt: Interrupt,
    patience: Patience,
}

impl AthenaQueryEngine {
    /// An engine over the Glue tables of these jobs. When `interrupt` is raised, the statement that runs is stopped.
    pub fn new(
        clients: AwsClients,
        options: AthenaOptions,
        schemas: Vec<Schema>,
        interrupt: Interrupt,
    ) -> Self {
        Self { clients, options, schemas, interrupt, patience: Patience::default() }
    }

    /// The same, which waits otherwise.
    pub fn with_patience(self, patience: Patience) -> Self {
        Self { patience, ..self }
    }

    /// Runs a statement that defines something. It answers nothing, costs nothing, and can be run again.
    pub(super) fn define(&self, text: &str) -> Outcome<()> {
        let statement = Statement::as_it_is(text);
        let execution = Execution::start(self, &statement, &self.token(&statement, &nonce()?, 0))?;
        let Ended::Failed(failed) = execution.wait(LONGEST_DEFINITION)? else { return Ok(()) };
        let message = format!("the statement {} failed in Athena: {}", execution.id, failed.reason);
        Err(if failed.retryable { Failure::transient(message) } else { Failure::permanent(message) })
    }

    fn statement(&self, sql: &str) -> Outcome<Statement> {
        let statement =
            with_views(&self.schemas, sql).map_err(|NotReading(problem)| Failure::permanent(problem))?;
        let bytes = statement.text.len();
        if bytes > LONGEST_STATEMENT {
            return Err(Failure::permanent(format!(
                "the statement has {bytes} bytes with the views that it needs, and Athena takes {LONGEST_STATEMENT}"
            )));
        }
        Ok(statement)
    }

    /// The token of one run. Athena gives the same query for the same token and statement, so that a start whose answer
    /// was lost is not a second query; but a token made of the statement alone would give yesterday's answer, and so the
    /// nonce is new for each question and the same for all tries of one start.
    fn token(&self, statement: &Statement, nonce: &str, run: u32) -> String {
        let mut hash = Sha256::new();
        let AthenaOptions { workgroup, database, output } = &self.options;
        let place = [workgroup, database, output].map(|part| part.as_deref().unwrap_or_default());
        for part in [&statement.text, nonce, &run.to_string()].into_iter().chain(place) {
            hash.update(part.len().to_be_bytes());
            hash.update(part);
        }
        hex::encode(hash.finalize())
    }

    /// Athena's words about a statement, with the user's places, and what tables there are.
    fn told(&self, statement: &Statement, words: &str) -> String {
        let tables = self.schemas.iter().flat_map(|schema| &schema.tables);
        let tables: Vec<String> =
            tables.map(|table| format!("{}, {}", table.name, raw_name(&table.name))).collect();
        let database = match &self.options.database {
            Some(database) => format!("in the Glue database {database}"),
            None => "in Athena's default database; set SLUICEGATE_DATABASE if they are in another".to_owned(),
        };
        let words = statement.in_users_places(words);
        format!("{words}; the tables are {} {database}", tables.join(", "))
    }

    fn stopped() -> Failure {
        Failure::permanent("stopped before the answer was there")
    }
}

impl QueryEngine for AthenaQueryEngine {
    fn query(&mut self, sql: &str) -> Outcome<Answer> {
        let statement = self.statement(sql)?;
        let nonce = nonce()?;
        let mut run = 0;
        loop {
            let execution = Execution::start(self, &statement, &self.token(&statement, &nonce, run))?;
            let failed = match execution.wait(self.patience.longest)? {
                Ended::Succeeded(finished) => return execution.answer(&finished),
                Ended::Failed(failed) => failed,
            };
            run += 1;
            if !failed.retryable {
                return Err(Failure::permanent(self.told(&statement, &failed.reason)));
            }
            if run == RUNS {
                let reason = statement.in_users_places(&failed.reason);
                return Err(Failure::transient(format!(
                    "{reason}; Athena failed it {RUNS} times and says that it can be tried again"
                )));
            }
            tracing::warn!("Athena failed the query and says that it can be tried again: {}", failed.reason);
            if self.interrupt.wait(jittered(FIRST_PAUSE, LONGEST_PAUSE, run)) {
                return Err(Self::stopped());
            }
        }
    }
}

fn nonce() -> Outcome<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)
        .map_err(|error| Failure::transient(format!("the system gives no random bytes: {error}")))?;
    Ok(hex::encode(bytes))
}
