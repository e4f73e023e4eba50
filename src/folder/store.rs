//! A folder as an object store. Objects are written in `.tmp`, fsynced and hard-linked into place, so that a name never
//! shows anything but a finished object, even after a kill, and an existing object is never replaced.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::failure::{Failure, Outcome};
use crate::ports::object_store::{
    Announced, Fetched, Got, ObjectInfo, ObjectStore, PutAnswer, ReadSeek, Refusal, VersionSource,
};

use super::reader::StampedReader;
use super::{FileStamp, LOCAL_BUCKET, io_failure};

const TEMPORARY: &str = ".tmp";

/// Objects under one folder; keys are paths relative to it, with `/`.
pub struct FolderStore {
    root: PathBuf,
    next_temporary: AtomicU64,
}

impl FolderStore {
    /// A store over `root`, which need not exist yet.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into(), next_temporary: AtomicU64::new(0) }
    }

    /// Removes what a killed process left in `.tmp`; called once at the start of a drainer.
    pub fn clear_temporary(&self) -> Outcome<()> {
        let folder = self.root.join(TEMPORARY);
        match fs::remove_dir_all(&folder) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(io_failure("cannot clear", &folder, &error)),
        }
    }

    /// The file of a key; a key that would leave the folder has none.
    fn path(&self, key: &str) -> Option<PathBuf> {
        let relative = Path::new(key);
        let inside =
            !key.is_empty() && relative.components().all(|part| matches!(part, Component::Normal(_)));
        inside.then(|| self.root.join(relative))
    }

    fn own_path(&self, key: &str) -> Outcome<PathBuf> {
        self.path(key)
            .ok_or_else(|| Failure::permanent(format!("{key:?} is no key inside {}", self.location())))
    }

    /// A landing that is not there (not yet made, or not mounted) says nothing about any document.
    fn root_must_exist(&self) -> Outcome<()> {
        match fs::metadata(&self.root) {
            Ok(metadata) if metadata.is_dir() => Ok(()),
            Ok(_) => Err(Failure::permanent(format!("{} is not a folder", self.root.display()))),
            Err(error) => Err(io_failure("cannot open the folder", &self.root, &error)),
        }
    }

    fn write_temporary(&self, body: &mut dyn ReadSeek, size: u64) -> Outcome<PathBuf> {
        let folder = self.root.join(TEMPORARY);
        let number = self.next_temporary.fetch_add(1, Ordering::Relaxed);
        let path = folder.join(format!("{}-{number}", std::process::id()));
        let mut write = || -> io::Result<()> {
            fs::create_dir_all(&folder)?;
            body.rewind()?;
            let mut file = File::create(&path)?;
            let written = io::copy(&mut body.take(size), &mut file)?;
            if written != size {
                return Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    format!("{written} of {size} bytes"),
                ));
            }
            file.flush()?;
            file.sync_all()
        };
        write().map_err(|error| io_failure("cannot write", &path, &error))?;
        Ok(path)
    }
}

impl ObjectStore for FolderStore {
    fn bucket(&self) -> &str {
        LOCAL_BUCKET
    }

    fn location(&self) -> String {
        self.root.display().to_string()
    }

