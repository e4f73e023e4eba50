//! Control totals that can be added and taken from each other: what a load fixed, less what was replaced since, is what
//! the tables must hold (I7).

use std::collections::BTreeMap;

use super::{Totals, plain};

/// An exact sum: `units` of 10^-`scale`.
#[derive(Debug, Clone, Copy)]
struct Sum {
    units: i128,
    scale: u32,
}

impl Sum {
    /// A plain decimal of up to 38 digits; none where the text is anything else.
    fn parse(text: &str) -> Option<Self> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let units: i128 = format!("{whole}{fraction}").parse().ok()?;
        Some(Self { units, scale: u32::try_from(fraction.len()).ok()? })
    }

    fn at_scale(self, scale: u32) -> Option<i128> {
        self.units.checked_mul(10_i128.checked_pow(scale.checked_sub(self.scale)?)?)
    }

    fn plus(self, other: Self, sign: i128) -> Option<Self> {
        let scale = self.scale.max(other.scale);
        let units = self.at_scale(scale)?.checked_add(other.at_scale(scale)?.checked_mul(sign)?)?;
        Some(Self { units, scale })
    }
}

/// Rows, exact sums and the order-free digest of a set of rows.
#[derive(Debug, Clone, Default)]
pub struct Counted {
    rows: i128,
    sums: BTreeMap<String, Sum>,
    digest: u128,
    /// A sum that was no decimal, or did not fit: then nothing here is equal to anything.
    broken: bool,
}

impl Counted {
    /// From what the ledger or a table says: sums as plain decimals, the digest as hex.
    pub fn new(rows: u64, sums: &BTreeMap<String, String>, digest: &str) -> Self {
        let parsed = sums.iter().map(|(name, text)| Some((name.clone(), Sum::parse(text)?)));
        let parsed: Option<BTreeMap<_, _>> = parsed.collect();
        let number = u128::from_str_radix(digest, 16);
        let broken = parsed.is_none() || number.is_err();
        Self { rows: rows.into(), sums: parsed.unwrap_or_default(), digest: number.unwrap_or(0), broken }
    }

    /// Adds the rows of another set.
    pub fn add(&mut self, other: &Self) {
        self.combine(other, 1);
    }

    /// What is left without the rows of `other`.
    #[must_use]
    pub fn without(&self, other: &Self) -> Self {
        let mut left = self.clone();
        left.combine(other, -1);
        left
    }

    fn combine(&mut self, other: &Self, sign: i128) {
        self.rows += sign * other.rows;
        self.digest = if sign > 0 {
            self.digest.wrapping_add(other.digest)
        } else {
            self.digest.wrapping_sub(other.digest)
        };
        self.broken |= other.broken;
        for (name, sum) in &other.sums {
            let before = self.sums.get(name).copied().unwrap_or(Sum { units: 0, scale: sum.scale });
            match before.plus(*sum, sign) {
                Some(after) => drop(self.sums.insert(name.clone(), after)),
                None => self.broken = true,
            }
        }
    }

    /// Rows; never negative where the ledger is sound.
    pub fn rows(&self) -> u64 {
        u64::try_from(self.rows).unwrap_or(0)
    }

    /// The sums as plain decimals.
    pub fn sums(&self) -> BTreeMap<String, String> {
        self.sums.iter().map(|(name, sum)| (name.clone(), plain(sum.units, sum.scale))).collect()
    }

    /// The digest as hex.
    pub fn digest(&self) -> String {
        format!("{:032x}", self.digest)
    }

    /// Whether rows and sums are the same; what is not summed is zero.
    pub fn has_same_sums(&self, other: &Self) -> bool {
        let left = self.without(other);
        !left.broken && left.rows == 0 && left.sums.values().all(|sum| sum.units == 0)
    }

    /// Whether the rows are the same: their number, their sums and their digest.
    pub fn is_same(&self, other: &Self) -> bool {
        self.has_same_sums(other) && self.digest == other.digest
    }
}

impl From<&Totals> for Counted {
    fn from(totals: &Totals) -> Self {
        Self::new(totals.rows, &totals.sums, &totals.digest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(rows: u64, total: &str, digest: u128) -> Counted {
        Counted::new(rows, &[("total".to_owned(), total.to_owned())].into(), &format!("{digest:032x}"))
    }

    #[test]
    fn what_was_replaced_is_taken_off() {
        let left = counted(3, "10.50", 7).without(&counted(1, "0.75", 9));
        assert!(left.is_same(&counted(2, "9.75", 7_u128.wrapping_sub(9))));
        assert_eq!((left.rows(), left.sums()["total"].as_str()), (2, "9.75"));
    }

    #[test]
    fn nothing_is_equal_to_no_sum_at_all() {
        assert!(counted(0, "0.00", 0).is_same(&Counted::default()));
        assert!(!counted(0, "0.01", 0).is_same(&Counted::default()));
    }

    #[test]
    fn scales_do_not_matter_and_digests_do() {
        assert!(counted(1, "-0.5", 1).is_same(&counted(1, "-0.50", 1)));
        assert!(counted(1, "1.00", 1).has_same_sums(&counted(1, "1.00", 2)));
        assert!(!counted(1, "1.00", 1).is_same(&counted(1, "1.00", 2)));
    }

    #[test]
    fn what_is_no_number_is_equal_to_nothing() {
        assert!(!counted(1, "x", 1).is_same(&counted(1, "x", 1)));
        assert!(!counted(1, "1.00", 1).is_same(&Counted::new(1, &BTreeMap::new(), "not hex")));
    }
}
