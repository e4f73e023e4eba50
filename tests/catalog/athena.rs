//! A stand-in for Athena that runs one kind of statement, CREATE OR REPLACE VIEW, and keeps the view in the tests' Glue in
//! the form in which Athena keeps one: written anew in its own words.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use regex::Regex;
use serde_json::{Value, json};

use crate::endpoint::GlueEndpoint;
use crate::http;

/// What it does with a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    /// Keeps the view, after going back from running to queued once.
    Keeps,
    /// Says that it succeeded and keeps nothing, like engines that stand in for Athena.
    Forgets,
    /// Fails each statement.
    Fails,
    /// Cancels each statement.
    Cancels,
    /// Runs each statement until it is asked to stop.
    #[allow(dead_code, reason = "the real kills stop a statement, the tests of the catalog do not")]
    Runs,
}

/// The states that a statement goes through.
type States = Vec<&'static str>;

#[derive(Clone)]
pub(crate) struct Athena {
    pub(crate) url: String,
    statements: Arc<Mutex<Vec<Value>>>,
    stops: Arc<AtomicUsize>,
}

impl Athena {
    pub(crate) fn start(glue: GlueEndpoint, mood: Mood) -> Self {
        let statements: Arc<Mutex<Vec<Value>>> = Arc::default();
        let states: Mutex<States> = Mutex::default();
        let stops: Arc<AtomicUsize> = Arc::default();
        let (seen, stopped) = (statements.clone(), stops.clone());
        let url = http::serve(move |operation, body| {
            let input: Value = serde_json::from_slice(body).unwrap();
            let output = match operation.trim_start_matches("AmazonAthena.") {
                "StartQueryExecution" => {
                    seen.lock().unwrap().push(input.clone());
                    let mut order = match mood {
                        Mood::Keeps | Mood::Forgets => vec!["RUNNING", "QUEUED", "SUCCEEDED"],
                        Mood::Fails => vec!["FAILED"],
                        Mood::Cancels => vec!["RUNNING", "CANCELLED"],
                        Mood::Runs => vec!["RUNNING"],
                    };
                    order.reverse();
                    *states.lock().unwrap() = order;
                    if mood == Mood::Keeps {
                        keep(&glue, &input);
                    }
                    json!({ "QueryExecutionId": "11111111-2222-3333-4444-555555555555" })
                }
                "GetQueryExecution" => {
                    let mut states = states.lock().unwrap();
                    let state = if states.len() > 1 { states.pop().unwrap() } else { states[0] };
                    let status = json!({ "State": state, "StateChangeReason": "line 1:8: SYNTAX_ERROR" });
                    json!({ "QueryExecution": { "QueryExecutionId": input["QueryExecutionId"], "Status": status } })
                }
                "StopQueryExecution" => {
                    stopped.fetch_add(1, Ordering::SeqCst);
                    json!({})
                }
                other => panic!("nobody asks Athena for {other}"),
            };
            Some((200, output))
        });
        Self { url, statements, stops }
    }

    /// How often it was asked to stop a statement.
    #[allow(dead_code, reason = "as above")]
    pub(crate) fn stops(&self) -> usize {
        self.stops.load(Ordering::SeqCst)
    }

    /// Every start, as it was asked for.
    pub(crate) fn statements(&self) -> Vec<Value> {
        self.statements.lock().unwrap().clone()
    }
}

fn keep(glue: &GlueEndpoint, input: &Value) {
    let statement = input["QueryString"].as_str().unwrap();
    let parts = Regex::new("(?s)^CREATE OR REPLACE VIEW \"(\\w+)\" AS\n(SELECT\n(.*?)\nFROM .*)$").unwrap();
    let parts = parts.captures(statement).unwrap_or_else(|| panic!("no view: {statement}"));
    let database = &input["QueryExecutionContext"]["Database"];
    let column = Regex::new(r#"(?: AS ([a-z0-9(),]+)\))? AS "(\w+)",?$"#).unwrap();
    let columns = parts[3].lines().map(|line| {
        let found = column.captures(line).unwrap_or_else(|| panic!("no column: {line}"));
        (found[2].to_owned(), found.get(1).map_or("varchar", |kind| kind.as_str()).to_owned())
    });
    let columns: Vec<(String, String)> = columns.collect();
    let hive = |kind: &str| if kind == "varchar" { "string".to_owned() } else { kind.to_owned() };
    let original = json!({
        "originalSql": in_its_own_words(&parts[2]),
        "catalog": "awsdatacatalog",
        "schema": database,
        "columns": columns.iter().map(|(name, kind)| json!({ "name": name, "type": kind })).collect::<Vec<_>>(),
    });
    let text = aws_smithy_types::base64::encode(original.to_string());
    let columns: Vec<_> =
        columns.iter().map(|(name, kind)| json!({ "Name": name, "Type": hive(kind) })).collect();
    let table = json!({
        "Name": &parts[1],
        "TableType": "VIRTUAL_VIEW",
        "Parameters": { "presto_view": "true", "comment": "Presto View" },
        "StorageDescriptor": { "Columns": columns, "Location": "", "SerdeInfo": {} },
        "PartitionKeys": [],
        "ViewOriginalText": format!("/* Presto View: {text} */"),
        "ViewExpandedText": "/* Presto View */",
    });
    let input = json!({ "DatabaseName": database, "TableInput": table });
    if glue.ask("CreateTable", &input) == Err("AlreadyExistsException".to_owned()) {
        glue.ask("UpdateTable", &input).unwrap();
    }
}

/// Trino's formatter quotes a name only where it has to, puts brackets around conditions and tables, and leaves out what
/// may be left out.
fn in_its_own_words(select: &str) -> String {
    let bare = Regex::new("\"([a-z][a-z0-9_]*)\"").unwrap().replace_all(select, "$1");
    let alias =
        Regex::new(r"(\)|\w) AS (\w+)(,?)(\n|$)").unwrap().replace_all(&bare, "$1 $2$3$4").into_owned();
    let condition = Regex::new("(?m)^WHERE (.*)$").unwrap().replace(&alias, "WHERE ($1)").into_owned();
    let table = Regex::new("(?m)^    FROM (\\w+)$").unwrap().replace_all(&condition, "   FROM\n     ($1)");
    table.replace("\nJOIN (", "\nINNER JOIN (").replace("    ", "\n  ")
}
