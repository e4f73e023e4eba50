//! The objects that the ledger says are there, for the proof to hold against a listing.

use postgres::Row;

use crate::ports::proof::{FixedObject, ObjectsOf};

use super::client::Client;
use super::error::Error;
use super::{bigint, count};

pub(super) fn fixed_objects(
    client: &mut Client,
    job: &str,
    of: ObjectsOf<'_>,
    after: &str,
    limit: usize,
) -> Result<Vec<FixedObject>, Error> {
    let limit = bigint(limit as u64);
    let rows = match of {
        ObjectsOf::Table(table) => client.query(
            "SELECT b.batch_id::text, t.csv_key, t.csv_bytes, coalesce(c.state = 'succeeded', false)
             FROM sluicegate.batch b
             JOIN sluicegate.batch_table t ON t.batch_id = b.batch_id AND t.table_name = $4
             LEFT JOIN sluicegate.crawl c ON c.crawl_id = b.crawl_id
             WHERE b.job = $1 AND b.batch_id > $2 AND b.published_at IS NOT NULL AND t.csv_key IS NOT NULL
             ORDER BY b.batch_id LIMIT $3",
            &[&job, &after, &limit, &table],
        ),
        ObjectsOf::Archive => client.query(
            "SELECT batch_id::text, archive_key, NULL::bigint, false FROM sluicegate.batch
             WHERE job = $1 AND batch_id > $2 ORDER BY batch_id LIMIT $3",
            &[&job, &after, &limit],
        ),
    }?;
    let object = |row: &Row| FixedObject {
        batch_id: row.get(0),
        key: row.get(1),
        bytes: row.get::<_, Option<i64>>(2).map(count),
        covered: row.get(3),
    };
    Ok(rows.iter().map(object).collect())
}
