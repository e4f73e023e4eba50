//! Finds the published CSV objects in a curated folder, as a query engine would list them.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// One published CSV object of a table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Published {
    /// Its partition value.
    pub dt: String,
    /// Where it lies.
    pub path: PathBuf,
}

/// Every `<curated>/<table>/dt=YYYY-MM-DD/*.csv`, by partition and name; names that begin with a dot or an underscore are
/// nobody's, as they are for Athena. A folder that is not there holds nothing.
///
/// # Errors
/// A folder that is there and cannot be listed; the message names it.
pub fn published_objects(curated: &Path, table: &str) -> io::Result<Vec<Published>> {
    let mut objects = Vec::new();
    for folder in entries(&curated.join(table))? {
        let Some(dt) = folder.file_name().and_then(OsStr::to_str).and_then(partition_value) else { continue };
        if folder.is_dir() {
            let csv = entries(&folder)?.into_iter().filter(|path| is_published(path));
            objects.extend(csv.map(|path| Published { dt: dt.to_owned(), path }));
        }
    }
    objects.sort();
    Ok(objects)
}

fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let named =
        |error: io::Error| io::Error::new(error.kind(), format!("list {}: {error}", folder.display()));
    match fs::read_dir(folder) {
        Ok(entries) => {
            entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>().map_err(named)
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(named(error)),
    }
}

/// The value of a partition folder `dt=YYYY-MM-DD`.
fn partition_value(name: &str) -> Option<&str> {
    let value = name.strip_prefix("dt=")?;
    let dated = value.len() == 10
        && value.bytes().enumerate().all(|(index, byte)| match index {
            4 | 7 => byte == b'-',
            _ => byte.is_ascii_digit(),
        });
    dated.then_some(value)
}

fn is_published(path: &Path) -> bool {
    let name = path.file_name().and_then(OsStr::to_str).unwrap_or("");
    name.ends_with(".csv") && !name.starts_with(['.', '_']) && path.is_file()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_finished_objects_of_the_table_are_listed() {
        let root = tempfile::tempdir().unwrap();
        let put = |path: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        };
        for stray in [".tmp/t/dt=2024-01-01/a.csv", "t/a.csv", "t/dt=now/a.csv", "t/dt=2024-01-01/.a.csv"] {
            put(stray);
        }
        for stray in ["t/dt=2024-01-01/_a.csv", "t/dt=2024-01-01/a.csv.tmp", "u/dt=2024-01-01/a.csv"] {
            put(stray);
        }
        for object in ["t/dt=2024-01-02/a.csv", "t/dt=2024-01-01/c.csv", "t/dt=2024-01-01/b.csv"] {
            put(object);
        }
        let found = published_objects(root.path(), "t").unwrap();
        let found: Vec<_> = found
            .iter()
            .map(|object| object.path.strip_prefix(root.path()).unwrap().to_str().unwrap())
            .collect();
        assert_eq!(found, ["t/dt=2024-01-01/b.csv", "t/dt=2024-01-01/c.csv", "t/dt=2024-01-02/a.csv"]);
    }

    #[test]
    fn a_folder_that_is_not_there_holds_nothing() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(published_objects(&root.path().join("none"), "t").unwrap(), []);
    }
}
