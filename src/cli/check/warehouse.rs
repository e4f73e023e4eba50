//! The warehouse: the server, the ledger, the target tables. Nothing is made or migrated, and the state is bound to no ledger.

use std::sync::Arc;

use crate::check::{Finding, server};
use crate::config::{Config, WarehouseLocation};
use crate::failure::Outcome;
use crate::pipeline::ledger::compare_identity;
use crate::ports::clock::{Clock, SystemClock};
use crate::ports::server::{LedgerFacts, ServerFacts};
use crate::ports::warehouse::{Difference, Warehouse};

use super::super::assemble;
use super::super::exit::Stop;
use super::super::stored::existing_store;

const LEDGER: &str = "ledger";

/// The warehouse, if its ledger is there and of this version, so that opening it changes nothing.
pub(super) fn current_warehouse(config: &Config) -> Result<Option<Box<dyn Warehouse>>, Stop> {
    if matches!(config.settings.warehouse, WarehouseLocation::Postgres(_)) {
        let facts = assemble::server_facts(config)?;
        if !matches!(facts.ledger, LedgerFacts::Current(_)) {
            return Ok(None);
        }
    }
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    assemble::existing_warehouse(config, clock)
}

pub(super) fn warehouse(config: &Config) -> Vec<Finding> {
    match config.settings.warehouse {
        WarehouseLocation::Sqlite(_) => file(config),
        WarehouseLocation::Postgres(_) => match assemble::server_facts(config) {
            Ok(facts) => on_server(config, &facts),
            Err(stop) => vec![Finding::wrong("warehouse", stop.message, "see the message")],
        },
    }
}

fn file(config: &Config) -> Vec<Finding> {
    let mut warehouse = match current_warehouse(config) {
        Ok(Some(warehouse)) => warehouse,
        Ok(None) => return vec![Finding::ok("warehouse", "not made yet; the first drain makes it")],
        Err(stop) => return vec![Finding::wrong("warehouse", stop.message, "see the message")],
    };
    let mut findings = vec![Finding::ok("warehouse", warehouse.location())];
    findings.push(ledger(config, warehouse.as_mut()));
    for job in &config.jobs {
        findings.extend(tables(&job.name, warehouse.compare(job.definition.schema())));
    }
    findings
}

fn on_server(config: &Config, facts: &ServerFacts) -> Vec<Finding> {
    let mut findings = server::server(facts);
    if matches!(facts.ledger, LedgerFacts::Current(_)) {
        match current_warehouse(config) {
            Ok(Some(mut warehouse)) => findings.push(ledger(config, warehouse.as_mut())),
            Ok(None) => {}
            Err(stop) => findings.push(Finding::wrong(LEDGER, stop.message, "see the message")),
        }
    }
    for (job, differences) in config.jobs.iter().zip(&facts.differences) {
        findings.extend(tables(&job.name, Ok(differences.clone())));
    }
    findings
}

fn ledger(config: &Config, warehouse: &mut dyn Warehouse) -> Finding {
    let store = match existing_store(config) {
        Ok(Some(store)) => store,
        Ok(None) => {
            return Finding::ok(LEDGER, "will be the one of the state that the first drain makes");
        }
        Err(stop) => return Finding::wrong(LEDGER, stop.message, "see the message"),
    };
    match compare_identity(&store, warehouse) {
        Ok(_) => Finding::ok(LEDGER, "the one this state belongs to"),
        Err(failure) => Finding::wrong(LEDGER, failure.message, "see the message"),
    }
}

/// The target tables of a job.
fn tables(job: &str, compared: Outcome<Vec<Difference>>) -> Vec<Finding> {
    let what = format!("tables of {job}");
    let differences = match compared {
        Ok(differences) if differences.is_empty() => {
            return vec![Finding::ok(what, "as the job describes them")];
        }
        Ok(differences) => differences,
        Err(failure) => return vec![Finding::wrong(what, failure.message, "see the message")],
    };
    let mut findings = Vec::new();
    let otherwise: Vec<String> = differences.iter().filter_map(Difference::otherwise).collect();
    if !otherwise.is_empty() {
        let todo = "alter them by hand, or give the job new table names";
        findings.push(Finding::wrong(&what, otherwise.join("; "), todo));
    }
    let missing: Vec<&str> = differences
        .iter()
        .filter_map(|difference| match difference {
            Difference::Missing { table } => Some(table.as_str()),
            Difference::Otherwise { .. } => None,
        })
        .collect();
    if !missing.is_empty() {
        let found = format!("not there yet: {}", missing.join(", "));
        findings.push(Finding::note(what, found, "nothing: the first drain makes them"));
    }
    findings
}
