//! The answer of a run, page by page.

use aws_sdk_athena::types::{ColumnInfo, Datum, ResultSet, Row};

use super::execution::{Execution, Finished};
use super::value::value;
use crate::failure::{Failure, Outcome};
use crate::ports::query_engine::{Answer, Value};

impl Execution<'_> {
    /// Reads all pages, at most 1,000 rows each.
    pub(super) fn answer(&self, finished: &Finished) -> Outcome<Answer> {
        let mut answer = Answer { scan: Some(finished.scan), ..Answer::default() };
        let mut columns: Vec<ColumnInfo> = Vec::new();
        let mut page: Option<String> = None;
        let mut is_first = true;
        loop {
            let (set, next) = self.page(page.as_deref())?;
            let known = set.result_set_metadata().map_or(&[][..], |metadata| metadata.column_info());
            if columns.is_empty() && !known.is_empty() {
                columns = known.to_vec();
                answer.columns = columns.iter().map(|column| label(column).to_owned()).collect();
            }
            let mut rows = set.rows();
            if is_first
                && finished.may_have_header
                && rows.first().is_some_and(|row| is_header(row, &columns))
            {
                rows = &rows[1..];
            }
            answer.rows.extend(rows.iter().map(|row| values(row, &columns)));
            is_first = false;
            if next.is_some() && next == page {
                return Err(Failure::permanent(format!(
                    "Athena gives the same page of the answer of {} again and again",
                    self.id
                )));
            }
            match next {
                Some(next) => page = Some(next),
                None => return Ok(answer),
            }
        }
    }

    fn page(&self, token: Option<&str>) -> Outcome<(ResultSet, Option<String>)> {
        let request = self.engine.clients.athena().get_query_results().query_execution_id(&self.id);
        let request = request.set_next_token(token.map(str::to_owned));
        let doing = format!("read the answer of {} from Athena", self.id);
        let page = self.engine.call(&doing, false, || request.clone().send())?;
        let set = page.result_set.ok_or_else(|| Failure::permanent(format!("{doing}: there is none")))?;
        Ok((set, page.next_token.filter(|token| !token.is_empty())))
    }
}

fn label(column: &ColumnInfo) -> &str {
    column.label().filter(|label| !label.is_empty()).unwrap_or(column.name())
}

/// The first row of a SELECT's first page repeats the column names. It is looked at, and not just dropped, because what
/// stands in for Athena may leave it out.
fn is_header(row: &Row, columns: &[ColumnInfo]) -> bool {
    let data = row.data();
    data.len() == columns.len()
        && !data.is_empty()
        && data.iter().zip(columns).all(|(datum, column)| {
            datum.var_char_value().is_some_and(|text| text == label(column) || text == column.name())
        })
}

/// A cell that the row leaves out at its end is NULL too.
fn values(row: &Row, columns: &[ColumnInfo]) -> Vec<Value> {
    let cells = row.data().iter().map(Datum::var_char_value).chain(std::iter::repeat(None));
    columns.iter().zip(cells).map(|(column, text)| value(text, column.r#type(), column.scale())).collect()
}
