//! Decimals between SQLite, which knows only floating point, and exact arithmetic.
//!
//! A decimal is stored as REAL, so that comparisons, sorting and arithmetic in a statement are numeric. A REAL is faithful to
//! 15 significant digits, and is always read as just those; so every decimal below 10^13 with two places comes back as it was.
//! A larger one is stored as its text in a BLOB: SQLite sorts BLOBs above all numbers, and in arithmetic takes them for the
//! nearest number. So its digits, and every sum it goes into, stay exact, and it compares well with smaller ones; only against
//! a number as large as itself, or where it is negative, does it not.

use rusqlite::types::{Value as SqlValue, ValueRef};
use rust_decimal::Decimal;

use crate::curated::{parse_plain, plain};
use crate::schema::{ColumnType, Schema};

/// Significant decimal digits that a REAL keeps whatever they are.
const FAITHFUL_DIGITS: u32 = 15;

/// An exact decimal: `units` of 10^-`scale`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Exact {
    units: i128,
    scale: u32,
}

/// Which decimals a REAL can hold for these schemas.
#[derive(Debug, Clone, Copy)]
pub(super) struct Precision {
    /// The largest scale of any decimal column; what has more places came out of an expression.
    scale: u32,
    /// Values with more digits before the point are BLOBs.
    whole_digits: u32,
}

impl Precision {
    pub(super) fn of(schemas: &[Schema]) -> Self {
        let columns = schemas.iter().flat_map(|schema| &schema.tables).flat_map(|table| &table.columns);
        let scales = columns.filter_map(|column| match column.kind {
            ColumnType::Decimal { scale, .. } => Some(u32::from(scale)),
            _ => None,
        });
        let scale = scales.max().unwrap_or(0);
        // Amounts of everyday size compare as numbers even beside a column of very many places.
        Self { scale, whole_digits: FAITHFUL_DIGITS.saturating_sub(scale).max(9) }
    }
}

impl Exact {
    pub(super) fn integer(value: i64) -> Self {
        Self { units: value.into(), scale: 0 }
    }

    /// A plain decimal, `-12.50`; none where the text is anything else.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let value = parse_plain(text)?;
        Some(Self { units: value.mantissa(), scale: value.scale() })
    }

    /// The decimal that a REAL stands for: its 15 significant digits; none where it is infinite or has over 28 digits.
    pub(super) fn from_real(real: f64) -> Option<Self> {
        if let Some(exact) = Self::from_short_real(real) {
            return Some(exact);
        }
        Self::parse(&plain_real(real)).or_else(|| Self::parse(&format!("{real:.20}")))
    }

    /// The usual case, an amount with few places, without a detour through text: a decimal of at most 15 digits that is
    /// nearest to this REAL is the only such one.
    fn from_short_real(real: f64) -> Option<Self> {
        (0..=4).find_map(|scale| {
            let power = 10_f64.powi(scale);
            let units = (real * power).round();
            let same = units.abs() < 1e15 && units / power == real;
            same.then_some(Self { units: units as i128, scale: scale as u32 })
        })
    }

    /// The number in any value that holds one.
    pub(super) fn from_sql(value: ValueRef<'_>) -> Option<Self> {
        match value {
            ValueRef::Null => None,
            ValueRef::Integer(integer) => Some(Self::integer(integer)),
            ValueRef::Real(real) => Self::from_real(real),
            ValueRef::Text(bytes) | ValueRef::Blob(bytes) => {
                Self::parse(std::str::from_utf8(bytes).ok()?.trim())
            }
        }
    }

    /// How SQLite shall hold it.
    pub(super) fn to_sql(self, precision: Precision) -> SqlValue {
        if self.fits_real(precision) { SqlValue::Real(self.to_real()) } else { SqlValue::Blob(self.padded()) }
    }

    /// The nearest REAL.
    pub(super) fn to_real(self) -> f64 {
        self.plain().parse().expect("plain notation is a number")
    }

    /// All its digits.
    pub(super) fn plain(self) -> String {
        plain(self.units, self.scale)
    }

    /// With `scale` places where that loses nothing, else with all that it needs.
    pub(super) fn with_scale(self, scale: u32) -> String {
        let short = self.shortest();
        let wanted = scale.saturating_sub(short.scale);
        match short.rescaled(short.scale + wanted) {
            Some(exact) => exact.plain(),
            None => short.plain(),
        }
    }

    /// Without zeros at the end of its places.
    pub(super) fn shortest(mut self) -> Self {
        while self.scale > 0 && self.units % 10 == 0 {
            self.units /= 10;
            self.scale -= 1;
        }
        self
    }

    pub(super) fn checked_add(self, other: Self) -> Option<Self> {
        let scale = self.scale.max(other.scale);
        let units = self.rescaled(scale)?.units.checked_add(other.rescaled(scale)?.units)?;
        Some(Self { units, scale })
    }

    pub(super) fn negated(self) -> Option<Self> {
        Some(Self { units: self.units.checked_neg()?, scale: self.scale })
    }

    /// The value as an integer, where it is one of 64 bits.
    pub(super) fn to_integer(self) -> Option<i64> {
        let short = self.shortest();
        if short.scale == 0 { i64::try_from(short.units).ok() } else { None }
    }

    /// The nearest REAL to the value divided by `count`.
    pub(super) fn mean(self, count: u64) -> f64 {
        let sum = Decimal::try_from_i128_with_scale(self.units, self.scale).ok();
        let mean = sum.and_then(|sum| sum.checked_div(Decimal::from(count)));
        let exact = mean.and_then(|mean| mean.to_string().parse().ok());
        exact.unwrap_or_else(|| self.to_real() / count as f64)
    }

    fn rescaled(self, scale: u32) -> Option<Self> {
        let missing = scale.checked_sub(self.scale)?;
        let units = self.units.checked_mul(10_i128.checked_pow(missing)?)?;
        Some(Self { units, scale })
    }

    fn fits_real(self, precision: Precision) -> bool {
        let short = self.shortest();
        let bound = 10_u128.checked_pow(precision.whole_digits + short.scale);
        let outsized = bound.is_some_and(|bound| short.units.unsigned_abs() >= bound);
        let digits = short.units.unsigned_abs().checked_ilog10().map_or(1, |log| log + 1);
        let would_lose_money = digits > FAITHFUL_DIGITS && short.scale <= precision.scale;
        !outsized && !would_lose_money
    }

    /// Zeros in front, so that BLOBs sort as their numbers do.
    fn padded(self) -> Vec<u8> {
        let text = self.plain();
        let (sign, digits) = text.strip_prefix('-').map_or(("", text.as_str()), |digits| ("-", digits));
        let (whole, places) = digits.split_once('.').unwrap_or((digits, "0"));
        format!("{sign}{whole:0>39}.{places}").into_bytes()
    }
}

