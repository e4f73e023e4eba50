//! The binary while it runs, and after it ended.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::until;

/// A process under way; its output goes to files, so that it never waits for us.
pub(crate) struct Running {
    child: Child,
    words: String,
    stdout: PathBuf,
    stderr: PathBuf,
}

/// A process that ended.
#[derive(Debug)]
pub(crate) struct Ended {
    words: String,
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Running {
    pub(crate) fn start(mut command: Command, words: &[&str], output: PathBuf) -> Self {
        let stdout = output.with_extension("stdout");
        let stderr = output.with_extension("stderr");
        command.args(words);
        command.stdin(std::process::Stdio::null());
        command.stdout(File::create(&stdout).unwrap()).stderr(File::create(&stderr).unwrap());
        Self { child: command.spawn().unwrap(), words: words.join(" "), stdout, stderr }
    }

    /// Whether it has ended by itself.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// What it has said on stderr so far.
    pub(crate) fn told(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.stderr).unwrap()).into_owned()
    }

    /// `kill -9`.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by its name, such as `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success(), "{kill}");
    }

    /// The end, and how long it took to come.
    pub(crate) fn wait(mut self) -> (Ended, Duration) {
        let began = Instant::now();
        let words = format!("`sluicegate {}` to end", self.words);
        let status = until(&words, || self.child.try_wait().unwrap());
        let took = began.elapsed();
        let read = |path: &PathBuf| String::from_utf8(fs::read(path).unwrap()).expect("output is UTF-8");
        let (stdout, stderr) = (read(&self.stdout), read(&self.stderr));
        (Ended { words: self.words.clone(), status, stdout, stderr }, took)
    }

    /// The most memory that it has had resident so far, in KiB; none once it has ended.
    pub(crate) fn peak_kib(&self) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        line.trim().strip_suffix("kB")?.trim().parse().ok()
    }
}

/// A test that fails leaves no process behind.
impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Ended {
    /// Panics with all that is known unless the exit status is `code`.
    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Self {
        let words = &self.words;
        assert!(self.status.code() == Some(code), "`{words}` has to exit with {code}: {self:#?}");
        self
    }

    /// Panics unless stderr holds `words`.
    #[track_caller]
    pub(crate) fn tells(self, words: &str) -> Self {
        assert!(self.stderr.contains(words), "expected {words:?} on stderr: {self:#?}");
        self
    }

    /// Panics unless stdout holds `words`.
    #[track_caller]
    pub(crate) fn prints(self, words: &str) -> Self {
        assert!(self.stdout.contains(words), "expected {words:?} on stdout: {self:#?}");
        self
    }

    /// The one JSON object on one line that is alone on stdout.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        let line = self.stdout.strip_suffix('\n').unwrap_or_else(|| panic!("no line: {self:#?}"));
        assert!(!line.contains('\n'), "more than one line: {self:#?}");
        let value: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {self:#?}"));
        assert!(value.is_object(), "{self:#?}");
        value
    }
}
