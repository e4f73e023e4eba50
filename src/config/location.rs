//! Where data is: folders, buckets, databases.

use std::fmt;
use std::path::PathBuf;

/// What the contract calls the bucket of a folder.
pub const FOLDER_BUCKET: &str = "local";

/// A place for objects: a folder on this machine, or a prefix in an S3 bucket.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Location {
    /// A folder; a relative one starts at the working directory.
    Folder(PathBuf),
    /// A bucket and a prefix in it, without slashes at its end; an empty prefix is the whole bucket.
    S3 {
        /// The bucket's name.
        bucket: String,
        /// Without a slash at the end.
        prefix: String,
    },
}

impl Location {
    /// Reads `s3://bucket/prefix` or a path. `s3://b/in` and `s3://b/in/` are the same. The error says what is allowed.
    pub fn parse(text: &str) -> Result<Self, String> {
        const ALLOWED: &str = "allowed: s3://bucket/prefix or the path of a folder";
        if let Some(rest) = text.strip_prefix("s3://") {
            let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
            if bucket.is_empty() {
                return Err(format!("`{text}` names no bucket; {ALLOWED}"));
            }
            return Ok(Self::S3 {
                bucket: bucket.to_owned(),
                prefix: prefix.trim_end_matches('/').to_owned(),
            });
        }
        if text.is_empty() {
            return Err(format!("is empty; {ALLOWED}"));
        }
        if text.contains("://") {
            return Err(format!("`{text}` is no place that can be used; {ALLOWED}"));
        }
        Ok(Self::Folder(PathBuf::from(text)))
    }

    /// The bucket as notifications and the ledger name it.
    pub fn bucket(&self) -> &str {
        match self {
            Self::Folder(_) => FOLDER_BUCKET,
            Self::S3 { bucket, .. } => bucket,
        }
    }

    /// What every key here begins with; empty for a folder, whose keys are relative to it.
    pub fn key_prefix(&self) -> &str {
        match self {
            Self::Folder(_) => "",
            Self::S3 { prefix, .. } => prefix,
        }
    }

    /// Whether the key lies here: under the prefix of a bucket, or anywhere in a folder (keys are relative to it).
    pub fn holds_key(&self, key: &str) -> bool {
        match self {
            Self::Folder(_) => true,
            Self::S3 { prefix, .. } if prefix.is_empty() => true,
            Self::S3 { prefix, .. } => {
                key.strip_prefix(prefix.as_str()).is_some_and(|rest| rest.starts_with('/'))
            }
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(path) => write!(f, "{}", path.display()),
            Self::S3 { bucket, prefix } if prefix.is_empty() => write!(f, "s3://{bucket}"),
            Self::S3 { bucket, prefix } => write!(f, "s3://{bucket}/{prefix}"),
        }
    }
}

/// Text that must not be shown: it can hold a password.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Hides `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the one who connects.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

/// Where the warehouse is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WarehouseLocation {
    /// The embedded warehouse: a SQLite database file.
    Sqlite(PathBuf),
    /// A PostgreSQL server's URL.
    Postgres(Secret),
}

impl WarehouseLocation {
    /// Reads `sqlite:path` or a `postgres://` URL. The error never repeats the text, which may hold a password.
    pub fn parse(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("sqlite:").filter(|path| !path.is_empty()) {
            return Ok(Self::Sqlite(PathBuf::from(path)));
        }
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            return Ok(Self::Postgres(Secret::new(text)));
        }
        Err("is no warehouse (its value is not shown, because it may hold a password); allowed: \
             sqlite:path/of/file.db or postgres://user:password@host:port/database?sslmode=verify-full"
            .to_owned())
    }
}

impl fmt::Display for WarehouseLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            Self::Postgres(secret) => write!(f, "postgres://{secret}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slash_at_the_end_of_a_prefix_means_nothing() {
        assert_eq!(Location::parse("s3://b/in/"), Location::parse("s3://b/in"));
        assert_eq!(Location::parse("s3://b/"), Location::parse("s3://b"));
        let inbox = Location::parse("s3://b/in").unwrap();
        assert_eq!(inbox.to_string(), "s3://b/in");
        assert!(inbox.holds_key("in/a.txt"));
        assert!(!inbox.holds_key("inner/a.txt"));
        assert!(!inbox.holds_key("in"));
    }

    #[test]
    fn a_warehouse_url_is_never_shown() {
        let warehouse = WarehouseLocation::parse("postgres://me:hunter2@db/x").unwrap();
        assert!(!format!("{warehouse} {warehouse:?}").contains("hunter2"));
        let error = WarehouseLocation::parse("postgre://me:hunter2@db/x").unwrap_err();
        assert!(!error.contains("hunter2"));
        assert!(WarehouseLocation::parse("sqlite:").is_err());
    }
}
