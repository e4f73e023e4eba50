//! Athena: the workgroup, the place of results, and what may be done with statements.

use super::arn;
use super::finding::{Finding, Report, Silence};
use super::permission::{Place, permission};
use super::store::own_place;
use crate::ports::account::{Account, WorkGroupFacts};

const NO_OUTPUT: &str =
    "set SLUICEGATE_ATHENA_OUTPUT=s3://bucket/prefix, or give the workgroup a place for results";

/// Looks at it. `output` is the place of results that the configuration names.
pub fn athena(account: &dyn Account, workgroup: &str, output: Option<&str>) -> Vec<Finding> {
    let mut report = Report::new("Athena");
    let place = look(&mut report, account, workgroup, output);
    let mut findings = report.into_findings();
    if let Ok(Some(place)) = place
        && let Some((bucket, root)) = arn::s3_location(&place)
    {
        let prefix = root.trim_end_matches('/');
        findings.extend(own_place(account, Place::Results, bucket, prefix, "sluicegate-check.csv"));
    }
    findings
}

/// The place where results go, as far as it is known.
fn look(
    report: &mut Report,
    account: &dyn Account,
    workgroup: &str,
    output: Option<&str>,
) -> Result<Option<String>, Silence> {
    let region = account.caller().region;
    let resource = arn::of_service("athena", &region, &format!("workgroup/{workgroup}"));
    let of = |action: &str| permission(Place::Athena, action);
    let asked = account.workgroup(workgroup);
    let todo = format!("aws athena create-work-group --name {workgroup}, or correct SLUICEGATE_WORKGROUP");
    let facts = report.told("workgroup", asked, of("athena:GetWorkGroup"), &resource, &todo)?;
    let place = match &facts {
        Some(facts) => settings(report, workgroup, facts, output),
        None => output.map(str::to_owned),
    };
    statements(report, account, workgroup, output, &resource)?;
    if let Some((bucket, _)) = place.as_deref().and_then(arn::s3_location) {
        let permission = permission(Place::Results, "s3:GetBucketLocation");
        let todo = format!("create the bucket {bucket}, or name another place for results");
        let asked = account.location(bucket);
        if report.told("place of results", asked, permission, &arn::bucket(&region, bucket), &todo)?.is_some()
        {
            report.ok("place of results", place.clone().unwrap_or_default());
        }
    }
    Ok(place)
}

fn settings(
    report: &mut Report,
    workgroup: &str,
    facts: &WorkGroupFacts,
    output: Option<&str>,
) -> Option<String> {
    if facts.enabled {
        report.ok("workgroup", format!("{workgroup} takes statements"));
    } else {
        let todo = format!("aws athena update-work-group --work-group {workgroup} --state ENABLED");
        report.wrong("workgroup", format!("{workgroup} is disabled"), todo);
    }
    let plain = |text: &str| text.trim_end_matches('/').to_owned();
    match (&facts.output, output) {
        (Some(theirs), Some(ours)) if facts.enforced && plain(theirs) != plain(ours) => {
            let found = format!("the workgroup insists on {theirs}; {ours} is ignored");
            report.note(
                "place of results",
                found,
                "leave SLUICEGATE_ATHENA_OUTPUT out, or give both one place",
            );
            Some(theirs.clone())
        }
        (Some(theirs), _) if facts.enforced => Some(theirs.clone()),
        (_, Some(ours)) => Some(ours.to_owned()),
        (Some(theirs), None) => Some(theirs.clone()),
        (None, None) if facts.managed_results => {
            report.ok("place of results", "Athena keeps the results itself");
            None
        }
        (None, None) => {
            report.wrong(
                "place of results",
                "neither the workgroup nor the configuration names one",
                NO_OUTPUT,
            );
            None
        }
    }
}

/// A statement that fails at once shows what may be done with one.
fn statements(
    report: &mut Report,
    account: &dyn Account,
    workgroup: &str,
    output: Option<&str>,
    resource: &str,
) -> Result<(), Silence> {
    let of = |action: &str| permission(Place::Athena, action);
    let asked = account.start_query(workgroup, output);
    let id =
        report.told("starting a statement", asked, of("athena:StartQueryExecution"), resource, NO_OUTPUT)?;
    let Some(id) = id else { return Ok(()) };
    report.ok("starting a statement", "allowed; the statement reads nothing, and fails");
    // Without an id the statement was refused as a statement, and there is nothing to look at.
    if id.is_empty() {
        return Ok(());
    }
    let asked = account.query(&id);
    if report.told("looking at a statement", asked, of("athena:GetQueryExecution"), resource, "")?.is_some() {
        report.ok("looking at a statement", "allowed");
    }
    let asked = account.query_results(&id);
    if report.told("reading results", asked, of("athena:GetQueryResults"), resource, "")?.is_some() {
        report.ok("reading results", "allowed");
    }
    let asked = account.stop_query(&id);
    if report.told("stopping a statement", asked, of("athena:StopQueryExecution"), resource, "")?.is_some() {
        report.ok("stopping a statement", "allowed");
    }
    Ok(())
}
