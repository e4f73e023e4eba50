//! A small file system, which can be full or read-only.

use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;

/// A file system of its own in memory.
pub(crate) struct SmallDisk {
    pub(crate) path: PathBuf,
}

impl SmallDisk {
    /// None where this user may not mount; then the test is skipped, and says so.
    pub(crate) fn at(path: PathBuf, size: &str) -> Option<Self> {
        fs::create_dir_all(&path).unwrap();
        let mount = format!("mount -t tmpfs -o size={size} none '{}'", path.display());
        if shell(&mount) {
            return Some(Self { path });
        }
        eprintln!("SKIPPED, for mounting is not allowed here; to run it: sudo scripts/test");
        None
    }

    /// Takes all the space that is left.
    pub(crate) fn fill(&self) {
        let mut filler = File::create(self.filler()).unwrap();
        let mut bytes = 64 << 10;
        while bytes > 0 {
            // A page at the end, for a disk takes whole pages.
            if filler.write_all(&vec![0; bytes]).is_err() {
                bytes = if bytes > 4096 { 4096 } else { 0 };
            }
        }
    }

    pub(crate) fn free(&self) {
        fs::remove_file(self.filler()).unwrap();
    }

    fn filler(&self) -> PathBuf {
        self.path.join("filler")
    }

    pub(crate) fn remount(&self, how: &str) {
        assert!(shell(&format!("mount -o remount,{how} '{}'", self.path.display())), "remount {how}");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        shell(&format!("umount -l '{}'", self.path.display()));
    }
}

fn shell(command: &str) -> bool {
    Command::new("sh").args(["-c", command]).output().unwrap().status.success()
}
