//! Form encoding, as S3 writes keys in event notifications and in listings with `encoding-type=url`.

/// Decodes `text` once: `+` is a space, `%XX` a byte, and the bytes are UTF-8.
///
/// # Errors
/// The reason, for people: a `%` that begins no byte, or bytes that are no UTF-8.
pub fn form_decode(text: &str) -> Result<String, String> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => match (bytes.next().and_then(hex_digit), bytes.next().and_then(hex_digit)) {
                (Some(high), Some(low)) => high << 4 | low,
                _ => return Err("has a `%` that is not followed by two hexadecimal digits".to_owned()),
            },
            other => other,
        });
    }
    String::from_utf8(decoded).map_err(|_| "is not UTF-8 once it is decoded".to_owned())
}

fn hex_digit(digit: u8) -> Option<u8> {
    // `to_digit` gives at most 15.
    char::from(digit).to_digit(16).map(|value| value as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_decoded_exactly_once() {
        for (encoded, key) in [
            ("plain.txt", "plain.txt"),
            ("a+b%2Bc.txt", "a b+c.txt"),
            ("a%20b.txt", "a b.txt"),
            ("in%2Fdeep/a.txt", "in/deep/a.txt"),
            ("100%25.txt", "100%.txt"),
            ("twice%2520.txt", "twice%20.txt"),
            ("caf%C3%A9.txt", "café.txt"),
            ("caf%c3%a9.txt", "café.txt"),
            ("café.txt", "café.txt"),
            ("%F0%9F%98%80", "😀"),
            ("", ""),
        ] {
            assert_eq!(form_decode(encoded).as_deref(), Ok(key), "{encoded}");
        }
    }

    #[test]
    fn what_is_no_form_encoding_is_told() {
        for encoded in ["100%.txt", "%", "%4", "%zz", "%+1", "%é"] {
            assert!(form_decode(encoded).unwrap_err().contains("hexadecimal"), "{encoded}");
        }
        assert!(form_decode("%E9").unwrap_err().contains("UTF-8"));
    }
}
