//! Looks for files in a folder and all folders below it.

use std::fs::{self, DirEntry, Metadata};
use std::io;
use std::path::{Path, PathBuf};

use super::io_failure;
use super::store::TEMPORARY;
use crate::failure::Outcome;
use crate::ports::object_store::LONGEST_KEY;

/// One file found by a walk.
pub(super) enum Found<'a> {
    /// A regular file, or a link to one.
    File(FoundFile<'a>),
    /// It can have no key, see [`why_no_key`].
    Nameless(&'a Path),
}

/// A file with a key.
pub(super) struct FoundFile<'a> {
    /// Its key.
    pub(super) key: &'a str,
    entry: &'a DirEntry,
    linked: bool,
}

impl FoundFile<'_> {
    /// Of the file itself where it is a link. Asked relative to the open folder: the system then looks up one name
    /// instead of a whole path, which counts where there are many files.
    pub(super) fn metadata(&self) -> io::Result<Metadata> {
        if self.linked { fs::metadata(self.entry.path()) } else { self.entry.metadata() }
    }

    /// Where it lies.
    pub(super) fn path(&self) -> PathBuf {
        self.entry.path()
    }
}

/// Why a file cannot have a key, for whoever has to rename it.
pub(super) fn why_no_key(path: &Path) -> String {
    let why = match path.to_str() {
        None => "the name of this file is no UTF-8".to_owned(),
        Some(_) => format!("the path of this file has more than {LONGEST_KEY} bytes"),
    };
    format!("{why}, so it can be no document; rename it: {}", path.display())
}

/// Calls `visit` for each regular file below `root`. Folders that are links are not followed: they could lead round in a
/// circle. `.tmp` is left out where it is our own.
///
/// # Errors
/// The first folder that could not be read; `visit` has been called for what lies everywhere else.
pub(super) fn walk(root: &Path, own: bool, visit: &mut dyn FnMut(Found<'_>)) -> Outcome<()> {
    let mut walk = Walk { root, own, key: String::new(), visit };
    walk.folder(root, true)
}

struct Walk<'a> {
    root: &'a Path,
    own: bool,
    /// The key of the folder, with a `/` at its end; then of a file in it.
    key: String,
    visit: &'a mut dyn FnMut(Found<'_>),
}

impl Walk<'_> {
    /// `named` says whether what lies in the folder can have a key.
    fn folder(&mut self, folder: &Path, named: bool) -> Outcome<()> {
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) if folder != self.root && error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(io_failure("cannot read the folder", folder, &error)),
        };
        let mut whole = Ok(());
        for entry in entries {
            let entry = entry.map_err(|e| io_failure("cannot read the folder", folder, &e))?;
            whole = whole.and(self.entry(folder, &entry, named));
        }
        whole
    }

    fn entry(&mut self, folder: &Path, entry: &DirEntry, named: bool) -> Outcome<()> {
        let Ok(kind) = entry.file_type() else { return Ok(()) };
        let name = entry.file_name();
        let length = self.key.len();
        let named = match name.to_str().filter(|_| named) {
            Some(name) => {
                self.key.push_str(name);
                true
            }
            None => false,
        };
        let result = if kind.is_dir() {
            self.subfolder(folder, entry, named)
        } else {
            if kind.is_file() || entry.path().is_file() {
                self.file(entry, kind.is_symlink(), named);
            }
            Ok(())
        };
        self.key.truncate(length);
        result
    }

    fn subfolder(&mut self, folder: &Path, entry: &DirEntry, named: bool) -> Outcome<()> {
        if self.own && folder == self.root && entry.file_name() == TEMPORARY {
            return Ok(());
        }
        self.key.push('/');
        self.folder(&entry.path(), named)
    }

    fn file(&mut self, entry: &DirEntry, linked: bool, named: bool) {
        if named && self.key.len() <= LONGEST_KEY {
            (self.visit)(Found::File(FoundFile { key: &self.key, entry, linked }));
        } else {
            (self.visit)(Found::Nameless(&entry.path()));
        }
    }
}
