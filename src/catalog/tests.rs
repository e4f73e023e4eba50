//! Goal: what is wanted follows from the job alone, what is different is named, a plan is carried out whatever dies on the
//! way, and nothing that is there is ever lost.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use sluicegate_state::seam::{Fault, Injected, Seam};

use super::*;
use crate::curated::testing::{MONEY, table};
use crate::failure::{Failure, FailureKind, Outcome};
use crate::job::Job;
use crate::ports::definitions::{
    CrawlerDefinition, Definitions, FoundTable, TableChange, TableDefinition, VIRTUAL_VIEW,
};
use crate::query_text::same_statement;
use crate::schema::{ColumnType, Schema};

const ALL: Means = Means { statements: true };

fn invoices() -> Schema {
    let text = include_str!("../../jobs/invoices.toml");
    let job = Job::parse(std::path::Path::new("jobs/invoices.toml"), text, &|_| None).unwrap();
    job.definition.schema().clone()
}

fn place() -> Place<'static> {
    Place {
        database: "finance",
        curated: "s3://books/csv",
        crawler: Some("books"),
        role: Some("role/crawls"),
    }
}

/// Everything about a job as text.
fn told(wanted: &Wanted) -> String {
    let tables = wanted.tables.iter().map(table_ddl);
    let views = wanted.views.iter().map(view_ddl);
    let ddl: Vec<String> = [database_ddl(&wanted.database)].into_iter().chain(tables).chain(views).collect();
    let json = [
        serde_json::to_string_pretty(&wanted.tables[0]).unwrap(),
        serde_json::to_string_pretty(&wanted.crawler).unwrap(),
    ];
    format!("{}\n\n{}", ddl.join(";\n\n"), json.join("\n\n"))
}

#[test]
fn the_catalog_of_the_shipped_job() {
    insta::assert_snapshot!(told(&wanted(&invoices(), place())));
}

#[test]
fn the_catalog_of_a_job_with_awkward_names() {
    let order = [("select", ColumnType::Integer), ("date", ColumnType::Date), ("user", ColumnType::Boolean)];
    let items = [("select", ColumnType::Integer), ("group", ColumnType::Integer), ("values", MONEY)];
    let schema = Schema { tables: vec![table("order", &order, &[0]), table("to", &items, &[0, 1])] };
    let place = Place { curated: "s3://books/it's \\ here", crawler: None, role: None, ..place() };
    insta::assert_snapshot!(told(&wanted(&schema, place)));
    insta::assert_snapshot!(embedded_ddl(&schema).join(";\n\n"));
}

/// A catalog in memory. Its engine keeps views in its own words, as Athena does, or forgets them.
#[derive(Default, Clone, PartialEq, Debug)]
struct Memory {
    databases: Vec<String>,
    tables: BTreeMap<String, FoundTable>,
    crawlers: BTreeMap<String, CrawlerDefinition>,
    views: BTreeMap<String, View>,
    forgets_views: bool,
    writes: usize,
}

impl Memory {
    /// Whose engine has heard of these views.
    fn knowing(wanted: &Wanted) -> Self {
        let views = wanted.views.iter().map(|view| (view_ddl(view), view.clone()));
        Self { views: views.collect(), ..Self::default() }
    }

    /// The same without what only this test counts.
    fn content(&self) -> Self {
        Self { writes: 0, ..self.clone() }
    }
}

impl Definitions for Memory {
    fn database(&mut self, name: &str) -> Outcome<bool> {
        Ok(self.databases.iter().any(|database| database == name))
    }

    fn make_database(&mut self, name: &str) -> Outcome<()> {
        self.writes += 1;
        self.databases.push(name.to_owned());
        Ok(())
    }

    fn table(&mut self, _database: &str, name: &str) -> Outcome<Option<FoundTable>> {
        Ok(self.tables.get(name).cloned())
    }

    fn make_table(&mut self, database: &str, table: &TableDefinition) -> Outcome<()> {
        assert!(self.databases.iter().any(|of| of == database), "the database comes first");
        self.writes += 1;
        let found = FoundTable { definition: table.clone(), version: None };
        self.tables.entry(table.name.clone()).or_insert(found);
        Ok(())
    }

    fn change_table(&mut self, _database: &str, found: &FoundTable, change: &TableChange) -> Outcome<()> {
        self.writes += 1;
        let table = self.tables.get_mut(&found.definition.name).unwrap();
        assert_eq!(table, found);
        let storage = &mut table.definition.storage_descriptor;
        storage.columns.extend(change.append_columns.clone());
        storage.serde_info.parameters.extend(change.serde_parameters.clone());
        table.definition.parameters.extend(change.parameters.clone());
        Ok(())
    }

