//! Finished records on their way out, the same for every format.

use super::MAX_WARNINGS;
use super::outcome::{Reject, Stopped, Summary, Warning};
use super::record::{Draft, Finished};
use super::rows::RecordView;
use crate::schema::Schema;

/// The record that was finished last, and what is known of the document so far.
pub(super) struct Output {
    finished: Finished,
    pub(super) summary: Summary,
}

impl Output {
    pub(super) fn new(schema: &Schema) -> Self {
        Self { finished: Finished::new(schema), summary: Summary::default() }
    }

    /// Makes the rows of the draft; they stay here until they are handed over.
    pub(super) fn finish(&mut self, draft: &mut Draft<'_>) -> Result<(), Reject> {
        let mut warnings = Vec::new();
        draft.finish(&mut self.finished, &mut |reason| warnings.push(reason))?;
        for reason in warnings {
            self.warn(draft, reason);
        }
        Ok(())
    }

    fn warn(&mut self, draft: &Draft<'_>, reason: String) {
        if self.summary.warnings.len() < MAX_WARNINGS {
            let warning = Warning { line: draft.line, key: draft.key(), reason };
            self.summary.warnings.push(warning);
        } else {
            self.summary.more_warnings += 1;
        }
    }

    /// Gives the finished record to `sink`.
    pub(super) fn hand_over<E>(
        &mut self,
        sink: &mut dyn FnMut(RecordView<'_>) -> Result<(), E>,
    ) -> Result<(), Stopped<E>> {
        let record = self.finished.view();
        self.summary.records += 1;
        self.summary.rows += record.row_count();
        sink(record).map_err(Stopped::Sink)
    }
}
