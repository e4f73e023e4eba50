//! `sluicegate.toml` itself.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::Spanned;

use super::error::ConfigError;
use super::location::{Location, WarehouseLocation};
use super::source::Source;
use super::topic::TopicArn;

/// Where things are on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The folder of the journal.
    pub state: PathBuf,
    /// How notifications arrive.
    pub inbox: InboxSettings,
    /// Where rows and the ledger go.
    pub warehouse: WarehouseLocation,
    /// Where the CSV objects go.
    pub curated: Location,
    /// Where the originals are kept.
    pub archive: Location,
    /// The Glue database; none: the embedded catalog.
    pub catalog_database: Option<String>,
    /// The name or ARN of the role of a crawler that `catalog --apply` makes.
    pub catalog_role: Option<String>,
    /// The Athena workgroup; none: the embedded engine.
    pub athena_workgroup: Option<String>,
    /// Where Athena writes results.
    pub athena_output: Option<String>,
    /// Whom to tell of what cannot wait.
    pub alert: AlertSettings,
    /// Depth and concurrency.
    pub pipeline: PipelineSettings,
}

/// Whom to tell of what cannot wait; with nothing set, `status` alone tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlertSettings {
    /// The ARN of an SNS topic.
    pub topic: Option<String>,
    /// A command line.
    pub command: Option<String>,
    /// A file to append to.
    pub file: Option<PathBuf>,
    /// How long before its expiry a document that is not archived is told of.
    pub hours_before: u32,
}

/// How notifications arrive. With none of them set, a landing folder is scanned.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct InboxSettings {
    /// The URL of an SQS queue.
    pub queue: Option<String>,
    /// The only SNS topic that the HTTP inbox accepts.
    pub topic: Option<String>,
    /// The address on which SNS posts to us.
    pub sns_listen: Option<String>,
}

impl InboxSettings {
    /// Whether somebody elsewhere hands over messages, and takes back those that were not journaled.
    pub fn is_elsewhere(&self) -> bool {
        self.queue.is_some() || self.sns_listen.is_some()
    }
}

/// Depth and concurrency; the defaults suit 2 cores and 4 GiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PipelineSettings {
    /// Documents fetched at once.
    pub fetch_concurrency: usize,
}

