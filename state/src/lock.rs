//! Kernel file locks. The kernel frees them at any death, so nobody has to guess from a pid or an age who is alive.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;

use crate::StateError;

/// Opens or creates a lock file.
pub(crate) fn open(path: &Path) -> Result<File, StateError> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .map_err(StateError::io(path))
}

/// Takes the lock, or says that somebody has it.
pub(crate) fn try_lock(file: &File, path: &Path) -> Result<bool, StateError> {
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(StateError::io(path)(error)),
    }
}

/// The right to be the one drainer of a state folder. It ends with this value, or with the process.
#[derive(Debug)]
pub struct DrainerLock {
    _file: File,
}

impl DrainerLock {
    /// Takes the right and leaves `holder` in the file for others to read; where another process has it, the inner
    /// error is that one's text.
    pub fn acquire(folder: &Path, holder: &str) -> Result<Result<Self, String>, StateError> {
        crate::store::create_folder(folder)?;
        let path = folder.join("drainer.lock");
        let mut file = open(&path)?;
        if !try_lock(&file, &path)? {
            return Ok(Err(read_holder(&mut file)));
        }
        write_holder(&mut file, holder).map_err(StateError::io(&path))?;
        Ok(Ok(Self { _file: file }))
    }
}

fn read_holder(file: &mut File) -> String {
    let mut text = String::new();
    match file.read_to_string(&mut text) {
        Ok(_) if !text.trim().is_empty() => text.trim().to_owned(),
        // The holder has the lock but has not written yet.
        _ => "another process".to_owned(),
    }
}

fn write_holder(file: &mut File, holder: &str) -> std::io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    file.write_all(holder.as_bytes())
}
