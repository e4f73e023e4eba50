//! What a load would fix, against the CSV objects that its first time left: there is never a second content (I5).

use crate::curated::object_key;
use crate::failure::{Failure, Outcome};
use crate::pipeline::context::Context;
use crate::ports::warehouse::LoadedTable;

use super::super::objects::hash;

/// What is asked of the CSV objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rule {
    /// Those of a published batch are all there, and every one that is there is the same.
    AllThere,
    /// Every one that is there is the same; others may have been lost.
    NoneOther,
}

/// Refuses a load that would not make the objects that are there.
///
/// # Errors
/// Permanent, with the object that differs.
pub(super) fn agree(
    context: &Context,
    batch_id: &str,
    rule: Rule,
    published: bool,
    tables: &[LoadedTable],
) -> Outcome<()> {
    for table in tables {
        let key = object_key(&table.table, batch_id);
        let rows = table.totals.rows;
        match context.curated.get(&key)? {
            None if rows > 0 && published && rule == Rule::AllThere => {
                return Err(Failure::permanent(format!(
                    "its load would make {key} with {rows} rows, and there is no such object"
                )));
            }
            None => {}
            Some(fetched) => {
                let size = fetched.info.size;
                let is_same = rows > 0
                    && size == table.totals.bytes
                    && hash(fetched.body, &key)? == table.totals.sha256;
                if !is_same {
                    return Err(Failure::permanent(format!(
                        "{key} is there with {size} bytes, and its load would make another one with {} bytes and {rows} \
                         rows: the job file has changed, or other rows with these keys are there",
                        table.totals.bytes
                    )));
                }
            }
        }
    }
    Ok(())
}
