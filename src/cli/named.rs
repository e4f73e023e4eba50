//! The queries that job files bring along.

use crate::config::Config;
use crate::job::NamedQuery;

use super::args::Format;
use super::exit::Stop;
use super::output::{Sheet, print, print_json};

/// The query of that name, `NAME`, or `JOB/NAME` where several jobs have one.
pub(super) fn find<'a>(config: &'a Config, name: &str) -> Result<&'a NamedQuery, Stop> {
    // Neither a job nor a query can have a slash in its name.
    let (job, name) = name.split_once('/').map_or((None, name), |(job, name)| (Some(job), name));
    let of_jobs = all(config).filter(|(of, _)| job.is_none_or(|job| job == *of));
    let found: Vec<_> = of_jobs.filter(|(_, query)| query.name == name).collect();
    match found[..] {
        [(_, query)] => Ok(query),
        [] => {
            let known: Vec<String> =
                all(config).map(|(job, query)| format!("{job}/{}", query.name)).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            Err(Stop::usage(format!("there is no query {name} in the job files; there are: {known}")))
        }
        _ => {
            let names: Vec<String> = found.iter().map(|(job, _)| format!("{job}/{name}")).collect();
            Err(Stop::usage(format!("several jobs have a query {name}: say {}", names.join(" or "))))
        }
    }
}

/// Prints all of them.
pub(super) fn list(config: &Config, format: Format) -> Result<(), Stop> {
    match format {
        Format::Table => {
            let mut sheet = Sheet::new(&["job", "name", "title"]);
            for (job, query) in all(config) {
                sheet.row([job, &query.name, &query.title]);
            }
            print(&sheet.text())
        }
        Format::Json => {
            let queries: Vec<_> = all(config)
                .map(|(job, query)| {
                    serde_json::json!({
                        "job": job, "name": query.name, "title": query.title, "sql": query.sql,
                    })
                })
                .collect();
            print_json(&serde_json::json!({ "queries": queries }))
        }
    }
}

fn all(config: &Config) -> impl Iterator<Item = (&str, &NamedQuery)> {
    config.jobs.iter().flat_map(|job| job.queries.iter().map(|query| (job.name.as_str(), query)))
}
