//! One record while its lines are read, and the rows it becomes.

use std::ops::Range;

use super::checks::Operands;
use super::definition::{Field, Section, Shape};
use super::outcome::{Reject, excerpt};
use super::rows::{RecordView, Rows};
use super::value::canonical;
use super::{MAX_RECORD_BYTES, MAX_RECORD_ROW_BYTES};
use crate::schema::Schema;

/// The record that is being read. One value serves all records of a document, so that its memory is used again.
pub(super) struct Draft<'d> {
    shape: &'d Shape,
    /// The line where the record begins.
    pub(super) line: u64,
    /// Bytes of the record's lines.
    bytes: usize,
    /// Whether anything but its begin line was seen.
    pub(super) has_content: bool,
    /// Canonical text of the parent's values, one after the other as they came.
    text: String,
    slots: Vec<Option<Slot>>,
    sections: Vec<DraftSection>,
    /// One value while it is converted.
    scratch: String,
    order: Vec<u32>,
}

/// A value that was seen.
#[derive(Debug, Clone)]
struct Slot {
    range: Range<usize>,
    line: u64,
}

struct DraftSection {
    header: Option<u64>,
    rows: Rows,
    lines: Vec<u64>,
}

/// The rows of one finished record.
pub(super) struct Finished {
    line: u64,
    tables: Vec<Rows>,
    ranges: Vec<Range<u32>>,
}

impl Finished {
    pub(super) fn new(schema: &Schema) -> Self {
        let tables: Vec<_> = schema.tables.iter().map(|table| Rows::new(table.columns.len())).collect();
        Self { line: 0, ranges: vec![0..0; tables.len()], tables }
    }

    pub(super) fn view(&self) -> RecordView<'_> {
        RecordView { line: self.line, tables: &self.tables, ranges: &self.ranges }
    }
}

impl<'d> Draft<'d> {
    pub(super) fn new(shape: &'d Shape) -> Self {
        let section = |section: &Section| DraftSection {
            header: None,
            rows: Rows::new(section.fields.len()),
            lines: Vec::new(),
        };
        Self {
            shape,
            line: 0,
            bytes: 0,
            has_content: false,
            text: String::new(),
            slots: vec![None; shape.fields.len()],
            sections: shape.sections.iter().map(section).collect(),
            scratch: String::new(),
            order: Vec::new(),
        }
    }

    /// Forgets the last record and begins one at `line`.
    pub(super) fn begin(&mut self, line: u64) {
        self.line = line;
        self.bytes = 0;
        self.has_content = false;
        self.text.clear();
        self.slots.fill(None);
        for section in &mut self.sections {
            section.header = None;
            section.rows.clear();
            section.lines.clear();
        }
    }

    /// Counts the text of a line that belongs to the record.
    pub(super) fn count(&mut self, bytes: usize) -> Result<(), Reject> {
        self.bytes += bytes;
        if self.bytes > MAX_RECORD_BYTES {
            let reason = format!(
                "the record that begins on line {} is larger than {MAX_RECORD_BYTES} bytes",
                self.line
            );
            return Err(Reject::new(reason).at(self.line));
        }
        Ok(())
    }

    /// Takes the value of a label, or of a column of the document; `raw` is trimmed.
    pub(super) fn label(&mut self, column: usize, raw: &str, line: u64) -> Result<(), Reject> {
        self.has_content = true;
        let field = &self.shape.fields[column];
        if let Some(first) = &self.slots[column] {
            let reason = format!(
                "{} `{}` appears twice in one record, first on line {}",
                self.shape.place_word, field.place, first.line
            );
            return Err(Reject::new(reason).at(line).place(&field.place).text(raw));
        }
        let start = self.text.len();
        if !raw.is_empty() {
            canonical(&field.kind, raw, &mut self.text)
                .map_err(|problem| wrong_value(field, &problem, raw, line))?;
        }
        self.slots[column] = Some(Slot { range: start..self.text.len(), line });
        Ok(())
    }

    /// Takes the header of a section.
    pub(super) fn header(&mut self, section: usize, line: u64, text: &str) -> Result<(), Reject> {
        self.has_content = true;
        let name = &self.shape.sections[section].name;
        if let Some(first) = self.sections[section].header {
            let reason = format!("section `{name}` begins twice in one record, first on line {first}");
            return Err(Reject::new(reason).at(line).place(name).text(text));
        }
        self.sections[section].header = Some(line);
        Ok(())
    }

