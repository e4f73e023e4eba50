//! `query`: SQL over the published CSV objects.

use std::sync::Arc;

use serde_json::{Map, Value as Json};

use crate::config::Config;
use crate::ports::clock::SystemClock;
use crate::ports::query_engine::{Answer, Interrupt, Value};

use super::args::{Flags, Format};
use super::assemble;
use super::assemble::Engine;
use super::bill::Bill;
use super::exit::{Exit, Stop};
use super::named;
use super::output::{Sheet, counted, print, print_json};
use super::session::load_config;
use super::signals::interrupt_on_signal;

/// `sluicegate query SQL` and `sluicegate query --named [NAME]`.
pub(super) fn query(flags: &Flags, sql: Option<&str>, name: Option<&Option<String>>) -> Result<Exit, Stop> {
    let config = load_config(flags)?;
    let sql = match (sql, name) {
        (Some(sql), _) => sql,
        (None, Some(Some(name))) => &named::find(&config, name)?.sql,
        (None, _) => {
            named::list(&config, flags.output)?;
            return Ok(Exit::Fine);
        }
    };
    assemble::refuse_unsupported(&config)?;
    let engine = assemble::engine(&config)?;
    let interrupt = Interrupt::default();
    if engine == Engine::Athena {
        interrupt_on_signal(&interrupt)?;
    }
    let answer = assemble::query_engine(&config, &interrupt)?.query(sql)?;
    // The answer needs the CSV objects alone; what the ledger would add to it is not worth failing for.
    let awaiting = awaiting(&config).unwrap_or_else(|stop| {
        tracing::warn!("cannot tell whether published batches await a crawl: {}", stop.message);
        0
    });
    match flags.output {
        Format::Table => print(&table(&answer))?,
        Format::Json => print_json(&json(&answer, awaiting))?,
    }
    if let Some(scan) = &answer.scan {
        eprintln!("sluicegate: {}", Bill::of(scan));
    }
    if awaiting > 0 {
        eprintln!("sluicegate: {}", awaiting_words(engine, awaiting));
    }
    Ok(Exit::Fine)
}

/// An object is read as soon as it is there; Athena alone needs to be told of a new partition, a date.
fn awaiting_words(engine: Engine, awaiting: u64) -> String {
    let batches = counted(awaiting, "published batch awaits", "published batches await");
    match engine {
        Engine::Embedded => {
            format!("{batches} a crawl; the answer holds them already, Athena's catalog will after it")
        }
        Engine::Athena => {
            format!(
                "{batches} a crawl; the answer holds them, except on a date that the catalog does not know before it"
            )
        }
    }
}

fn awaiting(config: &Config) -> Result<u64, Stop> {
    let mut awaiting = 0;
    if let Some(mut warehouse) = assemble::existing_warehouse(config, Arc::new(SystemClock))? {
        for job in &config.jobs {
            awaiting += warehouse.awaiting_crawl(&job.name)?;
        }
    }
    Ok(awaiting)
}

/// The answer as a table for people.
pub(super) fn table(answer: &Answer) -> String {
    let numeric = |column: usize| {
        let mut values = answer.rows.iter().map(|row| &row[column]).peekable();
        values.peek().is_some()
            && values.all(|v| matches!(v, Value::Integer(_) | Value::Decimal(_) | Value::Null))
    };
    let headers: Vec<String> = answer
        .columns
        .iter()
        .enumerate()
        .map(|(index, name)| if numeric(index) { format!("#{name}") } else { name.clone() })
        .collect();
    let headers: Vec<&str> = headers.iter().map(String::as_str).collect();
    let mut sheet = Sheet::new(&headers);
    for row in &answer.rows {
        sheet.row(row.iter().map(|value| match value {
            Value::Null => String::new(),
            Value::Integer(number) => number.to_string(),
            Value::Decimal(text) | Value::Text(text) => text.clone(),
        }));
    }
    sheet.text()
}

/// Rows as objects; a column name that repeats gets a number.
fn json(answer: &Answer, awaiting: u64) -> Json {
    let mut names: Vec<String> = Vec::new();
    for column in &answer.columns {
        let mut name = column.clone();
        let mut number = 2;
        while names.contains(&name) {
            name = format!("{column}_{number}");
            number += 1;
        }
        names.push(name);
    }
    let row = |values: &Vec<Value>| {
        let pairs = names.iter().cloned().zip(values.iter().map(value));
        Json::Object(pairs.collect::<Map<_, _>>())
    };
    let mut shown = serde_json::json!({
        "columns": names,
        "rows": answer.rows.iter().map(row).collect::<Vec<_>>(),
        "batches_awaiting_crawl": awaiting,
    });
    if let Some(scan) = &answer.scan {
        let bill = Bill::of(scan);
        shown["bytes_scanned"] = Json::from(bill.bytes);
        shown["run_time_ms"] = Json::from(bill.run_time.as_millis() as u64);
        shown["cost_usd"] = Json::from(bill.dollars());
    }
    shown
}

fn value(value: &Value) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Integer(number) => Json::from(*number),
        Value::Decimal(text) | Value::Text(text) => Json::from(text.clone()),
    }
}
