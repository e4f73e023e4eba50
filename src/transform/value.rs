//! Values: from the text of a document to the canonical text of a column.
//!
//! Errors are fragments that come after the name of the place: "is not a whole number".

use std::fmt::Write;

use super::definition::Kind;

/// Appends the canonical text of `raw` to `out`. The caller has trimmed it; it is not empty.
pub(crate) fn canonical(kind: &Kind, raw: &str, out: &mut String) -> Result<(), String> {
    match kind {
        Kind::Text { max_length } => text(raw, *max_length, out),
        Kind::Integer => integer(raw, out),
        Kind::Decimal { precision, scale } => decimal(raw, usize::from(*precision), usize::from(*scale), out),
        Kind::Date { patterns } => {
            let Some(date) = patterns.iter().find_map(|pattern| pattern.parse(raw)) else {
                let examples: Vec<_> = patterns.iter().map(|pattern| pattern.example.as_str()).collect();
                return Err(format!("is not a date written like {}", examples.join(" or ")));
            };
            write!(out, "{date}").expect("a String takes any text");
            Ok(())
        }
        Kind::Boolean { true_words, false_words } => boolean(raw, true_words, false_words, out),
    }
}

fn text(raw: &str, max_length: Option<usize>, out: &mut String) -> Result<(), String> {
    // A text has at most as many characters as bytes, so most texts need no counting.
    if let Some(max) = max_length.filter(|&max| raw.len() > max) {
        let length = raw.chars().count();
        if length > max {
            return Err(format!("is {length} characters long, and at most {max} are allowed"));
        }
    }
    push_text(raw, out);
    Ok(())
}

/// Appends a text with each line break inside it (CRLF, CR or LF) turned into one space.
fn push_text(raw: &str, out: &mut String) {
    let breaks: &[char] = &['\r', '\n'];
    let mut rest = raw;
    while let Some(at) = rest.find(breaks) {
        out.push_str(&rest[..at]);
        out.push(' ');
        rest = rest[at..].strip_prefix("\r\n").unwrap_or(&rest[at + 1..]);
    }
    out.push_str(rest);
}

fn sign(raw: &str) -> (bool, &str) {
    match raw.as_bytes().first() {
        Some(b'-') => (true, &raw[1..]),
        Some(b'+') => (false, &raw[1..]),
        _ => (false, raw),
    }
}

fn only_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn integer(raw: &str, out: &mut String) -> Result<(), String> {
    let (_, digits) = sign(raw);
    if !only_digits(digits) {
        return Err("is not a whole number (only digits are read, with a sign before them)".to_owned());
    }
    let value: i64 = raw.parse().map_err(|_| "is too large a number".to_owned())?;
    write!(out, "{value}").expect("a String takes any text");
    Ok(())
}

fn decimal(raw: &str, precision: usize, scale: usize, out: &mut String) -> Result<(), String> {
    let (negative, unsigned) = sign(raw);
    let (whole, fraction) =
        unsigned.split_once('.').map_or((unsigned, None), |(whole, rest)| (whole, Some(rest)));
    if !only_digits(whole) || fraction.is_some_and(|fraction| !only_digits(fraction)) {
        return Err(
            "is not a plain number such as 1250.50 (no currency, no thousands separator, no exponent)"
                .to_owned(),
        );
    }
    let whole = whole.trim_start_matches('0');
    let fraction = fraction.unwrap_or("").trim_end_matches('0');
    if fraction.len() > scale {
        return Err(format!(
            "has {} digits after the point, and at most {scale} are allowed (nothing is rounded)",
            fraction.len()
        ));
    }
    if whole.len() > precision - scale {
        return Err(format!(
            "has {} digits before the point, and at most {} are allowed",
            whole.len(),
            precision - scale
        ));
    }
    if negative && !(whole.is_empty() && fraction.is_empty()) {
        out.push('-');
    }
    out.push_str(if whole.is_empty() { "0" } else { whole });
    if scale > 0 {
        out.push('.');
        out.push_str(fraction);
        out.extend(std::iter::repeat_n('0', scale - fraction.len()));
    }
    Ok(())
}