    fn run(&mut self, database: &str, statement: &str) -> Outcome<()> {
        self.writes += 1;
        if self.forgets_views {
            return Ok(());
        }
        let view = self.views.get(statement).ok_or_else(|| Failure::permanent("SYNTAX_ERROR"))?;
        // Athena writes the statement anew.
        let select = view.select.replace(") AS ", ")\n").replace("\nJOIN (", "\nINNER JOIN (").to_lowercase();
        let definition = stored_view::stored(&View { select, ..view.clone() }, database);
        self.tables.insert(view.name.clone(), FoundTable { definition, version: None });
        Ok(())
    }

    fn crawler(&mut self, name: &str) -> Outcome<Option<CrawlerDefinition>> {
        Ok(self.crawlers.get(name).cloned())
    }

    fn make_crawler(&mut self, crawler: &CrawlerDefinition) -> Outcome<()> {
        for target in &crawler.targets.catalog_targets {
            assert!(
                target.tables.iter().all(|table| self.tables.contains_key(table)),
                "the tables come first"
            );
        }
        self.writes += 1;
        self.crawlers.insert(crawler.name.clone(), crawler.clone());
        Ok(())
    }
}

fn planned(memory: &mut Memory, wanted: &Wanted) -> Plan {
    plan(wanted, &look(memory, wanted).unwrap(), ALL)
}

#[test]
fn what_is_missing_is_made_once_and_as_it_was_told() {
    let wanted = wanted(&invoices(), place());
    for forgets_views in [false, true] {
        let mut memory = Memory { forgets_views, ..Memory::knowing(&wanted) };
        let told: Vec<String> =
            planned(&mut memory, &wanted).actions.iter().map(ToString::to_string).collect();
        let applied = apply(&mut memory, &wanted, ALL, &Seam::default());
        assert_eq!(applied, Applied { done: told.clone(), ..Applied::default() });
        assert_eq!(told.len(), 6, "{told:?}");
        let writes = memory.writes;
        assert_eq!(apply(&mut memory, &wanted, ALL, &Seam::default()), Applied::default());
        assert_eq!(memory.writes, writes, "a second time does nothing");
        assert_eq!(memory.tables["invoices"].definition.table_type, VIRTUAL_VIEW);
    }
}

/// Dies at the n-th effect.
struct Dies {
    at: usize,
    after: bool,
    met: AtomicUsize,
}

impl Dies {
    fn strike(&self, effect: &'static str, after: bool) -> Result<(), Injected> {
        let strikes = after == self.after && self.met.fetch_add(1, Ordering::Relaxed) == self.at;
        if strikes { Err(Injected { effect, after, transient: false }) } else { Ok(()) }
    }
}

impl Fault for Dies {
    fn before(&self, effect: &'static str) -> Result<(), Injected> {
        if self.after { Ok(()) } else { self.strike(effect, false) }
    }

    fn after(&self, effect: &'static str) -> Result<(), Injected> {
        if self.after { self.strike(effect, true) } else { Ok(()) }
    }
}

#[test]
fn whatever_dies_the_next_run_ends_it() {
    let wanted = wanted(&invoices(), place());
    let start = |forgets_views| {
        let mut memory = Memory { forgets_views, ..Memory::knowing(&wanted) };
        // A table that can be changed, so that every kind of effect is met.
        memory.make_database("finance").unwrap();
        let mut old = wanted.tables[0].clone();
        old.storage_descriptor.serde_info.parameters.clear();
        memory.make_table("finance", &old).unwrap();
        memory
    };
    for forgets_views in [false, true] {
        let mut calm = start(forgets_views);
        assert!(apply(&mut calm, &wanted, ALL, &Seam::default()).left.is_empty());
        for after in [false, true] {
            let mut deaths = 0;
            for at in 0.. {
                let mut memory = start(forgets_views);
                let fault = Arc::new(Dies { at, after, met: AtomicUsize::new(0) });
                let applied = apply(&mut memory, &wanted, ALL, &Seam::with_fault(fault));
                let Some(failure) = applied.failure else { break };
                assert_eq!(failure.kind, FailureKind::Died);
                deaths += 1;
                let again = apply(&mut memory, &wanted, ALL, &Seam::default());
                assert_eq!((again.left, again.failure), (vec![], None));
                assert_eq!(memory.content(), calm.content(), "after a death at {at}, after: {after}");
            }
            assert!(deaths >= 5, "{deaths}");
        }
    }
}

