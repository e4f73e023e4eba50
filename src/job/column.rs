//! Columns of a job file.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

use crate::config::ConfigError;
use crate::config::source::Source;
use crate::transform::{DatePattern, Field, Kind, canonical};

/// The longest text of a key column where the job file does not say.
pub(super) const DEFAULT_KEY_LENGTH: usize = 256;
const MAX_PRECISION: u8 = 28;
/// Names that the contract gives to columns of its own.
const RESERVED: [&str; 3] = ["batch_id", "source_order", "dt"];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ColumnTable {
    pub(super) name: Spanned<String>,
    pub(super) label: Option<Spanned<String>>,
    pub(super) group: Option<Spanned<String>>,
    pub(super) header: Option<Spanned<String>>,
    pub(super) position: Option<Spanned<u32>>,
    r#type: Spanned<String>,
    #[serde(default)]
    pub(super) required: bool,
    default: Option<Spanned<String>>,
    max_length: Option<Spanned<u32>>,
    patterns: Option<Spanned<Vec<Spanned<String>>>>,
    true_words: Option<Spanned<Vec<String>>>,
    false_words: Option<Spanned<Vec<String>>>,
}

/// Reads one column. `place` is what rejects call it.
pub(super) fn field(
    source: &Source<'_>,
    column: &ColumnTable,
    place: String,
    in_key: bool,
) -> Result<Field, ConfigError> {
    let name = source.read(&column.name, name)?;
    if RESERVED.contains(&name.as_str()) {
        let problem = format!("`{name}` is a column that every table gets by itself; choose another name");
        return Err(source.key_error(column.name.span().start, &problem));
    }
    if in_key && !column.required {
        let problem = format!("`{name}` belongs to the key, so it has to be `required = true`");
        return Err(source.key_error(column.name.span().start, &problem));
    }
    let kind = kind(source, column, in_key)?;
    let default = match &column.default {
        None => None,
        Some(default) => Some(source.read(default, |raw| default_value(&kind, raw))?),
    };
    Ok(Field { name, place, kind, required: column.required, default })
}

/// Checks the name of a table or a column. The error comes after the key's name.
pub(super) fn name(name: &str) -> Result<String, String> {
    let rest = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    let well_formed =
        name.len() <= 63 && name.starts_with(|c: char| c.is_ascii_lowercase()) && name.bytes().all(rest);
    if well_formed {
        return Ok(name.to_owned());
    }
    Err(format!(
        "`{name}` cannot be used as a name; allowed: a-z, then a-z, 0-9 and _, at most 63 characters"
    ))
}

fn default_value(kind: &Kind, raw: &str) -> Result<String, String> {
    let raw = raw.trim();
    if raw.is_empty() || raw.contains(['\0', '\u{1}']) {
        return Err("is empty or holds a control character; leave `default` out for no value".to_owned());
    }
    let mut value = String::new();
    canonical(kind, raw, &mut value).map_err(|problem| format!("`{raw}` {problem}"))?;
    Ok(value)
}

fn kind(source: &Source<'_>, column: &ColumnTable, in_key: bool) -> Result<Kind, ConfigError> {
    let written = column.r#type.get_ref().as_str();
    only_for(source, column.max_length.as_ref(), written == "text", "text")?;
    only_for(source, column.patterns.as_ref(), written == "date", "date")?;
    only_for(source, column.true_words.as_ref(), written == "boolean", "boolean")?;
    only_for(source, column.false_words.as_ref(), written == "boolean", "boolean")?;
    match written {
        "text" => Ok(Kind::Text { max_length: max_length(source, column, in_key)? }),
        "integer" => Ok(Kind::Integer),
        "date" => dates(source, column),
        "boolean" => words(source, column),
        _ => source.read(&column.r#type, decimal),
    }
}

fn only_for<T>(
    source: &Source<'_>,
    key: Option<&Spanned<T>>,
    fits: bool,
    kind: &str,
) -> Result<(), ConfigError> {
    match key {
        Some(key) if !fits => {
            Err(source.key_error(key.span().start, &format!("is only for columns with `type = \"{kind}\"`")))
        }
        _ => Ok(()),
    }
}

fn max_length(source: &Source<'_>, column: &ColumnTable, in_key: bool) -> Result<Option<usize>, ConfigError> {
    match &column.max_length {
        None => Ok(in_key.then_some(DEFAULT_KEY_LENGTH)),
        Some(length) if *length.get_ref() == 0 => Err(source
            .key_error(length.span().start, "0 is no length; allowed: a number of characters above zero")),
        Some(length) => Ok(Some(*length.get_ref() as usize)),
    }
}

fn decimal(written: &str) -> Result<Kind, String> {
    let unknown = || {
        format!(
            "`{written}` is no type; allowed: text, integer, decimal(precision,scale) with a precision of 1 to \
             {MAX_PRECISION} digits and a scale of at most the precision, date, boolean"
        )
    };
    let inside =
        written.strip_prefix("decimal(").and_then(|rest| rest.strip_suffix(')')).ok_or_else(unknown)?;
    let (precision, scale) = inside.split_once(',').ok_or_else(unknown)?;
    let number = |text: &str| text.trim().parse::<u8>().map_err(|_| unknown());
    let (precision, scale) = (number(precision)?, number(scale)?);
    if (1..=MAX_PRECISION).contains(&precision) && scale <= precision {
        Ok(Kind::Decimal { precision, scale })
    } else {
        Err(unknown())
    }
}

fn dates(source: &Source<'_>, column: &ColumnTable) -> Result<Kind, ConfigError> {
    let Some(written) = &column.patterns else {
        return Ok(Kind::Date {
            patterns: vec![DatePattern::new("%Y-%m-%d").expect("the ISO pattern is right")],
        });
    };
    if written.get_ref().is_empty() {
        return Err(
            source.key_error(written.span().start, "is empty; allowed: date patterns such as \"%Y-%m-%d\"")
        );
    }
    let patterns = written.get_ref().iter().map(|pattern| source.read(pattern, DatePattern::new));
    Ok(Kind::Date { patterns: patterns.collect::<Result<_, _>>()? })
}

fn words(source: &Source<'_>, column: &ColumnTable) -> Result<Kind, ConfigError> {
    let list = |words: &Option<Spanned<Vec<String>>>, usual: [&str; 3]| match words {
        Some(words) => words.get_ref().clone(),
        None => usual.map(str::to_owned).into(),
    };
    let true_words = list(&column.true_words, ["true", "yes", "1"]);
    let false_words = list(&column.false_words, ["false", "no", "0"]);
    let mut seen = BTreeMap::new();
    for word in true_words.iter().chain(&false_words) {
        let unusable = word.is_empty() || word.trim() != word;
        if unusable || seen.insert(word.to_ascii_lowercase(), ()).is_some() {
            let problem = format!("the word `{word}` is empty, has blanks around it, or is there twice");
            return Err(source.key_error(column.r#type.span().start, &problem));
        }
    }
    Ok(Kind::Boolean { true_words, false_words })
}
