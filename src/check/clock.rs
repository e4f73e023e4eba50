//! Clocks. The seal time is part of a batch's name, expiry is reckoned with this machine's clock, and AWS refuses requests
//! that are signed more than 15 minutes off (S3 error `RequestTimeTooSkewed`).

use chrono::TimeDelta;

use super::finding::Finding;

/// From here on it is worth knowing.
const NOTE_ABOVE: TimeDelta = TimeDelta::minutes(1);
/// From here on it is wrong: a third of what AWS tolerates.
const WRONG_ABOVE: TimeDelta = TimeDelta::minutes(5);
const TODO: &str = "set this machine's clock, and keep it right: timedatectl set-ntp true";

/// Compares this machine's clock with the one of `whose`, which is ahead by `ahead`.
pub fn clock(whose: &str, ahead: TimeDelta) -> Finding {
    let what = format!("clock, compared with {whose}");
    let apart = ahead.abs();
    let direction = if ahead < TimeDelta::zero() { "ahead of" } else { "behind" };
    if apart <= NOTE_ABOVE {
        return Finding::ok(what, "less than a minute apart");
    }
    let found = format!("this machine is {} {direction} {whose}", in_words(apart));
    if apart > WRONG_ABOVE { Finding::wrong(what, found, TODO) } else { Finding::note(what, found, TODO) }
}

fn in_words(apart: TimeDelta) -> String {
    match apart.num_seconds() {
        seconds @ ..=7_199 => format!("{} min {} s", seconds / 60, seconds % 60),
        seconds => format!("{} h {} min", seconds / 3_600, seconds / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::*;

    #[test]
    fn five_minutes_are_wrong_and_one_is_a_note() {
        for (seconds, level) in [
            (0, Level::Ok),
            (60, Level::Ok),
            (-60, Level::Ok),
            (61, Level::Note),
            (-300, Level::Note),
            (301, Level::Wrong),
            (-86_400, Level::Wrong),
        ] {
            assert_eq!(clock("AWS", TimeDelta::seconds(seconds)).level, level, "{seconds}");
        }
        assert_eq!(clock("AWS", TimeDelta::seconds(-301)).found, "this machine is 5 min 1 s ahead of AWS");
        assert_eq!(clock("AWS", TimeDelta::seconds(7_260)).found, "this machine is 2 h 1 min behind AWS");
    }
}
