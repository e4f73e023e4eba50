//! Control totals of a table's rows: how many, the exact sum of each decimal column, and a digest that does not depend on
//! the rows' order. The same accumulator serves the writer of a CSV object and a later look at the live rows.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::CuratedError;
use crate::schema::{ColumnType, Table};

/// What is known of a CSV object when it has been written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Rows, without the header.
    pub rows: u64,
    /// Bytes of the object.
    pub bytes: u64,
    /// SHA-256 of the object, in hex.
    pub sha256: String,
    /// The exact sum of each decimal column, with the column's scale.
    pub sums: BTreeMap<String, String>,
    /// The [`RowDigest`] of the rows, in hex.
    pub digest: String,
}

/// A digest of a set of rows in any order: the sum modulo 2^128, over the rows, of the first 16 bytes (big-endian) of
/// SHA-256 over the row's values, each preceded by its length in bytes (8 bytes, big-endian).
///
/// A sum and not an exclusive or, because a row that is there twice must not vanish.
#[derive(Debug, Clone, Default)]
pub struct RowDigest {
    sum: u128,
    row: Sha256,
}

impl RowDigest {
    /// Adds one row: the table's values in column order, then `batch_id` and `source_order`; NULL is the empty text.
    pub fn add_row<'a>(&mut self, values: impl IntoIterator<Item = &'a str>) {
        for value in values {
            self.value(value);
        }
        self.end_row();
    }

    /// Adds the rows of another digest.
    pub fn merge(&mut self, other: &Self) {
        self.sum = self.sum.wrapping_add(other.sum);
    }

    /// The digest so far: 32 hex digits.
    pub fn hex(&self) -> String {
        format!("{:032x}", self.sum)
    }

    fn value(&mut self, value: &str) {
        self.row.update((value.len() as u64).to_be_bytes());
        self.row.update(value.as_bytes());
    }

    fn end_row(&mut self) {
        let hash = self.row.finalize_reset();
        let mut first = [0; 16];
        first.copy_from_slice(&hash[..16]);
        self.sum = self.sum.wrapping_add(u128::from_be_bytes(first));
    }
}

/// The exact sum of one decimal column.
#[derive(Debug, Clone)]
struct ColumnSum {
    column: usize,
    name: String,
    scale: u8,
    /// In units of the last digit, so that no addition ever rounds.
    units: i128,
}

impl ColumnSum {
    fn add(&mut self, text: &str) -> Result<(), CuratedError> {
        let units = units(text, self.scale).ok_or_else(|| CuratedError::NotDecimal {
            column: self.name.clone(),
            value: text.to_owned(),
            scale: self.scale,
        })?;
        let sum = self.units.checked_add(units);
        self.units = sum.ok_or_else(|| CuratedError::SumTooLarge { column: self.name.clone() })?;
        Ok(())
    }
}

/// The control totals of rows that are shown to it one by one.
#[derive(Debug, Clone)]
pub struct TableTotals {
    table: String,
    width: usize,
    rows: u64,
    sums: Vec<ColumnSum>,
    digest: RowDigest,
}

impl TableTotals {
    /// Nothing yet, for rows of `table`.
    pub fn new(table: &Table) -> Self {
        let sums = table.columns.iter().enumerate().filter_map(|(column, described)| match described.kind {
            ColumnType::Decimal { scale, .. } => {
                Some(ColumnSum { column, name: described.name.clone(), scale, units: 0 })
            }
            _ => None,
        });
        Self {
            table: table.name.clone(),
            width: table.columns.len(),
            rows: 0,
            sums: sums.collect(),
            digest: RowDigest::default(),
        }
    }

    /// Adds one row as canonical text, empty for NULL.
    ///
    /// # Errors
    /// A wrong number of values, a decimal that is none, or a sum that does not fit; the totals are then of no use.
    pub fn add_row<'a>(
        &mut self,
        values: impl IntoIterator<Item = &'a str>,
        batch_id: &str,
        source_order: &str,
    ) -> Result<(), CuratedError> {
        let mut count = 0;
        for value in values {
            self.add_value(count, value)?;
            count += 1;
        }
        self.end_row(count, batch_id, source_order)
    }

    /// Rows seen.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// The sum of each decimal column by name, with the column's scale.
    pub fn sums(&self) -> BTreeMap<String, String> {
        self.sums.iter().map(|sum| (sum.name.clone(), plain(sum.units, sum.scale.into()))).collect()
    }

    /// The order-free digest of the rows.
    pub fn digest(&self) -> String {
        self.digest.hex()
    }

    /// One value of the row that [`Self::end_row`] will complete.
    pub(super) fn add_value(&mut self, column: usize, value: &str) -> Result<(), CuratedError> {
        self.digest.value(value);
        match self.sums.iter_mut().find(|sum| sum.column == column) {
            Some(sum) if !value.is_empty() => sum.add(value),
            _ => Ok(()),
        }
    }

    pub(super) fn end_row(
        &mut self,
        found: usize,
        batch_id: &str,
        source_order: &str,
    ) -> Result<(), CuratedError> {
        if found != self.width {
            return Err(CuratedError::Width { table: self.table.clone(), found, expected: self.width });
        }
        self.digest.value(batch_id);
        self.digest.value(source_order);
        self.digest.end_row();
        self.rows += 1;
        Ok(())
    }
}

