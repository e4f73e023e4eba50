//! A run of a command that changes things: its incarnation, its entry in the command log.

use std::sync::Arc;

use sluicegate_state::seam::Seam;
use sluicegate_state::{Incarnation, Store};

use crate::config::Config;
use crate::ports::clock::Clock;

use super::args::Flags;
use super::exit::{Exit, Stop};

/// Loads the configuration as the command line and the environment say.
pub(super) fn load_config(flags: &Flags) -> Result<Config, Stop> {
    Ok(crate::config::load(flags.config.as_deref(), &|name| std::env::var(name).ok())?)
}

/// The name of this machine, for people.
pub(super) fn host() -> String {
    // A hardened unit hides most of /proc.
    let files = ["/proc/sys/kernel/hostname", "/etc/hostname"];
    let from_file = || files.iter().find_map(|file| std::fs::read_to_string(file).ok());
    let name = std::env::var("HOSTNAME").ok().or_else(from_file).unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { "unknown".to_owned() } else { name.to_owned() }
}

/// Sixteen hexadecimal digits that no other process start has.
pub(super) fn fresh_id() -> Result<String, Stop> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes)
        .map_err(|e| Stop::failed(format!("the system gives no random bytes: {e}")))?;
    Ok(hex::encode(bytes))
}

/// An incarnation at work.
pub(super) struct Session {
    store: Store,
    incarnation: Option<Incarnation>,
    clock: Arc<dyn Clock>,
    command: i64,
}

impl Session {
    /// Makes sure of the state where somebody died over it, buries the dead, then begins an incarnation and an entry in the
    /// command log.
    pub(super) fn begin(config: &Config, seam: Seam, clock: Arc<dyn Clock>) -> Result<Self, Stop> {
        let mut store = Store::open(&config.settings.state, seam)?;
        let now = clock.now();
        store.check_after_death()?;
        for dead in store.bury_dead(now)? {
            tracing::info!(incarnation = %dead, "an earlier process died; its work goes on from where it was");
        }
        let version = env!("CARGO_PKG_VERSION");
        let incarnation = store.begin_incarnation(&fresh_id()?, &host(), std::process::id(), version, now)?;
        let words: Vec<String> = std::env::args().collect();
        let command = store.command_started(incarnation.id(), &words, now)?;
        Ok(Self { store, incarnation: Some(incarnation), clock, command })
    }

    /// This process's incarnation id.
    pub(super) fn incarnation(&self) -> &str {
        self.incarnation.as_ref().expect("it is taken only at the end").id()
    }

    /// The session's own state connection.
    pub(super) fn store(&mut self) -> &mut Store {
        &mut self.store
    }

    /// Records the end.
    pub(super) fn end(mut self, exit: Exit) -> Result<Exit, Stop> {
        let now = self.clock.now();
        self.store.command_ended(self.command, i32::from(exit.code()), now)?;
        if let Some(incarnation) = self.incarnation.take() {
            self.store.end_incarnation(incarnation, now)?;
        }
        Ok(exit)
    }
}
