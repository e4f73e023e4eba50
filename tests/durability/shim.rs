//! `shim.c`, compiled and ready to be loaded into the built program.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/durability/shim.c");
/// Where nothing can be loaded into a program, and how to get one into which it can.
const NEEDS: &str =
    "a C compiler and a program for GNU/Linux that is linked with its C library as a shared one";

/// The compiled library; it lives as long as this.
pub(crate) struct Shim {
    folder: TempDir,
}

impl Shim {
    /// None where it cannot be had; then the test is skipped, and says so.
    pub(crate) fn new() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let shim = Self { folder };
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-O1", "-o"]).arg(shim.library()).args([SOURCE, "-ldl"]);
        let possible = cfg!(all(target_os = "linux", target_env = "gnu", not(target_feature = "crt-static")));
        if possible && Command::new("cc").arg("--version").output().is_ok() {
            let compiled = compiler.output().unwrap();
            assert!(compiled.status.success(), "{SOURCE}: {}", String::from_utf8_lossy(&compiled.stderr));
            return Some(shim);
        }
        let test = std::thread::current().name().unwrap_or("a test").to_owned();
        // Written past the test harness, which hides what passing tests print.
        let _ = writeln!(
            std::io::stderr(),
            "skipped: {test}, which needs {NEEDS}; to run it: apt-get install build-essential && scripts/test"
        );
        None
    }

    fn library(&self) -> PathBuf {
        self.folder.path().join("shim.so")
    }

    /// What a program has in its environment into which it is loaded.
    pub(crate) fn loaded(&self) -> (&'static str, String) {
        ("LD_PRELOAD", self.library().display().to_string())
    }

    /// The same with a log.
    pub(crate) fn logging(&self, log: &Path) -> [(&'static str, String); 2] {
        [self.loaded(), ("SHIM_LOG", log.display().to_string())]
    }

    /// The same with a folder that can turn read-only.
    pub(crate) fn over(&self, folder: &Path) -> ([(&'static str, String); 3], Disk) {
        let disk = Disk { switch: self.folder.path().join("read-only") };
        let variables = [
            self.loaded(),
            ("SHIM_FOLDER", folder.display().to_string()),
            ("SHIM_SWITCH", disk.switch.display().to_string()),
        ];
        (variables, disk)
    }
}

/// A disk under a folder, as the program sees it.
pub(crate) struct Disk {
    switch: PathBuf,
}

impl Disk {
    /// From now on whatever would change something is answered with EROFS.
    pub(crate) fn turn_read_only(&self) {
        File::create(&self.switch).unwrap();
    }

    /// It can be written again.
    pub(crate) fn turn_back(&self) {
        fs::remove_file(&self.switch).unwrap();
    }
}
