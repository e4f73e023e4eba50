//! Goal: whatever happens between start and end, a statement runs once for each question, and its end is told for what it is.

use std::collections::BTreeSet;
use std::time::Duration;

use sluicegate::aws::Patience;
use sluicegate::failure::FailureKind;
use sluicegate::ports::query_engine::{QueryEngine, Value};

use crate::endpoint::{Endpoint, Look, Script, Start, failed, one, state, succeeded};

const THROTTLED: &str = "TooManyRequestsException";

fn ask(endpoint: &Endpoint) -> Vec<Vec<Value>> {
    endpoint.engine().query("SELECT 1").unwrap().rows
}

fn refusal(endpoint: &Endpoint, sql: &str) -> (FailureKind, String) {
    let failure = endpoint.engine().query(sql).unwrap_err();
    (failure.kind, failure.message)
}

fn one_row() -> Vec<Vec<Value>> {
    vec![vec![Value::Integer(1)]]
}

#[test]
fn a_start_says_where_and_under_which_token() {
    let endpoint = Endpoint::with_pages(vec![one()]);
    let answer = endpoint.engine().query("SELECT count(*) FROM bills;").unwrap();
    assert_eq!(answer.rows, one_row());
    let start = endpoint.calls("StartQueryExecution").remove(0);
    let text = start["QueryString"].as_str().unwrap();
    assert!(text.starts_with("WITH \"bills\" AS (SELECT ") && text.ends_with(" SELECT count(*) FROM bills"));
    assert_eq!(start["WorkGroup"], "finance");
    assert_eq!(start["QueryExecutionContext"]["Database"], "books");
    assert_eq!(start["ResultConfiguration"]["OutputLocation"], "s3://results/here/");
    assert!(start.get("ResultReuseConfiguration").is_none());
    // The API reference: 32 to 128 characters.
    assert_eq!(start["ClientRequestToken"].as_str().unwrap().len(), 64);
}

#[test]
fn the_same_question_is_asked_anew_each_time() {
    let endpoint = Endpoint::with_pages(vec![one()]);
    let mut engine = endpoint.engine();
    engine.query("SELECT 1").unwrap();
    engine.query("SELECT 1").unwrap();
    assert_eq!(endpoint.seen().runs.len(), 2);
}

#[test]
fn a_run_may_go_back_to_the_queue() {
    let looks = ["QUEUED", "RUNNING", "QUEUED", "SOMETHING_NEW"].map(state);
    let looks = looks.into_iter().chain([succeeded()]).collect();
    let endpoint = Endpoint::start(Script { looks, pages: vec![one()], ..Script::default() });
    assert_eq!(ask(&endpoint), one_row());
    assert_eq!(endpoint.calls("GetQueryExecution").len(), 5);
}

#[test]
fn an_end_in_small_letters_is_one() {
    let endpoint = Endpoint::start(Script {
        looks: ["queued", "Running", "succeeded"].map(state).into(),
        pages: vec![one()],
        ..Script::default()
    });
    assert_eq!(ask(&endpoint), one_row());
    let cancelled = Endpoint::start(Script { looks: [state("cancelled")].into(), ..Script::default() });
    assert!(refusal(&cancelled, "SELECT 1").1.contains("was cancelled in Athena"));
}

/// What nobody understands is not asked after for ever, and what runs is not either.
#[test]
fn a_run_that_comes_to_no_end_is_told_of_as_what_was_waited_for() {
    let (short, long) = (Duration::from_millis(1), Duration::from_secs(3_600));
    let not_understood = Patience { longest: long, not_understood: short };
    let endless = Patience { longest: short, not_understood: long };
    let nothing = || Look::State(serde_json::json!({}));
    for (look, patience, words) in [
        (nothing(), not_understood, "it is in no state that Athena tells"),
        (Look::State(serde_json::json!({ "Status": {} })), not_understood, "in no state that Athena tells"),
        (state("SOMETHING_NEW"), not_understood, "it is SOMETHING_NEW"),
        (state("RUNNING"), endless, "it is RUNNING"),
    ] {
        let endpoint = Endpoint::start(Script { looks: [look].into(), ..Script::default() });
        let failure = endpoint.engine().with_patience(patience).query("SELECT 1").unwrap_err();
        assert_eq!(failure.kind, FailureKind::Transient);
        assert!(failure.message.contains(words) && failure.message.contains("run-1"), "{failure}");
        assert_eq!(endpoint.seen().runs.len(), 1);
    }
    // As long as it is queued or runs, it is understood.
    let looks = [state("RUNNING"), state("QUEUED"), state("RUNNING"), succeeded()].into();
    let endpoint = Endpoint::start(Script { looks, pages: vec![one()], ..Script::default() });
    endpoint.engine().with_patience(not_understood).query("SELECT 1").unwrap();
}

#[test]
fn a_start_whose_answer_is_lost_is_no_second_run() {
    let starts = (0..8).map(|_| Start::Lost).collect();
    let script = Script { starts, looks: [succeeded()].into(), pages: vec![one()] };
    let endpoint = Endpoint::start(script);
    assert_eq!(ask(&endpoint), one_row());
    let starts = endpoint.calls("StartQueryExecution");
    let tokens: BTreeSet<&str> = starts.iter().map(|s| s["ClientRequestToken"].as_str().unwrap()).collect();
    assert_eq!((starts.len(), tokens.len(), endpoint.seen().runs.len()), (9, 1, 1));
}

