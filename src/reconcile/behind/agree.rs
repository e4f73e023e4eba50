//! What a load would fix, against the CSV objects that its first time left: there is never a second content (I5).

use crate::curated::object_key;
use crate::failure::{Failure, Outcome};
use crate::pipeline::context::Context;
use crate::ports::warehouse::LoadedTable;

use super::super::objects::hash;

/// What is asked of the CSV objects. Every one that is there is the same, always.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rule {
    /// All are there.
    AllThere,
    /// Those of a published batch are all there. One that was only loaded may not have written any yet; or it had no
    /// rows, because of another load that is not entered again yet.
    PublishedThere,
    /// Some may have been lost.
    NoneOther,
}

impl Rule {
    /// In the order in which they are asked: the surest first.
    pub(super) const ALL: [Self; 3] = [Self::AllThere, Self::PublishedThere, Self::NoneOther];

    fn allows_none(self, published: bool) -> bool {
        match self {
            Self::AllThere => false,
            Self::PublishedThere => !published,
            Self::NoneOther => true,
        }
    }
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
            None if rows > 0 && !rule.allows_none(published) => {
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
