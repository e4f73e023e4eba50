//! The named queries of a job file.

use serde::Deserialize;
use toml::Spanned;

use crate::config::ConfigError;
use crate::config::source::Source;
use crate::query_text;

/// A query that comes with a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedQuery {
    /// What it is called; unique in its job.
    pub name: String,
    /// What it answers, in a few words; may be empty.
    pub title: String,
    /// One statement that reads.
    pub sql: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct QueryTable {
    name: Spanned<String>,
    #[serde(default)]
    title: String,
    sql: Spanned<String>,
}

/// Checks all of them. Whether their tables and columns are there is said by the engine that runs them.
pub(super) fn queries(source: &Source<'_>, tables: &[QueryTable]) -> Result<Vec<NamedQuery>, ConfigError> {
    let mut queries: Vec<NamedQuery> = Vec::new();
    for table in tables {
        let name = source.read(&table.name, super::file::plain_name)?;
        if queries.iter().any(|other| other.name == name) {
            let problem = format!("there are two queries `{name}`");
            return Err(source.key_error(table.name.span().start, &problem));
        }
        let sql = source.read(&table.sql, statement)?;
        queries.push(NamedQuery { name, title: table.title.clone(), sql });
    }
    Ok(queries)
}

fn statement(sql: &str) -> Result<String, String> {
    match query_text::with_views(&[], sql) {
        Ok(_) => Ok(sql.trim().to_owned()),
        Err(query_text::NotReading(problem)) => Err(format!("is no query: {problem}")),
    }
}
