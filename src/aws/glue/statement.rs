//! Statements that define something, run in Athena. They answer nothing, cost nothing, and can be run again.

use std::time::{Duration, Instant};

use aws_sdk_athena::types::{
    QueryExecutionContext, QueryExecutionState, QueryExecutionStatus, ResultConfiguration,
};

use super::definitions::StatementPlace;
use crate::aws::client::AwsClients;
use crate::aws::failure::failure;
use crate::failure::{Failure, Outcome};

/// A definition takes a second or two; queued behind others it can take longer.
const LONGEST: Duration = Duration::from_secs(120);
const FIRST_LOOK: Duration = Duration::from_millis(100);
const LONGEST_LOOK: Duration = Duration::from_secs(2);

/// Runs the statement and waits for its end. The SDK gives each start a token, so that its own retries start one run.
pub(super) fn run(clients: &AwsClients, place: &StatementPlace, database: &str, text: &str) -> Outcome<()> {
    let output = place.output.as_ref().map(|output| {
        // Names of results are put right behind it.
        ResultConfiguration::builder().output_location(format!("{}/", output.trim_end_matches('/'))).build()
    });
    let request = clients
        .athena()
        .start_query_execution()
        .query_string(text)
        .query_execution_context(QueryExecutionContext::builder().database(database).build())
        .set_result_configuration(output)
        .set_work_group(place.workgroup.clone());
    let doing = "run the statement in Athena (athena:StartQueryExecution)";
    let started = clients.block_on(request.send()).map_err(|error| failure(doing, &error))?;
    let id = started.query_execution_id.unwrap_or_default();
    wait(clients, &id)
}

fn wait(clients: &AwsClients, id: &str) -> Outcome<()> {
    let begin = Instant::now();
    let mut look = FIRST_LOOK;
    loop {
        let request = clients.athena().get_query_execution().query_execution_id(id);
        let doing = format!("ask after the statement {id} (athena:GetQueryExecution)");
        let answer = clients.block_on(request.send()).map_err(|error| failure(&doing, &error))?;
        let status = answer.query_execution.and_then(|execution| execution.status);
        if let Some(end) = status.as_ref().and_then(|status| end(id, status)) {
            return end;
        }
        if begin.elapsed() > LONGEST {
            return Err(Failure::transient(format!(
                "the statement {id} is not at its end yet; look at Athena"
            )));
        }
        clients.block_on(async { tokio::time::sleep(look).await });
        look = (look * 2).min(LONGEST_LOOK);
    }
}

/// None while it goes on; a transient error can move it from running back to queued.
fn end(id: &str, status: &QueryExecutionStatus) -> Option<Outcome<()>> {
    let words = status.state_change_reason().unwrap_or("Athena does not say why");
    match status.state()? {
        QueryExecutionState::Succeeded => Some(Ok(())),
        QueryExecutionState::Failed => {
            let retryable = status.athena_error().is_some_and(|error| error.retryable());
            let message = format!("the statement {id} failed in Athena: {words}");
            Some(Err(if retryable { Failure::transient(message) } else { Failure::permanent(message) }))
        }
        QueryExecutionState::Cancelled => {
            Some(Err(Failure::permanent(format!("the statement {id} was cancelled in Athena: {words}"))))
        }
        _ => None,
    }
}
