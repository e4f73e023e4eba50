//! The command line: parses the words, assembles the parts, runs the command and turns its end into an exit status.

mod args;
mod assemble;
mod bill;
mod catalog;
mod check;
mod completions;
mod demo;
mod demo_balance;
mod demo_files;
mod demo_kill;
mod drain;
mod exit;
mod jobs;
mod listen;
mod manager;
mod named;
mod operate;
mod output;
mod progress;
mod query;
mod reconcile;
mod rejects;
mod replay;
mod replay_args;
mod seam;
mod session;
mod show;
mod signals;
mod status;
mod stored;
mod summary;
mod try_archive;
mod try_file;

use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::EnvFilter;

use args::{Command, Flags};
use exit::{Exit, Stop};

/// Runs the program with the words of its command line.
pub fn main() -> ExitCode {
    let flags = match Flags::try_parse() {
        Ok(flags) => flags,
        Err(error) => {
            // `--help` and `--version` come this way too, and are no errors.
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage.into() } else { Exit::Fine.into() };
        }
    };
    start_logging(&flags);
    match flags.settled().and_then(|flags| run(&flags)) {
        Ok(exit) => exit.into(),
        Err(stop) => {
            eprintln!("sluicegate: {}", stop.message);
            stop.exit.into()
        }
    }
}

fn run(flags: &Flags) -> Result<Exit, Stop> {
    match &flags.command {
        Command::Demo(options) => demo::demo(flags, options),
        Command::Listen => listen::listen(flags),
        Command::Drain(options) => drain::drain(flags, options),
        Command::Run => drain::run(flags),
        Command::Jobs(command) => jobs::jobs(flags, command),
        Command::Status => status::status(flags),
        Command::Reconcile(options) => reconcile::reconcile(flags, options),
        Command::Query { sql, named } => query::query(flags, sql.as_deref(), named.as_ref()),
        Command::Catalog { apply } => catalog::catalog(flags, *apply),
        Command::Check => check::check(flags),
        Command::Try(options) => try_file::try_command(flags, options),
        Command::Completions { shell } => completions::completions(*shell),
    }
}

/// Logs go to stderr: stdout is data.
fn start_logging(flags: &Flags) {
    let level = match flags.verbose {
        0 => "warn",
        1 => "info",
        2 => "debug",
        _ => "trace",
    };
    // The demo is the same whatever the environment says.
    let from_environment = match flags.command {
        Command::Demo(_) => None,
        _ => EnvFilter::try_from_env("SLUICEGATE_LOG").ok(),
    };
    let filter = from_environment.unwrap_or_else(|| EnvFilter::new(level));
    let colours =
        std::io::IsTerminal::is_terminal(&std::io::stderr()) && std::env::var_os("NO_COLOR").is_none();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(colours)
        .with_target(false)
        // Else a log that lies on a full disk is complained about on the same disk, and that ends the program.
        .log_internal_errors(false)
        .init();
}
