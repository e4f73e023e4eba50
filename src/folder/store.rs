//! A folder as an object store. Objects are written in `.tmp`, fsynced and hard-linked into place, so that a name never
//! shows anything but a finished object, even after a kill, and an existing object is never replaced.

use std::fs::{self, File, FileType};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use sluicegate_state::canary::{Canary, sings};
use sluicegate_state::disk::{create_folder, sync_folder};

use crate::failure::{Failure, Outcome};
use crate::ports::object_store::{
    Announced, Fetched, Got, ObjectInfo, ObjectStore, PutAnswer, ReadSeek, Refusal, VersionSource,
};

use super::reader::StampedReader;
use super::walk::{Found, walk};
use super::{FileStamp, LOCAL_BUCKET, io_failure};

/// Where objects are written before they have a name.
pub(super) const TEMPORARY: &str = ".tmp";

/// Objects under one folder; keys are paths relative to it, with `/`.
pub struct FolderStore {
    root: PathBuf,
    /// The root is never made here: where it is not there, nothing is known about any object.
    kept: bool,
    next_temporary: AtomicU64,
}

impl FolderStore {
    /// A store over `root`, which need not exist yet.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into(), kept: false, next_temporary: AtomicU64::new(0) }
    }

    /// A store whose folder has to be there at every use. One that is not mounted must not be taken for an empty one,
    /// and nothing may be written below the place where it will be mounted again.
    pub fn kept(root: impl Into<PathBuf>) -> Self {
        Self { kept: true, ..Self::new(root) }
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

    /// For a store that is kept: trouble with the place, which passes when it is mounted again.
    fn kept_root_must_be_there(&self) -> Outcome<()> {
        match fs::metadata(&self.root) {
            Err(error) if self.kept && error.kind() == io::ErrorKind::NotFound => {
                let root = self.root.display();
                Err(Failure::transient(format!(
                    "the folder {root} is not there: mount it, or make it if it is lost for good: mkdir -p {root}"
                )))
            }
            _ => Ok(()),
        }
    }

    fn write_temporary(&self, body: &mut dyn ReadSeek, size: u64) -> Outcome<PathBuf> {
        let folder = self.root.join(TEMPORARY);
        let number = self.next_temporary.fetch_add(1, Ordering::Relaxed);
        let path = folder.join(format!("{}-{number}", std::process::id()));
        let mut write = || -> io::Result<()> {
            create_folder(&folder)?;
            body.rewind()?;
            // A process with this id may have died after it had linked a file of this name into place: it goes, and is never
            // written into.
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let mut file = File::create_new(&path)?;
            let written = io::copy(&mut body.take(size), &mut file)?;
            if written != size {
                return Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    format!("{written} of {size} bytes"),
                ));
            }
            file.flush()?;
            if sings(Canary::LinkedUnsynced) { Ok(()) } else { file.sync_all() }
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
        let (kind, stamp) = look_at(&file).map_err(|e| io_failure("cannot read", &path, &e))?;
        if !kind.is_file() {
            return Ok(Got::Refused(Refusal::NotFound));
        }
        let info = describe(announced.key, stamp);
        if info.etag != announced.etag && !sings(Canary::NoIfMatch) {
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
                self.kept_root_must_be_there()?;
                return Ok(None);
            }
            Err(error) => return Err(io_failure("cannot open", &path, &error)),
        };
        let (kind, stamp) = look_at(&file).map_err(|e| io_failure("cannot read", &path, &e))?;
        if !kind.is_file() {
            // A folder is a prefix of keys, and no object.
            return Ok(None);
        }
        let info = describe(key, stamp);
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
        self.kept_root_must_be_there()?;
        let temporary = self.write_temporary(body, size)?;
        let parent = path.parent().unwrap_or(&self.root).to_owned();
        create_folder(&parent).map_err(|e| io_failure("cannot make the folder", &parent, &e))?;
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
            if let Found::File(file) = found
                && file.key.starts_with(prefix)
            {
                files.push((file.key.to_owned(), file.path()));
            }
        })?;
        files.sort();
        for (key, path) in files {
            let Ok(file) = File::open(&path) else { continue };
            let (_, stamp) = look_at(&file).map_err(|e| io_failure("cannot read", &path, &e))?;
            visit(describe(&key, stamp))?;
        }
        Ok(())
    }
}

/// What an open file is, and its present state.
fn look_at(file: &File) -> io::Result<(FileType, FileStamp)> {
    let metadata = file.metadata()?;
    Ok((metadata.file_type(), FileStamp::of(&metadata)?))
}

fn describe(key: &str, stamp: FileStamp) -> ObjectInfo {
    ObjectInfo {
        key: key.to_owned(),
        size: stamp.size,
        etag: stamp.etag(),
        version: VersionSource::Content,
        last_modified: stamp.last_modified(),
        expires_at: None,
    }
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
    fn a_kept_folder_that_is_not_there_is_not_made_and_says_nothing_about_its_objects() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("not-mounted");
        let store = FolderStore::kept(&root);
        let refused = [
            store.get("a").err(),
            store.head("a").err(),
            store.list("", &mut |_| Ok(())).err(),
            store.put_new("a", &mut Cursor::new(b"x".to_vec()), 1, "").err(),
        ];
        for failure in refused {
            let failure = failure.expect("nobody knows what is there");
            assert_eq!(failure.kind, crate::failure::FailureKind::Transient, "{failure}");
            assert!(failure.message.contains("not-mounted"), "{failure}");
        }
        assert!(!root.exists());
        fs::create_dir(&root).unwrap();
        assert!(store.get("a").unwrap().is_none());
        assert_eq!(put(&store, "a", b"x"), PutAnswer::Written);
    }

    /// In a container every process may have the same id, and a command other than a drain clears nothing.
    #[test]
    fn what_a_dead_process_of_the_same_id_has_linked_into_place_is_never_written_into() {
        let folder = tempfile::tempdir().unwrap();
        let temporary = folder.path().join(TEMPORARY);
        fs::create_dir(&temporary).unwrap();
        let left = temporary.join(format!("{}-0", std::process::id()));
        fs::write(&left, "published").unwrap();
        fs::hard_link(&left, folder.path().join("a")).unwrap();
        let store = FolderStore::new(folder.path());
        assert_eq!(put(&store, "b", b"another one"), PutAnswer::Written);
        assert_eq!(fs::read(folder.path().join("a")).unwrap(), b"published");
        assert_eq!(fs::read(folder.path().join("b")).unwrap(), b"another one");
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
