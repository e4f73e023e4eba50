//! Goal: SQL over the tables that were made gives back what was written, whatever is in a text.
//!
//! Against a stand-in for AWS that runs SQL over CSV objects by the definition of their table. Its reader takes quotes and
//! separators from the table and knows no escape character: so a text with a backslash shows that nobody eats it, and not
//! that it is U+0001 that keeps Athena from eating it.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use std::sync::Arc;

use aws_sdk_athena::types::{QueryExecutionContext, QueryExecutionState, ResultConfiguration};
use serde_json::json;
use sluicegate::aws::S3Store;
use sluicegate::catalog::{Place, wanted};
use sluicegate::job::Job;
use sluicegate::ports::clock::SystemClock;

use crate::athena::{Athena, Mood};
use crate::emulator::{Emulator, Kind, REGION, SECRET, emulator, fresh_name};
use crate::endpoint::GlueEndpoint;
use crate::world::{Ended, program};

/// Texts that readers of CSV stumble over.
const TEXTS: [&str; 8] = [
    "plain",
    "a, b, and c",
    "\"quoted\" and \"\"twice\"\"",
    "C:\\books\\new\\ and a last one \\",
    "a quote \" a comma , and a backslash \\",
    "Größe, 東京, Ελλάδα, e\u{301}, 🧾",
    "'single' -- /* comment */ ; NULL \\N",
    "=1+1",
];

struct Deployment {
    emulator: Emulator,
    bucket: String,
    database: String,
    folder: tempfile::TempDir,
}

impl Deployment {
    /// None, and a word about it, where no stand-in runs or it knows no SQL.
    fn new() -> Option<Self> {
        let emulator = emulator(Kind::Ministack)?;
        let (bucket, database) = (emulator.bucket(), fresh_name("books").replace('-', "_"));
        let deployment = Self { emulator, bucket, database, folder: tempfile::tempdir().unwrap() };
        let runs_sql = deployment.rows("SELECT 40 + 2 AS answer").is_ok_and(|rows| rows == [["42"]]);
        if !runs_sql {
            eprintln!(
                "skipped: SQL over the catalog, because this stand-in for AWS runs none (it needs duckdb)"
            );
        }
        runs_sql.then_some(deployment)
    }

    fn run(&self, words: &[&str]) -> Ended {
        self.run_with(words, &[])
    }

    fn run_with(&self, words: &[&str], variables: &[(&str, &str)]) -> Ended {
        let mut command = program(self.folder.path(), words);
        command
            .env("SLUICEGATE_CURATED", self.curated())
            .env("SLUICEGATE_DATABASE", &self.database)
            .env("SLUICEGATE_ATHENA_OUTPUT", format!("s3://{}/answers", self.bucket))
            .env("AWS_ENDPOINT_URL", &self.emulator.endpoint)
            .env("AWS_REGION", REGION)
            .env("AWS_ACCESS_KEY_ID", "testkey")
            .env("AWS_SECRET_ACCESS_KEY", SECRET)
            .envs(variables.iter().copied());
        Ended::of(command.output().unwrap())
    }

    fn curated(&self) -> String {
        format!("s3://{}/csv", self.bucket)
    }

    /// The rows of an answer in the engine's own words, without the header; NULL is `(null)`.
    fn rows(&self, sql: &str) -> Result<Vec<Vec<String>>, String> {
        let clients = &self.emulator.clients;
        let output = format!("s3://{}/answers/", self.bucket);
        let start = clients
            .athena()
            .start_query_execution()
            .query_string(sql)
            .query_execution_context(QueryExecutionContext::builder().database(&self.database).build())
            .result_configuration(ResultConfiguration::builder().output_location(output).build());
        let id = clients.block_on(start.send()).unwrap().query_execution_id.unwrap();
        loop {
            let look = clients.athena().get_query_execution().query_execution_id(&id);
            let status = clients.block_on(look.send()).unwrap().query_execution.unwrap().status.unwrap();
            match status.state.unwrap() {
                QueryExecutionState::Succeeded => break,
                QueryExecutionState::Failed => return Err(status.state_change_reason.unwrap_or_default()),
                _ => std::thread::yield_now(),
            }
        }
        let read = clients.athena().get_query_results().query_execution_id(&id);
        let answer = clients.block_on(read.send()).unwrap().result_set.unwrap();
        let row = |row: &aws_sdk_athena::types::Row| {
            let values = row.data().iter();
            values.map(|datum| datum.var_char_value().unwrap_or("(null)").to_owned()).collect()
        };
        Ok(answer.rows().iter().skip(1).map(row).collect())
    }
}

/// One document with one invoice an awkward text.
fn document() -> String {
    let line = "*".repeat(60);
    let mut text = String::new();
    for (index, awkward) in TEXTS.iter().enumerate() {
        let _ = write!(
            text,
            "{line}\nInvoice\n{line}\nCustomer-ID: C{index}\nInv-ID: 1\nDated: Feb 1 2026\nFrom: {awkward}\nTo: to\n\
             Amount: 10.50\nSGST: 0\nTotal: 10.50\n\nItems\n1) {awkward}, 10.50\n\n"
        );
    }
    text
}

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

