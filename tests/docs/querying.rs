//! docs/querying.md against the shipped job.

use std::path::Path;

use sluicegate::job::Job;

use crate::{page, quoted, section_of, table};

#[test]
fn the_named_queries_are_those_of_the_shipped_job() {
    let page = page("docs/querying.md");
    let rows = table(section_of(&page, "## Named queries"));
    let told: Vec<(String, String)> =
        rows.iter().map(|row| (quoted(&row[0])[0].clone(), row[1].clone())).collect();
    let job = Job::parse(Path::new("jobs/invoices.toml"), &crate::page("jobs/invoices.toml"), &|_| None);
    let there: Vec<_> = job.unwrap().queries.into_iter().map(|query| (query.name, query.title)).collect();
    assert_eq!(told, there);
}
