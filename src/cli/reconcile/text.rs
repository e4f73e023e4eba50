//! The report on a terminal: the verdict first.

use std::path::Path;

use crate::cli::output::{Sheet, counted, emphasised};
use crate::reconcile::model::{DayReport, Discrepancy, Report};

/// The whole report.
pub(super) fn text(report: &Report, page: &Path) -> String {
    let open: usize = report.jobs.iter().map(|day| day.discrepancies.len()).sum();
    let verdict = match report.balanced {
        true => "BALANCED: every document is in exactly one place, and every place holds what the others say"
            .to_owned(),
        false => format!("NOT BALANCED: {}", counted(open as u64, "discrepancy", "discrepancies")),
    };
    let mut text = format!("{}\n", emphasised(&verdict, report.balanced));
    text.push_str(&format!("days     {} to {}\nreport   {}\n", report.from, report.to, page.display()));
    for day in &report.jobs {
        text.push_str(&day_text(day));
    }
    text
}

fn day_text(day: &DayReport) -> String {
    let verdict = if day.balanced { "balanced" } else { "not balanced" };
    let closed = if day.closed { ", closed" } else { "" };
    let mut text = format!("\n{} {}: {verdict}{closed}\n", day.job, day.day);
    let lines: Vec<String> = day
        .balance
        .lines()
        .iter()
        .filter(|(_, count)| *count > 0)
        .map(|(name, count)| format!("{count} {name}"))
        .collect();
    let lines = if lines.is_empty() { "nothing".to_owned() } else { lines.join(" + ") };
    text.push_str(&format!("  received {} = {lines}", day.balance.received));
    if day.balance.difference != 0 {
        text.push_str(&format!(" + {} in no place", day.balance.difference));
    }
    text.push('\n');
    for place in &day.places {
        if let Some(why) = place.unasked {
            text.push_str(&format!("  {} not asked: {why}\n", place.place));
        }
    }
    for found in &day.discrepancies {
        text.push_str(&discrepancy_text(found));
    }
    for found in &day.accepted {
        let reason = found.accepted.as_ref().map_or("", |accepted| accepted.reason.as_str());
        text.push_str(&format!("  accepted {}: {} ({reason})\n", found.id, found.detail));
    }
    if !day.attention.is_empty() {
        let mut sheet = Sheet::new(&["needs a person", "why", "command"]);
        for attention in &day.attention {
            sheet.row([&attention.what, &attention.cause, &attention.command]);
        }
        text.push_str(&indented(&sheet.text()));
        if day.more_attention > 0 {
            text.push_str(&format!("  and {} more\n", day.more_attention));
        }
    }
    text
}

fn discrepancy_text(found: &Discrepancy) -> String {
    let mut text =
        format!("  {} {} in {}: {}\n", found.id, found.word.to_uppercase(), found.place, found.detail);
    if let Some(batch_id) = &found.batch_id {
        text.push_str(&format!("    batch      {batch_id}\n"));
    }
    if !found.documents.is_empty() {
        text.push_str(&format!("    documents  {}\n", first_few(found.documents.iter().cloned())));
    }
    if !found.records.is_empty() {
        let records =
            found.records.iter().map(|record| record.values().cloned().collect::<Vec<_>>().join("/"));
        text.push_str(&format!("    records    {}\n", first_few(records)));
    }
    text.push_str(&format!("    command    {}\n", found.command));
    text
}

/// A terminal has little room: the page and the JSON have them all.
fn first_few(texts: impl Iterator<Item = String>) -> String {
    let texts: Vec<String> = texts.collect();
    let more = texts.len().saturating_sub(5);
    let shown = texts[..texts.len() - more].join(", ");
    if more > 0 { format!("{shown} and {more} more") } else { shown }
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {line}\n")).collect()
}
