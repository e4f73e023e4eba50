//! `catalog`: what the jobs need in the catalog of the query engines; printed, compared with what is there, or made.

use serde_json::{Value as Json, json};

use crate::catalog::{
    Action, Applied, Difference, Means, Place, Plan, Wanted, apply, database_ddl, embedded_ddl, look, plan,
    table_ddl, view_ddl, wanted,
};
use crate::config::{Config, Location};
use crate::job::Job;
use crate::ports::definitions::Definitions;

use super::args::{Flags, Format};
use super::assemble;
use super::exit::{Exit, Stop};
use super::output::{print, print_json};
use super::seam::seam;
use super::session::load_config;

/// `sluicegate catalog [--apply]`.
pub(super) fn catalog(flags: &Flags, applies: bool) -> Result<Exit, Stop> {
    let config = load_config(flags)?;
    assemble::refuse_unsupported(&config)?;
    match &config.settings.catalog_database {
        None => embedded(flags, &config, applies),
        Some(database) => glue(flags, &config, database, applies),
    }
}

/// The embedded engine makes its tables for each statement anew, so there is nothing to compare and nothing to make.
fn embedded(flags: &Flags, config: &Config, applies: bool) -> Result<Exit, Stop> {
    if let Location::S3 { .. } = config.settings.curated {
        return Err(Stop::usage(format!(
            "the CSV objects are in {}, and no catalog over them is configured: set SLUICEGATE_DATABASE to the Glue \
             database of the tables",
            config.settings.curated
        )));
    }
    let of_job = |job: &Job| (job.name.clone(), embedded_ddl(job.definition.schema()));
    let jobs: Vec<(String, Vec<String>)> = config.jobs.iter().map(of_job).collect();
    match flags.output {
        Format::Json => {
            let jobs =
                jobs.into_iter().map(|(job, ddl)| json!({ "job": job, "ddl": ddl, "differences": [] }));
            print_json(
                &json!({ "engine": "embedded", "applied": applies, "jobs": jobs.collect::<Vec<_>>() }),
            )?;
        }
        Format::Table => {
            for (job, ddl) in jobs {
                print(&format!("-- job {job}: what the embedded engine shows to `sluicegate query`\n"))?;
                print(&statements(&ddl))?;
            }
        }
    }
    if applies {
        eprintln!("sluicegate: the embedded engine makes its tables by itself; there was nothing to do");
    }
    Ok(Exit::Fine)
}

/// One job, and what became of it.
struct Report {
    job: String,
    wanted: Wanted,
    plan: Plan,
    applied: Option<Applied>,
}

fn glue(flags: &Flags, config: &Config, database: &str, applies: bool) -> Result<Exit, Stop> {
    let curated = match &config.settings.curated {
        place @ Location::S3 { .. } => place.to_string(),
        Location::Folder(folder) => {
            return Err(Stop::usage(format!(
                "the CSV objects are in the folder {}, and Glue and Athena see only S3: set SLUICEGATE_CURATED to \
                 s3://bucket/prefix, or leave SLUICEGATE_DATABASE out",
                folder.display()
            )));
        }
    };
    let settings = &config.settings;
    let means = Means { statements: settings.athena_workgroup.is_some() || settings.athena_output.is_some() };
    let mut definitions = assemble::definitions(config)?;
    let mut reports = Vec::new();
    for job in &config.jobs {
        let place = Place {
            database,
            curated: &curated,
            crawler: job.crawler.as_deref(),
            role: settings.catalog_role.as_deref(),
        };
        let wanted = wanted(job.definition.schema(), place);
        let report = report(&mut *definitions, &job.name, wanted, means, applies)?;
        let failed = report.applied.as_ref().is_some_and(|applied| applied.failure.is_some());
        reports.push(report);
        if failed {
            break;
        }
    }
    match flags.output {
        Format::Table => print(&reports.iter().map(text).collect::<String>())?,
        Format::Json => print_json(&json(&reports, database, applies))?,
    }
    let failures: Vec<_> =
        reports.iter().filter_map(|report| report.applied.as_ref()?.failure.as_ref()).collect();
    for failure in &failures {
        eprintln!("sluicegate: {failure}");
    }
    Ok(match failures.is_empty() {
        false => Exit::Failed,
        true if reports.iter().all(Report::is_fine) => Exit::Fine,
        true => Exit::NeedsPerson,
    })
}