#[test]
fn throttling_passes_and_errors_of_the_service_too() {
    let starts = (0..6).map(|_| Start::Error(400, THROTTLED, "CONCURRENT_QUERY_LIMIT_EXCEEDED"));
    let looks = [(400, "ThrottlingException"), (500, "InternalServerException"), (503, "ServiceUnavailable")];
    let looks = looks.map(|(status, code)| Look::Error(status, code, "later"));
    let looks = looks.into_iter().cycle().take(6).chain([state("RUNNING"), succeeded()]).collect();
    let endpoint = Endpoint::start(Script { starts: starts.collect(), looks, pages: vec![one()] });
    assert_eq!(ask(&endpoint), one_row());
    assert_eq!(endpoint.seen().runs.len(), 1);
}

#[test]
fn throttling_without_end_is_told_in_bounds() {
    let starts = (0..1_000).map(|_| Start::Error(400, THROTTLED, "You have reached your limit")).collect();
    let endpoint = Endpoint::start(Script { starts, ..Script::default() });
    let (kind, message) = refusal(&endpoint, "SELECT 1");
    assert_eq!(kind, FailureKind::Transient);
    assert!(
        message.starts_with("start the query in Athena: TooManyRequestsException (400), You have"),
        "{message}"
    );
}

#[test]
fn a_failure_that_athena_calls_retryable_is_run_again() {
    let looks = [failed("worker lost", Some(true)), state("RUNNING"), succeeded()].into();
    let endpoint = Endpoint::start(Script { looks, pages: vec![one()], ..Script::default() });
    assert_eq!(ask(&endpoint), one_row());
    // Another run needs another token, or it would be the failed one.
    let runs = endpoint.seen().runs;
    assert!(runs.len() == 2 && runs[0].0 != runs[1].0, "{runs:?}");
}

#[test]
fn it_is_not_run_again_for_ever() {
    let looks = [failed("worker lost", Some(true))].into();
    let endpoint = Endpoint::start(Script { looks, ..Script::default() });
    let (kind, message) = refusal(&endpoint, "SELECT 1");
    assert_eq!((kind, endpoint.seen().runs.len()), (FailureKind::Transient, 3));
    assert_eq!(message, "worker lost; Athena failed it 3 times and says that it can be tried again");
}

#[test]
fn a_failure_of_the_statement_is_told_with_the_users_places_and_the_tables() {
    for retryable in [None, Some(false)] {
        let sql = "SELECT colour FROM bills";
        let probe = Endpoint::with_pages(vec![one()]);
        probe.engine().query(sql).unwrap();
        let sent = probe.calls("StartQueryExecution")[0]["QueryString"].as_str().unwrap().to_owned();
        let reason = format!("COLUMN_NOT_FOUND: line 1:{}: no colour", sent.find("colour").unwrap() + 1);
        let looks = [failed(&reason, retryable)].into();
        let endpoint = Endpoint::start(Script { looks, ..Script::default() });
        let (kind, message) = refusal(&endpoint, sql);
        assert_eq!((kind, endpoint.seen().runs.len()), (FailureKind::Permanent, 1));
        assert_eq!(
            message,
            "COLUMN_NOT_FOUND: line 1:8: no colour; the tables are bills, bills_csv, bill_items, bill_items_csv \
             in the Glue database books"
        );
    }
}

#[test]
fn a_cancelled_run_is_told() {
    let cancelled = serde_json::json!({
        "Status": { "State": "CANCELLED", "StateChangeReason": "Bytes scanned limit was exceeded" },
    });
    let looks = [state("RUNNING"), Look::State(cancelled)].into();
    let endpoint = Endpoint::start(Script { looks, ..Script::default() });
    let (kind, message) = refusal(&endpoint, "SELECT 1");
    assert_eq!(kind, FailureKind::Permanent);
    assert!(
        message.contains("run-1 was cancelled") && message.ends_with(": Bytes scanned limit was exceeded")
    );
}

#[test]
fn what_athena_refuses_is_told_with_the_next_step() {
    let output = "No output location provided. An output location is required either through the Workgroup result \
                  configuration setting or as an API input.";
    for (code, words, step) in [
        ("InvalidRequestException", output, "set SLUICEGATE_ATHENA_OUTPUT"),
        ("InvalidRequestException", "WorkGroup finance is not found.", "correct SLUICEGATE_WORKGROUP"),
        ("AccessDeniedException", "User is not authorized", "check what the role's policy"),
        ("InvalidRequestException", "line 1:8: mismatched input", "line 1:8: mismatched"),
    ] {
        let starts = [Start::Error(400, code, words)].into();
        let endpoint = Endpoint::start(Script { starts, ..Script::default() });
        let (kind, message) = refusal(&endpoint, "SELECT 1");
        assert_eq!(kind, FailureKind::Permanent, "{message}");
        assert!(message.contains(words) && message.contains(step), "{message}");
        assert_eq!(endpoint.calls("StartQueryExecution").len(), 1);
    }
}

#[test]
fn what_does_not_read_never_gets_to_athena() {
    let endpoint = Endpoint::with_pages(vec![one()]);
    for sql in ["", "DROP TABLE bills_csv", "SELECT 1; SELECT 2", "WITH x AS (SELECT 1) DELETE FROM x"] {
        assert_eq!(refusal(&endpoint, sql).0, FailureKind::Permanent, "{sql}");
    }
    let long = format!("SELECT '{}'", "x".repeat(262_144));
    assert!(refusal(&endpoint, &long).1.contains("Athena takes 262144"));
    assert!(endpoint.seen().calls.is_empty());
}
