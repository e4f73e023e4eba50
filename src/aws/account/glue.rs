//! Questions to Glue.

use aws_sdk_glue::types::{Crawler, CrawlerTargets, ScheduleState};

use super::AwsAccount;
use crate::ports::account::{Asked, CrawlerFacts};

impl AwsAccount {
    pub(super) fn get_crawler(&self, name: &str) -> Asked<CrawlerFacts> {
        match self.clients.block_on(self.clients.glue().get_crawler().name(name).send()) {
            Ok(answer) => match answer.crawler() {
                Some(crawler) => Asked::Told(facts(crawler)),
                None => Asked::Absent(format!("Glue answers without the crawler {name}")),
            },
            Err(error) => self.answer(&format!("looking at the crawler {name}"), &error),
        }
    }

    pub(super) fn list_crawls(&self, name: &str) -> Asked<()> {
        let request = self.clients.glue().list_crawls().crawler_name(name).max_results(1);
        match self.clients.block_on(request.send()) {
            Ok(_) => Asked::Told(()),
            Err(error) => self.answer(&format!("reading the history of the crawler {name}"), &error),
        }
    }

    pub(super) fn get_database(&self, name: &str) -> Asked<()> {
        match self.clients.block_on(self.clients.glue().get_database().name(name).send()) {
            Ok(_) => Asked::Told(()),
            Err(error) => self.answer(&format!("looking at the database {name}"), &error),
        }
    }

    pub(super) fn get_table(&self, database: &str, table: &str) -> Asked<Option<String>> {
        let request = self.clients.glue().get_table().database_name(database).name(table);
        match self.clients.block_on(request.send()) {
            Ok(answer) => {
                let storage = answer.table().and_then(|table| table.storage_descriptor());
                Asked::Told(storage.and_then(|storage| storage.location()).map(str::to_owned))
            }
            Err(error) => self.answer(&format!("looking at the table {database}.{table}"), &error),
        }
    }

    pub(super) fn get_partitions(&self, database: &str, table: &str) -> Asked<()> {
        let request = self.clients.glue().get_partitions().database_name(database).table_name(table);
        match self.clients.block_on(request.max_results(1).send()) {
            Ok(_) => Asked::Told(()),
            Err(error) => self.answer(&format!("reading the partitions of {database}.{table}"), &error),
        }
    }
}

fn facts(crawler: &Crawler) -> CrawlerFacts {
    // A schedule that is switched off keeps its expression; services that only look like Glue give no state.
    let is_off = |state: &ScheduleState| *state == ScheduleState::NotScheduled;
    let schedule = crawler.schedule().filter(|schedule| !schedule.state().is_some_and(is_off));
    let expression = schedule.and_then(|schedule| schedule.schedule_expression());
    let targets = crawler.targets();
    let s3 = targets.map_or(&[][..], CrawlerTargets::s3_targets);
    let catalog = targets.map_or(&[][..], CrawlerTargets::catalog_targets);
    CrawlerFacts {
        schedule: expression.filter(|expression| !expression.is_empty()).map(str::to_owned),
        s3_targets: s3.iter().filter_map(|target| target.path()).map(str::to_owned).collect(),
        catalog_targets: catalog
            .iter()
            .map(|target| (target.database_name().to_owned(), target.tables().to_vec()))
            .collect(),
        has_other_targets: targets.is_some_and(has_others),
        delete_behavior: crawler
            .schema_change_policy()
            .and_then(|policy| policy.delete_behavior())
            .map(|behavior| behavior.as_str().to_owned()),
        configuration: crawler.configuration().unwrap_or_default().to_owned(),
        last_crawl: crawler
            .last_crawl()
            .and_then(|crawl| crawl.status())
            .map(|status| status.as_str().to_owned()),
    }
}

fn has_others(targets: &CrawlerTargets) -> bool {
    !(targets.jdbc_targets().is_empty()
        && targets.mongo_db_targets().is_empty()
        && targets.dynamo_db_targets().is_empty()
        && targets.delta_targets().is_empty()
        && targets.iceberg_targets().is_empty()
        && targets.hudi_targets().is_empty())
}
