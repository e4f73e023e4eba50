//! A reconciliation that does not balance is told to whoever the settings name.

use sluicegate_state::Store;

use crate::cli::assemble;
use crate::cli::output::counted;
use crate::config::Config;
use crate::pipeline::alert::tell;
use crate::pipeline::context::Context;
use crate::ports::alarm::Alert;
use crate::reconcile::model::Report;

/// The alerts that come from here.
const FAMILIES: [&str; 1] = ["unbalanced:"];

/// Tells once, and again only when it becomes worse. The proof does not depend on it.
pub(super) fn tell_of(config: &Config, context: &Context, store: &mut Store, report: &Report) {
    let now = context.clock.now();
    let told = assemble::alarms(config).map_err(|stop| stop.message).and_then(|mut alarms| {
        tell(store, &context.seam, &mut alarms, &alerts(report), &FAMILIES, now)
            .map_err(|failure| failure.message)
    });
    if let Err(message) = told {
        eprintln!("sluicegate: an alert could not be told: {message}");
    }
}

/// One for each job that does not balance.
fn alerts(report: &Report) -> Vec<Alert> {
    let mut jobs: Vec<&str> =
        report.jobs.iter().filter(|day| !day.balanced).map(|day| day.job.as_str()).collect();
    jobs.sort_unstable();
    jobs.dedup();
    let alert = |job: &str| {
        let found: Vec<_> =
            report.jobs.iter().filter(|day| day.job == job).flat_map(|day| &day.discrepancies).collect();
        let level = found.len() as u64;
        let subject = format!(
            "{job}: the reconciliation does not balance, {}",
            counted(level, "discrepancy", "discrepancies")
        );
        let lines: Vec<String> = found
            .iter()
            .take(20)
            .map(|found| format!("{}\n  what to do: {}\n", found.detail, found.command))
            .collect();
        Alert {
            key: format!("unbalanced:{job}"),
            level,
            text: format!("{subject}.\n\n{}", lines.concat()),
            subject,
        }
    };
    jobs.into_iter().map(alert).collect()
}
