//! What a statement in Athena costs, as an estimate.

use std::fmt;
use std::time::Duration;

use crate::ports::query_engine::Scan;

/// What is charged for each megabyte read: 5 US dollars a terabyte (Athena's page of prices; some regions ask more).
const MICRODOLLARS_A_MEGABYTE: u64 = 5;
const MEGABYTE: u64 = 1_000_000;
/// A statement is charged for as much at least.
const LEAST_MEGABYTES: u64 = 10;

/// What was read, how long it took, and about what it costs. A statement that failed, which has none, is free.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bill {
    pub(super) bytes: u64,
    pub(super) run_time: Duration,
    microdollars: u64,
}

impl Bill {
    pub(super) fn of(scan: &Scan) -> Self {
        let megabytes = scan.bytes.div_ceil(MEGABYTE).max(LEAST_MEGABYTES);
        Self {
            bytes: scan.bytes,
            run_time: scan.run_time,
            microdollars: megabytes.saturating_mul(MICRODOLLARS_A_MEGABYTE),
        }
    }

    /// US dollars with six places, as text: money is never a float.
    pub(super) fn dollars(&self) -> String {
        format!("{}.{:06}", self.microdollars / 1_000_000, self.microdollars % 1_000_000)
    }
}

impl fmt::Display for Bill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tenths = self.bytes.div_ceil(MEGABYTE / 10);
        write!(
            f,
            "Athena read {}.{} MB in {:.1} s, about {} USD (an estimate: 5 USD a TB, 10 MB at least)",
            tenths / 10,
            tenths % 10,
            self.run_time.as_secs_f64(),
            self.dollars()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_megabytes_are_charged_at_least_and_whole_ones() {
        for (bytes, dollars) in [
            (0, "0.000050"),
            (10_000_000, "0.000050"),
            (10_000_001, "0.000055"),
            (1_000_000_000_000, "5.000000"),
            (2_500_000_000_000, "12.500000"),
        ] {
            assert_eq!(Bill::of(&Scan { bytes, run_time: Duration::ZERO }).dollars(), dollars, "{bytes}");
        }
    }

    #[test]
    fn it_is_said_in_words() {
        let bill = Bill::of(&Scan { bytes: 12_345_678, run_time: Duration::from_millis(1_840) });
        let words =
            "Athena read 12.4 MB in 1.8 s, about 0.000065 USD (an estimate: 5 USD a TB, 10 MB at least)";
        assert_eq!(bill.to_string(), words);
    }
}
