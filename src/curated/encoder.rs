//! Writes one CSV object, and keeps its control totals while it does.

use std::io::{self, Write};

use sha2::{Digest, Sha256};
use sluicegate_state::canary::{Canary, sings_now_and_then};

use super::{CuratedError, TableTotals, Totals};
use crate::schema::{BOOKKEEPING_COLUMNS, Table};

/// Writes the rows of one table as one CSV object.
pub struct CsvEncoder<W: Write> {
    csv: csv::Writer<Hashing<W>>,
    totals: TableTotals,
    columns: Vec<String>,
}

impl<W: Write> CsvEncoder<W> {
    /// Begins the object with its header.
    ///
    /// # Errors
    /// Only those of `output`.
    pub fn new(output: W, table: &Table) -> Result<Self, CuratedError> {
        let quoted = sings_now_and_then(Canary::CsvNotReproducible);
        let mut csv = csv::WriterBuilder::new()
            .quote_style(if quoted { csv::QuoteStyle::Always } else { csv::QuoteStyle::Necessary })
            .terminator(csv::Terminator::Any(b'\n'))
            .from_writer(Hashing::new(output));
        csv.write_record(table.all_column_names()).map_err(from_csv)?;
        let columns = table.column_names().map(str::to_owned).collect();
        Ok(Self { csv, totals: TableTotals::new(table), columns })
    }

    /// Writes one row: the table's values in column order as canonical text, empty for NULL.
    ///
    /// # Errors
    /// Those of the output, and a row that does not fit the table or the dialect. The object is then of no use.
    pub fn row<'a>(
        &mut self,
        values: impl IntoIterator<Item = &'a str>,
        batch_id: &str,
        source_order: &str,
    ) -> Result<(), CuratedError> {
        let mut count = 0;
        for value in values {
            let name = self.columns.get(count).map_or("a surplus column", String::as_str);
            write_field(&mut self.csv, name, value)?;
            self.totals.add_value(count, value)?;
            count += 1;
        }
        self.totals.end_row(count, batch_id, source_order)?;
        for (name, value) in BOOKKEEPING_COLUMNS.into_iter().zip([batch_id, source_order]) {
            write_field(&mut self.csv, name, value)?;
        }
        self.csv.write_record(None::<&[u8]>).map_err(from_csv)
    }

    /// Rows written so far.
    pub fn rows(&self) -> u64 {
        self.totals.rows()
    }

    /// Hands everything to the output, and tells what was written.
    ///
    /// # Errors
    /// Only those of the output.
    pub fn finish(self) -> Result<(W, Totals), CuratedError> {
        let hashing = self.csv.into_inner().map_err(csv::IntoInnerError::into_error)?;
        let totals = Totals {
            rows: self.totals.rows(),
            bytes: hashing.bytes,
            sha256: hex::encode(hashing.hash.finalize()),
            sums: self.totals.sums(),
            digest: self.totals.digest(),
        };
        let mut output = hashing.inner;
        output.flush()?;
        Ok((output, totals))
    }
}

/// Refuses what would break the lines of a query engine; the transformation has removed it long before.
fn write_field<W: Write>(csv: &mut csv::Writer<W>, name: &str, value: &str) -> Result<(), CuratedError> {
    if value.bytes().any(|byte| matches!(byte, b'\0' | b'\x01' | b'\n' | b'\r')) {
        return Err(CuratedError::Character { column: name.to_owned(), value: value.to_owned() });
    }
    csv.write_field(value).map_err(from_csv)
}

pub(super) fn from_csv(error: csv::Error) -> CuratedError {
    let message = error.to_string();
    match error.into_kind() {
        csv::ErrorKind::Io(error) => CuratedError::Io(error),
        _ => CuratedError::Malformed(message),
    }
}

/// Counts and hashes what passes through.
struct Hashing<W> {
    inner: W,
    hash: Sha256,
    bytes: u64,
}

impl<W> Hashing<W> {
    fn new(inner: W) -> Self {
        Self { inner, hash: Sha256::new(), bytes: 0 }
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(buffer)?;
        self.hash.update(&buffer[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::curated::testing::{MONEY, table};
    use crate::schema::ColumnType;

    fn notes() -> Table {
        table("notes", &[("name", ColumnType::Text), ("amount", MONEY)], &[0])
    }

    fn encode(rows: &[[&str; 2]]) -> (String, Totals) {
        let mut encoder = CsvEncoder::new(Vec::new(), &notes()).unwrap();
        for row in rows {
            encoder.row(row.iter().copied(), "b1", "s1").unwrap();
        }
        let (bytes, totals) = encoder.finish().unwrap();
        (String::from_utf8(bytes).unwrap(), totals)
    }

    #[test]
    fn quotes_stand_only_where_they_are_needed() {
        let (text, _) = encode(&[
            ["plain", "1.00"],
            [" leading, comma", ""],
            ["say \"hi\"", "-2.50"],
            ["C:\\dir\\", "0.00"],
            ["Zürich 東京 😀", "0.00"],
            ["", ""],
            ["'=1+1#", ""],
        ]);
        insta::assert_snapshot!(text, @r#"
        name,amount,batch_id,source_order
        plain,1.00,b1,s1
        " leading, comma",,b1,s1
        "say ""hi""",-2.50,b1,s1
        C:\dir\,0.00,b1,s1
        Zürich 東京 😀,0.00,b1,s1
        ,,b1,s1
        '=1+1#,,b1,s1
        "#);
    }

    #[test]
    fn the_totals_describe_the_very_bytes() {
        let (text, totals) = encode(&[["a", "1.10"], ["b", "2.20"]]);
        assert_eq!(totals.rows, 2);
        assert_eq!(totals.bytes, text.len() as u64);
        assert_eq!(totals.sha256, hex::encode(Sha256::digest(text.as_bytes())));
        assert_eq!(totals.sums["amount"], "3.30");
        let mut again = TableTotals::new(&notes());
        again.add_row(["b", "2.20"], "b1", "s1").unwrap();
        again.add_row(["a", "1.10"], "b1", "s1").unwrap();
        assert_eq!(totals.digest, again.digest());
    }

    #[test]
    fn a_table_without_rows_has_a_header() {
        let (text, totals) = encode(&[]);
        assert_eq!(text, "name,amount,batch_id,source_order\n");
        assert_eq!((totals.rows, totals.sums["amount"].as_str()), (0, "0.00"));
    }

    #[test]
    fn what_would_break_a_line_is_refused() {
        for value in ["a\nb", "a\rb", "a\0", "\x01"] {
            let mut encoder = CsvEncoder::new(Vec::new(), &notes()).unwrap();
            let error = encoder.row([value, ""], "b", "s").unwrap_err();
            assert!(matches!(error, CuratedError::Character { ref column, .. } if column == "name"));
        }
    }

    #[test]
    fn a_row_of_another_width_is_refused() {
        let mut encoder = CsvEncoder::new(Vec::new(), &notes()).unwrap();
        let error = encoder.row(["a"], "b", "s").unwrap_err();
        assert_eq!(error.to_string(), "a row of notes has 1 values, and the table has 2 columns");
    }
}
