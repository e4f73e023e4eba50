//! Windows: the ticks of a cron expression, in UTC.

use std::str::FromStr;

use chrono::{TimeDelta, Timelike};
use cron::Schedule;
use sluicegate_state::Timestamp;
use sluicegate_state::canary::{Canary, sings};

/// When windows end. UTC has no summer time, so every tick comes exactly once.
#[derive(Debug, Clone)]
pub struct Window(Schedule);

const ALLOWED: &str =
    "allowed: six fields `second minute hour day month weekday` in UTC, such as `0 */15 * * * *`";

impl Window {
    /// Reads a cron expression. The error comes after the key's name.
    pub fn new(cron: &str) -> Result<Self, String> {
        // A seventh field (years) would let the ticks end some day, and shorthands such as @daily hide their seconds.
        let fields = cron.split_whitespace().count();
        if fields != 6 {
            return Err(format!("`{cron}` has {fields} fields; {ALLOWED}"));
        }
        let schedule =
            Schedule::from_str(cron).map_err(|_| format!("`{cron}` is no cron expression; {ALLOWED}"))?;
        let window = Self(schedule);
        match window.next_tick(Timestamp::UNIX_EPOCH) {
            Some(_) => Ok(window),
            None => Err(format!("`{cron}` names a moment that never comes; {ALLOWED}")),
        }
    }

    /// The expression as it was written.
    pub fn cron(&self) -> &str {
        self.0.source()
    }

    /// The latest tick at or before `at`.
    pub fn previous_tick(&self, at: Timestamp) -> Option<Timestamp> {
        let next_second = at.with_nanosecond(0)? + TimeDelta::seconds(1);
        if sings(Canary::WindowInLocalTime) {
            let local = next_second.with_timezone(&chrono_tz::Asia::Kolkata);
            return self.0.after(&local).next_back().map(|tick| tick.to_utc());
        }
        self.0.after(&next_second).next_back()
    }

    /// The earliest tick after `at`.
    pub fn next_tick(&self, at: Timestamp) -> Option<Timestamp> {
        self.0.after(&at.with_nanosecond(0)?).next()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_tick_belongs_to_the_past_from_its_own_moment_on() {
        let window = Window::new("0 */15 * * * *").unwrap();
        let previous = |text| window.previous_tick(at(text)).unwrap();
        let next = |text| window.next_tick(at(text)).unwrap();
        assert_eq!(previous("2024-03-31T12:15:00Z"), at("2024-03-31T12:15:00Z"));
        assert_eq!(previous("2024-03-31T12:15:00.5Z"), at("2024-03-31T12:15:00Z"));
        assert_eq!(previous("2024-03-31T12:14:59.9Z"), at("2024-03-31T12:00:00Z"));
        assert_eq!(next("2024-03-31T12:15:00Z"), at("2024-03-31T12:30:00Z"));
        assert_eq!(next("2024-03-31T12:14:59.9Z"), at("2024-03-31T12:15:00Z"));
        assert_eq!(next("2024-12-31T23:59:59Z"), at("2025-01-01T00:00:00Z"));
    }

    #[test]
    fn a_day_ends_in_utc_wherever_the_machine_is() {
        let window = Window::new("0 0 6 * * *").unwrap();
        assert_eq!(window.previous_tick(at("2024-03-31T05:59:59Z")), Some(at("2024-03-30T06:00:00Z")));
        assert_eq!(window.previous_tick(at("2024-03-31T06:00:00Z")), Some(at("2024-03-31T06:00:00Z")));
        assert_eq!(window.next_tick(at("2024-03-31T05:59:59Z")), Some(at("2024-03-31T06:00:00Z")));
    }

    #[test]
    fn ticks_backwards_are_the_ticks_forwards() {
        for cron in [
            "0 */15 * * * *",
            "30 5 3 31 * *",
            "0 0 2 29 Feb *",
            "7 7 7 * Mar,Oct Sun",
            "59 59 23 30 4-6 *",
            "0 0 0 1 1 *",
        ] {
            let window = Window::new(cron).unwrap();
            let mut tick = window.next_tick(at("1999-12-31T23:59:59Z")).unwrap();
            for _ in 0..50 {
                let Some(next) = window.next_tick(tick) else { break };
                let between = tick + (next - tick) / 2;
                for (moment, expected) in
                    [(tick, tick), (between, tick), (next - TimeDelta::milliseconds(1), tick), (next, next)]
                {
                    assert_eq!(window.previous_tick(moment), Some(expected), "{cron} at {moment}");
                }
                tick = next;
            }
        }
    }

    #[test]
    fn expressions_that_cannot_be_windows_are_refused() {
        for cron in [
            "",
            "*/15 * * * *",
            "@hourly",
            "0 0 0 1 1 * 2020",
            "0 61 * * * *",
            "0 0 0 30 Feb *",
            "a b c d e f",
        ] {
            assert!(Window::new(cron).is_err(), "{cron}");
        }
    }
}
