//! Sizes in configuration files: `67108864` or `"64 MiB"`.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, Visitor};

/// A number of bytes, above zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

const ALLOWED: &str = "a size above zero, such as \"64 MiB\" (B, KiB, MiB, GiB) or a number of bytes";

impl Size {
    /// Reads `64 MiB`, `64MiB` or `67108864`.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let digits_end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let count: u64 = text[..digits_end].parse().ok()?;
        let unit: u64 = match text[digits_end..].trim() {
            "" | "B" => 1,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            _ => return None,
        };
        // TOML itself knows no integer above this, so no size above it can be written in the other way either.
        count.checked_mul(unit).filter(|&bytes| bytes > 0 && bytes <= i64::MAX as u64).map(Self)
    }
}

struct SizeVisitor;

impl Visitor<'_> for SizeVisitor {
    type Value = Size;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(ALLOWED)
    }

    fn visit_i64<E: Error>(self, bytes: i64) -> Result<Size, E> {
        match u64::try_from(bytes) {
            Ok(bytes) if bytes > 0 => Ok(Size(bytes)),
            _ => Err(E::custom(format!("{bytes} is not {ALLOWED}"))),
        }
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Size, E> {
        Size::parse(text).ok_or_else(|| E::custom(format!("`{text}` is not {ALLOWED}")))
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SizeVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_binary_units() {
        let parsed = |text| Size::parse(text).map(|size| size.0);
        assert_eq!(parsed("64 MiB"), Some(64 << 20));
        assert_eq!(parsed("3KiB"), Some(3072));
        assert_eq!(parsed("17"), Some(17));
        for refused in ["", "MiB", "0", "-1", "1.5 MiB", "64 MB", "9999999999 GiB"] {
            assert_eq!(parsed(refused), None, "{refused}");
        }
    }
}