    fn get_announced(&self, announced: &Announced<'_>) -> Outcome<Got> {
        let Some(path) = self.path(announced.key) else { return Ok(Got::Refused(Refusal::NotFound)) };
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) => {
                self.root_must_exist()?;
                return refusal(&path, &error).map(Got::Refused);
            }
        };
        let (stamp, info) =
            describe(announced.key, &file).map_err(|e| io_failure("cannot read", &path, &e))?;
        let is_file = file.metadata().is_ok_and(|metadata| metadata.is_file());
        if !is_file {
            return Ok(Got::Refused(Refusal::NotFound));
        }
        if info.etag != announced.etag {
            return Ok(Got::Refused(Refusal::Overwritten));
        }
        Ok(Got::Object(Fetched { info, body: Box::new(StampedReader::new(file, stamp)) }))
    }

    fn get(&self, key: &str) -> Outcome<Option<Fetched>> {
        let path = self.own_path(key)?;
        let file = match File::open(&path) {
            Ok(file) => file,
            // A file where the key has a folder: below it there is nothing.
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(None);
            }
            Err(error) => return Err(io_failure("cannot open", &path, &error)),
        };
        if !file.metadata().is_ok_and(|metadata| metadata.is_file()) {
            // A folder is a prefix of keys, and no object.
            return Ok(None);
        }
        let (stamp, info) = describe(key, &file).map_err(|e| io_failure("cannot read", &path, &e))?;
        Ok(Some(Fetched { info, body: Box::new(StampedReader::new(file, stamp)) }))
    }

    fn get_range(&self, key: &str, offset: u64, length: u64) -> Outcome<Option<Box<dyn Read + Send>>> {
        if self.get(key)?.is_none() {
            return Ok(None);
        }
        let path = self.own_path(key)?;
        let open = || {
            let mut file = File::open(&path)?;
            file.seek(SeekFrom::Start(offset))?;
            Ok(file)
        };
        let file = open().map_err(|error| io_failure("cannot read", &path, &error))?;
        Ok(Some(Box::new(file.take(length))))
    }

    fn head(&self, key: &str) -> Outcome<Option<ObjectInfo>> {
        Ok(self.get(key)?.map(|fetched| fetched.info))
    }

    fn put_new(&self, key: &str, body: &mut dyn ReadSeek, size: u64, _sha256: &str) -> Outcome<PutAnswer> {
        let path = self.own_path(key)?;
        let temporary = self.write_temporary(body, size)?;
        let parent = path.parent().unwrap_or(&self.root).to_owned();
        create_folders_durably(&parent).map_err(|e| io_failure("cannot make the folder", &parent, &e))?;
        let linked = fs::hard_link(&temporary, &path);
        // The temporary name has done its work whatever came of the link; a leftover is cleared at the next start.
        let _ = fs::remove_file(&temporary);
        match linked {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(PutAnswer::Exists),
            Err(error) => return Err(io_failure("cannot link into place", &path, &error)),
        }
        sync_folder(&parent).map_err(|e| io_failure("cannot sync the folder", &parent, &e))?;
        Ok(PutAnswer::Written)
    }

    fn list(&self, prefix: &str, visit: &mut dyn FnMut(ObjectInfo) -> Outcome<()>) -> Outcome<()> {
        self.root_must_exist()?;
        let mut files = Vec::new();
        walk(&self.root, true, &mut |found| {
            if let Found::File(key, path) = found
                && key.starts_with(prefix)
            {
                files.push((key.to_owned(), path.to_owned()));
            }
        })?;
        files.sort();
        for (key, path) in files {
            let Ok(file) = File::open(&path) else { continue };
            let (_, info) = describe(&key, &file).map_err(|e| io_failure("cannot read", &path, &e))?;
            visit(info)?;
        }
        Ok(())
    }
}

fn describe(key: &str, file: &File) -> io::Result<(FileStamp, ObjectInfo)> {
    let stamp = FileStamp::of(&file.metadata()?)?;
    let info = ObjectInfo {
        key: key.to_owned(),
        size: stamp.size,
        etag: stamp.etag(),
        version: VersionSource::Content,
        last_modified: stamp.last_modified(),
        expires_at: None,
    };
    Ok((stamp, info))
}

fn refusal(path: &Path, error: &io::Error) -> Outcome<Refusal> {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Ok(Refusal::NotFound),
        io::ErrorKind::PermissionDenied => Ok(Refusal::Forbidden(error.to_string())),
        io::ErrorKind::InvalidFilename | io::ErrorKind::InvalidInput => {
            Ok(Refusal::BadRequest(error.to_string()))
        }
        _ => Err(io_failure("cannot open", path, error)),
    }
}

