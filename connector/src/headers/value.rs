//! One typed value of a header, owned or borrowed from the message it came with.

use std::borrow::Cow;
use std::fmt;

use bytes::{Bytes, BytesMut};

use super::encoding as kinds;
use super::encoding::put_field;

/// A typed header value. Its text form is decimal for numbers, `true` or `false`, and lower-case hexadecimal for bytes.
#[derive(Clone, Debug, PartialEq)]
pub enum HeaderValue {
    /// Bytes without a meaning of their own.
    Raw(Bytes),
    /// Text.
    String(String),
    /// A truth value.
    Bool(bool),
    /// A signed 8-bit integer.
    I8(i8),
    /// A signed 16-bit integer.
    I16(i16),
    /// A signed 32-bit integer.
    I32(i32),
    /// A signed 64-bit integer.
    I64(i64),
    /// A signed 128-bit integer.
    I128(i128),
    /// An unsigned 8-bit integer.
    U8(u8),
    /// An unsigned 16-bit integer.
    U16(u16),
    /// An unsigned 32-bit integer.
    U32(u32),
    /// An unsigned 64-bit integer.
    U64(u64),
    /// An unsigned 128-bit integer.
    U128(u128),
    /// A 32-bit floating point number.
    F32(f32),
    /// A 64-bit floating point number.
    F64(f64),
    /// A value whose kind is not known here, or whose bytes do not fit its kind; carried as it is.
    Unknown {
        /// The kind as the message states it, never zero.
        kind: u8,
        /// The bytes as the message carries them.
        bytes: Bytes,
    },
}

/// A header value borrowed from a received message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeaderValueRef<'a> {
    kind: u8,
    bytes: &'a [u8],
}

impl HeaderValue {
    /// The length of the value in bytes, without its kind and length fields.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        match self {
            Self::Raw(bytes) | Self::Unknown { bytes, .. } => bytes.len(),
            Self::String(text) => text.len(),
            Self::Bool(_) | Self::I8(_) | Self::U8(_) => 1,
            Self::I16(_) | Self::U16(_) => 2,
            Self::I32(_) | Self::U32(_) | Self::F32(_) => 4,
            Self::I64(_) | Self::U64(_) | Self::F64(_) => 8,
            Self::I128(_) | Self::U128(_) => 16,
        }
    }

    /// The text, when the value is one.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn put(&self, buffer: &mut BytesMut) {
        match self {
            Self::Raw(bytes) => put_field(buffer, kinds::KIND_RAW, bytes),
            Self::String(text) => put_field(buffer, kinds::KIND_STRING, text.as_bytes()),
            Self::Bool(value) => put_field(buffer, kinds::KIND_BOOL, &[u8::from(*value)]),
            Self::I8(value) => put_field(buffer, kinds::KIND_I8, &value.to_le_bytes()),
            Self::I16(value) => put_field(buffer, kinds::KIND_I16, &value.to_le_bytes()),
            Self::I32(value) => put_field(buffer, kinds::KIND_I32, &value.to_le_bytes()),
            Self::I64(value) => put_field(buffer, kinds::KIND_I64, &value.to_le_bytes()),
            Self::I128(value) => put_field(buffer, kinds::KIND_I128, &value.to_le_bytes()),
            Self::U8(value) => put_field(buffer, kinds::KIND_U8, &value.to_le_bytes()),
            Self::U16(value) => put_field(buffer, kinds::KIND_U16, &value.to_le_bytes()),
            Self::U32(value) => put_field(buffer, kinds::KIND_U32, &value.to_le_bytes()),
            Self::U64(value) => put_field(buffer, kinds::KIND_U64, &value.to_le_bytes()),
            Self::U128(value) => put_field(buffer, kinds::KIND_U128, &value.to_le_bytes()),
            Self::F32(value) => put_field(buffer, kinds::KIND_F32, &value.to_le_bytes()),
            Self::F64(value) => put_field(buffer, kinds::KIND_F64, &value.to_le_bytes()),
            Self::Unknown { kind, bytes } => put_field(buffer, *kind, bytes),
        }
    }
}

impl<'a> HeaderValueRef<'a> {
    pub(super) const fn new(kind: u8, bytes: &'a [u8]) -> Self {
        Self { kind, bytes }
    }

    pub(super) const fn kind(&self) -> u8 {
        self.kind
    }

