//! The built binary: what was rejected is loaded once, out of the archive alone, into PostgreSQL.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, SystemTime};

use crate::server::Database;

const RIGHT: &str = r#"label = "Customer-ID""#;
const WRONG: &str = r#"label = "Customer-No""#;

fn invoice(number: u32) -> String {
    format!(
        "****\n Invoice\n****\nCustomer-ID: C\nInv-ID: {number}\nDated: Mar 1 2026\nFrom: A\nTo: B\nAmount: 10\nSGST: 1\n\
         Total: 11\nInWords: eleven\n\nItems\n1) Lamp, 10, 1\n"
    )
}

fn run(folder: &Path, database: &Database, words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sluicegate"));
    command.current_dir(folder).env_clear().env("SLUICEGATE_WAREHOUSE", &database.url);
    command.args(words).output().unwrap()
}

#[track_caller]
fn exits(output: &Output, code: i32) {
    assert_eq!(output.status.code(), Some(code), "{output:?}");
}

fn edit_job(folder: &Path, from: &str, to: &str) {
    let job = folder.join("jobs/invoices.toml");
    let text = fs::read_to_string(&job).unwrap();
    assert!(text.contains(from));
    fs::write(&job, text.replacen(from, to, 1)).unwrap();
}

#[test]
fn rejects_are_replayed_into_postgres_once_whatever_was_killed() {
    let Some(database) = Database::new() else { return };
    let root = tempfile::tempdir().unwrap();
    let folder = root.path();
    fs::create_dir_all(folder.join("jobs")).unwrap();
    fs::create_dir_all(folder.join("var/landing")).unwrap();
    fs::write(folder.join("sluicegate.toml"), include_str!("../../sluicegate.toml")).unwrap();
    fs::write(folder.join("jobs/invoices.toml"), include_str!("../../jobs/invoices.toml")).unwrap();
    edit_job(folder, "documents = 1000", "documents = 3");
    edit_job(folder, RIGHT, WRONG);
    for number in 0..10 {
        let path = folder.join(format!("var/landing/{number}.txt"));
        fs::write(&path, invoice(number)).unwrap();
        let landed = SystemTime::now() - Duration::from_secs(60);
        fs::File::options().write(true).open(&path).unwrap().set_modified(landed).unwrap();
    }
    exits(&run(folder, &database, &["drain"]), 3);
    fs::remove_dir_all(folder.join("var/landing")).unwrap();
    fs::create_dir(folder.join("var/landing")).unwrap();
    edit_job(folder, WRONG, RIGHT);
    let words = ["jobs", "replay", "--rejected", "--yes"];
    for pause in [5, 40, 90, 140, 200] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sluicegate"));
        command.current_dir(folder).env_clear().env("SLUICEGATE_WAREHOUSE", &database.url);
        let mut child = command.args(words).stdout(std::process::Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(pause));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    exits(&run(folder, &database, &words), 0);
    let rows = "SELECT (SELECT count(*) FROM invoices), (SELECT count(*) FROM invoice_items),
                       (SELECT count(*) FROM sluicegate.document WHERE outcome = 'loaded'),
                       (SELECT count(*) FROM sluicegate.verdict WHERE outcome = 'loaded'),
                       (SELECT count(*) FROM sluicegate.batch WHERE published_at IS NULL)";
    assert_eq!(database.select(rows), [["10", "10", "10", "10", "0"]]);
    let again = run(folder, &database, &words);
    exits(&again, 0);
    assert!(String::from_utf8_lossy(&again.stdout).contains("nothing to replay"), "{again:?}");
    exits(&run(folder, &database, &["jobs", "hold", "invoices"]), 0);
    let rejects = run(folder, &database, &["jobs", "rejects", "--history", "--output", "json"]);
    exits(&rejects, 0);
    assert!(String::from_utf8_lossy(&rejects.stdout).contains("\"documents\":10"), "{rejects:?}");
}
