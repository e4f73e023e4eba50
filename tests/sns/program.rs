//! The built program with an endpoint, and the test's network around it.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use sluicegate_state::Store;
use sluicegate_state::seam::Seam;
use tempfile::TempDir;

use crate::authority::{Authority, authority};
use crate::message::{CERTIFICATE_URL, Message, TOPIC};
use crate::proxy::{Page, Proxy};
use crate::world::until;

/// One installation of its own, whose documents land in the bucket `landing`.
pub(crate) struct Program {
    pub(crate) authority: &'static Authority,
    pub(crate) proxy: Proxy,
    pub(crate) variables: Vec<(String, String)>,
    folder: TempDir,
}

/// A process under way.
pub(crate) struct Running {
    pub(crate) child: Child,
    log: PathBuf,
}

impl Program {
    /// None where there is no `openssl`.
    pub(crate) fn new() -> Option<Self> {
        Self::facing("host")
    }

    /// The same with another certificate of SNS's host.
    pub(crate) fn facing(host: &str) -> Option<Self> {
        let authority = authority()?;
        let folder = tempfile::tempdir().unwrap();
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR"));
        fs::create_dir(folder.path().join("jobs")).unwrap();
        for file in ["sluicegate.toml", "jobs/invoices.toml"] {
            fs::copy(shipped.join(file), folder.path().join(file)).unwrap();
        }
        let proxy = Proxy::start(authority, host);
        proxy.put(CERTIFICATE_URL, Page::Body(authority.pem(crate::authority::SNS)));
        let variables = [
            ("SLUICEGATE_LANDING", "s3://landing".to_owned()),
            ("SLUICEGATE_TOPIC", TOPIC.to_owned()),
            ("SLUICEGATE_SNS_LISTEN", "127.0.0.1:0".to_owned()),
            ("HTTPS_PROXY", format!("http://{}", proxy.address)),
            ("SSL_CERT_FILE", authority.path().join("ca.pem").display().to_string()),
            ("AWS_REGION", "eu-west-1".to_owned()),
            ("AWS_ACCESS_KEY_ID", "test".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "test".to_owned()),
            ("AWS_ENDPOINT_URL", "http://127.0.0.1:1".to_owned()),
        ];
        let variables = variables.map(|(name, value)| (name.to_owned(), value)).to_vec();
        Some(Self { authority, proxy, variables, folder })
    }

    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.variables.retain(|(known, _)| known != name);
        self.variables.push((name.to_owned(), value.to_owned()));
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sluicegate"));
        command.args(words).current_dir(self.folder.path()).env_clear();
        command.envs(self.variables.iter().map(|(name, value)| (name, value))).stdin(Stdio::null());
        command
    }

    /// Runs to the end.
    pub(crate) fn run(&self, words: &[&str]) -> Output {
        self.command(words).output().unwrap()
    }

    /// Starts; what it logs goes to a file.
    pub(crate) fn start(&self, words: &[&str]) -> Running {
        let log = self.path("log");
        let mut command = self.command(words);
        command.arg("-v").stdout(Stdio::null()).stderr(File::create(&log).unwrap());
        Running { child: command.spawn().unwrap(), log }
    }

    pub(crate) fn store(&self) -> Store {
        Store::open(&self.path("var"), Seam::default()).unwrap()
    }

    pub(crate) fn landed(&self, key: &str) -> Message {
        Message::landed(key, chrono::Utc::now()).signed(self.authority)
    }
}

impl Running {
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// Where it listens, once it does.
    #[track_caller]
    pub(crate) fn address(&mut self) -> SocketAddr {
        let mut found = None;
        until("it listens", || {
            let log = self.log();
            assert!(self.child.try_wait().unwrap().is_none(), "it has ended: {log}");
            let told = log.split_once("listening for SNS on ").and_then(|(_, rest)| rest.split_once(": "));
            found = told.and_then(|(address, _)| address.parse().ok());
            found.is_some()
        });
        found.unwrap()
    }

    /// Sends a signal by its name.
    pub(crate) fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success(), "{kill}");
    }
}

/// A test that fails leaves no process behind.
impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