#[test]
fn a_statement_in_the_words_of_the_engine_is_the_same() {
    let schema = invoices();
    let views = wanted(&schema, place()).views;
    // As Trino's formatter writes it: no quotes where none are needed, brackets around conditions, no AS before an alias.
    let stored = "SELECT\n  CAST(NULLIF(child.customer_id, '') AS varchar) x\nFROM\n  ((a child INNER JOIN b ON (c = d)))";
    let ours = "select cast(nullif(\"child\".\"customer_id\", '') as varchar) AS x FROM a AS child JOIN b ON c = d -- all";
    assert!(same_statement(stored, ours));
    assert!(!same_statement(stored, &ours.replace("''", "' '")), "texts are compared as they are");
    assert!(!same_statement(stored, &ours.replace("c = d", "c = e")));
    assert!(!same_statement("SELECT 'a", "SELECT 'a"), "nobody knows what this is");
    for view in &views {
        assert!(same_statement(&view.select, &view.select.replace('"', "").to_uppercase()));
    }
    assert!(!same_statement(&views[0].select, &views[1].select));
}

#[test]
fn a_stored_view_can_be_read_back() {
    let wanted = wanted(&invoices(), place());
    let stored = stored_view::stored(&wanted.views[1], "finance");
    assert_eq!(stored_view::select_of(&stored).as_deref(), Some(wanted.views[1].select.as_str()));
    for text in ["", "SELECT 1", "/* Presto View: ? */", "/* Presto View: e30= */", "/* Presto View */"] {
        let other = TableDefinition { view_original_text: Some(text.to_owned()), ..stored.clone() };
        assert_eq!(stored_view::select_of(&other), None, "{text}");
    }
}

/// One way in which a catalog can differ, and what is said and planned about it.
fn told_after(change: impl FnOnce(&mut Memory)) -> String {
    let wanted = wanted(&invoices(), place());
    let mut memory = Memory::knowing(&wanted);
    assert!(apply(&mut memory, &wanted, ALL, &Seam::default()).left.is_empty());
    change(&mut memory);
    let before = memory.clone();
    let plan = planned(&mut memory, &wanted);
    let applied = apply(&mut memory, &wanted, ALL, &Seam::default());
    let kept: Vec<_> = plan
        .differences
        .iter()
        .filter(|of| of.remedy != Remedy::Make && of.remedy != Remedy::Change)
        .collect();
    assert_eq!(applied.left.iter().collect::<Vec<_>>(), kept, "what a person decides is left");
    if plan.actions.is_empty() {
        assert_eq!(memory, before, "what needs a person is left alone");
    }
    let lines = plan.differences.iter().map(|of| format!("{:?}: {of}", of.remedy));
    let actions = plan.actions.iter().map(|action| format!("would {action}"));
    lines.chain(actions).collect::<Vec<_>>().join("\n")
}

fn with_table(name: &str, change: impl FnOnce(&mut TableDefinition)) -> String {
    told_after(|memory| change(&mut memory.tables.get_mut(name).unwrap().definition))
}

fn with_crawler(change: impl FnOnce(&mut CrawlerDefinition)) -> String {
    told_after(|memory| change(memory.crawlers.get_mut("books").unwrap()))
}

#[test]
fn every_difference_of_a_table_is_named() {
    let mut all = Vec::new();
    let mut tell = |what: &str, change: fn(&mut TableDefinition)| {
        all.push(format!("# {what}\n{}", with_table("invoices_csv", change)));
    };
    tell("location", |table| table.storage_descriptor.location = "s3://other/invoices".to_owned());
    tell("slash", |table| table.storage_descriptor.location = "s3://books/csv/invoices".to_owned());
    tell("order of columns", |table| table.storage_descriptor.columns.swap(0, 1));
    tell("type of a column", |table| "date".clone_into(&mut table.storage_descriptor.columns[2].kind));
    tell("columns missing at the end", |table| table.storage_descriptor.columns.truncate(9));
    tell("a column missing in the middle", |table| drop(table.storage_descriptor.columns.remove(8)));
    tell("a column too many", |table| {
        let last = table.storage_descriptor.columns[0].clone();
        table.storage_descriptor.columns.push(last);
    });
    tell("parameters", |table| {
        table.storage_descriptor.serde_info.parameters.clear();
        table.parameters.clear();
    });
    tell("parameters and location", |table| {
        table.storage_descriptor.serde_info.parameters.clear();
        table.storage_descriptor.location.clear();
    });
    tell("reader", |table| {
        "org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe"
            .clone_into(&mut table.storage_descriptor.serde_info.serialization_library);
    });
    tell("partition key", |table| "date".clone_into(&mut table.partition_keys[0].kind));
    tell("projection", |table| {
        drop(table.parameters.insert("projection.enabled".to_owned(), "true".to_owned()))
    });
    tell("formats", |table| {
        table.storage_descriptor.input_format.clear();
        "org.apache.hadoop.hive.ql.io.IgnoreKeyTextOutputFormat"
            .clone_into(&mut table.storage_descriptor.output_format);
    });
    tell("no type", |table| table.table_type.clear());
    tell("a view of this name", |table| VIRTUAL_VIEW.clone_into(&mut table.table_type));
    insta::assert_snapshot!(all.join("\n\n"));
}

