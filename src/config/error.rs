//! The one error of configuration files.

use std::path::{Path, PathBuf};

/// A configuration or job file cannot be used. The displayed text is the whole message: file, line, key, what is
/// allowed. It never holds a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{message}", place(.file.as_deref(), *.line))]
pub struct ConfigError {
    /// The file, where the error belongs to one.
    pub file: Option<PathBuf>,
    /// The line in it, from 1.
    pub line: Option<usize>,
    /// A lower-case fragment for people.
    pub message: String,
}

impl ConfigError {
    /// An error that belongs to no file.
    pub fn general(message: impl Into<String>) -> Self {
        Self { file: None, line: None, message: message.into() }
    }

    /// An error of a whole file.
    pub fn in_file(file: &Path, message: impl Into<String>) -> Self {
        Self { file: Some(file.to_owned()), line: None, message: message.into() }
    }
}

fn place(file: Option<&Path>, line: Option<usize>) -> String {
    match (file, line) {
        (Some(file), Some(line)) => format!("{}:{line}: ", file.display()),
        (Some(file), None) => format!("{}: ", file.display()),
        (None, _) => String::new(),
    }
}
