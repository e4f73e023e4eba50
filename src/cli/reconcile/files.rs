//! The report as files: in the state folder, and beside the curated data. Objects are never written over, so the moment
//! is in the name.

use std::io::Cursor;
use std::path::PathBuf;

use sha2::{Digest, Sha256};

use crate::cli::exit::Stop;
use crate::effects;
use crate::pipeline::context::Context;
use crate::reconcile::model::Report;
use crate::report;

/// Where the reports lie beside the tables; a name with a dot is nobody's table.
const FOLDER: &str = ".reports";

/// Writes the report; the path of its page.
pub(super) fn write(context: &Context, report: &Report) -> Result<PathBuf, Stop> {
    let json = serde_json::to_string(report).map_err(|e| Stop::failed(format!("cannot make JSON: {e}")))?;
    let stamp: String = report.at.chars().filter(char::is_ascii_alphanumeric).collect();
    let files = [("html", report::page(report)), ("json", json), ("csv", report::csv(report))];
    let folder = context.state.join("reports");
    let page = folder.join(format!("{stamp}.html"));
    let failed = |error: std::io::Error| {
        Stop::failed(format!("cannot write the report to {}: {error}", folder.display()))
    };
    std::fs::create_dir_all(&folder).map_err(failed)?;
    for (extension, content) in files {
        let name = format!("{stamp}.{extension}");
        let write = || std::fs::write(folder.join(&name), &content).map_err(failed);
        context.seam.perform(effects::REPORT_WRITE, write)?;
        put(context, &format!("{FOLDER}/dt={}/{name}", &report.at[..10]), content);
    }
    Ok(page)
}

/// A copy that cannot be written is no reason to doubt the proof.
fn put(context: &Context, key: &str, content: String) {
    let sha256 = hex::encode(Sha256::digest(&content));
    let size = content.len() as u64;
    let mut body = Cursor::new(content.into_bytes());
    let answer =
        context.seam.perform(effects::REPORT_PUT, || context.curated.put_new(key, &mut body, size, &sha256));
    if let Err(failure) = answer {
        eprintln!("sluicegate: the report was not put beside the curated data: {failure}");
    }
}
