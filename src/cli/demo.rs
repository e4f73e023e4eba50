//! `demo`: the whole pipeline on embedded parts in `var/demo`, from invoice files to a query's answer.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::config::{self, Config};
use crate::ports::clock::SystemClock;
use crate::ports::query_engine::Interrupt;

use super::args::{DemoOptions, DrainOptions, Flags, Format};
use super::assemble::{self, Intake};
use super::demo_files::{DemoFile, demo_files, land};
use super::demo_kill::{demo_kill, go_on};
use super::drain::{Drained, drain_config};
use super::exit::{Exit, Stop};
use super::output::{Sheet, print};
use super::query::table;
use super::signals::stop_on_signal;
use super::summary::Summary;

const ROOT: &str = "var/demo";
/// Says that the folder is the demo's own and may be emptied.
const MARK: &str = ".sluicegate-demo";

const QUESTION: &str = "SELECT i.customer_id, count(DISTINCT i.invoice_id) AS invoices, count(*) AS items, \
                        sum(l.price) AS price, sum(l.tax) AS tax \
                        FROM invoices i JOIN invoice_items l USING (customer_id, invoice_id) \
                        GROUP BY i.customer_id ORDER BY price DESC";

/// `sluicegate demo`.
pub(super) fn demo(flags: &Flags, options: &DemoOptions) -> Result<Exit, Stop> {
    let root = Path::new(ROOT);
    if options.go_on {
        return go_on(root);
    }
    empty(root)?;
    if let Some(kills) = options.kill {
        return demo_kill(flags, options, root, kills);
    }
    let asked = stop_on_signal(Exit::Failed)?;
    let config = config::demo(root);
    let files = demo_files();
    let bytes: Vec<(&str, &[u8])> = files.iter().map(|file| (file.name, file.bytes.as_slice())).collect();
    land(&root.join("landing"), &bytes)?;
    let tell = |text: &str| if flags.output == Format::Table { print(text) } else { Ok(()) };
    tell(&format!("{} files landed in {ROOT}/landing\n\n$ sluicegate drain --crawl\n", files.len()))?;
    let options = DrainOptions { watch: false, crawl: true, patience: Duration::from_secs(60) };
    let summary = match drain_config(&config, &options, Intake::Once, &asked)? {
        Drained::Done(summary) => summary,
        Drained::HeldBy(holder) => return Err(Stop::failed(format!("another demo is running: {holder}"))),
    };
    if flags.output == Format::Json {
        summary.show(flags)?;
        return Ok(came_to_its_end(&summary));
    }
    print(&summary.text())?;
    print(&outcomes(&config, &files)?)?;
    print(&format!("\n$ sluicegate query \"{QUESTION}\"\n"))?;
    let answer = assemble::query_engine(&config, &Interrupt::default())?.query(QUESTION)?;
    print(&table(&answer))?;
    Ok(came_to_its_end(&summary))
}

/// Rejects belong to the demo; what still waits does not.
fn came_to_its_end(summary: &Summary) -> Exit {
    if summary.waiting().is_empty() { Exit::Fine } else { Exit::Failed }
}

/// Empties a folder that an earlier demo made; a stranger's is left alone.
fn empty(root: &Path) -> Result<(), Stop> {
    let failed = |what: &str, error: std::io::Error| {
        Stop::failed(format!("cannot {what} {}: {error}", root.display()))
    };
    if root.exists() {
        if !root.join(MARK).exists() {
            return Err(Stop::failed(format!(
                "{} was not made by the demo, so it is not emptied: move it away, or run the demo in another folder",
                root.display()
            )));
        }
        std::fs::remove_dir_all(root).map_err(|error| failed("empty", error))?;
    }
    std::fs::create_dir_all(root).map_err(|error| failed("make", error))?;
    std::fs::write(root.join(MARK), "made by sluicegate demo, and emptied by the next one\n")
        .map_err(|error| failed("write to", error))
}

fn outcomes(config: &Config, files: &[DemoFile]) -> Result<String, Stop> {
    let warehouse = assemble::existing_warehouse(config, Arc::new(SystemClock))?;
    let mut warehouse = warehouse.ok_or_else(|| Stop::failed("the demo made no warehouse"))?;
    let mut sheet = Sheet::new(&["document", "outcome", "#rows", "reason"]);
    for file in files {
        for document in warehouse.documents_by_key(file.name)? {
            let reason = document
                .reason
                .replace(&document.batch_id, "this one")
                .replace("batch this one", "this batch");
            sheet.row([document.key, document.outcome, document.rows.to_string(), reason]);
        }
    }
    Ok(format!("\n{}", sheet.text()))
}
