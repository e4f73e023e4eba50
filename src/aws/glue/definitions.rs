//! Definitions in the Glue Data Catalog, by its API (GetDatabase, CreateDatabase, GetTable, CreateTable, UpdateTable,
//! GetCrawler, CreateCrawler). Nothing here deletes anything.

use aws_sdk_glue::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_glue::types::{DatabaseInput, Table};

use super::convert;
use crate::aws::athena::{AthenaOptions, AthenaQueryEngine};
use crate::aws::client::AwsClients;
use crate::aws::failure::{HttpResponse, code, failure};
use crate::failure::{Failure, Outcome};
use crate::ports::definitions::{CrawlerDefinition, Definitions, FoundTable, TableChange, TableDefinition};
use crate::ports::query_engine::Interrupt;

const NOT_FOUND: &str = "EntityNotFoundException";
const ALREADY_THERE: &str = "AlreadyExistsException";
const CHANGED_MEANWHILE: [&str; 2] = ["ConcurrentModificationException", "VersionMismatchException"];

/// Where Athena runs the statements that define views.
#[derive(Debug, Clone, Default)]
pub struct StatementPlace {
    /// The workgroup; none: Athena's own default.
    pub workgroup: Option<String>,
    /// `s3://bucket/prefix` for what a statement answers; none: what the workgroup says.
    pub output: Option<String>,
}

/// The Glue Data Catalog of one account and region.
pub struct GlueDefinitions {
    clients: AwsClients,
    place: StatementPlace,
}

impl GlueDefinitions {
    /// Looks nothing up yet.
    pub fn new(clients: AwsClients, place: StatementPlace) -> Self {
        Self { clients, place }
    }

    fn get_table(&self, database: &str, name: &str) -> Outcome<Option<Table>> {
        let request = self.clients.glue().get_table().database_name(database).name(name);
        let doing = format!("read the table {database}.{name} (glue:GetTable)");
        let answer = found(&doing, self.clients.block_on(request.send()))?;
        Ok(answer.and_then(|answer| answer.table))
    }
}

impl Definitions for GlueDefinitions {
    fn database(&mut self, name: &str) -> Outcome<bool> {
        let request = self.clients.glue().get_database().name(name);
        let doing = format!("read the database {name} (glue:GetDatabase)");
        Ok(found(&doing, self.clients.block_on(request.send()))?.is_some())
    }

    fn make_database(&mut self, name: &str) -> Outcome<()> {
        let doing = format!("the database {name} (glue:CreateDatabase)");
        let input = convert::built(DatabaseInput::builder().name(name).build())?;
        let request = self.clients.glue().create_database().database_input(input);
        made(&doing, self.clients.block_on(request.send()))
    }

    fn table(&mut self, database: &str, name: &str) -> Outcome<Option<FoundTable>> {
        Ok(self.get_table(database, name)?.as_ref().map(convert::found_table))
    }

    fn make_table(&mut self, database: &str, table: &TableDefinition) -> Outcome<()> {
        let doing = format!("{database}.{} (glue:CreateTable)", table.name);
        let input = convert::table_input(table)?;
        let request = self.clients.glue().create_table().database_name(database).table_input(input);
        made(&doing, self.clients.block_on(request.send()))
    }

    fn change_table(&mut self, database: &str, found: &FoundTable, change: &TableChange) -> Outcome<()> {
        let name = &found.definition.name;
        let doing = format!("{database}.{name} (glue:UpdateTable)");
        let meanwhile =
            || Failure::transient(format!("{doing}: somebody else changed it meanwhile; try again"));
        // UpdateTable replaces the whole definition, so what is there now is sent back with the change in it.
        let table = self.get_table(database, name)?.ok_or_else(meanwhile)?;
        if convert::found_table(&table) != *found {
            return Err(meanwhile());
        }
        let request = self
            .clients
            .glue()
            .update_table()
            .database_name(database)
            .table_input(convert::changed(&table, change)?)
            .set_version_id(found.version.clone());
        match self.clients.block_on(request.send()) {
            Ok(_) => Ok(()),
            Err(error) if code(&error).is_some_and(|code| CHANGED_MEANWHILE.contains(&code)) => {
                Err(meanwhile())
            }
            Err(error) => Err(failure(&doing, &error)),
        }
    }

    fn run(&mut self, database: &str, text: &str) -> Outcome<()> {
        let options = AthenaOptions {
            workgroup: self.place.workgroup.clone(),
            database: Some(database.to_owned()),
            output: self.place.output.clone(),
        };
        AthenaQueryEngine::new(self.clients.clone(), options, Vec::new(), Interrupt::default()).define(text)
    }

    fn crawler(&mut self, name: &str) -> Outcome<Option<CrawlerDefinition>> {
        let request = self.clients.glue().get_crawler().name(name);
        let doing = format!("read the crawler {name} (glue:GetCrawler)");
        let answer = found(&doing, self.clients.block_on(request.send()))?;
        Ok(answer.and_then(|answer| answer.crawler).as_ref().map(convert::crawler))
    }

    fn make_crawler(&mut self, crawler: &CrawlerDefinition) -> Outcome<()> {
        let doing =
            format!("{} (glue:CreateCrawler, and iam:PassRole for the role {})", crawler.name, crawler.role);
        let request = self
            .clients
            .glue()
            .create_crawler()
            .name(&crawler.name)
            .role(&crawler.role)
            .database_name(&crawler.database_name)
            .targets(convert::targets(&crawler.targets)?)
            .schema_change_policy(convert::schema_change_policy(&crawler.schema_change_policy))
            .recrawl_policy(convert::recrawl_policy(&crawler.recrawl_policy))
            .configuration(&crawler.configuration);
        made(&doing, self.clients.block_on(request.send()))
    }
}

/// The answer, or none where there is no such thing.
fn found<T, E>(doing: &str, answer: Result<T, SdkError<E, HttpResponse>>) -> Outcome<Option<T>>
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if code(&error) == Some(NOT_FOUND) => Ok(None),
        Err(error) => Err(failure(doing, &error)),
    }
}

/// Done, by us or by somebody else.
fn made<T, E>(doing: &str, answer: Result<T, SdkError<E, HttpResponse>>) -> Outcome<()>
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    match answer {
        Err(error) if code(&error) != Some(ALREADY_THERE) => Err(failure(doing, &error)),
        _ => Ok(()),
    }
}
