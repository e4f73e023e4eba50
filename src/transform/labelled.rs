//! The `labelled` format: `Label: value` lines, sections of repeated lines, banners.

use regex::CaptureLocations;

use super::definition::{Labelled, Unknown};
use super::input::Lines;
use super::outcome::{Reject, Stopped, Summary, excerpt};
use super::output::Output;
use super::record::Draft;
use super::rows::RecordView;
use crate::schema::Schema;

/// Reads all lines and hands each record to `sink`.
pub(super) fn read<E>(
    labelled: &Labelled,
    schema: &Schema,
    lines: &mut Lines<'_>,
    sink: &mut dyn FnMut(RecordView<'_>) -> Result<(), E>,
) -> Result<Summary, Stopped<E>> {
    let mut reader = Reader::new(labelled, schema);
    let mut seen_text = false;
    while let Some((number, line)) = lines.next()? {
        if line.is_empty() {
            continue;
        }
        seen_text = true;
        let progress =
            reader.line(number, line).map_err(|reject| Stopped::Rejected(reader.with_key(reject)))?;
        if progress == Progress::RecordEnded {
            reader.output.hand_over(sink)?;
        }
        // The ended record must have been handed over before the line that ended it begins the next.
        if progress != Progress::Within {
            reader.begin(number);
        }
    }
    if !seen_text {
        return Err(Stopped::Rejected(Reject::new("the document is empty")));
    }
    reader.end_record().map_err(|reject| Stopped::Rejected(reader.with_key(reject)))?;
    reader.output.hand_over(sink)?;
    Ok(reader.output.summary)
}

/// What a line did to the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    /// It belongs to the present record, or to none.
    Within,
    /// It begins a record, and there was none before.
    RecordBegins,
    /// It ends a record and begins another.
    RecordEnded,
}

struct Reader<'d> {
    labelled: &'d Labelled,
    draft: Draft<'d>,
    output: Output,
    /// Whether a record has begun.
    open: bool,
    /// The section whose rows are expected.
    section: Option<usize>,
    captures: Vec<CaptureLocations>,
    /// The label after the last one seen: labels mostly come in the job's order.
    next_label: usize,
}

impl<'d> Reader<'d> {
    fn new(labelled: &'d Labelled, schema: &Schema) -> Self {
        Self {
            labelled,
            draft: Draft::new(&labelled.shape),
            output: Output::new(schema),
            open: false,
            section: None,
            captures: labelled.shape.sections.iter().map(|section| section.row.capture_locations()).collect(),
            next_label: 0,
        }
    }

    fn with_key(&self, mut reject: Reject) -> Reject {
        if self.open {
            reject.key = self.draft.key();
        }
        reject
    }

    fn begin(&mut self, line: u64) {
        self.draft.begin(line);
        self.open = true;
        self.section = None;
        self.next_label = 0;
    }

    /// Takes one line that is not blank. The order of the questions is part of the format.
    fn line(&mut self, number: u64, line: &str) -> Result<Progress, Reject> {
        if self.open {
            self.draft.count(line.len())?;
        }
        if self.labelled.special.is_match(line) {
            if self.labelled.begin.as_ref().is_some_and(|begin| begin.is_match(line)) {
                return self.begin_line(number, line);
            }
            if let Some(section) =
                self.labelled.shape.sections.iter().position(|section| section.header.is_match(line))
            {
                self.ensure_open(number);
                self.section = Some(section);
                self.draft.header(section, number, line)?;
            }
            return Ok(Progress::Within);
        }
        if let Some(section) = self.section
            && self.row(section, number, line)?
        {
            return Ok(Progress::Within);
        }
        self.label_line(number, line)?;
        Ok(Progress::Within)
    }

    fn ensure_open(&mut self, number: u64) {
        if !self.open {
            self.begin(number);
        }
    }

    fn begin_line(&mut self, number: u64, line: &str) -> Result<Progress, Reject> {
        if !self.open {
            return Ok(Progress::RecordBegins);
        }
        if !self.draft.has_content {
            let reason = format!(
                "line {number} begins a record, but the record that begins on line {} holds nothing",
                self.draft.line
            );
            return Err(Reject::new(reason).at(number).text(line));
        }
        self.end_record()?;
        Ok(Progress::RecordEnded)
    }

    fn row(&mut self, section: usize, number: u64, line: &str) -> Result<bool, Reject> {
        let rule = &self.labelled.shape.sections[section];
        let captures = &mut self.captures[section];
        if rule.row.captures_read(captures, line).is_none() {
            return Ok(false);
        }
        let values =
            rule.groups.iter().map(|&group| captures.get(group).map(|(start, end)| &line[start..end]));
        self.draft.row(section, values, number, line)?;
        Ok(true)
    }

    fn label_line(&mut self, number: u64, line: &str) -> Result<(), Reject> {
        let Some((label, value)) = line.split_once(':') else {
            return Err(self.unreadable(number, line, None));
        };
        let label = label.trim();
        let Some(column) = self.find_label(label) else {
            let stray_row = self.section.is_none() && self.stray_row(line).is_some();
            if self.labelled.unknown == Unknown::Ignore && !stray_row && !label.is_empty() {
                self.section = None;
                return Ok(());
            }
            return Err(self.unreadable(number, line, Some(label)));
        };
        self.ensure_open(number);
        self.section = None;
        self.next_label = column + 1;
        self.draft.label(column, value.trim(), number)
    }

    fn find_label(&self, label: &str) -> Option<usize> {
        match self.labelled.shape.fields.get(self.next_label) {
            Some(field) if field.place == label => Some(self.next_label),
            _ => self.labelled.labels.get(label).copied(),
        }
    }

    /// The section that the line would be a row of, had its header been seen.
    fn stray_row(&self, line: &str) -> Option<usize> {
        self.labelled.shape.sections.iter().position(|section| section.row.is_match(line))
    }

    fn unreadable(&self, number: u64, line: &str, label: Option<&str>) -> Reject {
        let sections = &self.labelled.shape.sections;
        let reject = Reject::new("").at(number).text(line);
        let (place, reason) = match (self.section, label) {
            (Some(section), _) => {
                let name = &sections[section].name;
                let reason = format!(
                    "the line is neither a row of section `{name}` as the job describes it nor a known label"
                );
                (Some(name.clone()), reason)
            }
            (None, _) if let Some(section) = self.stray_row(line) => {
                let name = &sections[section].name;
                (
                    Some(name.clone()),
                    format!(
                        "the line looks like a row of section `{name}`, but no header of it comes before"
                    ),
                )
            }
            (None, Some("")) => {
                (None, "the line begins with a colon; a label is missing before it".to_owned())
            }
            (None, Some(label)) => {
                let label = excerpt(label);
                (Some(label.clone()), format!("label `{label}` is not known to the job"))
            }
            (None, None) => (
                None,
                "the line is no label with a value (`Label: value`), no section and no banner".to_owned(),
            ),
        };
        Reject { place, reason, ..reject }
    }

    /// Ends the present record, of which there must be one with something in it.
    fn end_record(&mut self) -> Result<(), Reject> {
        if !self.open {
            return Err(Reject::new("the document holds no record"));
        }
        if !self.draft.has_content {
            let reason = format!("the record that begins on line {} holds nothing", self.draft.line);
            return Err(Reject::new(reason).at(self.draft.line));
        }
        self.output.finish(&mut self.draft)
    }
}
