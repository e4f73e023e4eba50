//! An Athena of the tests' own: JSON over HTTP as the API reference has it, with the answers that a test scripts.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use sluicegate::aws::{AthenaOptions, AthenaQueryEngine};
use sluicegate::ports::query_engine::Interrupt;

use crate::emulator::clients;
use crate::fake::{FakeServer, Reply, Request};
use crate::published::schema;

/// What the endpoint does, call by call. Where a script has run out, its last line goes on.
#[derive(Default)]
pub(crate) struct Script {
    /// Answers to StartQueryExecution; none left: a new id.
    pub(crate) starts: VecDeque<Start>,
    /// What GetQueryExecution says, one a call.
    pub(crate) looks: VecDeque<Look>,
    /// The pages of GetQueryResults.
    pub(crate) pages: Vec<Value>,
}

/// How a start is answered.
pub(crate) enum Start {
    /// With this error.
    Error(u16, &'static str, &'static str),
    /// It takes place, and its answer is lost.
    Lost,
}

/// How a question after a run is answered.
#[derive(Clone)]
pub(crate) enum Look {
    /// With these members of QueryExecution beside its id.
    State(Value),
    /// With this error.
    Error(u16, &'static str, &'static str),
}

/// What came.
#[derive(Default, Clone)]
pub(crate) struct Seen {
    /// Operation and body of each request.
    pub(crate) calls: Vec<(String, Value)>,
    /// Tokens with the ids of their runs, in the order of their first start.
    pub(crate) runs: Vec<(String, String)>,
    stopped: bool,
}

pub(crate) struct Endpoint {
    server: FakeServer,
    seen: Arc<Mutex<Seen>>,
}

pub(crate) fn state(state: &str) -> Look {
    Look::State(json!({ "Status": { "State": state } }))
}

pub(crate) fn succeeded() -> Look {
    Look::State(json!({
        "StatementType": "DML",
        "Status": { "State": "SUCCEEDED" },
        "Statistics": { "DataScannedInBytes": 12_345_678, "TotalExecutionTimeInMillis": 1_840 },
    }))
}

pub(crate) fn failed(reason: &str, retryable: Option<bool>) -> Look {
    let mut status = json!({ "State": "FAILED", "StateChangeReason": reason });
    if let Some(retryable) = retryable {
        status["AthenaError"] = json!({ "ErrorCategory": 1, "ErrorType": 1, "Retryable": retryable });
    }
    Look::State(json!({ "Status": status }))
}

/// A page of results: each cell a text, or null for NULL.
pub(crate) fn page(columns: &[(&str, &str, i32)], rows: &[Value]) -> Value {
    let info: Vec<Value> = columns
        .iter()
        .map(|(name, kind, scale)| json!({ "Name": name, "Label": name, "Type": kind, "Scale": scale }))
        .collect();
    let cell = |cell: &Value| if cell.is_null() { json!({}) } else { json!({ "VarCharValue": cell }) };
    let rows: Vec<Value> = rows
        .iter()
        .map(|row| json!({ "Data": row.as_array().unwrap().iter().map(cell).collect::<Vec<_>>() }))
        .collect();
    json!({ "ResultSet": { "Rows": rows, "ResultSetMetadata": { "ColumnInfo": info } } })
}

/// An answer of one row, which counts one.
pub(crate) fn one() -> Value {
    page(&[("_col0", "integer", 0)], &[json!(["_col0"]), json!(["1"])])
}

impl Endpoint {
    pub(crate) fn start(script: Script) -> Self {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let (script, noted) = (Mutex::new(script), seen.clone());
        let server = FakeServer::start(move |request| {
            answer(request, &mut script.lock().unwrap(), &mut noted.lock().unwrap())
        });
        Self { server, seen }
    }

    /// One that is asked after once and answers with these pages.
    pub(crate) fn with_pages(pages: Vec<Value>) -> Self {
        Self::start(Script { looks: [succeeded()].into(), pages, ..Script::default() })
    }

