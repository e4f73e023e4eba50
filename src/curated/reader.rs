//! Reads one CSV object back, strictly: another header, a row of another width or a byte that is not UTF-8 is an error and
//! never a guess.

use std::io::Read;

use csv::StringRecord;

use super::CuratedError;
use super::encoder::from_csv;
use crate::schema::Table;

/// The rows of one CSV object.
pub struct RowReader<R> {
    csv: csv::Reader<R>,
    record: StringRecord,
    failed: bool,
}

/// Reads the rows of a CSV object of `table`: all columns in the header's order, then `batch_id` and `source_order`.
///
/// # Errors
/// The input's own, and a first line that is not the table's header.
pub fn read_rows<R: Read>(input: R, table: &Table) -> Result<RowReader<R>, CuratedError> {
    let mut csv = csv::ReaderBuilder::new().has_headers(false).flexible(false).from_reader(input);
    let mut record = StringRecord::new();
    csv.read_record(&mut record).map_err(from_csv)?;
    if !record.iter().eq(table.all_column_names()) {
        return Err(CuratedError::Header {
            table: table.name.clone(),
            found: record.iter().collect::<Vec<_>>().join(","),
            expected: table.all_column_names().collect::<Vec<_>>().join(","),
        });
    }
    Ok(RowReader { csv, record, failed: false })
}

impl<R: Read> RowReader<R> {
    /// The next row without a copy; none at the end.
    ///
    /// # Errors
    /// The input's own, and a row that is not as wide as the header or not UTF-8.
    pub fn next_row(&mut self) -> Result<Option<&StringRecord>, CuratedError> {
        let more = self.csv.read_record(&mut self.record).map_err(from_csv)?;
        Ok(more.then_some(&self.record))
    }
}

impl<R: Read> Iterator for RowReader<R> {
    type Item = Result<Vec<String>, CuratedError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let row = self.next_row().map(|row| row.map(|row| row.iter().map(str::to_owned).collect()));
        self.failed = row.is_err();
        row.transpose()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::curated::CsvEncoder;
    use crate::curated::testing::table;
    use crate::schema::ColumnType;

    fn pairs() -> Table {
        table("pairs", &[("a", ColumnType::Text), ("b", ColumnType::Text)], &[0])
    }

    fn round_trip(rows: &[[String; 2]]) -> Vec<Vec<String>> {
        let mut encoder = CsvEncoder::new(Vec::new(), &pairs()).unwrap();
        for row in rows {
            encoder.row(row.iter().map(String::as_str), "b", "s").unwrap();
        }
        let (bytes, _) = encoder.finish().unwrap();
        // As a query engine does it: lines first, then fields.
        assert_eq!(bytes.iter().filter(|&&byte| byte == b'\n').count(), rows.len() + 1);
        read_rows(bytes.as_slice(), &pairs()).unwrap().map(Result::unwrap).collect()
    }

    #[test]
    fn every_awkward_value_survives() {
        let values = [
            " x", "x ", "a,b", "\"", "\"\"", "\\", "\\\"", "\\N", "'", ";", "\t", "\u{feff}", "é", "😀",
            "NULL", "",
        ];
        let rows: Vec<_> = values.map(|value| [value.to_owned(), value.to_owned()]).into();
        let expected: Vec<Vec<String>> =
            rows.iter().map(|[a, b]| vec![a.clone(), b.clone(), "b".into(), "s".into()]).collect();
        assert_eq!(round_trip(&rows), expected);
    }

    proptest! {
        #[test]
        fn any_text_survives(rows in proptest::collection::vec(
            proptest::array::uniform2("[^\\x00\\x01\\n\\r]{0,12}|[\"\\\\, ']{0,6}"), 0..8)
        ) {
            let expected: Vec<Vec<String>> =
                rows.iter().map(|[a, b]| vec![a.clone(), b.clone(), "b".into(), "s".into()]).collect();
            prop_assert_eq!(round_trip(&rows), expected);
        }

        #[test]
        fn any_bytes_end_in_rows_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut input = b"a,b,batch_id,source_order\n".to_vec();
            input.extend(bytes);
            let rows: Vec<_> = read_rows(input.as_slice(), &pairs()).unwrap().take(500).collect();
            prop_assert!(rows.len() < 500);
        }
    }

    #[test]
    fn another_header_is_an_error() {
        for text in ["", "a,b\n", "b,a,batch_id,source_order\n", "A,b,batch_id,source_order\n1,2,3,4\n"] {
            let error = read_rows(text.as_bytes(), &pairs()).err().unwrap();
            assert!(matches!(error, CuratedError::Header { .. }), "{text:?}: {error}");
        }
    }

    #[test]
    fn a_torn_row_is_an_error_once() {
        let text = "a,b,batch_id,source_order\n1,2,3,4\n5,6\n7,8,9,10\n";
        let rows: Vec<_> = read_rows(text.as_bytes(), &pairs()).unwrap().collect();
        assert_eq!(rows.len(), 2);
        assert!(rows[0].is_ok() && rows[1].is_err());
    }
}