/// Makes a folder and its parents so that they survive a power cut.
fn create_folders_durably(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    create_folders_durably(parent)?;
    match fs::create_dir(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => sync_folder(parent),
    }
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// One file found by a walk.
pub(super) enum Found<'a> {
    /// Its key, and where it lies.
    File(&'a str, &'a Path),
    /// Its name is no UTF-8, so that it cannot have a key.
    Nameless(&'a Path),
}

/// Calls `visit` for each regular file below `root`. Folders that are links are not followed: they could lead round in a
/// circle. `.tmp` is left out where it is our own.
pub(super) fn walk(root: &Path, own: bool, visit: &mut dyn FnMut(Found<'_>)) -> Outcome<()> {
    walk_folder(root, root, own, visit)
}

fn walk_folder(root: &Path, folder: &Path, own: bool, visit: &mut dyn FnMut(Found<'_>)) -> Outcome<()> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if folder != root && error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(io_failure("cannot read the folder", folder, &error)),
    };
    for entry in entries {
        let entry = entry.map_err(|e| io_failure("cannot read the folder", folder, &e))?;
        let path = entry.path();
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_dir() {
            if !(own && folder == root && entry.file_name() == TEMPORARY) {
                walk_folder(root, &path, own, visit)?;
            }
        } else if kind.is_file() || path.is_file() {
            match key_of(root, &path) {
                Some(key) => visit(Found::File(&key, &path)),
                None => visit(Found::Nameless(&path)),
            }
        }
    }
    Ok(())
}

/// The key of a path, unless its name is no UTF-8.
fn key_of(root: &Path, path: &Path) -> Option<String> {
    let relative = path.strip_prefix(root).ok()?;
    let parts: Option<Vec<_>> = relative.components().map(|part| part.as_os_str().to_str()).collect();
    Some(parts?.join("/"))
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn put(store: &FolderStore, key: &str, bytes: &[u8]) -> PutAnswer {
        store.put_new(key, &mut Cursor::new(bytes.to_vec()), bytes.len() as u64, "").unwrap()
    }

    #[test]
    fn an_existing_object_is_never_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let store = FolderStore::new(folder.path());
        assert_eq!(put(&store, "a/b.csv", b"first"), PutAnswer::Written);
        assert_eq!(put(&store, "a/b.csv", b"second"), PutAnswer::Exists);
        assert_eq!(fs::read(folder.path().join("a/b.csv")).unwrap(), b"first");
        assert_eq!(fs::read_dir(folder.path().join(TEMPORARY)).unwrap().count(), 0);
    }

    #[test]
    fn a_key_that_leaves_the_folder_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let store = FolderStore::new(folder.path().join("landing"));
        assert!(store.get("../secret").is_err());
        let announced = Announced { key: "../secret", version_id: None, etag: "1-1" };
        assert!(matches!(store.get_announced(&announced), Ok(Got::Refused(Refusal::NotFound))));
    }

    #[test]
    fn a_landing_that_is_not_there_says_nothing_about_its_documents() {
        let folder = tempfile::tempdir().unwrap();
        let store = FolderStore::new(folder.path().join("not-mounted"));
        let announced = Announced { key: "a.txt", version_id: None, etag: "1-1" };
        assert!(store.get_announced(&announced).is_err());
    }

    #[test]
    fn a_file_that_changes_while_it_is_read_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        fs::write(&path, "first").unwrap();
        let store = FolderStore::new(folder.path());
        let etag = store.head("a.txt").unwrap().unwrap().etag;
        let announced = Announced { key: "a.txt", version_id: None, etag: &etag };
        let Got::Object(mut fetched) = store.get_announced(&announced).unwrap() else { panic!("refused") };
        fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(b" and more").unwrap();
        let error = io::copy(&mut fetched.body, &mut io::sink()).unwrap_err();
        assert!(crate::ports::object_store::was_overwritten(&error), "{error}");
        assert!(matches!(store.get_announced(&announced), Ok(Got::Refused(Refusal::Overwritten))));
    }
}