impl Default for PipelineSettings {
    fn default() -> Self {
        let pipeline = PipelineTable::default();
        Self { fetch_concurrency: *pipeline.fetch_concurrency.get_ref() as usize }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SettingsFile {
    state: Spanned<String>,
    jobs: Spanned<String>,
    warehouse: Spanned<String>,
    curated: Spanned<String>,
    archive: Spanned<String>,
    #[serde(default)]
    inbox: InboxTable,
    #[serde(default)]
    catalog: CatalogTable,
    #[serde(default)]
    athena: AthenaTable,
    #[serde(default)]
    alert: AlertTable,
    #[serde(default)]
    pipeline: PipelineTable,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct InboxTable {
    queue: String,
    topic: Option<Spanned<String>>,
    sns_listen: Option<Spanned<String>>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct CatalogTable {
    database: String,
    role: String,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct AthenaTable {
    workgroup: String,
    output: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct AlertTable {
    topic: Option<Spanned<String>>,
    command: String,
    file: String,
    hours_before: Spanned<u32>,
}

impl Default for AlertTable {
    fn default() -> Self {
        Self { topic: None, command: String::new(), file: String::new(), hours_before: Spanned::new(0..0, 6) }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct PipelineTable {
    fetch_concurrency: Spanned<u32>,
}

impl Default for PipelineTable {
    fn default() -> Self {
        let count = |count| Spanned::new(0..0, count);
        Self { fetch_concurrency: count(8) }
    }
}

/// Reads `text`, whose variables are resolved. Also gives the `jobs` folder as it is written, and where.
pub(super) fn parse(file: &Path, text: &str) -> Result<(Settings, Spanned<String>), ConfigError> {
    let source = Source::new(file, text);
    let read: SettingsFile = source.parse()?;
    let output = read.athena.output.filter(|output| !output.get_ref().is_empty());
    if let Some(output) = output.as_ref().filter(|output| !output.get_ref().starts_with("s3://")) {
        let problem = format!("`{}` is no S3 location; allowed: s3://bucket/prefix", output.get_ref());
        return Err(source.key_error(output.span().start, &problem));
    }
    let settings = Settings {
        state: PathBuf::from(filled(&source, &read.state, "the path of a folder")?),
        inbox: inbox(&source, read.inbox)?,
        warehouse: source.read(&read.warehouse, WarehouseLocation::parse)?,
        curated: source.read(&read.curated, Location::parse)?,
        archive: source.read(&read.archive, Location::parse)?,
        catalog_database: some(read.catalog.database),
        catalog_role: some(read.catalog.role),
        athena_workgroup: some(read.athena.workgroup),
        athena_output: output.map(Spanned::into_inner),
        alert: alert(&source, read.alert)?,
        pipeline: pipeline(&source, &read.pipeline)?,
    };
    filled(&source, &read.jobs, "the path of a folder of job files, beside this file")?;
    Ok((settings, read.jobs))
}

fn alert(source: &Source<'_>, table: AlertTable) -> Result<AlertSettings, ConfigError> {
    let topic = table.topic.filter(|topic| !topic.get_ref().is_empty());
    if let Some(topic) = &topic {
        drop(source.read(topic, TopicArn::parse)?);
    }
    let hours_before = match *table.hours_before.get_ref() {
        hours @ 1..=720 => hours,
        hours => {
            let problem = format!("{hours} is out of range; allowed: 1 to 720");
            return Err(source.key_error(table.hours_before.span().start, &problem));
        }
    };
    Ok(AlertSettings {
        topic: topic.map(Spanned::into_inner),
        command: some(table.command),
        file: some(table.file).map(PathBuf::from),
        hours_before,
    })
}

/// An endpoint for SNS takes its topic from here and nowhere else: whoever may name the topic could send anything.
fn inbox(source: &Source<'_>, table: InboxTable) -> Result<InboxSettings, ConfigError> {
    let listens = table.sns_listen.as_ref().filter(|address| !address.get_ref().is_empty());
    if let Some(address) = listens {
        source.read(address, listening_address)?;
        match table.topic.as_ref().filter(|topic| !topic.get_ref().is_empty()) {
            Some(topic) => drop(source.read(topic, TopicArn::parse)?),
            None => {
                let problem = "needs `topic` beside it: the ARN of the one SNS topic that may post here \
                               (SLUICEGATE_TOPIC), such as arn:aws:sns:eu-west-1:123456789012:landed";
                return Err(source.key_error(address.span().start, problem));
            }
        }
    }
    let some_of = |text: Option<Spanned<String>>| text.map(Spanned::into_inner).and_then(some);
    Ok(InboxSettings {
        queue: some(table.queue),
        topic: some_of(table.topic),
        sns_listen: some_of(table.sns_listen),
    })
}

fn listening_address(text: &str) -> Result<(), String> {
    let parts = text.rsplit_once(':');
    let is_address = parts.is_some_and(|(host, port)| {
        let is_port = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
        !host.is_empty() && is_port && port.parse::<u16>().is_ok()
    });
    if is_address {
        return Ok(());
    }
    Err(format!(
        "`{text}` is no address to listen on; allowed: address:port, such as 0.0.0.0:8080 or [::]:8080"
    ))
}

fn pipeline(source: &Source<'_>, table: &PipelineTable) -> Result<PipelineSettings, ConfigError> {
    let count = |count: &Spanned<u32>| match *count.get_ref() {
        value @ 1..=1024 => Ok(value as usize),
        value => {
            Err(source.key_error(count.span().start, &format!("{value} is out of range; allowed: 1 to 1024")))
        }
    };
    Ok(PipelineSettings { fetch_concurrency: count(&table.fetch_concurrency)? })
}

/// An empty string means that nothing was set.
fn some(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

fn filled<'a>(source: &Source<'_>, text: &'a Spanned<String>, allowed: &str) -> Result<&'a str, ConfigError> {
    match text.get_ref().as_str() {
        "" => Err(source.key_error(text.span().start, &format!("is empty; allowed: {allowed}"))),
        filled => Ok(filled),
    }
}
