//! Shell completions.

use clap::CommandFactory;
use clap_complete::Shell;

use super::args::Flags;
use super::exit::{Exit, Stop};

/// Prints the completions for `shell`.
pub(super) fn completions(shell: Shell) -> Result<Exit, Stop> {
    clap_complete::generate(shell, &mut Flags::command(), "sluicegate", &mut std::io::stdout());
    Ok(Exit::Fine)
}
