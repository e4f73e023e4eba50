//! One run of a statement, from its start to its end.

use std::time::{Duration, Instant};

use aws_sdk_athena::types::{
    QueryExecution, QueryExecutionContext, QueryExecutionStatus, ResultConfiguration,
};

use super::AthenaQueryEngine;
use crate::effects;
use crate::failure::{Failure, Outcome};
use crate::ports::query_engine::Scan;
use crate::query_text::Statement;

/// Between two questions after a run: short ones end soon, long ones are not asked after all the time.
const FIRST_LOOK: Duration = Duration::from_millis(200);
const LONGEST_LOOK: Duration = Duration::from_secs(5);

/// A run that Athena has accepted.
pub(super) struct Execution<'a> {
    pub(super) engine: &'a AthenaQueryEngine,
    pub(super) id: String,
}

/// How a run ended.
pub(super) enum Ended {
    Succeeded(Finished),
    Failed(Failed),
}

/// What is known of a run that succeeded.
pub(super) struct Finished {
    pub(super) scan: Scan,
    /// Only such an answer begins with a row of the column names.
    pub(super) may_have_header: bool,
}

/// Why a run failed.
pub(super) struct Failed {
    /// Athena's words.
    pub(super) reason: String,
    /// Athena says that the same statement can work.
    pub(super) retryable: bool,
}

impl<'a> Execution<'a> {
    /// Starts the statement, or finds the run that an earlier try with the same token has started.
    pub(super) fn start(engine: &'a AthenaQueryEngine, statement: &Statement, token: &str) -> Outcome<Self> {
        let options = &engine.options;
        let context = options
            .database
            .as_ref()
            .map(|database| QueryExecutionContext::builder().database(database).build());
        let output = options
            .output
            .as_ref()
            // A folder, and said as one: what stands in for Athena may put the name of the result right behind it.
            .map(|output| format!("{}/", output.trim_end_matches('/')))
            .map(|output| ResultConfiguration::builder().output_location(output).build());
        let request = engine
            .clients
            .athena()
            .start_query_execution()
            .query_string(&statement.text)
            .client_request_token(token)
            .set_query_execution_context(context)
            .set_result_configuration(output)
            .set_work_group(options.workgroup.clone());
        let started = engine.call("start the query in Athena", true, || request.clone().send());
        let started = started.map_err(|mut failure| {
            failure.message = statement.in_users_places(&failure.message);
            failure
        })?;
        let id = started.query_execution_id.filter(|id| !id.is_empty());
        let id = id.ok_or_else(|| Failure::permanent("Athena started a query and did not say which"))?;
        tracing::info!("Athena runs the query as {id}");
        Ok(Self { engine, id })
    }

    /// Waits for the end. A run may go back from running to queued, which is no end; nor is a state that is not known here.
    /// After `longest` it is left to itself, and sooner where all that time nothing was said that is understood.
    pub(super) fn wait(&self, longest: Duration) -> Outcome<Ended> {
        let begin = Instant::now();
        let mut understood = begin;
        let mut look = FIRST_LOOK;
        loop {
            if self.engine.interrupt.is_raised() {
                return Err(self.stop());
            }
            let run = match self.look() {
                Ok(run) => run,
                Err(_) if self.engine.interrupt.is_raised() => return Err(self.stop()),
                Err(failure) => return Err(failure),
            };
            if let Some(ended) = self.ended(&run)? {
                return Ok(ended);
            }
            let state = state_of(&run);
            let is_understood = matches!(state.as_str(), "QUEUED" | "RUNNING");
            if is_understood {
                understood = Instant::now();
            }
            let says_nothing = !is_understood && understood.elapsed() > self.engine.patience.not_understood;
            if says_nothing || begin.elapsed() > longest {
                return Err(self.waited(&state, begin.elapsed()));
            }
            self.engine.interrupt.wait(look);
            look = (look * 3 / 2).min(LONGEST_LOOK);
        }
    }

    fn look(&self) -> Outcome<QueryExecution> {
        let request = self.engine.clients.athena().get_query_execution().query_execution_id(&self.id);
        let doing = format!("ask Athena after the query {}", self.id);
        let answer = self.engine.call(&doing, false, || request.clone().send())?;
        answer.query_execution.ok_or_else(|| Failure::permanent(format!("{doing}: it said nothing about it")))
    }

    /// What was waited for, when it is waited for no longer.
    fn waited(&self, state: &str, time: Duration) -> Failure {
        let state = if state.is_empty() { "in no state that Athena tells" } else { state };
        Failure::transient(format!(
            "the statement {id} is not at its end after {} seconds, it is {state}; look at Athena: \
             aws athena get-query-execution --query-execution-id {id}",
            time.as_secs(),
            id = self.id,
        ))
    }

    fn ended(&self, run: &QueryExecution) -> Outcome<Option<Ended>> {
        let Some(status) = run.status() else { return Ok(None) };
        match state_of(run).as_str() {
            "SUCCEEDED" => Ok(Some(Ended::Succeeded(finished(run)))),
            "FAILED" => Ok(Some(Ended::Failed(failed(status)))),
            "CANCELLED" => {
                let reason = status.state_change_reason().filter(|reason| !reason.is_empty());
                let reason = reason.map_or_else(String::new, |reason| format!(": {reason}"));
                Err(Failure::permanent(format!(
                    "the query {} was cancelled in Athena, by somebody else or by its workgroup's limit of bytes{reason}",
                    self.id
                )))
            }
            _ => Ok(None),
        }
    }

    /// Asks Athena to stop the run, and says how that went.
    fn stop(&self) -> Failure {
        let clients = &self.engine.clients;
        let request = clients.athena().stop_query_execution().query_execution_id(&self.id);
        let stop = || self.engine.call("stop it", true, || request.clone().send());
        match clients.seam().perform(effects::QUERY_STOP, stop) {
            Ok(_) => {
                Failure::permanent(format!("stopped, and Athena was told to stop the query {}", self.id))
            }
            Err(failure) => Failure::permanent(format!(
                "stopped, but Athena may go on with the query ({failure}): \
                 aws athena stop-query-execution --query-execution-id {}",
                self.id
            )),
        }
    }
}

/// The word for where a run is, in the letters of the API reference; some that stand in for Athena write small ones.
fn state_of(run: &QueryExecution) -> String {
    let state = run.status().and_then(QueryExecutionStatus::state);
    state.map(|state| state.as_str().to_ascii_uppercase()).unwrap_or_default()
}

fn finished(run: &QueryExecution) -> Finished {
    let statistics = run.statistics();
    let positive = |number: Option<i64>| number.and_then(|number| u64::try_from(number).ok());
    let bytes = positive(statistics.and_then(|statistics| statistics.data_scanned_in_bytes()));
    let time = positive(statistics.and_then(|statistics| {
        statistics.total_execution_time_in_millis().or(statistics.engine_execution_time_in_millis())
    }));
    Finished {
        scan: Scan {
            bytes: bytes.unwrap_or_default(),
            run_time: Duration::from_millis(time.unwrap_or_default()),
        },
        may_have_header: run.statement_type().is_none_or(|kind| kind.as_str().eq_ignore_ascii_case("DML")),
    }
}

fn failed(status: &QueryExecutionStatus) -> Failed {
    let error = status.athena_error();
    let words = [status.state_change_reason(), error.and_then(|error| error.error_message())];
    let reason = words.into_iter().flatten().find(|words| !words.is_empty());
    Failed {
        reason: reason.unwrap_or("Athena failed the query without a word").to_owned(),
        retryable: error.is_some_and(|error| error.retryable()),
    }
}
