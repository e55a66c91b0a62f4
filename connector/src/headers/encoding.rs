//! The bytes of headers: `[kind u8][length u32 LE][bytes]`, the name first and then its value.

use bytes::{BufMut, BytesMut};

/// The longest name or value in bytes.
pub(super) const FIELD_BYTES_MAX: usize = 255;

pub(super) const KIND_RAW: u8 = 1;
pub(super) const KIND_STRING: u8 = 2;
pub(super) const KIND_BOOL: u8 = 3;
pub(super) const KIND_I8: u8 = 4;
pub(super) const KIND_I16: u8 = 5;
pub(super) const KIND_I32: u8 = 6;
pub(super) const KIND_I64: u8 = 7;
pub(super) const KIND_I128: u8 = 8;
pub(super) const KIND_U8: u8 = 9;
pub(super) const KIND_U16: u8 = 10;
pub(super) const KIND_U32: u8 = 11;
pub(super) const KIND_U64: u8 = 12;
pub(super) const KIND_U128: u8 = 13;
pub(super) const KIND_F32: u8 = 14;
pub(super) const KIND_F64: u8 = 15;

const FIELD_HEAD_LEN: usize = 5;

/// What a header takes when encoded.
pub(super) const fn encoded_pair_len(name_len: usize, value_len: usize) -> usize {
    2 * FIELD_HEAD_LEN + name_len + value_len
}

/// Appends one name or value of at most [`FIELD_BYTES_MAX`] bytes.
pub(super) fn put_field(buffer: &mut BytesMut, kind: u8, bytes: &[u8]) {
    let length = u32::try_from(bytes.len()).expect("names and values were checked to be short");
    buffer.put_u8(kind);
    buffer.put_u32_le(length);
    buffer.put_slice(bytes);
}

/// Cuts one name or value off the front, or answers `None` when the bytes are not one.
pub(super) fn split_field(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (head, rest) = bytes.split_first_chunk::<FIELD_HEAD_LEN>()?;
    let [kind, length @ ..] = *head;
    let length = usize::try_from(u32::from_le_bytes(length)).ok()?;
    if kind == 0 || !(1..=FIELD_BYTES_MAX).contains(&length) {
        return None;
    }
    let (field, rest) = rest.split_at_checked(length)?;
    Some((kind, field, rest))
}
