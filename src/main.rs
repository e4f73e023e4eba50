//! The `sluicegate` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    sluicegate::cli::main()
}
