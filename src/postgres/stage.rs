//! The temporary tables of one load.

use crate::ports::warehouse::LoadRequest;

use super::client::Transaction;
use super::collect::Gathered;
use super::copy::Piece;
use super::error::Error;
use super::integer;
use super::session::work_over;
use super::sql::{MEMBER, Statements};

/// Moves the gathered rows into the temporary tables, which are made at the first time.
pub(super) fn spill(
    transaction: &mut Transaction<'_>,
    statements: &Statements<'_>,
    request: &LoadRequest,
    gathered: &mut Gathered,
) -> Result<(), Error> {
    if !gathered.spilled {
        transaction.batch_execute(&statements.create_stage())?;
        insert_members(transaction, request)?;
        gathered.spilled = true;
    }
    for (table, buffer) in gathered.buffers.iter_mut().enumerate() {
        let mut piece = Piece::new(statements.copy_stage(table));
        for (owner, row) in buffer.owners.iter().zip(buffer.rows.iter()) {
            let place = [owner.ordinal.to_string(), owner.record.to_string(), owner.line.to_string()];
            piece.line(place.iter().map(String::as_str).chain(row.values()));
            piece.send_if_whole(transaction)?;
        }
        piece.send(transaction)?;
        buffer.rows.clear();
        buffer.owners.clear();
    }
    Ok(())
}

/// Moves the last rows, and prepares the tables for being asked.
pub(super) fn complete(
    transaction: &mut Transaction<'_>,
    statements: &Statements<'_>,
    request: &LoadRequest,
    gathered: &mut Gathered,
) -> Result<(), Error> {
    spill(transaction, statements, request, gathered)?;
    let rows = gathered.documents.values().map(|seen| seen.rows).sum();
    transaction.allow(work_over(rows))?;
    transaction.batch_execute(&statements.index_stage())
}

fn insert_members(transaction: &mut Transaction<'_>, request: &LoadRequest) -> Result<(), Error> {
    let ordinals: Vec<i32> = request.documents.iter().map(|document| integer(document.ordinal)).collect();
    let orders: Vec<&str> = request.documents.iter().map(|document| document.source_order.as_str()).collect();
    transaction
        .execute(
            &format!("INSERT INTO {MEMBER} SELECT u.*, false FROM unnest($1::int[], $2::text[]) u (ordinal, source_order)"),
            &[&ordinals, &orders],
        )
        .map(drop)
}
