//! Just enough of SQL's grammar of characters to find words in a statement and to leave texts and comments alone.

use std::ops::Range;

/// What a piece of a statement is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A keyword or a bare name, or a number: letters, digits and underscores.
    Word,
    /// A name in double quotes or backquotes.
    Name,
    /// A text in single quotes.
    Text,
    /// One other character.
    Symbol,
}

/// One piece of a statement that is neither blank nor comment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    /// Its bytes in the statement, quotes included.
    pub(crate) span: Range<usize>,
}

impl Token {
    pub(crate) fn text<'a>(&self, sql: &'a str) -> &'a str {
        &sql[self.span.clone()]
    }

    /// Whether it is this keyword, in whatever case.
    pub(crate) fn is_word(&self, sql: &str, word: &str) -> bool {
        self.kind == Kind::Word && self.text(sql).eq_ignore_ascii_case(word)
    }

    pub(crate) fn is_symbol(&self, sql: &str, symbol: &str) -> bool {
        self.kind == Kind::Symbol && self.text(sql) == symbol
    }

    /// The name that it stands for, in lower case: Athena's names know no case, quoted or not.
    pub(crate) fn name(&self, sql: &str) -> Option<String> {
        let text = self.text(sql);
        match self.kind {
            Kind::Word => Some(text.to_lowercase()),
            Kind::Name => {
                let quote = &text[..1];
                let inner = &text[1..text.len() - 1];
                Some(inner.replace(&quote.repeat(2), quote).to_lowercase())
            }
            Kind::Text | Kind::Symbol => None,
        }
    }
}

/// The tokens of a statement.
///
/// # Errors
/// What is opened and never closed.
pub(crate) fn tokens(sql: &str) -> Result<Vec<Token>, &'static str> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(first) = sql[at..].chars().next() {
        let rest = &sql[at..];
        let (kind, length) = match first {
            _ if first.is_whitespace() => (None, first.len_utf8()),
            '-' if rest.starts_with("--") => (None, rest.find('\n').unwrap_or(rest.len())),
            '/' if rest.starts_with("/*") => {
                let end = rest[2..].find("*/").ok_or("a comment /* without its end */")?;
                (None, end + 4)
            }
            '\'' => {
                (Some(Kind::Text), quoted_length(rest, '\'').ok_or("a text without its closing quote '")?)
            }
            '"' | '`' => {
                let length = quoted_length(rest, first).ok_or("a name without its closing quote")?;
                (Some(Kind::Name), length)
            }
            _ if is_of_word(first) => (Some(Kind::Word), rest.find(|c| !is_of_word(c)).unwrap_or(rest.len())),
            _ => (Some(Kind::Symbol), first.len_utf8()),
        };
        let span = at..at + length;
        at = span.end;
        found.extend(kind.map(|kind| Token { kind, span }));
    }
    Ok(found)
}

fn is_of_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// The bytes of a quoted piece at the beginning of `text`, both quotes included; a doubled quote is one inside.
fn quoted_length(text: &str, quote: char) -> Option<usize> {
    let mut at = 1;
    loop {
        at += text[at..].find(quote)? + 1;
        if !text[at..].starts_with(quote) {
            return Some(at);
        }
        at += 1;
    }
}
