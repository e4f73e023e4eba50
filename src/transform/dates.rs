//! Dates in the forms that a job accepts.

use chrono::format::{Item, Parsed, StrftimeItems, parse};
use chrono::{Datelike, NaiveDate};

/// One form in which a date may be written.
#[derive(Debug, Clone)]
pub(crate) struct DatePattern {
    items: Vec<Item<'static>>,
    words: usize,
    /// A date written in this form, for messages.
    pub(crate) example: String,
}

impl DatePattern {
    /// Compiles a pattern such as `%b %d %Y`. The error comes after the key's name.
    pub(crate) fn new(pattern: &str) -> Result<Self, String> {
        let refused =
            |why: &str| format!("`{pattern}` {why}; allowed: a date pattern such as %Y-%m-%d or %b %d %Y");
        let items =
            StrftimeItems::new(pattern).parse_to_owned().map_err(|_| refused("is no date pattern"))?;
        let date = NaiveDate::from_ymd_opt(2018, 3, 31).expect("a date of the calendar");
        let mut example = String::new();
        // The text of a pattern with a time of day in it ends in an error, which `to_string` would turn into a panic.
        std::fmt::Write::write_fmt(&mut example, format_args!("{}", date.format_with_items(items.iter())))
            .map_err(|_| refused("holds more than a date"))?;
        let pattern = Self { items, words: words(pattern), example };
        match pattern.parse(&pattern.example) {
            Some(read) if read == date => Ok(pattern),
            _ => Err(refused("does not tell the year, the month and the day")),
        }
    }

    /// The date, when the whole text is one in this form.
    pub(super) fn parse(&self, text: &str) -> Option<NaiveDate> {
        // Chrono lets a blank of the pattern stand for no blank at all; `Mar31 2018` is a typing error all the same.
        if words(text) != self.words {
            return None;
        }
        let mut parsed = Parsed::new();
        parse(&mut parsed, text, self.items.iter()).ok()?;
        parsed.to_naive_date().ok().filter(|date| (1..=9999).contains(&date.year()))
    }
}

fn words(text: &str) -> usize {
    text.split_whitespace().count()
}
