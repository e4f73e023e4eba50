//! Questions to Athena.

use aws_sdk_athena::types::{ResultConfiguration, WorkGroupState};

use super::super::failure::{code, describe};
use super::AwsAccount;
use crate::ports::account::{Asked, WorkGroupFacts};

/// A statement that can be read and fails before it reads anything: no catalog has this table. Failed statements are free
/// and leave no results (Athena pricing; user guide, query results).
const NOTHING: &str = "SELECT * FROM \"sluicegate_check\".\"no_such_table\"";
/// How Athena answers a request that it understands and will not follow.
const INVALID: &str = "InvalidRequestException";

impl AwsAccount {
    pub(super) fn get_workgroup(&self, name: &str) -> Asked<WorkGroupFacts> {
        let answer = self.clients.block_on(self.clients.athena().get_work_group().work_group(name).send());
        let answer = match answer {
            Ok(answer) => answer,
            // Athena has no code of its own for a workgroup that is not there.
            Err(error) if code(&error) == Some(INVALID) => return Asked::Absent(describe(&error)),
            Err(error) => return self.answer(&format!("looking at the workgroup {name}"), &error),
        };
        let Some(workgroup) = answer.work_group() else {
            return Asked::Absent(format!("Athena answers without the workgroup {name}"));
        };
        let configuration = workgroup.configuration();
        let results = configuration.and_then(|configuration| configuration.result_configuration());
        let managed = configuration.and_then(|found| found.managed_query_results_configuration());
        let output = results.and_then(|results| results.output_location()).filter(|place| !place.is_empty());
        Asked::Told(WorkGroupFacts {
            enabled: workgroup.state() != Some(&WorkGroupState::Disabled),
            output: output.map(str::to_owned),
            // Athena's default, where it says nothing.
            enforced: configuration.is_some_and(|c| c.enforce_work_group_configuration().unwrap_or(false)),
            managed_results: managed.is_some_and(|managed| managed.enabled()),
        })
    }

    pub(super) fn start_nothing(&self, workgroup: &str, output: Option<&str>) -> Asked<String> {
        let request = self.clients.athena().start_query_execution().query_string(NOTHING);
        let place = output.map(|output| {
            let place = format!("{}/", output.trim_end_matches('/'));
            ResultConfiguration::builder().output_location(place).build()
        });
        let request = request.work_group(workgroup).set_result_configuration(place);
        match self.clients.block_on(request.send()) {
            Ok(answer) => Asked::Told(answer.query_execution_id().unwrap_or_default().to_owned()),
            // The statement can be read, so this is about the workgroup or the place of results.
            Err(error) if code(&error) == Some(INVALID) => Asked::Absent(describe(&error)),
            Err(error) => self.answer("starting a statement that fails", &error),
        }
    }

    pub(super) fn get_execution(&self, id: &str) -> Asked<()> {
        let request = self.clients.athena().get_query_execution().query_execution_id(id);
        match self.clients.block_on(request.send()) {
            Ok(_) => Asked::Told(()),
            Err(error) => self.impossible("looking at a statement", &error),
        }
    }

    pub(super) fn get_results(&self, id: &str) -> Asked<()> {
        let request = self.clients.athena().get_query_results().query_execution_id(id);
        match self.clients.block_on(request.send()) {
            Ok(_) => Asked::Told(()),
            Err(error) => self.impossible("reading the results of a statement", &error),
        }
    }

    pub(super) fn stop_execution(&self, id: &str) -> Asked<()> {
        let request = self.clients.athena().stop_query_execution().query_execution_id(id);
        match self.clients.block_on(request.send()) {
            Ok(_) => Asked::Told(()),
            Err(error) => self.impossible("stopping a statement", &error),
        }
    }
}