    /// The name that Iggy has for the kind, such as `string` or `int32`; `kind 200` where it has none.
    #[must_use]
    pub fn kind_name(&self) -> Cow<'static, str> {
        let name = match self.kind {
            kinds::KIND_RAW => "raw",
            kinds::KIND_STRING => "string",
            kinds::KIND_BOOL => "bool",
            kinds::KIND_I8 => "int8",
            kinds::KIND_I16 => "int16",
            kinds::KIND_I32 => "int32",
            kinds::KIND_I64 => "int64",
            kinds::KIND_I128 => "int128",
            kinds::KIND_U8 => "uint8",
            kinds::KIND_U16 => "uint16",
            kinds::KIND_U32 => "uint32",
            kinds::KIND_U64 => "uint64",
            kinds::KIND_U128 => "uint128",
            kinds::KIND_F32 => "float32",
            kinds::KIND_F64 => "float64",
            other => return Cow::Owned(format!("kind {other}")),
        };
        Cow::Borrowed(name)
    }

    /// The bytes as the message carries them; numbers are little-endian.
    #[must_use]
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The text, when the value is one.
    #[must_use]
    pub fn as_str(&self) -> Option<&'a str> {
        match self.kind {
            kinds::KIND_STRING => std::str::from_utf8(self.bytes).ok(),
            _ => None,
        }
    }

    /// The value by itself; [`HeaderValue::Unknown`] when the bytes do not fit the kind.
    #[must_use]
    pub fn to_value(&self) -> HeaderValue {
        self.known().unwrap_or_else(|| HeaderValue::Unknown {
            kind: self.kind,
            bytes: Bytes::copy_from_slice(self.bytes),
        })
    }

    fn known(&self) -> Option<HeaderValue> {
        Some(match self.kind {
            kinds::KIND_RAW => HeaderValue::Raw(Bytes::copy_from_slice(self.bytes)),
            kinds::KIND_STRING => HeaderValue::String(self.as_str()?.to_owned()),
            kinds::KIND_BOOL => HeaderValue::Bool(match self.bytes {
                [0] => false,
                [1] => true,
                _ => return None,
            }),
            kinds::KIND_I8 => HeaderValue::I8(i8::from_le_bytes(self.array()?)),
            kinds::KIND_I16 => HeaderValue::I16(i16::from_le_bytes(self.array()?)),
            kinds::KIND_I32 => HeaderValue::I32(i32::from_le_bytes(self.array()?)),
            kinds::KIND_I64 => HeaderValue::I64(i64::from_le_bytes(self.array()?)),
            kinds::KIND_I128 => HeaderValue::I128(i128::from_le_bytes(self.array()?)),
            kinds::KIND_U8 => HeaderValue::U8(u8::from_le_bytes(self.array()?)),
            kinds::KIND_U16 => HeaderValue::U16(u16::from_le_bytes(self.array()?)),
            kinds::KIND_U32 => HeaderValue::U32(u32::from_le_bytes(self.array()?)),
            kinds::KIND_U64 => HeaderValue::U64(u64::from_le_bytes(self.array()?)),
            kinds::KIND_U128 => HeaderValue::U128(u128::from_le_bytes(self.array()?)),
            kinds::KIND_F32 => HeaderValue::F32(f32::from_le_bytes(self.array()?)),
            kinds::KIND_F64 => HeaderValue::F64(f64::from_le_bytes(self.array()?)),
            _ => return None,
        })
    }

    fn array<const N: usize>(&self) -> Option<[u8; N]> {
        self.bytes.try_into().ok()
    }
}

impl fmt::Display for HeaderValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Raw(bytes) | Self::Unknown { bytes, .. } => {
                bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
            Self::String(text) => f.write_str(text),
            Self::Bool(value) => value.fmt(f),
            Self::I8(value) => value.fmt(f),
            Self::I16(value) => value.fmt(f),
            Self::I32(value) => value.fmt(f),
            Self::I64(value) => value.fmt(f),
            Self::I128(value) => value.fmt(f),
            Self::U8(value) => value.fmt(f),
            Self::U16(value) => value.fmt(f),
            Self::U32(value) => value.fmt(f),
            Self::U64(value) => value.fmt(f),
            Self::U128(value) => value.fmt(f),
            Self::F32(value) => value.fmt(f),
            Self::F64(value) => value.fmt(f),
        }
    }
}

impl fmt::Display for HeaderValueRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.as_str() {
            Some(text) => f.write_str(text),
            None => self.to_value().fmt(f),
        }
    }
}

impl From<&str> for HeaderValue {
    fn from(text: &str) -> Self {
        Self::String(text.to_owned())
    }
}

macro_rules! from_value {
    ($($type:ty => $variant:ident),+ $(,)?) => {
        $(impl From<$type> for HeaderValue {
            fn from(value: $type) -> Self {
                Self::$variant(value)
            }
        })+
    };
}

from_value! {
    Bytes => Raw, String => String, bool => Bool,
    i8 => I8, i16 => I16, i32 => I32, i64 => I64, i128 => I128,
    u8 => U8, u16 => U16, u32 => U32, u64 => U64, u128 => U128,
    f32 => F32, f64 => F64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_forms() {
        let raw = HeaderValue::Raw(Bytes::from_static(&[0x00, 0xAB, 0x0F]));
        assert_eq!(raw.to_string(), "00ab0f");
        assert_eq!(HeaderValue::Bool(true).to_string(), "true");
        assert_eq!(HeaderValue::I8(-5).to_string(), "-5");
        assert_eq!(HeaderValue::U128(u128::MAX).to_string(), u128::MAX.to_string());
        assert_eq!(HeaderValue::F64(0.5).to_string(), "0.5");
    }

    #[test]
    fn bytes_that_do_not_fit_their_kind_are_carried_as_unknown() {
        for (kind, bytes) in [
            (kinds::KIND_STRING, &[0xFF_u8][..]),
            (kinds::KIND_BOOL, &[2]),
            (kinds::KIND_U64, &[1, 2]),
            (200, b"future"),
        ] {
            let value = HeaderValueRef::new(kind, bytes).to_value();
            let bytes = Bytes::copy_from_slice(bytes);
            assert_eq!(value, HeaderValue::Unknown { kind, bytes });
        }
    }
}
