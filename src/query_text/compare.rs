//! Whether two statements say the same.

use super::tokens::{Token, tokens};

/// Words that a statement has or has not without a difference in what it says.
const OPTIONAL: [&str; 2] = ["as", "inner"];

/// Whether two statements are the same but for blanks, comments, quotes around names, case, brackets, and words that may be
/// left out. An engine that stores a statement writes it in its own way, and that is all that Trino's formatter changes
/// about the statements of this module.
///
/// Brackets are left out of the comparison altogether, so it is no use for statements in which only they differ.
pub fn same_statement(one: &str, two: &str) -> bool {
    match (essence(one), essence(two)) {
        (Some(one), Some(two)) => one == two,
        _ => false,
    }
}

/// None for a text that cannot be split into tokens.
fn essence(sql: &str) -> Option<Vec<String>> {
    let essential = |token: &Token| {
        let brackets = token.is_symbol(sql, "(") || token.is_symbol(sql, ")");
        !brackets && !OPTIONAL.iter().any(|word| token.is_word(sql, word))
    };
    let all = tokens(sql).ok()?;
    // A name and a text that are spelled alike differ by the text's quotes.
    let text = |token: &Token| token.name(sql).unwrap_or_else(|| token.text(sql).to_owned());
    Some(all.iter().filter(|token| essential(token)).map(text).collect())
}
