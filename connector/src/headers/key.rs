//! The key of a header: text as a rule, but any kind of value may be one.

use std::borrow::Cow;
use std::fmt;

use bytes::{Bytes, BytesMut};

use super::HeaderValueRef;
use super::encoding::{KIND_STRING, put_field};

/// A key with its kind. Keys of different kinds are different, also where their texts are the same: `1` the number is
/// not `"1"` the text. Ordered by kind and bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HeaderKey {
    kind: u8,
    bytes: Bytes,
}

/// A header as a message carries it.
#[derive(Clone, Copy, Debug)]
pub struct HeaderEntry<'a> {
    key: HeaderValueRef<'a>,
    value: HeaderValueRef<'a>,
}

impl HeaderKey {
    /// Whether the key is this text.
    #[must_use]
    pub fn is_text(&self, text: &str) -> bool {
        self.kind == KIND_STRING && self.bytes == text.as_bytes()
    }

    /// The length of the key in bytes, without its kind and length fields.
    #[must_use]
    pub const fn encoded_len(&self) -> usize {
        self.bytes.len()
    }

    pub(super) const fn kind(&self) -> u8 {
        self.kind
    }

    pub(super) fn put(&self, buffer: &mut BytesMut) {
        put_field(buffer, self.kind, &self.bytes);
    }
}

impl<'a> HeaderEntry<'a> {
    pub(super) const fn new(key: HeaderValueRef<'a>, value: HeaderValueRef<'a>) -> Self {
        Self { key, value }
    }

    /// The key as text: as it is where it is text, otherwise the text form of its value.
    #[must_use]
    pub fn name(&self) -> Cow<'a, str> {
        match self.key.as_str() {
            Some(text) => Cow::Borrowed(text),
            None => Cow::Owned(self.key.to_string()),
        }
    }

    /// The key with its kind.
    #[must_use]
    pub fn key(&self) -> HeaderKey {
        HeaderKey { kind: self.key.kind(), bytes: Bytes::copy_from_slice(self.key.as_bytes()) }
    }

    /// The key as the message carries it.
    #[must_use]
    pub const fn raw_key(&self) -> HeaderValueRef<'a> {
        self.key
    }

    /// The value.
    #[must_use]
    pub const fn value(&self) -> HeaderValueRef<'a> {
        self.value
    }
}

/// The text form, as [`HeaderEntry::name`] has it.
impl fmt::Display for HeaderKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        HeaderValueRef::new(self.kind, &self.bytes).fmt(f)
    }
}

impl From<&str> for HeaderKey {
    fn from(text: &str) -> Self {
        Self { kind: KIND_STRING, bytes: Bytes::copy_from_slice(text.as_bytes()) }
    }
}

impl From<String> for HeaderKey {
    fn from(text: String) -> Self {
        Self { kind: KIND_STRING, bytes: text.into() }
    }
}

impl From<Cow<'_, str>> for HeaderKey {
    fn from(text: Cow<'_, str>) -> Self {
        text.into_owned().into()
    }
}