fn report(
    definitions: &mut dyn Definitions,
    job: &str,
    wanted: Wanted,
    means: Means,
    applies: bool,
) -> Result<Report, Stop> {
    let plan = plan(&wanted, &look(definitions, &wanted)?, means);
    let applied = applies.then(|| apply(definitions, &wanted, means, &seam()));
    Ok(Report { job: job.to_owned(), wanted, plan, applied })
}

impl Report {
    /// What is different: still, where something was done.
    fn differences(&self) -> &[Difference] {
        self.applied.as_ref().map_or(&self.plan.differences, |applied| &applied.left)
    }

    fn is_fine(&self) -> bool {
        let failed = self.applied.as_ref().is_some_and(|applied| applied.failure.is_some());
        !failed && !self.differences().iter().any(Difference::matters)
    }

    fn ddl(&self) -> Vec<String> {
        let tables = self.wanted.tables.iter().map(table_ddl);
        let views = self.wanted.views.iter().map(view_ddl);
        [database_ddl(&self.wanted.database)].into_iter().chain(tables).chain(views).collect()
    }
}

fn statements(ddl: &[String]) -> String {
    ddl.iter().map(|statement| format!("{statement};\n\n")).collect()
}

/// Statements that can be run, and everything else as comments.
fn text(report: &Report) -> String {
    let Wanted { database, crawler, .. } = &report.wanted;
    let mut out = String::new();
    if report.applied.is_none() {
        out += &format!("-- job {}: for Athena, in the database {database}\n", report.job);
        out += &statements(&report.ddl());
        match crawler {
            None => {
                out += "-- The job names no crawler (SLUICEGATE_CRAWLER), so nothing registers partitions.\n"
            }
            Some(crawler) => {
                let input = serde_json::to_string(crawler).unwrap_or_default();
                out += &format!("-- The crawler, as glue:CreateCrawler takes it:\n-- {input}\n");
            }
        }
    }
    out += &format!("-- job {}: compared with what is there\n", report.job);
    for done in report.applied.iter().flat_map(|applied| &applied.done) {
        out += &format!("-- done: {done}\n");
    }
    for difference in report.differences() {
        let kind = if difference.matters() { "different" } else { "noted" };
        out += &format!("-- {kind}: {difference}\n");
    }
    if report.is_fine() {
        out += "-- The catalog is as it should be.\n";
    } else if report.applied.is_none() && !report.plan.actions.is_empty() {
        for action in &report.plan.actions {
            out += &format!("-- --apply would {action}\n");
        }
    }
    out + "\n"
}

fn json(reports: &[Report], database: &str, applies: bool) -> Json {
    let words = |actions: &[Action]| actions.iter().map(ToString::to_string).collect::<Vec<_>>();
    let job = |report: &Report| {
        let views =
            report.wanted.views.iter().map(|view| json!({ "Name": view.name, "Select": view.select }));
        let applied = report.applied.as_ref();
        json!({
            "job": report.job,
            "tables": report.wanted.tables,
            "views": views.collect::<Vec<_>>(),
            "crawler": report.wanted.crawler,
            "ddl": report.ddl(),
            "actions": words(&report.plan.actions),
            "done": applied.map_or(&[][..], |applied| &applied.done),
            "differences": report.differences(),
            "error": applied.and_then(|applied| applied.failure.as_ref()).map(ToString::to_string),
        })
    };
    json!({
        "engine": "glue",
        "database": database,
        "applied": applies,
        "equal": reports.iter().all(Report::is_fine),
        "jobs": reports.iter().map(job).collect::<Vec<_>>(),
    })
}