/// A decimal text in units of 10^-`scale`; none where it is no plain decimal or has more digits after the point.
fn units(text: &str, scale: u8) -> Option<i128> {
    let value = parse_plain(text)?;
    let missing = u32::from(scale).checked_sub(value.scale())?;
    value.mantissa().checked_mul(10_i128.checked_pow(missing)?)
}

/// A decimal in plain notation of at most 28 digits, as it was written: no sign but a minus, no exponent, no separators.
pub(crate) fn parse_plain(text: &str) -> Option<Decimal> {
    let plain = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'-'));
    if plain { Decimal::from_str_exact(text).ok() } else { None }
}

/// Units of 10^-`scale` in plain notation, with all digits after the point.
pub(crate) fn plain(units: i128, scale: u32) -> String {
    let sign = if units < 0 { "-" } else { "" };
    let scale = scale as usize;
    let digits = format!("{:0>width$}", units.unsigned_abs(), width = scale + 1);
    match digits.split_at(digits.len() - scale) {
        (whole, "") => format!("{sign}{whole}"),
        (whole, fraction) => format!("{sign}{whole}.{fraction}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::curated::testing::{MONEY, table};

    fn amounts() -> Table {
        table("t", &[("name", ColumnType::Text), ("amount", MONEY)], &[0])
    }

    #[test]
    fn sums_are_exact_however_many_values_there_are() {
        let mut totals = TableTotals::new(&amounts());
        for _ in 0..10_000 {
            totals.add_row(["a", "0.10"], "b", "s").unwrap();
            totals.add_row(["a", "0.20"], "b", "s").unwrap();
        }
        totals.add_row(["a", ""], "b", "s").unwrap();
        totals.add_row(["a", "-0.01"], "b", "s").unwrap();
        assert_eq!(totals.sums()["amount"], "2999.99");
        assert_eq!(totals.rows(), 20_002);
    }

    #[test]
    fn a_sum_may_be_larger_than_any_value_of_the_column() {
        let mut totals = TableTotals::new(&amounts());
        for _ in 0..1_000 {
            totals.add_row(["a", "9999999999999999.99"], "b", "s").unwrap();
        }
        assert_eq!(totals.sums()["amount"], "9999999999999999990.00");
    }

    #[test]
    fn a_sum_that_does_not_fit_is_an_error() {
        let mut sum =
            ColumnSum { column: 0, name: "n".to_owned(), scale: 0, units: i128::MAX - 10_i128.pow(27) };
        assert!(matches!(
            sum.add("9999999999999999999999999999"),
            Err(CuratedError::SumTooLarge { column }) if column == "n"
        ));
    }

    #[test]
    fn what_is_no_decimal_of_the_column_is_refused() {
        for text in ["x", "1.234", "1e3", " 1", "1,00", "1_0", "+1"] {
            let error = TableTotals::new(&amounts()).add_row(["a", text], "b", "s").unwrap_err();
            assert!(matches!(error, CuratedError::NotDecimal { .. }), "{text}: {error}");
        }
    }

    #[test]
    fn the_digest_knows_no_order_but_every_value_and_every_copy() {
        let digest = |rows: &[&[&str]]| {
            let mut digest = RowDigest::default();
            rows.iter().for_each(|row| digest.add_row(row.iter().copied()));
            digest.hex()
        };
        let (a, b): (&[&str], &[&str]) = (&["ab", "c"], &["a", "bc"]);
        assert_eq!(digest(&[a, b]), digest(&[b, a]));
        assert_ne!(digest(&[a]), digest(&[b]));
        assert_ne!(digest(&[a, a]), digest(&[]));
        assert_eq!(digest(&[]), "0".repeat(32));
    }

    #[test]
    fn the_digest_of_parts_is_the_digest_of_the_whole() {
        let (mut whole, mut one, mut two) =
            (RowDigest::default(), RowDigest::default(), RowDigest::default());
        one.add_row(["a", ""]);
        two.add_row(["", "a"]);
        whole.add_row(["a", ""]);
        whole.add_row(["", "a"]);
        one.merge(&two);
        assert_eq!(one.hex(), whole.hex());
    }

    #[test]
    fn the_digest_stays_what_other_versions_of_this_program_wrote() {
        let mut digest = RowDigest::default();
        digest.add_row(["a", "", "é"]);
        assert_eq!(digest.hex(), "897e2542cd342ed53c4d637248ca7e19");
    }

    #[test]
    fn plain_notation_has_all_digits_of_the_scale() {
        let cases = [(0, 2, "0.00"), (-5, 2, "-0.05"), (815_000, 2, "8150.00"), (-12, 0, "-12")];
        for (units, scale, text) in cases {
            assert_eq!(plain(units, scale), text);
        }
    }
}
