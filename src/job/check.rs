//! Checks of a job file: `total = amount + sgst`, `amount = sum(items.price)`.

use super::definition::{CheckAction, CheckTable};
use crate::config::ConfigError;
use crate::config::source::Source;
use crate::transform::{Check, Field, Kind, Operand, Section, Sum, Term};

const ALLOWED: &str = "allowed: sums and differences of columns and sum(section.column), such as `total = amount + sum(items.tax)`";

/// A number's place and its digits after the point.
type Scaled = (Operand, u8);

/// Compiles one check.
pub(super) fn compile(
    source: &Source<'_>,
    check: &CheckTable,
    fields: &[Field],
    sections: &[Section],
) -> Result<Check, ConfigError> {
    source.read(&check.equal, |text| {
        let (left, right) = text.split_once('=').ok_or_else(|| format!("`{text}` has no `=`; {ALLOWED}"))?;
        let (left_terms, right_terms) = (terms(left, fields, sections)?, terms(right, fields, sections)?);
        let scale = left_terms.iter().chain(&right_terms).map(|(_, (_, scale))| *scale).max().unwrap_or(0);
        let sum = |text: &str, terms: Vec<(bool, Scaled)>| Sum {
            text: text.split_whitespace().collect::<Vec<_>>().join(" "),
            terms: terms.into_iter().map(|(negative, number)| term(negative, number, scale)).collect(),
        };
        let rejects = check.action == CheckAction::Reject;
        Ok(Check { left: sum(left, left_terms), right: sum(right, right_terms), scale, rejects })
    })
}

fn term(negative: bool, (operand, scale): Scaled, common: u8) -> Term {
    Term { negative, operand, factor: 10_i128.pow(u32::from(common - scale)) }
}

fn terms(text: &str, fields: &[Field], sections: &[Section]) -> Result<Vec<(bool, Scaled)>, String> {
    let mut terms = Vec::new();
    let mut negative = false;
    let mut rest = text;
    loop {
        let end = rest.find(['+', '-']).unwrap_or(rest.len());
        terms.push((negative, operand(rest[..end].trim(), fields, sections)?));
        match rest[end..].chars().next() {
            None => return Ok(terms),
            Some(sign) => negative = sign == '-',
        }
        rest = &rest[end + 1..];
    }
}

fn operand(text: &str, fields: &[Field], sections: &[Section]) -> Result<Scaled, String> {
    if text.is_empty() {
        return Err(format!("a column is missing beside `+`, `-` or `=`; {ALLOWED}"));
    }
    let Some(inside) = text.strip_prefix("sum(").and_then(|rest| rest.strip_suffix(')')) else {
        let (index, scale) = number(text, fields)?;
        return Ok((Operand::Column(index), scale));
    };
    let (name, column) =
        inside.split_once('.').ok_or_else(|| format!("`{text}` names no section; {ALLOWED}"))?;
    let Some(section) = sections.iter().position(|section| section.name == name.trim()) else {
        if sections.is_empty() {
            return Err(format!("there is no section `{}`: this job has none", name.trim()));
        }
        let names: Vec<_> = sections.iter().map(|section| section.name.as_str()).collect();
        return Err(format!("there is no section `{}`; allowed: {}", name.trim(), names.join(", ")));
    };
    let (field, scale) = number(column.trim(), &sections[section].fields)?;
    Ok((Operand::SumOf { section, field }, scale))
}

/// The field of that name, which must be a number, and its digits after the point.
fn number(name: &str, fields: &[Field]) -> Result<(usize, u8), String> {
    let scale = |field: &Field| match field.kind {
        Kind::Decimal { scale, .. } => Some(scale),
        Kind::Integer => Some(0),
        _ => None,
    };
    let found = fields.iter().enumerate().find(|(_, field)| field.name == name);
    found.and_then(|(index, field)| Some((index, scale(field)?))).ok_or_else(|| {
        let numbers: Vec<_> =
            fields.iter().filter(|field| scale(field).is_some()).map(|field| field.name.as_str()).collect();
        format!("`{name}` is no decimal or integer column there; allowed: {}", numbers.join(", "))
    })
}
