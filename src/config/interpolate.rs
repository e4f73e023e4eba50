//! Variables in the strings of a TOML file: `${NAME}` and `${NAME:-default}`, as in a shell.
//!
//! They are replaced in the text itself before it is read. So the resolved text can be kept and read again on another
//! day without any environment, and because a replaced string keeps its line breaks, every later error still names the
//! line of the file that the person wrote.

use std::path::Path;

use toml_edit::{Document, Item, Value};

use super::Environment;
use super::error::ConfigError;
use super::source::Source;

/// The text of `raw` with the variables in all its string values replaced.
pub(crate) fn resolve(file: &Path, raw: &str, env: Environment<'_>) -> Result<String, ConfigError> {
    let source = Source::new(file, raw);
    let document =
        Document::parse(raw).map_err(|error| source.syntax_error(error.message(), error.span()))?;
    let mut strings = Vec::new();
    collect_item(document.as_item(), &mut strings);
    // Tables may be written out of order, and the replacing below walks the text once.
    strings.sort_by_key(|(span, _)| span.start);
    let mut resolved = String::with_capacity(raw.len());
    let mut copied = 0;
    for (span, text) in strings {
        let value = expand(text, env).map_err(|problem| source.key_error(span.start, &problem))?;
        resolved.push_str(&raw[copied..span.start]);
        push_basic_string(&mut resolved, &value);
        let line_breaks = raw[span.clone()].matches('\n').count();
        resolved.extend(std::iter::repeat_n('\n', line_breaks));
        copied = span.end;
    }
    resolved.push_str(&raw[copied..]);
    Ok(resolved)
}

type Found<'a> = Vec<(std::ops::Range<usize>, &'a str)>;

fn collect_item<'a>(item: &'a Item, found: &mut Found<'a>) {
    match item {
        Item::None => {}
        Item::Value(value) => collect_value(value, found),
        Item::Table(table) => table.iter().for_each(|(_, item)| collect_item(item, found)),
        Item::ArrayOfTables(tables) => {
            tables.iter().flat_map(|table| table.iter()).for_each(|(_, item)| collect_item(item, found));
        }
    }
}

fn collect_value<'a>(value: &'a Value, found: &mut Found<'a>) {
    match value {
        Value::String(text) => {
            if let (true, Some(span)) = (text.value().contains("${"), text.span()) {
                found.push((span, text.value()));
            }
        }
        Value::Array(array) => array.iter().for_each(|value| collect_value(value, found)),
        Value::InlineTable(table) => table.iter().for_each(|(_, value)| collect_value(value, found)),
        _ => {}
    }
}

/// Writes a TOML basic string on one line.
fn push_basic_string(text: &mut String, value: &str) {
    text.push('"');
    for c in value.chars() {
        match c {
            '"' | '\\' => text.extend(['\\', c]),
            c if c.is_control() => text.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => text.push(c),
        }
    }
    text.push('"');
}

/// Replaces the variables of one string; `$${` stands for `${` itself. The error is a fragment to put after the key.
fn expand(text: &str, env: Environment<'_>) -> Result<String, String> {
    let mut expanded = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        if rest[..at].ends_with('$') {
            expanded.push_str(&rest[..at]);
            expanded.push('{');
        } else {
            expanded.push_str(&rest[..at]);
            let inside = &rest[at + 2..];
            let end = closing_brace(inside).ok_or("`${` is not closed by `}`")?;
            expanded.push_str(&variable(&inside[..end], env)?);
            rest = &inside[end + 1..];
            continue;
        }
        rest = &rest[at + 2..];
    }
    expanded.push_str(rest);
    Ok(expanded)
}

/// Where the `}` is that ends a variable whose `${` has been read; defaults may hold variables.
fn closing_brace(inside: &str) -> Option<usize> {
    let mut open = 0_usize;
    for (at, byte) in inside.bytes().enumerate() {
        match byte {
            b'}' if open == 0 => return Some(at),
            b'}' => open -= 1,
            b'{' if inside[..at].ends_with('$') => open += 1,
            _ => {}
        }
    }
    None
}

fn variable(inside: &str, env: Environment<'_>) -> Result<String, String> {
    let (name, default) = match inside.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inside, None),
    };
    let well_formed = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && !name.bytes().next().is_none_or(|b| b.is_ascii_digit());
    if !well_formed {
        return Err(format!(
            "`${{{inside}}}` is no variable; allowed: ${{NAME}}, ${{NAME:-default}}, and $${{ for the characters themselves"
        ));
    }
    match (env(name), default) {
        (Some(value), None) => Ok(value),
        (Some(value), Some(_)) if !value.is_empty() => Ok(value),
        (_, Some(default)) => expand(default, env),
        (None, None) => {
            Err(format!("the variable {name} is not set; set it, or give it a default: ${{{name}:-default}}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(name: &str) -> Option<String> {
        match name {
            "SET" => Some("value".into()),
            "EMPTY" => Some(String::new()),
            "ODD" => Some("a\"b\\c\nd ${SET}".into()),
            _ => None,
        }
    }

    #[test]
    fn variables_are_those_of_a_shell() {
        let expanded = |text| expand(text, &env);
        assert_eq!(expanded("a ${SET} b").unwrap(), "a value b");
        assert_eq!(expanded("${UNSET:-x}${EMPTY:-y}${EMPTY}").unwrap(), "xy");
        assert_eq!(expanded("${UNSET:-${EMPTY:-deep}}/end").unwrap(), "deep/end");
        assert_eq!(expanded("${UNSET:-}").unwrap(), "");
        assert_eq!(expanded("$${SET} $5 {x}$").unwrap(), "${SET} $5 {x}$");
        for refused in ["${UNSET}", "${SET", "${}", "${A B}", "${1A:-x}", "${UNSET:-${SET}"] {
            assert!(expanded(refused).is_err(), "{refused}");
        }
    }

    #[test]
    fn a_resolved_text_keeps_its_lines_and_is_never_resolved_again() {
        let raw = "a = \"${ODD}\" # kept\nb = '''\nx ${SET}\ny''' # kept too\n[t]\nc = [{ d = '${SET}' }]\n";
        let resolved = resolve(Path::new("x.toml"), raw, &env).unwrap();
        assert_eq!(resolved.lines().count(), raw.lines().count());
        let table: toml::Table = resolved.parse().unwrap();
        assert_eq!(table["a"].as_str(), Some("a\"b\\c\nd ${SET}"));
        assert_eq!(table["b"].as_str(), Some("x value\ny"));
        assert_eq!(table["t"]["c"][0]["d"].as_str(), Some("value"));
        assert!(resolved.contains("# kept too\n[t]"));
    }

    #[test]
    fn an_unset_variable_is_named_with_file_line_and_key() {
        let error =
            resolve(Path::new("jobs/a.toml"), "x = 1\n[window]\ncron = '${NO_SUCH}'\n", &env).unwrap_err();
        insta::assert_snapshot!(error);
        let error = resolve(Path::new("jobs/a.toml"), "x = 1\n[window\ncron = ''\n", &env).unwrap_err();
        insta::assert_snapshot!(error);
    }
}