    /// Takes a row of a section; `values` are the untrimmed texts of its fields.
    pub(super) fn row<'v>(
        &mut self,
        section: usize,
        values: impl Iterator<Item = Option<&'v str>>,
        line: u64,
        text: &str,
    ) -> Result<(), Reject> {
        let fields = &self.shape.sections[section].fields;
        let draft = &mut self.sections[section];
        for (field, value) in fields.iter().zip(values) {
            let raw = value.unwrap_or_default().trim();
            self.scratch.clear();
            if !raw.is_empty() {
                canonical(&field.kind, raw, &mut self.scratch)
                    .map_err(|problem| wrong_value(field, &problem, text, line))?;
            } else if let Some(default) = &field.default {
                self.scratch.push_str(default);
            }
            if field.required && self.scratch.is_empty() {
                return Err(wrong_value(field, "has no value, and it is required", text, line));
            }
            draft.rows.push_value(&self.scratch);
        }
        draft.lines.push(line);
        Ok(())
    }

    /// What is known of the record's key, for people.
    pub(super) fn key(&self) -> Option<String> {
        let known = self.shape.key.iter().filter(|&&column| !self.column(column).is_empty());
        let shown: Vec<_> = known
            .map(|&column| format!("{} {}", self.shape.fields[column].name, self.column(column)))
            .collect();
        (!shown.is_empty()).then(|| excerpt(&shown.join(", ")))
    }

    /// Makes the record's rows. A failed check that only warns is told to `warn`.
    pub(super) fn finish(
        &mut self,
        finished: &mut Finished,
        warn: &mut dyn FnMut(String),
    ) -> Result<(), Reject> {
        self.fill_in()?;
        for check in &self.shape.checks {
            match check.failure(self) {
                Some(reason) if check.rejects => {
                    return Err(Reject::new(reason).at(self.line).place(&check.left.text));
                }
                Some(reason) => warn(reason),
                None => {}
            }
        }
        for section in 0..self.sections.len() {
            self.check_row_keys(section)?;
        }
        self.check_row_bytes()?;
        self.write(finished);
        Ok(())
    }

    /// Puts defaults where there is no value, and refuses what is missing.
    fn fill_in(&mut self) -> Result<(), Reject> {
        let word = self.shape.place_word;
        for (field, slot) in self.shape.fields.iter().zip(&mut self.slots) {
            if slot.as_ref().is_some_and(|slot| !slot.range.is_empty()) {
                continue;
            }
            if let Some(default) = &field.default {
                let start = self.text.len();
                self.text.push_str(default);
                *slot = Some(Slot { range: start..self.text.len(), line: self.line });
            } else if field.required {
                let (line, reason) = match slot {
                    Some(slot) => {
                        (slot.line, format!("{word} `{}` has no value, and it is required", field.place))
                    }
                    None => {
                        let reason = format!(
                            "{word} `{}` is missing in the record that begins on line {}, and it is required",
                            field.place, self.line
                        );
                        (self.line, reason)
                    }
                };
                return Err(Reject::new(reason).at(line).place(&field.place));
            }
        }
        Ok(())
    }

    /// Refuses two rows of a section with one key.
    fn check_row_keys(&mut self, section: usize) -> Result<(), Reject> {
        let (rule, draft) = (&self.shape.sections[section], &self.sections[section]);
        let key = |row: u32| rule.key.iter().map(move |&field| draft.rows.row(row as usize).value(field));
        self.order.clear();
        self.order.extend(0..draft.rows.len() as u32);
        self.order.sort_unstable_by(|&one, &two| key(one).cmp(key(two)).then(one.cmp(&two)));
        let twins = self.order.windows(2).filter(|pair| key(pair[0]).eq(key(pair[1])));
        let Some(pair) = twins.min_by_key(|pair| pair[1]) else { return Ok(()) };
        let names = rule.key.iter().map(|&field| rule.fields[field].name.as_str());
        let shown: Vec<_> = names.zip(key(pair[1])).map(|(name, value)| format!("{name} {value}")).collect();
        let (first, second) = (draft.lines[pair[0] as usize], draft.lines[pair[1] as usize]);
        let (name, shown) = (&rule.name, shown.join(", "));
        let reason = format!(
            "section `{name}` has {} twice in one record, on lines {first} and {second} of the document",
            excerpt(&shown)
        );
        Err(Reject::new(reason).at(second).place(name).text(&shown))
    }

    /// Child rows repeat the parent's key, so many short rows under a long key could take far more memory than the text.
    fn check_row_bytes(&self) -> Result<(), Reject> {
        let key = &self.shape.key;
        let key_bytes: usize = key.iter().map(|&column| self.column(column).len() + size_of::<u32>()).sum();
        let bytes: usize = self
            .sections
            .iter()
            .map(|section| section.rows.text_bytes() + section.rows.len() * key_bytes)
            .sum();
        if bytes > MAX_RECORD_ROW_BYTES {
            let reason = format!(
                "the rows of the record that begins on line {} take more than {MAX_RECORD_ROW_BYTES} bytes",
                self.line
            );
            return Err(Reject::new(reason).at(self.line));
        }
        Ok(())
    }

    fn write(&self, finished: &mut Finished) {
        finished.line = self.line;
        finished.tables.iter_mut().for_each(Rows::clear);
        finished.tables[0].push_row((0..self.slots.len()).map(|column| self.column(column)));
        finished.ranges[0] = 0..1;
        for (index, section) in self.sections.iter().enumerate() {
            let table = &mut finished.tables[index + 1];
            for row in section.rows.iter() {
                let key = self.shape.key.iter().map(|&column| self.column(column));
                table.push_row(key.chain(row.values()));
            }
            finished.ranges[index + 1] = 0..section.rows.len() as u32;
        }
    }
}

impl Operands for Draft<'_> {
    fn column(&self, column: usize) -> &str {
        self.slots[column].as_ref().map_or("", |slot| &self.text[slot.range.clone()])
    }

    fn section(&self, section: usize) -> &Rows {
        &self.sections[section].rows
    }
}

fn wrong_value(field: &Field, problem: &str, text: &str, line: u64) -> Reject {
    Reject::new(format!("`{}` {problem}", field.place)).at(line).place(&field.place).text(text)
}
