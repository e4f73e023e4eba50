//! Files: landing them, and seeing that nobody touched them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Every file under `root` with its path relative to it; none where there is no such folder.
pub(crate) fn files_under(root: &Path) -> Vec<(String, PathBuf)> {
    let mut files = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        // A folder or a file may vanish while a drain is at work.
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.push(path);
            } else {
                let relative = path.strip_prefix(root).expect("it was found there");
                files.push((relative.to_str().expect("names are UTF-8").to_owned(), path));
            }
        }
    }
    files.sort();
    files
}

/// All that a folder holds: bytes and modification times.
#[derive(PartialEq, Eq)]
pub(crate) struct Snapshot(BTreeMap<String, (Vec<u8>, SystemTime)>);

impl Snapshot {
    pub(crate) fn of(root: &Path) -> Self {
        let read = |path: &Path| {
            let modified = fs::metadata(path).unwrap().modified().unwrap();
            (fs::read(path).unwrap(), modified)
        };
        Self(files_under(root).into_iter().map(|(name, path)| (name, read(&path))).collect())
    }

    pub(crate) fn bytes(&self, name: &str) -> Option<&[u8]> {
        self.0.get(name).map(|(bytes, _)| bytes.as_slice())
    }

    pub(crate) fn modified(&self, name: &str) -> Option<SystemTime> {
        self.0.get(name).map(|(_, modified)| *modified)
    }
}