fn boolean(raw: &str, true_words: &[String], false_words: &[String], out: &mut String) -> Result<(), String> {
    let among = |words: &[String]| words.iter().any(|word| word.eq_ignore_ascii_case(raw));
    if among(true_words) {
        out.push_str("true");
    } else if among(false_words) {
        out.push_str("false");
    } else {
        let words: Vec<_> = true_words.iter().chain(false_words).map(String::as_str).collect();
        return Err(format!("is none of {}", words.join(", ")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::DatePattern;
    use super::*;

    fn read(kind: &Kind, raw: &str) -> Result<String, String> {
        let mut out = String::new();
        canonical(kind, raw, &mut out).map(|()| out)
    }

    #[test]
    fn decimals_are_exact_and_canonical() {
        let money = Kind::Decimal { precision: 6, scale: 2 };
        for (raw, expected) in [
            ("0", "0.00"),
            ("-0.0", "0.00"),
            ("+7650", "7650.00"),
            ("-00012.5", "-12.50"),
            ("0.050000", "0.05"),
            ("9999.99", "9999.99"),
        ] {
            assert_eq!(read(&money, raw).as_deref(), Ok(expected), "{raw}");
        }
        for raw in
            ["", "-", "1e3", "1,000", ".5", "5.", "1.005", "10000", "--1", "1 0", "٣", "0x1", "1.2.3", "€5"]
        {
            assert!(read(&money, raw).is_err(), "{raw}");
        }
        assert_eq!(read(&Kind::Decimal { precision: 3, scale: 0 }, "012.0").as_deref(), Ok("12"));
        assert_eq!(read(&Kind::Decimal { precision: 2, scale: 2 }, "0.25").as_deref(), Ok("0.25"));
    }

    #[test]
    fn integers_are_plain_digits() {
        assert_eq!(read(&Kind::Integer, "+007").as_deref(), Ok("7"));
        assert_eq!(read(&Kind::Integer, "-9223372036854775808").as_deref(), Ok("-9223372036854775808"));
        assert_eq!(read(&Kind::Integer, "-0").as_deref(), Ok("0"));
        for raw in ["9223372036854775808", "1.0", "1_000", "", "+", "٣"] {
            assert!(read(&Kind::Integer, raw).is_err(), "{raw}");
        }
    }

    #[test]
    fn dates_are_whole_and_of_four_digit_years() {
        let patterns = ["%b %d %Y", "%B %d %Y"].map(|pattern| DatePattern::new(pattern).unwrap());
        let date = Kind::Date { patterns: patterns.into() };
        for raw in ["Mar 31 2018", "March 31 2018", "mar  31 2018"] {
            assert_eq!(read(&date, raw).as_deref(), Ok("2018-03-31"), "{raw}");
        }
        assert_eq!(read(&date, "May 5 0001").as_deref(), Ok("0001-05-05"));
        for raw in [
            "Mar 32 2018",
            "Feb 29 2018",
            "31 Mar 2018",
            "Mar31 2018",
            "Mar 31 2018 x",
            "Mar 31 0000",
            "Mar 31 +12018",
        ] {
            assert!(read(&date, raw).is_err(), "{raw}");
        }
        for pattern in ["%Y-%m-%d %H", "%Y-%m", "%Q", "", "day"] {
            assert!(DatePattern::new(pattern).is_err(), "{pattern}");
        }
    }

    #[test]
    fn a_line_break_inside_a_text_is_one_space() {
        let text = Kind::Text { max_length: Some(12) };
        assert_eq!(read(&text, "a\r\nb\rc\nd: e").as_deref(), Ok("a b c d: e"));
        assert_eq!(read(&text, "ééééééééé\u{1F680}").as_deref(), Ok("ééééééééé\u{1F680}"));
        assert!(read(&text, "a text too long").is_err());
    }
}
