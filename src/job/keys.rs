//! Which keys of the landing are a job's documents.

use regex::Regex;

/// A regular expression that is searched for in the whole decoded key (in a folder: the path relative to it).
#[derive(Debug, Clone)]
pub struct KeyPattern(Regex);

impl KeyPattern {
    /// Compiles a pattern. The error comes after the key's name.
    pub fn new(pattern: &str) -> Result<Self, String> {
        pattern_or_problem(pattern).map(Self)
    }

    /// Whether the key matches.
    pub fn is_match(&self, key: &str) -> bool {
        self.0.is_match(key)
    }

    /// The pattern as it was written.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

/// Compiles a regular expression of a job file; the error is one line that comes after the key's name.
pub(super) fn pattern_or_problem(pattern: &str) -> Result<Regex, String> {
    if pattern.is_empty() {
        return Err("is empty; allowed: a regular expression".to_owned());
    }
    Regex::new(pattern).map_err(|error| {
        let text = error.to_string();
        let last = text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
        format!("`{pattern}` is no regular expression that can be used: {last}")
    })
}