#[test]
fn every_difference_of_a_view_is_named() {
    let mut all = Vec::new();
    let mut tell = |what: &str, change: fn(&mut TableDefinition)| {
        let told = with_table("invoice_items", change);
        all.push(format!("# {what}\n{}", told.replace(&one_line_of("invoice_items"), "OURS")));
    };
    tell("columns", |view| drop(view.storage_descriptor.columns.pop()));
    tell("a table of this name", |view| "EXTERNAL_TABLE".clone_into(&mut view.table_type));
    tell("unreadable", |view| view.view_original_text = None);
    tell("somebody else's", |view| *view = somebodys("SELECT 1 a"));
    tell("an older one of ours", |view| *view = somebodys("SELECT line FROM invoice_items_csv"));
    insta::assert_snapshot!(all.join("\n\n"));
}

fn one_line_of(view: &str) -> String {
    let wanted = wanted(&invoices(), place());
    let view = wanted.views.iter().find(|of| of.name == view).unwrap();
    view.select.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn somebodys(select: &str) -> TableDefinition {
    let view = View { select: select.to_owned(), ..wanted(&invoices(), place()).views[1].clone() };
    stored_view::stored(&view, "finance")
}

#[test]
fn every_difference_of_a_crawler_is_named_and_none_is_changed() {
    let mut all = Vec::new();
    let mut tell = |what: &str, change: fn(&mut CrawlerDefinition)| {
        all.push(format!("# {what}\n{}", with_crawler(change)));
    };
    tell("role", |crawler| crawler.role = "arn:aws:iam::1:role/other".to_owned());
    tell("the same role", |crawler| crawler.role = "arn:aws:iam::1:role/crawls".to_owned());
    tell("schedule", |crawler| crawler.schedule = "cron(0 * * * ? *)".to_owned());
    tell("policies", |crawler| {
        crawler.schema_change_policy.update_behavior = "UPDATE_IN_DATABASE".to_owned();
        crawler.schema_change_policy.delete_behavior = "DEPRECATE_IN_DATABASE".to_owned();
        crawler.recrawl_policy.recrawl_behavior = "CRAWL_EVENT_MODE".to_owned();
        crawler.configuration = String::new();
    });
    tell("left out", |crawler| {
        crawler.recrawl_policy.recrawl_behavior = String::new();
        crawler.configuration = crawler.configuration.replace("1.0", "1");
    });
    tell("a place that covers", |crawler| {
        crawler.targets.catalog_targets.clear();
        crawler.targets.s3_targets = vec!["s3://books/csv/".to_owned()];
    });
    tell("a place that does not cover", |crawler| {
        crawler.targets.catalog_targets.clear();
        crawler.targets.s3_targets = vec!["s3://books/csv/invoice".to_owned()];
        crawler.targets.others = vec!["JDBC (1)".to_owned()];
    });
    tell("a table is missing", |crawler| drop(crawler.targets.catalog_targets[0].tables.pop()));
    tell("more tables", |crawler| crawler.targets.catalog_targets[0].tables.push("other".to_owned()));
    tell("another order", |crawler| crawler.targets.catalog_targets[0].tables.reverse());
    insta::assert_snapshot!(all.join("\n\n"));
}

#[test]
fn what_cannot_be_made_from_here_is_told_with_its_command() {
    let wanted = wanted(&invoices(), Place { role: None, ..place() });
    let mut memory = Memory::knowing(&wanted);
    let applied = apply(&mut memory, &wanted, Means { statements: false }, &Seam::default());
    assert_eq!(
        applied.done,
        [
            "make the database finance",
            "make the table finance.invoices_csv",
            "make the table finance.invoice_items_csv"
        ]
    );
    assert!(applied.left.iter().all(|difference| difference.remedy == Remedy::Person));
    let [invoices, items, crawler] = [0, 1, 2].map(|index| applied.left[index].to_string());
    assert!(invoices.contains("CREATE OR REPLACE VIEW \"invoices\" AS SELECT"), "{invoices}");
    assert!(items.contains("SLUICEGATE_WORKGROUP"), "{items}");
    assert!(crawler.contains("SLUICEGATE_CRAWLER_ROLE") && crawler.contains("create-crawler"), "{crawler}");
}
