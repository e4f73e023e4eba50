//! Finding and loading the configuration with its jobs.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::Environment;
use super::error::ConfigError;
use super::interpolate::resolve;
use super::overlap;
use super::settings::{self, Settings};
use super::source::Source;
use crate::job::Job;

/// The variable that names the configuration file.
pub const CONFIG_VARIABLE: &str = "SLUICEGATE_CONFIG";

const IN_WORKING_DIRECTORY: &str = "sluicegate.toml";
const ON_THE_MACHINE: &str = "/etc/sluicegate/sluicegate.toml";

const SHIPPED_SETTINGS: &str = include_str!("../../sluicegate.toml");
const SHIPPED_JOB: &str = include_str!("../../jobs/invoices.toml");

/// Everything that was configured.
#[derive(Debug, Clone)]
pub struct Config {
    /// The configuration file that was found.
    pub file: PathBuf,
    /// What it says.
    pub settings: Settings,
    /// The jobs, in the order of their file names; at least one.
    pub jobs: Vec<Job>,
}

/// Loads the file that was named (`--config`, then `$SLUICEGATE_CONFIG`), or else the first one there is of
/// `./sluicegate.toml` and `/etc/sluicegate/sluicegate.toml`, and every job beside it.
///
/// # Errors
/// The whole message is in the error: file, line, key and what is allowed there.
pub fn load(explicit: Option<&Path>, env: Environment<'_>) -> Result<Config, ConfigError> {
    let (file, raw) = find(explicit, env)?;
    let text = resolve(&file, &raw, env)?;
    let (settings, jobs) = settings::parse(&file, &text)?;
    let folder = file.parent().unwrap_or(Path::new("")).join(jobs.get_ref());
    let source = Source::new(&file, &text);
    let files = job_files(&folder).map_err(|problem| source.key_error(jobs.span().start, &problem))?;
    let jobs = files.iter().map(|file| load_job(file, env)).collect::<Result<Vec<_>, _>>()?;
    overlap::check(&jobs)?;
    Ok(Config { file, settings, jobs })
}

/// The shipped configuration with all its data under `root`, whatever the environment says.
pub fn demo(root: &Path) -> Config {
    let under = |name: &str| root.join(name).display().to_string();
    let env = |name: &str| match name {
        "SLUICEGATE_STATE" => Some(under("state")),
        "SLUICEGATE_LANDING" => Some(under("landing")),
        "SLUICEGATE_CURATED" => Some(under("curated")),
        "SLUICEGATE_ARCHIVE" => Some(under("archive")),
        "SLUICEGATE_WAREHOUSE" => Some(format!("sqlite:{}", under("warehouse.db"))),
        _ => None,
    };
    shipped(&env).expect("a test holds that the shipped files are right; the root only adds a path to them")
}

fn shipped(env: Environment<'_>) -> Result<Config, ConfigError> {
    let file = PathBuf::from(IN_WORKING_DIRECTORY);
    let text = resolve(&file, SHIPPED_SETTINGS, env)?;
    let (settings, _) = settings::parse(&file, &text)?;
    let job = Job::parse(Path::new("jobs/invoices.toml"), SHIPPED_JOB, env)?;
    Ok(Config { file, settings, jobs: vec![job] })
}

fn find(explicit: Option<&Path>, env: Environment<'_>) -> Result<(PathBuf, String), ConfigError> {
    let from_variable = env(CONFIG_VARIABLE).filter(|path| !path.is_empty()).map(PathBuf::from);
    if let Some(named) = explicit.map(Path::to_owned).or(from_variable) {
        return match fs::read_to_string(&named) {
            Ok(raw) => Ok((named, raw)),
            Err(error) => Err(unreadable(&named, &error)),
        };
    }
    for candidate in [IN_WORKING_DIRECTORY, ON_THE_MACHINE] {
        match fs::read_to_string(candidate) {
            Ok(raw) => return Ok((PathBuf::from(candidate), raw)),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(unreadable(Path::new(candidate), &error)),
        }
    }
    Err(ConfigError::general(format!(
        "no configuration file: --config was not given, {CONFIG_VARIABLE} is not set, and there is neither \
         ./{IN_WORKING_DIRECTORY} nor {ON_THE_MACHINE}; name a file, or start where the shipped {IN_WORKING_DIRECTORY} is"
    )))
}

fn unreadable(file: &Path, error: &std::io::Error) -> ConfigError {
    ConfigError::in_file(file, format!("cannot be read: {error}"))
}

/// The `*.toml` files of the folder by name. The error comes after the key `jobs`.
fn job_files(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let unreadable =
        |error: std::io::Error| format!("the folder {} cannot be read: {error}", folder.display());
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            files.push(path);
        }
    }
    files.sort();
    if files.is_empty() {
        return Err(format!("there is no job (no *.toml file) in {}", folder.display()));
    }
    Ok(files)
}

fn load_job(file: &Path, env: Environment<'_>) -> Result<Job, ConfigError> {
    let raw = fs::read_to_string(file).map_err(|error| unreadable(file, &error))?;
    Job::parse(file, &raw, env)
}
