//! A user's statement with the views that it mentions in front of it.

use std::collections::BTreeSet;

use super::tokens::{Token, tokens};
use super::view::{quoted, view_select};
use crate::schema::Schema;

/// What a query may be.
pub const ONLY_READING: &str = "the query must be one statement that only reads, SELECT, WITH or VALUES";

/// Why a statement is not run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotReading(pub String);

impl NotReading {
    fn because(problem: &str) -> Self {
        Self(format!("{ONLY_READING}: {problem}"))
    }
}

/// Whether the statement names this table, as a word or a quoted name, wherever: one that stands only for a column is
/// taken for the table too, which costs time and nothing else. A statement that cannot be split into tokens names nothing.
pub fn mentions(sql: &str, table: &str) -> bool {
    names_in(sql, &tokens(sql).unwrap_or_default()).contains(table)
}

/// All names, without those that the statement gives: what stands behind AS is new, and no table.
fn names_in(sql: &str, tokens: &[Token]) -> BTreeSet<String> {
    let given = |index: usize| index > 0 && tokens[index - 1].is_word(sql, "as");
    let names = tokens.iter().enumerate().filter(|(index, _)| !given(*index));
    names.filter_map(|(_, token)| token.name(sql)).collect()
}

/// A statement with the views in front of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// The whole text, for the engine.
    pub text: String,
    /// The line, from 1, and the column, from 1, where something was put in, and how many characters.
    inserted: Option<(usize, usize, usize)>,
}

impl Statement {
    /// A statement with nothing put in front.
    pub fn as_it_is(text: &str) -> Self {
        Self { text: text.to_owned(), inserted: None }
    }

    /// An engine's message, whose `line 3:7` mean the text, with the places in the user's own words.
    pub fn in_users_places(&self, message: &str) -> String {
        let Some((line, column, length)) = self.inserted else { return message.to_owned() };
        let mut pieces = message.split("line ");
        let mut shown = pieces.next().unwrap_or_default().to_owned();
        for piece in pieces {
            shown.push_str("line ");
            match place(piece) {
                Some((at_line, at, rest)) if at_line == line && at >= column + length => {
                    shown.push_str(&format!("{at_line}:{}{rest}", at - length));
                }
                _ => shown.push_str(piece),
            }
        }
        shown
    }
}

/// `3:7: what is wrong`, taken apart.
fn place(text: &str) -> Option<(usize, usize, &str)> {
    let (line, rest) = text.split_once(':')?;
    let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    Some((line.parse().ok()?, rest[..digits].parse().ok()?, &rest[digits..]))
}

/// The statement with a common table expression in front for each view that it mentions, merged with a WITH of its own; a
/// semicolon at its end is dropped. A common table expression of the user's shadows the view of its name.
///
/// What is put in front has no line of its own, so that every line keeps its number.
///
/// # Errors
/// The text is not one statement, or none that only reads.
pub fn with_views(schemas: &[Schema], sql: &str) -> Result<Statement, NotReading> {
    let all = tokens(sql).map_err(NotReading::because)?;
    let (tokens, end) = one_statement(sql, &all)?;
    let parts = Parts::of(sql, tokens)?;
    let names = names_in(sql, tokens);
    let is_needed = |name: &str| names.contains(name) && !parts.own.contains(name);
    let views: Vec<String> = schemas
        .iter()
        .flat_map(|schema| schema.tables.iter().map(move |table| (schema, table)))
        .filter(|(_, table)| is_needed(&table.name))
        .map(|(schema, table)| {
            format!("{} AS ({})", quoted(&table.name), one_line(&view_select(schema, table)))
        })
        .collect();
    let text = &sql[..end];
    if views.is_empty() {
        return Ok(Statement { text: text.to_owned(), inserted: None });
    }
    let (before, after) = text.split_at(parts.insert_at);
    let views = views.join(", ");
    let inserted = if parts.has_with { format!(" {views},") } else { format!("WITH {views} ") };
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    let place = (line, column, inserted.chars().count());
    Ok(Statement { text: format!("{before}{inserted}{after}"), inserted: Some(place) })
}