#[test]
fn sql_over_the_tables_gives_back_what_was_written() {
    let Some(deployment) = Deployment::new() else { return };
    let catalog = deployment.run(&["catalog", "--apply", "--output", "json"]).exits(0);
    assert_eq!(catalog.list("done").len(), 5, "{catalog:?}");
    assert_eq!(deployment.run(&["catalog", "--output", "json"]).exits(0).differences(), [""; 0]);

    write(&deployment.folder.path().join("var/landing/awkward.txt"), &document());
    let drained = deployment.run(&["drain", "--patience", "30s"]).exits(0);
    assert!(drained.stdout.contains("1 loaded"), "{drained:?}");

    let sql = "SELECT from_party, amount, in_words, dt FROM invoices_csv ORDER BY customer_id";
    let rows = deployment.rows(sql).unwrap();
    assert_eq!(rows.len(), TEXTS.len());
    for (row, text) in rows.iter().zip(TEXTS) {
        assert_eq!((row[0].as_str(), row[1].as_str()), (text, "10.50"));
        assert!(row[2].is_empty() || row[2] == "(null)", "{row:?}");
        assert_eq!(row[3].len(), "2026-02-01".len(), "{row:?}");
    }

    // The stand-in shows stored views to nobody, so the views' own statements are asked.
    let text = include_str!("../../jobs/invoices.toml");
    let job = Job::parse(Path::new("jobs/invoices.toml"), text, &|_| None).unwrap();
    let place =
        Place { database: &deployment.database, curated: &deployment.curated(), crawler: None, role: None };
    let wanted = wanted(job.definition.schema(), place);
    let of_view = |index: usize, columns: &str| {
        let select = &wanted.views[index].select;
        deployment.rows(&format!("SELECT {columns} FROM ({select}) AS typed ORDER BY customer_id")).unwrap()
    };
    let invoices = of_view(0, "from_party, amount + 1, dated, in_words");
    for (row, text) in invoices.iter().zip(TEXTS) {
        assert_eq!(row[..], [text, "11.50", "2026-02-01", "(null)"].map(str::to_owned));
    }
    let items = of_view(1, "description, line + 1, price, tax");
    for (row, text) in items.iter().zip(TEXTS) {
        assert_eq!(row[..], [text, "2", "10.50", "(null)"].map(str::to_owned));
    }
    assert_eq!((invoices.len(), items.len()), (TEXTS.len(), TEXTS.len()));
}

#[test]
fn the_printed_statements_make_the_same_tables() {
    let Some(deployment) = Deployment::new() else { return };
    let named = aws_sdk_glue::types::DatabaseInput::builder().name(&deployment.database).build().unwrap();
    let clients = &deployment.emulator.clients;
    clients.block_on(clients.glue().create_database().database_input(named).send()).unwrap();
    for statement in deployment.run(&["catalog", "--output", "json"]).exits(3).list("ddl") {
        if statement.starts_with("CREATE EXTERNAL TABLE") {
            deployment.rows(&statement).unwrap();
        }
    }
    let escape = |table: &str| format!("table {}.{table}: escapeChar (change)", deployment.database);
    let view = |view: &str| format!("view {}.{view}: existence (make)", deployment.database);
    assert_eq!(
        deployment.run(&["catalog", "--output", "json"]).exits(3).differences(),
        // The stand-in does not know `\u0001`, which Hive's grammar has.
        [escape("invoices_csv"), escape("invoice_items_csv"), view("invoices"), view("invoice_items")]
    );
    deployment.run(&["catalog", "--apply"]).exits(0);
}

#[test]
fn the_crawler_that_was_made_registers_the_partitions_of_the_tables_that_were_made() {
    let Some(deployment) = Deployment::new() else { return };
    let glue = GlueEndpoint::start(Arc::new(SystemClock));
    let athena = Athena::start(glue.clone(), Mood::Keeps);
    let store = S3Store::under(deployment.emulator.clients.clone(), &deployment.bucket, "csv");
    glue.place(&deployment.database, Arc::new(store));
    let variables = [
        ("AWS_ENDPOINT_URL_GLUE", glue.url.as_str()),
        ("AWS_ENDPOINT_URL_ATHENA", athena.url.as_str()),
        ("SLUICEGATE_CRAWLER", "nightly"),
        ("SLUICEGATE_CRAWLER_ROLE", "crawls"),
    ];
    deployment.run_with(&["catalog", "--apply"], &variables).exits(0);
    write(&deployment.folder.path().join("var/landing/awkward.txt"), &document());
    let drained = deployment.run_with(&["drain", "--crawl", "--patience", "60s"], &variables).exits(0);
    assert!(drained.stdout.contains("crawls     1"), "{drained:?}");
    for table in ["invoices_csv", "invoice_items_csv"] {
        let input = json!({ "DatabaseName": deployment.database, "TableName": table });
        let partitions = glue.ask("GetPartitions", &input).unwrap();
        assert_eq!(partitions["Partitions"].as_array().unwrap().len(), 1, "{table}");
    }
    let told = deployment.run_with(&["catalog", "--output", "json"], &variables).exits(0);
    assert_eq!(told.differences(), [""; 0], "a crawl changes no definition");
}
