//! Checks of a record: sums that have to be equal. Computed in whole units of the check's last digit, never in floats.

use super::rows::Rows;

/// `left = right`.
#[derive(Debug, Clone)]
pub(crate) struct Check {
    pub(crate) left: Sum,
    pub(crate) right: Sum,
    /// Digits after the point of both sides.
    pub(crate) scale: u8,
    /// A failure rejects the document; otherwise it only warns.
    pub(crate) rejects: bool,
}

/// One side of a check.
#[derive(Debug, Clone)]
pub(crate) struct Sum {
    /// As the job file has it, for messages.
    pub(crate) text: String,
    pub(crate) terms: Vec<Term>,
}

/// One summand.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Term {
    pub(crate) negative: bool,
    pub(crate) operand: Operand,
    /// The power of ten that brings the operand's scale to the check's.
    pub(crate) factor: i128,
}

/// Where the number of a summand is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operand {
    /// A column of the parent.
    Column(usize),
    /// A column of every row of a section.
    SumOf { section: usize, field: usize },
}

/// What a check looks at: the parent's canonical values and the rows of each section.
pub(super) trait Operands {
    /// The canonical text of a parent column; empty is NULL.
    fn column(&self, column: usize) -> &str;
    /// The rows of a section.
    fn section(&self, section: usize) -> &Rows;
}

impl Check {
    /// What is wrong, for people; none when both sides are equal.
    pub(super) fn failure(&self, record: &dyn Operands) -> Option<String> {
        let (Some(left), Some(right)) = (self.left.value(record), self.right.value(record)) else {
            return Some(format!(
                "the numbers of {} = {} are too large to be added up",
                self.left.text, self.right.text
            ));
        };
        if left == right {
            return None;
        }
        let (left, right) = (self.shown(&self.left, left), self.shown(&self.right, right));
        Some(format!("{} is not {right}", left.replacen(" = ", " ", usize::from(self.left.is_column()))))
    }

    fn shown(&self, sum: &Sum, value: i128) -> String {
        format!("{} = {}", sum.text, with_point(value, usize::from(self.scale)))
    }
}

impl Sum {
    fn is_column(&self) -> bool {
        matches!(self.terms[..], [Term { negative: false, operand: Operand::Column(_), .. }])
    }

    /// The value in units of the check's last digit; none when it leaves 128 bits.
    fn value(&self, record: &dyn Operands) -> Option<i128> {
        let mut sum = 0_i128;
        for term in &self.terms {
            let value = match term.operand {
                Operand::Column(column) => units(record.column(column)),
                Operand::SumOf { section, field } => {
                    let mut rows = record.section(section).iter();
                    rows.try_fold(0_i128, |sum, row| sum.checked_add(units(row.value(field))))?
                }
            };
            let value = value.checked_mul(term.factor)?;
            sum = if term.negative { sum.checked_sub(value)? } else { sum.checked_add(value)? };
        }
        Some(sum)
    }
}

/// The number in units of its own last digit; NULL counts 0. Canonical text has at most 28 digits, so it always fits.
fn units(canonical: &str) -> i128 {
    let digits = canonical.bytes().filter(u8::is_ascii_digit);
    let value = digits.fold(0_i128, |value, digit| value * 10 + i128::from(digit - b'0'));
    if canonical.starts_with('-') { -value } else { value }
}

fn with_point(value: i128, scale: usize) -> String {
    let digits = format!("{:0>width$}", value.unsigned_abs(), width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    let point = if scale > 0 { "." } else { "" };
    format!("{}{whole}{point}{fraction}", if value < 0 { "-" } else { "" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_and_points_are_inverse() {
        for text in ["0.00", "8150.00", "-0.05", "-12.50"] {
            assert_eq!(with_point(units(text), 2), text);
        }
        assert_eq!(with_point(units("-7"), 0), "-7");
        assert_eq!(units(""), 0);
    }
}