/// The tokens without a semicolon at the end, and where they end in the text.
fn one_statement<'a>(sql: &str, all: &'a [Token]) -> Result<(&'a [Token], usize), NotReading> {
    let (tokens, end) = match all.split_last() {
        Some((last, rest)) if last.is_symbol(sql, ";") => (rest, last.span.start),
        _ => (all, sql.len()),
    };
    match tokens.iter().find(|token| token.is_symbol(sql, ";")) {
        _ if tokens.is_empty() => Err(NotReading::because("there is none")),
        Some(_) => Err(NotReading::because("there is a semicolon in its middle")),
        None => Ok((tokens, end)),
    }
}

/// The beginning of a statement, taken apart.
struct Parts {
    /// Where our common table expressions go.
    insert_at: usize,
    has_with: bool,
    /// The names of the user's common table expressions.
    own: BTreeSet<String>,
}

impl Parts {
    fn of(sql: &str, tokens: &[Token]) -> Result<Self, NotReading> {
        let first = &tokens[0];
        if !first.is_word(sql, "with") {
            reads(sql, Some(first))?;
            return Ok(Self { insert_at: first.span.start, has_with: false, own: BTreeSet::new() });
        }
        let recursive = tokens.get(1).is_some_and(|token| token.is_word(sql, "recursive"));
        let begin = if recursive { 2 } else { 1 };
        let (own, body) = expressions(sql, &tokens[begin..])?;
        reads(sql, body)?;
        Ok(Self { insert_at: tokens[begin - 1].span.end, has_with: true, own })
    }
}

/// What the statement does is said by its first word, or by the first behind its WITH.
fn reads(sql: &str, first: Option<&Token>) -> Result<(), NotReading> {
    let first = first.ok_or_else(|| NotReading::because("it ends behind its WITH"))?;
    let reading = ["select", "values", "table"].iter().any(|word| first.is_word(sql, word));
    if reading || first.is_symbol(sql, "(") {
        return Ok(());
    }
    Err(NotReading::because(&format!("this one begins with {}", first.text(sql))))
}

/// The names of the common table expressions `name [(columns)] AS [[NOT] MATERIALIZED] (…), …`, and the token behind them.
fn expressions<'a>(
    sql: &str,
    tokens: &'a [Token],
) -> Result<(BTreeSet<String>, Option<&'a Token>), NotReading> {
    let mut own = BTreeSet::new();
    let mut rest = tokens;
    loop {
        let name = rest.first().and_then(|token| token.name(sql));
        own.insert(name.ok_or_else(|| NotReading::because("a name is missing in its WITH"))?);
        rest = behind_brackets(sql, &rest[1..], true)?;
        rest = behind_brackets(sql, rest, false)?;
        match rest.first() {
            Some(token) if token.is_symbol(sql, ",") => rest = &rest[1..],
            other => return Ok((own, other)),
        }
    }
}

/// What comes behind the next pair of brackets. Before it only words may stand; where the pair is the list of columns it
/// may be missing, and `AS` ends the search.
fn behind_brackets<'a>(sql: &str, tokens: &'a [Token], columns: bool) -> Result<&'a [Token], NotReading> {
    let unclear = || NotReading::because("its WITH is not `name AS (…)`");
    let mut depth = 0_u32;
    for (index, token) in tokens.iter().enumerate() {
        match token.text(sql) {
            "(" => depth += 1,
            ")" if depth == 1 => return Ok(&tokens[index + 1..]),
            ")" => depth = depth.checked_sub(1).ok_or_else(unclear)?,
            _ if depth > 0 => {}
            _ if columns && token.is_word(sql, "as") => return Ok(&tokens[index..]),
            _ if !columns && token.name(sql).is_some() => {}
            _ => return Err(unclear()),
        }
    }
    Err(unclear())
}

/// No name of a job and no text in a view holds a blank, so lines can be joined.
fn one_line(select: &str) -> String {
    select.split_whitespace().collect::<Vec<_>>().join(" ")
}
