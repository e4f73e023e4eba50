//! What is different, and what `--apply` does about it. The same plan is printed and carried out.

use std::fmt;

use super::compare;
use super::crawler;
use super::ddl::view_ddl;
use super::difference::Difference;
use super::wanted::{View, Wanted};
use crate::ports::definitions::{CrawlerDefinition, FoundTable, TableChange, TableDefinition};

/// What is there of all that should be.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Found {
    /// The database.
    pub database: bool,
    /// In the order of [`Wanted::tables`].
    pub tables: Vec<Option<FoundTable>>,
    /// In the order of [`Wanted::views`].
    pub views: Vec<Option<FoundTable>>,
    /// The job's crawler.
    pub crawler: Option<CrawlerDefinition>,
}

/// What can be done from here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Means {
    /// Statements can be run in the query engine: a view is made by one.
    pub statements: bool,
}

/// One thing that `--apply` does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Makes the database of this name.
    MakeDatabase(String),
    /// Makes a table in a database.
    MakeTable(String, TableDefinition),
    /// Changes a table that is there.
    ChangeTable(String, FoundTable, TableChange),
    /// Makes a view, or puts it in the place of an older one.
    MakeView(String, View),
    /// Makes a crawler.
    MakeCrawler(CrawlerDefinition),
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MakeDatabase(name) => write!(f, "make the database {name}"),
            Self::MakeTable(database, table) => write!(f, "make the table {database}.{}", table.name),
            Self::ChangeTable(database, found, change) => {
                let columns = change.append_columns.iter().map(|column| &column.name);
                let keys = change.serde_parameters.keys().chain(change.parameters.keys());
                let what: Vec<_> = columns.chain(keys).map(String::as_str).collect();
                write!(f, "change the table {database}.{}: {}", found.definition.name, what.join(", "))
            }
            Self::MakeView(database, view) => write!(f, "make the view {database}.{}", view.name),
            Self::MakeCrawler(crawler) => write!(f, "make the crawler {}", crawler.name),
        }
    }
}

/// What is different, and what is done about it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// Every difference, each by name.
    pub differences: Vec<Difference>,
    /// In the order in which they have to be done.
    pub actions: Vec<Action>,
}

/// Compares, and plans.
pub fn plan(wanted: &Wanted, found: &Found, means: Means) -> Plan {
    let mut plan = Plan::default();
    let database = &wanted.database;
    if !found.database {
        plan.missing(&format!("database {database}"), "--apply makes it");
        plan.actions.push(Action::MakeDatabase(database.clone()));
    }
    for (table, found) in wanted.tables.iter().zip(&found.tables) {
        plan.table(database, table, found.as_ref());
    }
    for (view, found) in wanted.views.iter().zip(&found.views) {
        plan.view(database, view, found.as_ref(), means);
    }
    if let Some(crawler) = &wanted.crawler {
        plan.crawler(crawler, found.crawler.as_ref(), &wanted.tables);
    }
    plan
}

impl Plan {
    /// Whether anything has to be done by anybody.
    pub fn is_done(&self) -> bool {
        !self.differences.iter().any(Difference::matters)
    }

    fn missing(&mut self, thing: &str, step: &str) {
        self.differences.push(Difference::new(thing, "existence", "there", "missing").made_by_apply(step));
    }

    fn table(&mut self, database: &str, wanted: &TableDefinition, found: Option<&FoundTable>) {
        let thing = format!("table {database}.{}", wanted.name);
        let Some(found) = found else {
            self.missing(&thing, "--apply makes it");
            return self.actions.push(Action::MakeTable(database.to_owned(), wanted.clone()));
        };
        let (differences, change) = compare::table(&thing, wanted, found);
        self.differences.extend(differences);
        if !change.is_empty() {
            self.actions.push(Action::ChangeTable(database.to_owned(), found.clone(), change));
        }
    }

    fn view(&mut self, database: &str, wanted: &View, found: Option<&FoundTable>, means: Means) {
        let thing = format!("view {database}.{}", wanted.name);
        let (mut differences, make) = match found {
            None => {
                let missing = Difference::new(&thing, "existence", "there", "missing");
                (vec![missing.made_by_apply("--apply makes it")], true)
            }
            Some(found) => compare::view(&thing, wanted, found),
        };
        if make && !means.statements {
            let by_hand = |of: Difference| {
                of.for_a_person(format!(
                    "no Athena is configured that could make it: set SLUICEGATE_WORKGROUP or SLUICEGATE_ATHENA_OUTPUT, or \
                     run in the database {database}: {}",
                    view_ddl(wanted).split_whitespace().collect::<Vec<_>>().join(" ")
                ))
            };
            differences = differences.into_iter().map(by_hand).collect();
        } else if make {
            self.actions.push(Action::MakeView(database.to_owned(), wanted.clone()));
        }
        self.differences.extend(differences);
    }

    fn crawler(
        &mut self,
        wanted: &CrawlerDefinition,
        found: Option<&CrawlerDefinition>,
        tables: &[TableDefinition],
    ) {
        if let Some(found) = found {
            return self.differences.extend(crawler::crawler(wanted, found, tables));
        }
        let thing = crawler::thing(&wanted.name);
        if !wanted.role.is_empty() {
            self.missing(&thing, "--apply makes it");
            return self.actions.push(Action::MakeCrawler(wanted.clone()));
        }
        let input = serde_json::to_string(wanted).expect("texts and lists are JSON");
        let step = format!(
            "its role is not known: set SLUICEGATE_CRAWLER_ROLE and run sluicegate catalog --apply, or: aws glue \
             create-crawler --role ROLE --cli-input-json '{input}'"
        );
        self.differences.push(Difference::new(&thing, "existence", "there", "missing").for_a_person(step));
    }
}
