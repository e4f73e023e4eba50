//! A TOML file while it is read: turns spans and the words of serde into errors that name file, line and key.

use std::ops::Range;
use std::path::Path;

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml_edit::{Document, Item, Key, TableLike, Value};

use super::error::ConfigError;

/// One file's name and text.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Source<'a> {
    file: &'a Path,
    text: &'a str,
}

impl<'a> Source<'a> {
    pub(crate) fn new(file: &'a Path, text: &'a str) -> Self {
        Self { file, text }
    }

    /// Reads the whole file into `T`.
    pub(crate) fn parse<T: DeserializeOwned>(&self) -> Result<T, ConfigError> {
        toml::from_str(self.text).map_err(|error| match error.span() {
            Some(span) => self.serde_error(error.message(), &span),
            None => ConfigError::in_file(self.file, error.message()),
        })
    }

    /// The text is not TOML.
    pub(crate) fn syntax_error(&self, message: &str, span: Option<Range<usize>>) -> ConfigError {
        let first = message.lines().next().unwrap_or_default();
        self.at(span.map(|span| span.start), format!("is not TOML: {first}"))
    }

    /// The value at `offset` is wrong: `problem` comes after the key's name.
    pub(crate) fn key_error(&self, offset: usize, problem: &str) -> ConfigError {
        match self.place(offset) {
            Some(Place { key: Some(key), container }) => {
                self.at(Some(offset), format!("key `{key}`{container}: {problem}"))
            }
            Some(Place { key: None, container }) => {
                self.at(Some(offset), format!("in the file{container}: {problem}"))
            }
            None => self.at(Some(offset), problem.to_owned()),
        }
    }

    /// Reads a string with `read`, whose error comes after the key's name.
    pub(crate) fn read<T>(
        &self,
        text: &Spanned<String>,
        read: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<T, ConfigError> {
        read(text.get_ref()).map_err(|problem| self.key_error(text.span().start, &problem))
    }

    /// An error of the whole file.
    pub(crate) fn file_error(&self, problem: &str) -> ConfigError {
        ConfigError::in_file(self.file, problem)
    }

    fn at(&self, offset: Option<usize>, message: String) -> ConfigError {
        // Counted in bytes, so that an offset inside a character could never panic.
        let before = |offset: usize| &self.text.as_bytes()[..offset.min(self.text.len())];
        let line = offset.map(|offset| before(offset).iter().filter(|&&byte| byte == b'\n').count() + 1);
        ConfigError { file: Some(self.file.to_owned()), line, message }
    }

    /// Serde's words, in ours.
    fn serde_error(&self, message: &str, span: &Range<usize>) -> ConfigError {
        let offset = span.start;
        if let Some(rest) = message.strip_prefix("unknown field ") {
            let (key, allowed) = rest.split_once(", ").unwrap_or((rest, ""));
            let holder = self.place(offset).map(Place::holder).unwrap_or_default();
            return self.at(Some(offset), format!("unknown key {key}{holder}; allowed: {}", names(allowed)));
        }
        if let Some(key) = message.strip_prefix("missing field ") {
            // The span is that of the table that lacks the key, or of the whole file.
            let container = if span.len() == self.text.len() { String::new() } else { self.table_at(offset) };
            return self.at(Some(offset), format!("key {key} is missing{container}"));
        }
        if let Some(rest) = message.strip_prefix("unknown variant ") {
            let (value, allowed) = rest.split_once(", ").unwrap_or((rest, ""));
            return self.key_error(offset, &format!("{value} is not known; allowed: {}", names(allowed)));
        }
        match Document::parse(self.text) {
            Ok(_) => {
                let plain = message.replace("expected u64", "expected a number from 0 on");
                self.key_error(offset, &plain.replace("expected u32", "expected a number from 0 on"))
            }
            Err(error) => self.syntax_error(error.message(), error.span()),
        }
    }

    /// ` in [table]` for the table that begins at `offset`, or the one that the value there belongs to.
    fn table_at(&self, offset: usize) -> String {
        match self.place(offset) {
            Some(Place { key: Some(key), container }) => format!(" in an entry of `{key}`{container}"),
            Some(Place { key: None, container }) => container,
            None => String::new(),
        }
    }

    fn place(&self, offset: usize) -> Option<Place> {
        let document = Document::parse(self.text).ok()?;
        let mut finder = Finder { offset, path: Vec::new(), found: None };
        finder.table(document.as_table());
        finder.found
    }
}

/// The names in serde's "expected one of `a`, `b`", bare.
fn names(allowed: &str) -> String {
    let names: Vec<_> = allowed.split('`').skip(1).step_by(2).collect();
    if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
}

/// Where an offset lies.
#[derive(Debug)]
struct Place {
    /// The dotted key inside the container; none at a table's header.
    key: Option<String>,
    /// ` in [window]`, ` in [[section]]`, or empty at the top.
    container: String,
}

impl Place {
    /// What holds the key that this place is about: ` in [window]`, or nothing at the top.
    fn holder(self) -> String {
        match self.key.as_deref().map(|key| key.rsplit_once('.')) {
            // The place is the header of a table that should not be there.
            None => String::new(),
            Some(None) => self.container,
            Some(Some((outer, _))) => format!(" in an entry of `{outer}`{}", self.container),
        }
    }
}

/// Walks a document to the innermost key or value that holds the offset. A `[table]`'s own span need not cover what it
/// holds, so tables are entered whatever their span says.
struct Finder {
    offset: usize,
    path: Vec<(String, &'static str)>,
    found: Option<Place>,
}

impl Finder {
    fn holds(&self, span: Option<Range<usize>>) -> bool {
        span.is_some_and(|span| span.contains(&self.offset))
    }

    fn table(&mut self, table: &dyn TableLike) {
        for (name, item) in table.iter() {
            let key_holds =
                table.get_key_value(name).is_some_and(|(key, _): (&Key, _)| self.holds(key.span()));
            match item {
                Item::None => {}
                Item::Value(value) => {
                    self.path.push((name.to_owned(), "value"));
                    if key_holds {
                        self.note();
                    }
                    self.value(value);
                    self.path.pop();
                }
                Item::Table(inner) => {
                    self.path.push((name.to_owned(), "table"));
                    if key_holds || self.holds(inner.span()) {
                        self.note();
                    }
                    self.table(inner);
                    self.path.pop();
                }
                Item::ArrayOfTables(tables) => {
                    self.path.push((name.to_owned(), "array"));
                    for inner in tables.iter() {
                        if self.holds(inner.span()) {
                            self.note();
                        }
                        self.table(inner);
                    }
                    self.path.pop();
                }
            }
        }
    }

    fn value(&mut self, value: &Value) {
        if !self.holds(value.span()) {
            return;
        }
        self.note();
        match value {
            Value::Array(array) => array.iter().for_each(|value| self.value(value)),
            Value::InlineTable(table) => self.table(table),
            _ => {}
        }
    }

    /// Remembers the present path; a deeper one comes later and replaces it.
    fn note(&mut self) {
        let tables = self.path.iter().take_while(|(_, kind)| *kind != "value").count();
        let container = match self.path[..tables].last() {
            None => String::new(),
            Some((_, kind)) => {
                let names: Vec<_> = self.path[..tables].iter().map(|(name, _)| name.as_str()).collect();
                let names = names.join(".");
                if *kind == "array" { format!(" in [[{names}]]") } else { format!(" in [{names}]") }
            }
        };
        let key: Vec<_> = self.path[tables..].iter().map(|(name, _)| name.as_str()).collect();
        self.found = Some(Place { key: (!key.is_empty()).then(|| key.join(".")), container });
    }
}
