//! Certificates for tests, made with the `openssl` program.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// Whether there is such a program; where there is none, says what is not tested.
pub(crate) fn is_there(what: &str) -> bool {
    let there = Command::new("openssl").arg("version").output().is_ok();
    if !there {
        println!("skipped: {what}: no openssl program; to run it: apt-get install openssl");
    }
    there
}

/// Runs `openssl` in a folder; the arguments are divided by single spaces.
pub(crate) fn openssl(folder: &Path, arguments: &str) {
    openssl_with(folder, arguments, b"");
}

/// The same with something to read; what it wrote.
pub(crate) fn openssl_with(folder: &Path, arguments: &str, input: &[u8]) -> Vec<u8> {
    let mut command = Command::new("openssl");
    command.args(arguments.split(' ')).current_dir(folder);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "openssl {arguments}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}