    pub(crate) fn endpoint(&self) -> &str {
        &self.server.endpoint
    }

    pub(crate) fn engine(&self) -> AthenaQueryEngine {
        self.engine_with(Interrupt::default())
    }

    pub(crate) fn engine_with(&self, interrupt: Interrupt) -> AthenaQueryEngine {
        let options = AthenaOptions {
            workgroup: Some("finance".to_owned()),
            database: Some("books".to_owned()),
            output: Some("s3://results/here".to_owned()),
        };
        AthenaQueryEngine::new(clients(&self.server.endpoint), options, vec![schema()], interrupt)
    }

    pub(crate) fn seen(&self) -> Seen {
        self.seen.lock().unwrap().clone()
    }

    /// The bodies of the calls of one operation.
    pub(crate) fn calls(&self, operation: &str) -> Vec<Value> {
        let of = |(name, body): (String, Value)| (name == operation).then_some(body);
        self.seen().calls.into_iter().filter_map(of).collect()
    }
}

fn answer(request: &Request, script: &mut Script, seen: &mut Seen) -> Reply {
    let operation = request.header("X-Amz-Target").trim_start_matches("AmazonAthena.").to_owned();
    let body: Value = serde_json::from_slice(&request.body).unwrap();
    seen.calls.push((operation.clone(), body.clone()));
    match operation.as_str() {
        "StartQueryExecution" => start(&body, script.starts.pop_front(), seen),
        "GetQueryExecution" => look(&body, script, seen),
        "GetQueryResults" => results(&body, &script.pages),
        "StopQueryExecution" => {
            seen.stopped = true;
            json_reply(&json!({}))
        }
        other => panic!("nobody should call {other}"),
    }
}

/// The same token with the same statement is the same run; with another it is an error, as in Athena.
fn start(body: &Value, scripted: Option<Start>, seen: &mut Seen) -> Reply {
    if let Some(Start::Error(status, code, message)) = scripted {
        return error(status, code, message);
    }
    let token = body["ClientRequestToken"].as_str().unwrap().to_owned();
    let known = seen.runs.iter().find(|(of, _)| *of == token).map(|(_, id)| id.clone());
    let id = known.unwrap_or_else(|| {
        let id = format!("run-{}", seen.runs.len() + 1);
        seen.runs.push((token, id.clone()));
        id
    });
    match scripted {
        Some(Start::Lost) => Reply::Nothing,
        _ => json_reply(&json!({ "QueryExecutionId": id })),
    }
}

fn look(body: &Value, script: &mut Script, seen: &Seen) -> Reply {
    let next = if script.looks.len() > 1 { script.looks.pop_front() } else { script.looks.front().cloned() };
    let mut run = match next.expect("a script says what is seen") {
        Look::Error(status, code, message) => return error(status, code, message),
        Look::State(run) => run,
    };
    if seen.stopped {
        run["Status"]["State"] = json!("CANCELLED");
    }
    run["QueryExecutionId"] = body["QueryExecutionId"].clone();
    json_reply(&json!({ "QueryExecution": run }))
}

/// Pages follow each other by the tokens `page 1`, `page 2`, …
fn results(body: &Value, pages: &[Value]) -> Reply {
    let number = body["NextToken"].as_str().map_or(0, |token| token[5..].parse::<usize>().unwrap());
    let mut page = pages[number].clone();
    if number + 1 < pages.len() {
        page["NextToken"] = json!(format!("page {}", number + 1));
    }
    json_reply(&page)
}

fn json_reply(body: &Value) -> Reply {
    let kind = ("Content-Type".to_owned(), "application/x-amz-json-1.1".to_owned());
    Reply::Full(200, vec![kind], body.to_string().into_bytes())
}

fn error(status: u16, code: &str, message: &str) -> Reply {
    let kind = ("Content-Type".to_owned(), "application/x-amz-json-1.1".to_owned());
    let body = json!({ "__type": code, "Message": message });
    Reply::Full(status, vec![kind], body.to_string().into_bytes())
}