/// A REAL in plain notation with at most 15 significant digits.
pub(super) fn plain_real(real: f64) -> String {
    let rounded: f64 = format!("{real:.14e}").parse().expect("what was just printed is a number");
    // Minus zero is nobody's amount.
    format!("{}", if rounded == 0.0 { 0.0 } else { rounded })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MONEY: Precision = Precision { scale: 2, whole_digits: 13 };

    fn through_sql(text: &str) -> String {
        let value = Exact::parse(text).unwrap().to_sql(MONEY);
        Exact::from_sql(ValueRef::from(&value)).unwrap().with_scale(2)
    }

    #[test]
    fn every_decimal_comes_back_as_it_was() {
        for text in
            ["0.00", "8150.00", "-0.01", "9999999999999.99", "10000000000000.00", "9999999999999999.99"]
        {
            assert_eq!(through_sql(text), text);
        }
        assert_eq!(through_sql("-12345678901234567890123456.78"), "-12345678901234567890123456.78");
    }

    #[test]
    fn noise_of_floating_point_is_not_shown() {
        for (real, text) in [
            (0.1 + 0.2, "0.3"),
            (1e-7, "0.0000001"),
            (-0.0, "0"),
            (8150.0, "8150"),
            (1e20, "100000000000000000000"),
        ] {
            assert_eq!(plain_real(real), text);
        }
    }

    #[test]
    fn a_tiny_real_is_a_number_and_an_infinite_one_is_none() {
        assert!(Exact::from_real(5.551115123125783e-17).is_some());
        assert_eq!(Exact::from_real(f64::INFINITY), None);
        assert_eq!(Exact::from_real(1e300), None);
    }

    #[test]
    fn places_are_filled_up_and_never_cut() {
        let shown = |text, scale| Exact::parse(text).unwrap().with_scale(scale);
        assert_eq!(shown("1.5", 2), "1.50");
        assert_eq!(shown("1.500", 2), "1.50");
        assert_eq!(shown("3.14159", 2), "3.14159");
    }

    proptest! {
        #[test]
        fn any_decimal_comes_back(units in -10_i128.pow(27)..10_i128.pow(27), small in any::<i32>()) {
            for units in [units, small.into()] {
                let text = plain(units, 2);
                prop_assert_eq!(through_sql(&text), text);
            }
        }

        #[test]
        fn the_short_way_is_the_long_way(real in any::<f64>(), cents in -10_i64.pow(14)..10_i64.pow(14)) {
            for real in [real, cents as f64 / 100.0] {
                if let Some(short) = Exact::from_short_real(real) {
                    prop_assert_eq!(Some(short), Exact::parse(&plain_real(real)));
                }
            }
        }

        #[test]
        fn amounts_sort_as_numbers(a in 0..10_i128.pow(18), b in 0..10_i128.pow(18)) {
            let [left, right] = [a, b].map(|units| Exact { units, scale: 2 }.to_sql(MONEY));
            let ordering = match (&left, &right) {
                (SqlValue::Real(left), SqlValue::Real(right)) => left.total_cmp(right),
                (SqlValue::Blob(left), SqlValue::Blob(right)) => left.cmp(right),
                (SqlValue::Real(_), _) => std::cmp::Ordering::Less,
                _ => std::cmp::Ordering::Greater,
            };
            prop_assert_eq!(ordering, a.cmp(&b));
        }
    }
}
