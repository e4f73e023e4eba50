//! Patterns that people write on the command line.

use regex::Regex;

/// A text with `*` for anything and `?` for one character. It stands for the whole; [`Pattern::within`] makes one that may
/// stand anywhere where it holds neither.
#[derive(Debug, Clone)]
pub struct Pattern(Regex);

impl Pattern {
    /// The whole text has to fit. `*` goes beyond `/` too.
    pub fn whole(glob: &str) -> Self {
        Self::new(&format!("^(?:{})$", translated(glob)))
    }

    /// The same where it holds a wildcard; else the text may stand anywhere. Large and small letters are the same.
    pub fn within(text: &str) -> Self {
        if text.contains(['*', '?']) {
            return Self::new(&format!("(?i)^(?:{})$", translated(text)));
        }
        Self::new(&format!("(?i){}", regex::escape(text)))
    }

    fn new(expression: &str) -> Self {
        // Everything but the wildcards is escaped, so only an absurd length could be refused.
        let compiled = Regex::new(&format!("(?s){expression}"));
        Self(compiled.unwrap_or_else(|_| Regex::new("[^\\s\\S]").expect("a constant that matches nothing")))
    }

    /// Whether a text fits.
    pub fn fits(&self, text: &str) -> bool {
        self.0.is_match(text)
    }
}

fn translated(glob: &str) -> String {
    let mut expression = String::new();
    for character in glob.chars() {
        match character {
            '*' => expression.push_str(".*"),
            '?' => expression.push('.'),
            other => expression.push_str(&regex::escape(&other.to_string())),
        }
    }
    expression
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_glob_fits_the_whole_text() {
        let glob = Pattern::whole("acme/*.t?t");
        assert!(glob.fits("acme/2026/one.txt"));
        assert!(
            !glob.fits("other/acme/one.txt") && !glob.fits("acme/one.txt.gz") && !glob.fits("acme/one.tt")
        );
        assert!(Pattern::whole("a+b (1).txt").fits("a+b (1).txt"), "nothing else is special");
    }

    #[test]
    fn a_reason_without_wildcards_may_stand_anywhere() {
        let reason = Pattern::within("Not a DATE");
        assert!(reason.fits("`Dated` is not a date"));
        assert!(!reason.fits("not a number"));
        assert!(Pattern::within("*date").fits("`Dated` is not a date"));
        assert!(
            !Pattern::within("date*").fits("it is not a date"),
            "with a wildcard it stands for the whole"
        );
    }
}
