//! Text as people's editors and shells save it: UTF-8, with or without a byte order mark. Anything else is named.

/// What some editors put before a text.
const MARK: char = '\u{feff}';
/// How many bytes tell whether a text without a mark is UTF-16.
const LOOKED_AT_BYTES: usize = 64;

/// A text that is not UTF-8.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EncodingError {
    /// Two bytes for each character, as PowerShell of Windows writes it.
    #[error("is UTF-16; save it as UTF-8")]
    Utf16,
    /// Four bytes for each character.
    #[error("is UTF-32; save it as UTF-8")]
    Utf32,
    /// Something else, or a file that is no text.
    #[error("is not UTF-8: line {line} has the byte 0x{byte:02x} at column {column}; save it as UTF-8")]
    Other {
        /// The line, counted from one.
        line: usize,
        /// Which byte of the line, counted from one.
        column: usize,
        /// The byte.
        byte: u8,
    },
}

/// Reads the bytes of a file as text, without the byte order mark.
///
/// # Errors
/// When they are not UTF-8.
pub(crate) fn utf8(bytes: &[u8]) -> Result<&str, EncodingError> {
    if let Some(other) = other_encoding(bytes) {
        return Err(other);
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let (good, bad) = bytes.split_at_checked(error.valid_up_to()).unwrap_or((bytes, &[]));
        let line = good.split(|byte| *byte == b'\n').count();
        let column = good.iter().rev().take_while(|byte| **byte != b'\n').count() + 1;
        EncodingError::Other { line, column, byte: bad.first().copied().unwrap_or_default() }
    })?;
    Ok(without_mark(text))
}

/// The encoding of bytes that are plainly text of another one than UTF-8.
pub(crate) fn other_encoding(bytes: &[u8]) -> Option<EncodingError> {
    match bytes {
        [0xff, 0xfe, 0, 0, ..] | [0, 0, 0xfe, 0xff, ..] => return Some(EncodingError::Utf32),
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => return Some(EncodingError::Utf16),
        _ => {}
    }
    // Without a mark: every other byte of Latin letters is zero.
    let (pairs, _) = bytes.get(..LOOKED_AT_BYTES).unwrap_or(bytes).as_chunks::<2>();
    let every = |zero: fn(&[u8; 2]) -> bool| !pairs.is_empty() && pairs.iter().all(zero);
    let is_utf16 =
        every(|[low, high]| *low != 0 && *high == 0) || every(|[high, low]| *high == 0 && *low != 0);
    is_utf16.then_some(EncodingError::Utf16)
}

/// A text without the byte order mark before it.
pub(crate) fn without_mark(text: &str) -> &str {
    text.strip_prefix(MARK).unwrap_or(text)
}

/// Bytes without the byte order mark before them.
pub(crate) fn bytes_without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utf16(text: &str, order: fn(u16) -> [u8; 2]) -> Vec<u8> {
        text.encode_utf16().flat_map(order).collect()
    }

    #[test]
    fn the_mark_does_not_belong_to_the_text() {
        assert_eq!(utf8("\u{feff}a: 1\n".as_bytes()), Ok("a: 1\n"));
        assert_eq!(utf8("a: \u{feff}1".as_bytes()), Ok("a: \u{feff}1"), "only the first one is a mark");
        assert_eq!(utf8(b""), Ok(""));
        assert_eq!(bytes_without_mark(b"\xef\xbb\xbf{}"), b"{}");
    }

    #[test]
    fn other_encodings_are_named() {
        for text in ["\u{feff}events: {}\n", "events: {}\n"] {
            for order in [u16::to_le_bytes, u16::to_be_bytes] {
                assert_eq!(utf8(&utf16(text, order)), Err(EncodingError::Utf16), "{text:?}");
            }
        }
        let utf32: Vec<u8> = "\u{feff}{}".chars().flat_map(|c| u32::from(c).to_le_bytes()).collect();
        assert_eq!(utf8(&utf32), Err(EncodingError::Utf32));
        assert_eq!(EncodingError::Utf16.to_string(), "is UTF-16; save it as UTF-8");
    }

    #[test]
    fn a_byte_that_is_no_text_is_placed() {
        let found = utf8(b"a: 1\nb: \"caf\xe9\"\n").unwrap_err();
        assert_eq!(found, EncodingError::Other { line: 2, column: 8, byte: 0xe9 });
        let expected = "is not UTF-8: line 2 has the byte 0xe9 at column 8; save it as UTF-8";
        assert_eq!(found.to_string(), expected);
    }
}
