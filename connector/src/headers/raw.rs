//! The headers of a received message as the bytes they came in, decoded only where somebody looks.

use std::borrow::Cow;

use bytes::Bytes;

use super::encoding::split_field;
use super::{HeaderEntry, HeaderError, HeaderValueRef, Headers};

/// The encoded headers of a received message; empty means none. Cloning shares the bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RawHeaders(pub Bytes);

/// The headers of a message in the order in which they are stored; ends at the first malformed one.
#[derive(Clone, Debug)]
pub struct RawHeadersEntries<'a> {
    rest: &'a [u8],
}

/// The same as names and values.
#[derive(Clone, Debug)]
pub struct RawHeadersIter<'a>(RawHeadersEntries<'a>);

impl RawHeaders {
    /// The value of the first header with this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<HeaderValueRef<'_>> {
        self.iter().find_map(|(found, value)| (found == name).then_some(value))
    }

    /// All headers, decoded one by one. A name that is not text appears in the text form of its value; whoever carries
    /// headers on takes [`entries`](Self::entries), which keep the kind.
    #[must_use]
    pub fn iter(&self) -> RawHeadersIter<'_> {
        RawHeadersIter(self.entries())
    }

    /// All headers, decoded one by one, with the kinds of their keys.
    #[must_use]
    pub fn entries(&self) -> RawHeadersEntries<'_> {
        RawHeadersEntries { rest: &self.0 }
    }

    /// Whether there are no headers.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All headers by themselves.
    ///
    /// # Errors
    ///
    /// Fails when the bytes are malformed, a name appears twice, or a limit of [`Headers`] is broken.
    pub fn to_headers(&self) -> Result<Headers, HeaderError> {
        let mut headers = Headers::new();
        let mut entries = self.entries();
        for entry in entries.by_ref() {
            let key = entry.key();
            if headers.has(&key) {
                let name = entry.name().into_owned();
                return Err(HeaderError::Duplicate { name });
            }
            headers.insert(key, entry.value().to_value())?;
        }
        match entries.rest.len() {
            0 => Ok(headers),
            unread => Err(HeaderError::Malformed { position: self.0.len() - unread }),
        }
    }
}

impl RawHeadersEntries<'_> {
    /// How many bytes were not read yet. Where no header is left but bytes are, those are malformed.
    #[must_use]
    pub const fn unread_bytes(&self) -> usize {
        self.rest.len()
    }
}

impl<'a> Iterator for RawHeadersEntries<'a> {
    type Item = HeaderEntry<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        let (key_kind, key, rest) = split_field(self.rest)?;
        let (value_kind, value, rest) = split_field(rest)?;
        self.rest = rest;
        Some(HeaderEntry::new(HeaderValueRef::new(key_kind, key), HeaderValueRef::new(value_kind, value)))
    }
}

impl<'a> Iterator for RawHeadersIter<'a> {
    type Item = (Cow<'a, str>, HeaderValueRef<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().map(|entry| (entry.name(), entry.value()))
    }
}

impl<'a> IntoIterator for &'a RawHeaders {
    type Item = (Cow<'a, str>, HeaderValueRef<'a>);
    type IntoIter = RawHeadersIter<'a>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::headers::HeaderValue;
    use crate::headers::encoding::{KIND_I32, KIND_RAW, KIND_STRING, KIND_U32, put_field};

    fn every_kind() -> Headers {
        let mut headers = Headers::new();
        let values = [
            HeaderValue::Raw(Bytes::from_static(&[1, 2, 255])),
            HeaderValue::String("gästehaus".into()),
            HeaderValue::Bool(true),
            HeaderValue::I8(i8::MIN),
            HeaderValue::I16(i16::MIN),
            HeaderValue::I32(i32::MIN),
            HeaderValue::I64(i64::MIN),
            HeaderValue::I128(i128::MIN),
            HeaderValue::U8(u8::MAX),
            HeaderValue::U16(u16::MAX),
            HeaderValue::U32(u32::MAX),
            HeaderValue::U64(u64::MAX),
            HeaderValue::U128(u128::MAX),
            HeaderValue::F32(1.5),
            HeaderValue::F64(-2.25),
            HeaderValue::Unknown { kind: 200, bytes: Bytes::from_static(b"future") },
        ];
        for (index, value) in values.into_iter().enumerate() {
            headers.insert(format!("header-{index:02}"), value).unwrap();
        }
        headers
    }

    #[test]
    fn every_kind_survives_encoding_and_decoding() {
        let headers = every_kind();
        let raw = RawHeaders(headers.encode());
        assert_eq!(raw.to_headers().unwrap(), headers);
        assert_eq!(raw.get("header-01").unwrap().as_str(), Some("gästehaus"));
        assert_eq!(raw.get("header-11").unwrap().to_string(), u64::MAX.to_string());
        assert!(raw.get("absent").is_none());
    }

    #[test]
    fn bytes_cut_anywhere_never_panic_and_are_reported() {
        let whole = every_kind().encode();
        for end in 0..whole.len() {
            let raw = RawHeaders(whole.slice(..end));
            let read: usize = raw.iter().count();
            assert!(read < 16);
            let borders_a_pair = raw.to_headers().is_ok();
            assert_eq!(borders_a_pair, raw.to_headers().map_or(0, |h| h.encoded_len()) == end);
        }
    }

    #[test]
    fn keys_of_every_kind_and_length_survive_as_they_were() {
        let mut bytes = bytes::BytesMut::new();
        let keys: [(u8, &[u8]); 6] = [
            (KIND_RAW, &[0xFF; 128]),
            (KIND_RAW, &[0xFF; 255]),
            (KIND_STRING, b"1"),
            (KIND_I32, &1_i32.to_le_bytes()),
            (KIND_STRING, &[0xFF]),
            (200, b"future"),
        ];
        for (kind, key) in keys {
            put_field(&mut bytes, kind, key);
            put_field(&mut bytes, KIND_STRING, b"v");
        }
        let raw = RawHeaders(bytes.freeze());
        let headers = raw.to_headers().unwrap();
        assert_eq!(headers.len(), keys.len());
        let again = RawHeaders(headers.encode());
        assert_eq!(again.to_headers().unwrap(), headers);
        for entry in raw.entries() {
            assert!(
                again.entries().any(|other| other.key() == entry.key() && other.value() == entry.value())
            );
        }
    }

    #[test]
    fn a_name_that_is_not_text_is_found_by_its_text_form() {
        let mut bytes = vec![KIND_U32, 4, 0, 0, 0];
        bytes.extend(42_u32.to_le_bytes());
        bytes.extend([KIND_STRING, 2, 0, 0, 0, b'o', b'k']);
        let raw = RawHeaders(bytes.into());
        assert_eq!(raw.get("42").unwrap().as_str(), Some("ok"));
    }
}
