//! Faults, told in rules.

/// What happens to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    /// It is done, and the connection ends without an answer.
    Lost,
    /// The connection ends before anything was done.
    NeverCame,
    /// It is refused with a status and an error code.
    Refused(u16, &'static str),
    /// It is done, and answered with an error all the same.
    DoneAndRefused(u16, &'static str),
}

/// One rule.
#[derive(Debug, Clone)]
pub(crate) struct Fault {
    operation: &'static str,
    what: Vec<What>,
    left: usize,
    /// Of a hundred requests so many are struck.
    percent: u64,
    dice: u64,
}

impl Fault {
    /// The next `times` requests for `operation` are struck.
    pub(crate) fn next(operation: &'static str, what: What, times: usize) -> Self {
        Self { operation, what: vec![what], left: times, percent: 100, dice: 0 }
    }

    /// Every request for `operation` is struck.
    pub(crate) fn always(operation: &'static str, what: What) -> Self {
        Self::next(operation, what, usize::MAX)
    }

    /// So many of a hundred requests for `operation` are struck by one of these, as the seed has it.
    pub(crate) fn at_random(operation: &'static str, what: &[What], percent: u64, seed: u64) -> Self {
        Self { operation, what: what.to_vec(), left: usize::MAX, percent, dice: seed }
    }

    fn roll(&mut self) -> u64 {
        // Knuth's linear congruential generator; its upper half is good enough for this.
        self.dice = self.dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.dice >> 33
    }

    fn strike(&mut self, operation: &str) -> Option<What> {
        if self.operation != operation || self.left == 0 || self.roll() % 100 >= self.percent {
            return None;
        }
        self.left -= 1;
        let which = self.roll() as usize % self.what.len();
        Some(self.what[which])
    }
}

/// All rules, in the order in which they came.
#[derive(Default)]
pub(super) struct Faults(Vec<Fault>);

impl Faults {
    pub(super) fn add(&mut self, fault: Fault) {
        self.0.push(fault);
    }

    pub(super) fn strike(&mut self, operation: &str) -> Option<What> {
        self.0.iter_mut().find_map(|fault| fault.strike(operation))
    }
}
