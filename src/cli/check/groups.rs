//! Groups of findings, each looked for in a thread of its own.

use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use crate::check::Finding;

type Look = Box<dyn FnOnce() -> Vec<Finding> + Send>;

/// What shall be looked at.
#[derive(Default)]
pub(super) struct Groups {
    groups: Vec<(String, Look)>,
}

impl Groups {
    pub(super) fn add(
        &mut self,
        name: impl Into<String>,
        look: impl FnOnce() -> Vec<Finding> + Send + 'static,
    ) {
        self.groups.push((name.into(), Box::new(look)));
    }

    /// Looks at everything at once; the findings come in the order of the groups. A group that has not ended in time is
    /// left behind: the program ends soon, and its thread with it.
    pub(super) fn run(self, patience: Duration) -> Vec<Finding> {
        let (sender, receiver) = channel();
        let deadline = Instant::now() + patience;
        let mut found: Vec<(String, Option<Vec<Finding>>)> = Vec::new();
        for (index, (name, look)) in self.groups.into_iter().enumerate() {
            let sender = sender.clone();
            let named = std::thread::Builder::new().name(format!("check {name}"));
            // A thread that cannot be started tells nothing, like one that does not end.
            let _ = named.spawn(move || sender.send((index, look())));
            found.push((name, None));
        }
        drop(sender);
        // It ends when every thread has, or when there is no time left.
        while let Ok((index, findings)) =
            receiver.recv_timeout(deadline.saturating_duration_since(Instant::now()))
        {
            found[index].1 = Some(findings);
        }
        let in_order = found.into_iter().map(|(name, findings)| {
            findings.unwrap_or_else(|| {
                let found = format!("no answer within {} seconds", patience.as_secs());
                vec![Finding::wrong(name, found, "see whether it can be reached from this machine")]
            })
        });
        in_order.flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_end_is_told_and_left_behind() {
        let (release, wait) = channel::<()>();
        let mut groups = Groups::default();
        groups.add("slow", move || {
            let _ = wait.recv();
            Vec::new()
        });
        groups.add("quick", || vec![Finding::ok("quick", "found")]);
        let found = groups.run(Duration::from_millis(200));
        assert_eq!(found.len(), 2);
        assert!(found[0].what == "slow" && found[0].found.starts_with("no answer within"), "{found:?}");
        assert_eq!(found[1], Finding::ok("quick", "found"));
        drop(release);
    }
}
