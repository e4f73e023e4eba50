//! Goal: Ctrl-C, or a service manager, stops what Athena runs for us, because it costs money.

use sluicegate::ports::query_engine::{Interrupt, QueryEngine};

use crate::emulator::{REGION, SECRET};
use crate::endpoint::{Endpoint, Script, Start, one, state, succeeded};
use crate::support::{Project, until};

fn running() -> Endpoint {
    Endpoint::start(Script { looks: [state("RUNNING")].into(), ..Script::default() })
}

fn stopped_runs(endpoint: &Endpoint) -> Vec<String> {
    let stops = endpoint.calls("StopQueryExecution");
    stops.iter().map(|stop| stop["QueryExecutionId"].as_str().unwrap().to_owned()).collect()
}

/// The built program between the endpoint and nothing else.
pub(crate) fn project(endpoint: &Endpoint) -> Project {
    Project::new()
        .with("SLUICEGATE_CURATED", "s3://curated/csv")
        .with("SLUICEGATE_WORKGROUP", "finance")
        .with("SLUICEGATE_DATABASE", "books")
        .with("AWS_ENDPOINT_URL", endpoint.endpoint())
        .with("AWS_REGION", REGION)
        .with("AWS_ACCESS_KEY_ID", "testkey")
        .with("AWS_SECRET_ACCESS_KEY", SECRET)
}

#[test]
fn a_signal_stops_the_query() {
    for signal in ["INT", "TERM"] {
        let endpoint = running();
        let project = project(&endpoint);
        let query = project.start(&["query", "SELECT 1"]);
        until("the query runs", || (!endpoint.calls("GetQueryExecution").is_empty()).then_some(()));
        query.signal(signal);
        let ended = query.wait().0.exits(1);
        ended.tells("stopped, and Athena was told to stop the query run-1");
        assert_eq!(stopped_runs(&endpoint), ["run-1"]);
    }
}

#[test]
fn a_run_whose_start_was_answered_late_is_stopped_too() {
    // The wish to stop comes before it is known which run it is.
    let starts = [Start::Error(400, "TooManyRequestsException", "later"), Start::Lost].into();
    let endpoint = Endpoint::start(Script { starts, looks: [state("RUNNING")].into(), ..Script::default() });
    let interrupt = Interrupt::default();
    interrupt.raise();
    let failure = endpoint.engine_with(interrupt).query("SELECT 1").unwrap_err();
    assert!(failure.message.starts_with("stopped, and Athena was told"), "{failure}");
    assert_eq!(stopped_runs(&endpoint), ["run-1"]);
}

#[test]
fn what_has_ended_is_not_stopped() {
    let endpoint =
        Endpoint::start(Script { looks: [succeeded()].into(), pages: vec![one()], ..Script::default() });
    let query = project(&endpoint);
    query.run(&["query", "SELECT 1"]).exits(0);
    assert!(stopped_runs(&endpoint).is_empty());
}
