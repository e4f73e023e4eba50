//! Rows as canonical text, packed: one buffer of text a table instead of one allocation a value.
//!
//! A value is the text that the CSV object holds (§7 of the design): ISO dates, plain decimals with the column's full
//! scale, `true`/`false`, no line break, no NUL, no U+0001. **An empty value is NULL**; there is no other NULL and no
//! other empty text.

use std::ops::Range;

/// Rows of one table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rows {
    width: usize,
    text: String,
    /// End of each value in `text`, row by row.
    ends: Vec<u32>,
}

impl Rows {
    /// No rows yet, each to have `width` values (at least one).
    pub fn new(width: usize) -> Self {
        assert!(width > 0, "a table has at least one column");
        Self { width, text: String::new(), ends: Vec::new() }
    }

    /// Appends one value; a row is whole after `width` of them.
    pub fn push_value(&mut self, value: &str) {
        self.text.push_str(value);
        let end =
            u32::try_from(self.text.len()).expect("the caller bounds the text of one buffer far below 4 GiB");
        self.ends.push(end);
    }

    /// Appends one whole row.
    pub fn push_row<'a>(&mut self, values: impl IntoIterator<Item = &'a str>) {
        let before = self.ends.len();
        for value in values {
            self.push_value(value);
        }
        assert_eq!(self.ends.len() - before, self.width, "a row has as many values as the table has columns");
    }

    /// Appends every row of `other`, which has the same width.
    pub fn append(&mut self, other: &Rows) {
        assert_eq!(self.width, other.width, "rows of one table have one width");
        for row in other.iter() {
            self.push_row(row.values());
        }
    }

    /// Number of whole rows.
    pub fn len(&self) -> usize {
        self.ends.len() / self.width
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Bytes of text held, for memory bounds.
    pub fn text_bytes(&self) -> usize {
        self.text.len() + self.ends.len() * size_of::<u32>()
    }

    /// Forgets the rows and keeps the memory.
    pub fn clear(&mut self) {
        self.text.clear();
        self.ends.clear();
    }

    /// Row number `index`, from 0.
    pub fn row(&self, index: usize) -> Row<'_> {
        assert!(index < self.len(), "row {index} of {}", self.len());
        Row { rows: self, index }
    }

    /// The rows in order.
    pub fn iter(&self) -> impl Iterator<Item = Row<'_>> {
        (0..self.len()).map(|index| Row { rows: self, index })
    }
}

/// One row of a [`Rows`].
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    rows: &'a Rows,
    index: usize,
}

impl<'a> Row<'a> {
    /// The canonical text of column `column`; empty is NULL.
    pub fn value(&self, column: usize) -> &'a str {
        assert!(column < self.rows.width, "column {column} of {}", self.rows.width);
        let at = self.index * self.rows.width + column;
        let start = if at == 0 { 0 } else { self.rows.ends[at - 1] as usize };
        &self.rows.text[start..self.rows.ends[at] as usize]
    }

    /// The values in column order.
    pub fn values(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        let row = *self;
        (0..self.rows.width).map(move |column| row.value(column))
    }
}

/// One record: a row of the parent table and the rows of each child table that belong to it.
#[derive(Debug, Clone, Copy)]
pub struct RecordView<'a> {
    /// The line of the document where the record begins, from 1.
    pub line: u64,
    /// Rows by table, in schema order.
    pub tables: &'a [Rows],
    /// Which rows of each table are this record's; `ranges[0]` holds exactly one row.
    pub ranges: &'a [Range<u32>],
}

impl<'a> RecordView<'a> {
    /// The parent's row.
    pub fn parent(&self) -> Row<'a> {
        self.tables[0].row(self.ranges[0].start as usize)
    }

    /// The record's rows of table `table`, in document order.
    pub fn rows(&self, table: usize) -> impl Iterator<Item = Row<'a>> + use<'a> {
        let rows = &self.tables[table];
        let range = self.ranges[table].clone();
        range.map(move |index| rows.row(index as usize))
    }

    /// Number of rows over all tables.
    pub fn row_count(&self) -> u64 {
        self.ranges.iter().map(|range| u64::from(range.end - range.start)).sum()
    }
}

/// All records of one document, collected in memory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Records {
    tables: Vec<Rows>,
    lines: Vec<u64>,
    ranges: Vec<Range<u32>>,
}

impl Records {
    /// Nothing yet, for tables of these widths.
    pub fn new(widths: impl IntoIterator<Item = usize>) -> Self {
        Self { tables: widths.into_iter().map(Rows::new).collect(), lines: Vec::new(), ranges: Vec::new() }
    }

    /// Copies one record to the end.
    pub fn push(&mut self, record: &RecordView<'_>) {
        self.lines.push(record.line);
        for (index, rows) in self.tables.iter_mut().enumerate() {
            let start = rows.len() as u32;
            for row in record.rows(index) {
                rows.push_row(row.values());
            }
            self.ranges.push(start..rows.len() as u32);
        }
    }

    /// Number of records.
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Whether there is no record.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Bytes held, for memory bounds.
    pub fn text_bytes(&self) -> usize {
        self.tables.iter().map(Rows::text_bytes).sum()
    }

    /// The records in document order.
    pub fn iter(&self) -> impl Iterator<Item = RecordView<'_>> {
        let width = self.tables.len();
        self.lines.iter().enumerate().map(move |(index, &line)| RecordView {
            line,
            tables: &self.tables,
            ranges: &self.ranges[index * width..(index + 1) * width],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_back_as_they_were_pushed() {
        let mut one = vec![Rows::new(2), Rows::new(1)];
        one[0].push_row(["a", ""]);
        one[1].push_row(["x"]);
        one[1].push_row(["é"]);
        let mut records = Records::new([2, 1]);
        records.push(&RecordView { line: 3, tables: &one, ranges: &[0..1, 0..2] });
        one[1].clear();
        records.push(&RecordView { line: 9, tables: &one, ranges: &[0..1, 0..0] });
        let seen: Vec<_> = records
            .iter()
            .map(|record| {
                let parent: Vec<_> = record.parent().values().collect();
                let children: Vec<_> = record.rows(1).map(|row| row.value(0)).collect();
                (record.line, parent, children)
            })
            .collect();
        assert_eq!(seen, [(3, vec!["a", ""], vec!["x", "é"]), (9, vec!["a", ""], vec![])]);
    }
}
