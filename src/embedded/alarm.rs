//! Alarms without a service: a command, or lines in a file.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use crate::failure::{Failure, Outcome};
use crate::ports::alarm::{Alarm, Alert};

/// A command that takes longer is stopped: nobody may wait for it.
const LONGEST_RUN: Duration = Duration::from_secs(30);

/// Runs a command through the shell for each alert: the text on its standard input, and SLUICEGATE_ALERT,
/// SLUICEGATE_ALERT_SUBJECT in its environment.
pub struct CommandAlarm {
    command: String,
    longest_run: Duration,
}

impl CommandAlarm {
    /// An alarm that runs `command`.
    pub fn new(command: &str) -> Self {
        Self { command: command.to_owned(), longest_run: LONGEST_RUN }
    }

    fn run(&self, alert: &Alert) -> io::Result<ExitStatus> {
        let mut child = Command::new("/bin/sh")
            .args(["-c", &self.command])
            .env("SLUICEGATE_ALERT", &alert.key)
            .env("SLUICEGATE_ALERT_SUBJECT", &alert.subject)
            .stdin(Stdio::piped())
            // Standard output is for data.
            .stdout(Stdio::null())
            .spawn()?;
        let mut input = child.stdin.take().expect("it was asked for");
        let text = alert.text.clone();
        // A command that does not read would hold up whoever writes to it.
        let writer = std::thread::spawn(move || drop(input.write_all(text.as_bytes())));
        let status = self.wait(&mut child);
        if status.is_ok() {
            let _ = writer.join();
        }
        status
    }

    fn wait(&self, child: &mut Child) -> io::Result<ExitStatus> {
        let (done, ended) = mpsc::channel::<()>();
        let id = child.id();
        let limit = self.longest_run;
        let guard = std::thread::spawn(move || {
            if ended.recv_timeout(limit) == Err(mpsc::RecvTimeoutError::Timeout) {
                // The process is not waited for yet, so its number is still its own.
                let _ = Command::new("kill").args(["-KILL", &id.to_string()]).status();
            }
        });
        let status = child.wait();
        drop(done);
        let _ = guard.join();
        status
    }
}

impl Alarm for CommandAlarm {
    fn location(&self) -> String {
        "the command of [alert]".to_owned()
    }

    fn raise(&mut self, alert: &Alert) -> Outcome<()> {
        match self.run(alert) {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(Failure::transient(format!("the command ended with {status}"))),
            Err(error) => Err(Failure::transient(format!("the command cannot be run: {error}"))),
        }
    }
}

/// Appends one JSON object a line to a file, on disk before it counts.
pub struct FileAlarm {
    file: PathBuf,
}

impl FileAlarm {
    /// An alarm that appends to `file`.
    pub fn new(file: &Path) -> Self {
        Self { file: file.to_owned() }
    }

    fn append(&self, alert: &Alert) -> io::Result<()> {
        let at = chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
        let Alert { key, level, subject, text } = alert;
        let line =
            serde_json::json!({ "at": at, "alert": key, "level": level, "subject": subject, "text": text });
        let mut file = OpenOptions::new().create(true).append(true).open(&self.file)?;
        file.write_all(format!("{line}\n").as_bytes())?;
        file.sync_data()
    }
}

impl Alarm for FileAlarm {
    fn location(&self) -> String {
        format!("the file {}", self.file.display())
    }

    fn raise(&mut self, alert: &Alert) -> Outcome<()> {
        self.append(alert)
            .map_err(|error| Failure::transient(format!("cannot append to {}: {error}", self.file.display())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alert() -> Alert {
        let text = "412 documents\nWhat to do: …\n".to_owned();
        Alert { key: "expiring:invoices".to_owned(), level: 2, subject: "it's \"time\"".to_owned(), text }
    }

    #[test]
    fn a_command_gets_the_text_and_says_whether_it_told() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("out");
        let command =
            format!("(echo \"$SLUICEGATE_ALERT / $SLUICEGATE_ALERT_SUBJECT\"; cat) > {}", out.display());
        CommandAlarm::new(&command).raise(&alert()).unwrap();
        let told = std::fs::read_to_string(out).unwrap();
        assert_eq!(told, "expiring:invoices / it's \"time\"\n412 documents\nWhat to do: …\n");
        let refused = CommandAlarm::new("exit 7").raise(&alert()).unwrap_err();
        assert!(refused.message.contains('7'), "{refused}");
    }

    #[test]
    fn a_command_that_never_ends_is_stopped() {
        let mut alarm = CommandAlarm::new("exec sleep 600");
        alarm.longest_run = Duration::from_millis(100);
        assert!(alarm.raise(&alert()).is_err());
    }

    #[test]
    fn a_file_gets_one_line_an_alert() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("alerts.jsonl");
        let mut alarm = FileAlarm::new(&file);
        alarm.raise(&alert()).unwrap();
        alarm.raise(&alert()).unwrap();
        let text = std::fs::read_to_string(&file).unwrap();
        let lines: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 2);
        assert_eq!((&lines[0]["alert"], &lines[1]["level"]), (&"expiring:invoices".into(), &2.into()));
        assert!(FileAlarm::new(folder.path()).raise(&alert()).is_err());
    }
}
