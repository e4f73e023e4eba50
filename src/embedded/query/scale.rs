//! With how many places a computed decimal is shown.
//!
//! SQLite knows the declared type of a column and none of an expression, so `sum(price)` is just a number to it: 5430. Athena
//! and PostgreSQL say 5430.00, because a sum keeps the scale of what is summed. So the scale is taken from the statement's
//! text: an expression has that of the decimal columns that it names. It only ever adds zeros at the end; no digit is cut.

use std::collections::BTreeMap;

use super::load::Needed;
use crate::query_text::{Token, tokens};
use crate::schema::ColumnType;

/// What ends the list of columns behind SELECT.
const AFTER_COLUMNS: [&str; 11] = [
    "except",
    "from",
    "group",
    "having",
    "intersect",
    "limit",
    "offset",
    "order",
    "union",
    "where",
    "window",
];

/// The least number of places for each of the answer's `columns`, where it is a computed decimal; none: as few as it has.
pub(super) fn computed_scales(needed: &[Needed<'_>], sql: &str, columns: usize) -> Vec<Option<u32>> {
    let known = known_scales(needed);
    let tokens = tokens(sql).unwrap_or_default();
    let greatest = greatest(&known, sql, &tokens);
    let items = items(sql, &tokens);
    if items.len() != columns || items.iter().any(|item| is_star(sql, item)) {
        return vec![greatest; columns];
    }
    let of_item = |item: &&[Token]| {
        let named: Vec<_> = known_in(&known, sql, item).collect();
        let holds_number = item.iter().any(|token| token.text(sql).starts_with(|c: char| c.is_ascii_digit()));
        // Names that are no columns of a table are those of a subquery, which the statement made of others.
        let is_of_subquery = named.is_empty() && !holds_number;
        if is_of_subquery { greatest } else { named.into_iter().flatten().max() }
    };
    items.iter().map(of_item).collect()
}

/// The columns of the tables, a decimal one with its scale, the greatest where several tables have one of its name.
fn known_scales(needed: &[Needed<'_>]) -> BTreeMap<String, Option<u32>> {
    let mut known = BTreeMap::new();
    for column in needed.iter().flat_map(|need| &need.table().columns) {
        let scale = match column.kind {
            ColumnType::Decimal { scale, .. } => Some(u32::from(scale)),
            _ => None,
        };
        let greatest = known.entry(column.name.clone()).or_insert(scale);
        *greatest = scale.max(*greatest);
    }
    known
}

/// Of the decimal columns that the statement names, or where it names none, and has a star for them, of all.
fn greatest(known: &BTreeMap<String, Option<u32>>, sql: &str, tokens: &[Token]) -> Option<u32> {
    let named = known_in(known, sql, tokens).flatten().max();
    named.or_else(|| known.values().copied().flatten().max())
}

/// The scales of the known columns among these tokens.
fn known_in(
    known: &BTreeMap<String, Option<u32>>,
    sql: &str,
    tokens: &[Token],
) -> impl Iterator<Item = Option<u32>> {
    tokens.iter().filter_map(|token| known.get(&token.name(sql)?).copied())
}

fn is_star(sql: &str, item: &[Token]) -> bool {
    item.last().is_some_and(|token| token.is_symbol(sql, "*"))
}

/// The expressions behind the outermost SELECT, without the names given to them; those of a first part where there is a
/// UNION.
fn items<'a>(sql: &str, tokens: &'a [Token]) -> Vec<&'a [Token]> {
    let outer = outer_tokens(sql, tokens);
    let is = |index: &usize, word: &str| tokens[*index].is_word(sql, word);
    let Some(select) = outer.iter().position(|index| is(index, "select")) else { return Vec::new() };
    let mut begin = outer[select] + 1;
    if tokens.get(begin).is_some_and(|token| token.is_word(sql, "distinct") || token.is_word(sql, "all")) {
        begin += 1;
    }
    let (mut items, mut named) = (Vec::new(), None);
    for index in outer.into_iter().skip(select + 1) {
        if AFTER_COLUMNS.iter().any(|word| is(&index, word)) {
            items.push(&tokens[begin..named.unwrap_or(index)]);
            return items;
        }
        if tokens[index].is_symbol(sql, ",") {
            items.push(&tokens[begin..named.take().unwrap_or(index)]);
            begin = index + 1;
        } else if is(&index, "as") {
            named = Some(index);
        }
    }
    items.push(&tokens[begin..named.unwrap_or(tokens.len())]);
    items
}

/// The places of the tokens that stand in no brackets.
fn outer_tokens(sql: &str, tokens: &[Token]) -> Vec<usize> {
    let mut depth = 0_u32;
    let mut outer = Vec::new();
    for (index, token) in tokens.iter().enumerate() {
        if token.is_symbol(sql, "(") {
            depth += 1;
        } else if token.is_symbol(sql, ")") {
            depth = depth.saturating_sub(1);
        } else if depth == 0 {
            outer.push(index);
        }
    }
    outer
}
