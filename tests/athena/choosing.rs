//! Goal: the configuration says which engine answers, and what the program prints about it is right.

use serde_json::json;

use crate::endpoint::{Endpoint, Script, page, succeeded};
use crate::stopping::project;
use crate::support::Project;

fn totals() -> Endpoint {
    let columns = [("customer_id", "varchar", 0), ("total", "decimal", 2)];
    let rows = [json!(["customer_id", "total"]), json!(["C-1", "5430.00"]), json!([null, null])];
    Endpoint::start(Script {
        looks: [succeeded()].into(),
        pages: vec![page(&columns, &rows)],
        ..Script::default()
    })
}

#[test]
fn a_bucket_with_a_workgroup_or_a_database_is_queried_through_athena() {
    for missing in ["SLUICEGATE_WORKGROUP", "SLUICEGATE_DATABASE"] {
        let endpoint = totals();
        let mut project = project(&endpoint);
        project.set(missing, "");
        project.run(&["query", "SELECT 1"]).exits(0);
        let start = endpoint.calls("StartQueryExecution").remove(0);
        assert_eq!(start.get("WorkGroup").is_none(), missing == "SLUICEGATE_WORKGROUP");
        assert_eq!(start.get("QueryExecutionContext").is_none(), missing == "SLUICEGATE_DATABASE");
    }
}

#[test]
fn a_bucket_with_neither_is_refused_with_what_to_set() {
    let project =
        Project::new().with("SLUICEGATE_CURATED", "s3://curated/csv").with("AWS_REGION", "eu-west-1");
    project
        .run(&["query", "SELECT 1"])
        .exits(2)
        .tells("set SLUICEGATE_WORKGROUP to a workgroup and SLUICEGATE_DATABASE");
    // What the job files bring along can be listed all the same.
    project.run(&["query", "--named"]).exits(0).prints("tax-by-month");
}

#[test]
fn a_folder_is_queried_by_the_embedded_engine_whatever_is_set() {
    let endpoint = totals();
    let mut project = project(&endpoint);
    project.set("SLUICEGATE_CURATED", "var/curated");
    project
        .run(&["query", "SELECT count(*) AS invoices FROM invoices"])
        .exits(0)
        .prints("invoices\n       0\n");
    assert!(endpoint.seen().calls.is_empty());
}

#[test]
fn bytes_time_and_cost_are_told() {
    let endpoint = totals();
    let project = project(&endpoint);
    let words = "Athena read 12.4 MB in 1.8 s, about 0.000065 USD (an estimate: 5 USD a TB, 10 MB at least)";
    project
        .run(&["query", "SELECT 1"])
        .exits(0)
        .tells(words)
        .prints("customer_id    total\nC-1          5430.00\n");
    let answer = project.run(&["query", "SELECT 1", "--output", "json"]).exits(0).tells(words).json();
    assert_eq!(
        answer,
        json!({
            "columns": ["customer_id", "total"],
            "rows": [{ "customer_id": "C-1", "total": "5430.00" }, { "customer_id": null, "total": null }],
            "batches_awaiting_crawl": 0,
            "bytes_scanned": 12_345_678,
            "run_time_ms": 1_840,
            "cost_usd": "0.000065",
        })
    );
}

#[test]
fn a_named_query_is_the_statement_of_its_name() {
    let endpoint = totals();
    let project = project(&endpoint);
    project.run(&["query", "--named", "top-items"]).exits(0);
    project.run(&["query", "--named", "invoices/top-items"]).exits(0);
    for start in endpoint.calls("StartQueryExecution") {
        let sent = start["QueryString"].as_str().unwrap();
        assert!(sent.contains("AS earned") && sent.starts_with("WITH \"invoice_items\" AS ("), "{sent}");
    }
    for unknown in ["bottom-items", "other/top-items"] {
        let ended = project.run(&["query", "--named", unknown]).exits(2);
        ended.tells("invoices/spend-by-customer-and-month, invoices/tax-by-month, invoices/top-items");
    }
    project.run(&["query", "SELECT 1", "--named", "top-items"]).exits(2);
    project.run(&["query"]).exits(2);
    let listed = project.run(&["query", "--named", "--output", "json"]).exits(0).json();
    assert_eq!(listed["queries"].as_array().unwrap().len(), 3);
    assert!(listed["queries"][1]["sql"].as_str().unwrap().starts_with("SELECT substr("));
}

#[test]
fn a_name_that_two_jobs_use_is_said_with_its_job() {
    let project = Project::new();
    let second = std::fs::read_to_string(project.path("jobs/invoices.toml")).unwrap();
    let second = second
        .replace("name = \"invoices\"\n", "name = \"credits\"\n")
        .replace("${SLUICEGATE_LANDING:-var/landing}", "var/credits")
        .replace("table = \"invoices\"", "table = \"credits\"")
        .replace("table = \"invoice_items\"", "table = \"credit_items\"");
    std::fs::write(project.path("jobs/credits.toml"), second).unwrap();
    let told = "several jobs have a query top-items: say credits/top-items or invoices/top-items";
    project.run(&["query", "--named", "top-items"]).exits(2).tells(told);
    project.run(&["query", "--named", "invoices/top-items"]).exits(0).prints("description");
}
