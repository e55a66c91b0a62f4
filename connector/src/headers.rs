//! User headers of a message: named, typed, small values that travel beside the payload.

mod encoding;
mod key;
mod raw;
mod value;

use std::collections::BTreeMap;
use std::collections::btree_map;

use bytes::{Bytes, BytesMut};

pub use key::{HeaderEntry, HeaderKey};
pub use raw::{RawHeaders, RawHeadersEntries, RawHeadersIter};
pub use value::{HeaderValue, HeaderValueRef};

use encoding::{FIELD_BYTES_MAX, encoded_pair_len};

/// The most bytes that the headers of one message may take in their encoded form.
pub const HEADERS_BYTES_MAX: usize = 100_000;

/// The user headers of a message to be published, ordered by key. A key is text as a rule.
///
/// Keys and values are 1 to 255 bytes long and all of them together at most [`HEADERS_BYTES_MAX`] bytes
/// encoded; what would break a limit is refused when it is inserted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Headers {
    values: BTreeMap<HeaderKey, HeaderValue>,
    encoded_len: usize,
}

/// Why a header cannot be taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// The name is empty or too long.
    #[error("header name {name:?} is {bytes} bytes long, expected 1 to 255")]
    NameLength {
        /// The name as given.
        name: String,
        /// Its length in bytes.
        bytes: usize,
    },
    /// The value is empty or too long.
    #[error("value of header {name:?} is {bytes} bytes long, expected 1 to 255")]
    ValueLength {
        /// The name of the header.
        name: String,
        /// The length of the value in bytes.
        bytes: usize,
    },
    /// The kind of the key or of the value is zero, which no reader accepts.
    #[error("header {name:?} has the reserved kind 0")]
    ReservedKind {
        /// The name of the header.
        name: String,
    },
    /// All headers together would be too long.
    #[error("headers would take {bytes} bytes encoded, at most 100000 are allowed")]
    TotalLength {
        /// The encoded length with the new header.
        bytes: usize,
    },
    /// The same name appears twice.
    #[error("header {name:?} appears twice")]
    Duplicate {
        /// The name.
        name: String,
    },
    /// The bytes are not a sequence of headers.
    #[error("headers are malformed at byte {position}")]
    Malformed {
        /// Where the first unreadable header starts.
        position: usize,
    },
}

impl Headers {
    /// No headers.
    #[must_use]
    pub const fn new() -> Self {
        Self { values: BTreeMap::new(), encoded_len: 0 }
    }

    /// Sets a header and returns the value it had before.
    ///
    /// # Errors
    ///
    /// Fails, and changes nothing, when the name, the value or all headers together break a limit.
    pub fn insert(
        &mut self,
        key: impl Into<HeaderKey>,
        value: impl Into<HeaderValue>,
    ) -> Result<Option<HeaderValue>, HeaderError> {
        let (key, value) = (key.into(), value.into());
        check_pair(&key, &value)?;
        let replaced = self.pair_len(&key);
        let bytes = self.encoded_len - replaced + encoded_pair_len(key.encoded_len(), value.encoded_len());
        if bytes > HEADERS_BYTES_MAX {
            return Err(HeaderError::TotalLength { bytes });
        }
        self.encoded_len = bytes;
        Ok(self.values.insert(key, value))
    }

    /// The value of the header whose key is this text.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&HeaderValue> {
        self.values.get(&HeaderKey::from(name))
    }

    /// Whether there is a header with this key.
    #[must_use]
    pub fn has(&self, key: &HeaderKey) -> bool {
        self.values.contains_key(key)
    }

    /// Takes the header whose key is this text out, and returns its value.
    pub fn remove(&mut self, name: &str) -> Option<HeaderValue> {
        let key = HeaderKey::from(name);
        self.encoded_len -= self.pair_len(&key);
        self.values.remove(&key)
    }

    /// All headers in the order of their keys.
    pub fn iter(&self) -> btree_map::Iter<'_, HeaderKey, HeaderValue> {
        self.values.iter()
    }

    /// How many headers there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there are no headers.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The bytes that the headers take in a message.
    #[must_use]
    pub const fn encoded_len(&self) -> usize {
        self.encoded_len
    }

    /// The headers as they travel: pairs of kind, length and bytes.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut bytes = BytesMut::with_capacity(self.encoded_len);
        for (key, value) in &self.values {
            key.put(&mut bytes);
            value.put(&mut bytes);
        }
        bytes.freeze()
    }

    fn pair_len(&self, key: &HeaderKey) -> usize {
        self.values.get(key).map_or(0, |value| encoded_pair_len(key.encoded_len(), value.encoded_len()))
    }
}

impl<'a> IntoIterator for &'a Headers {
    type Item = (&'a HeaderKey, &'a HeaderValue);
    type IntoIter = btree_map::Iter<'a, HeaderKey, HeaderValue>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

fn check_pair(key: &HeaderKey, value: &HeaderValue) -> Result<(), HeaderError> {
    if !(1..=FIELD_BYTES_MAX).contains(&key.encoded_len()) {
        return Err(HeaderError::NameLength { name: key.to_string(), bytes: key.encoded_len() });
    }
    let bytes = value.encoded_len();
    if !(1..=FIELD_BYTES_MAX).contains(&bytes) {
        let name = key.to_string();
        return Err(HeaderError::ValueLength { name, bytes });
    }
    if key.kind() == 0 || matches!(value, HeaderValue::Unknown { kind: 0, .. }) {
        let name = key.to_string();
        return Err(HeaderError::ReservedKind { name });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_checked_and_a_refused_header_changes_nothing() {
        let mut headers = Headers::new();
        assert!(matches!(headers.insert("", "x"), Err(HeaderError::NameLength { .. })));
        assert!(matches!(headers.insert("x".repeat(256), "x"), Err(HeaderError::NameLength { .. })));
        assert!(matches!(headers.insert("x", ""), Err(HeaderError::ValueLength { .. })));
        assert!(matches!(headers.insert("x", "y".repeat(256)), Err(HeaderError::ValueLength { .. })));
        let reserved = HeaderValue::Unknown { kind: 0, bytes: Bytes::from_static(b"x") };
        assert!(matches!(headers.insert("x", reserved), Err(HeaderError::ReservedKind { .. })));
        assert!(headers.is_empty());
        assert_eq!(headers.encoded_len(), 0);
    }

    #[test]
    fn the_total_is_bounded_and_exact() {
        let mut headers = Headers::new();
        let mut refused = None;
        for index in 0..1_000 {
            if let Err(error) = headers.insert(format!("{index:0255}"), "v".repeat(255)) {
                refused = Some(error);
                break;
            }
        }
        assert!(matches!(refused, Some(HeaderError::TotalLength { .. })));
        assert_eq!(headers.len(), HEADERS_BYTES_MAX / 520);
        assert_eq!(headers.encoded_len(), headers.encode().len());
    }

    #[test]
    fn replacing_and_removing_keep_the_length_exact() {
        let mut headers = Headers::new();
        assert_eq!(headers.insert("a", "first"), Ok(None));
        assert_eq!(headers.insert("a", 7_u64), Ok(Some("first".into())));
        assert_eq!(headers.encoded_len(), headers.encode().len());
        assert_eq!(headers.remove("a"), Some(HeaderValue::U64(7)));
        assert_eq!(headers.remove("a"), None);
        assert_eq!(headers.encoded_len(), 0);
    }
}
