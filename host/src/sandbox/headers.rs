//! The headers of an event as guests get them: values as text, in the order of their names.

use std::borrow::Cow;

use guesthouse_connector::RawHeaders;

/// A name and a value.
pub(super) type TextPair<'a> = (Cow<'a, str>, Cow<'a, str>);

/// The headers in the order of their names.
pub(super) fn sorted(headers: &RawHeaders) -> Vec<TextPair<'_>> {
    let mut pairs: Vec<TextPair<'_>> = texts(headers).collect();
    pairs.sort_by(|(left, _), (right, _)| left.cmp(right));
    pairs
}

/// Appends `[u32 length][name][u32 length][value]` for each header, in the order of their names.
pub(super) fn append(headers: &RawHeaders, bytes: &mut Vec<u8>) {
    if headers.is_empty() {
        return;
    }
    let start = bytes.len();
    let mut last_name = Cow::Borrowed("");
    // Clients write headers in order, so sorting is the exception.
    for (name, value) in texts(headers) {
        if name < last_name {
            bytes.truncate(start);
            for (name, value) in sorted(headers) {
                append_text(&name, bytes);
                append_text(&value, bytes);
            }
            return;
        }
        append_text(&name, bytes);
        append_text(&value, bytes);
        last_name = name;
    }
}

fn texts(headers: &RawHeaders) -> impl Iterator<Item = TextPair<'_>> {
    headers.iter().map(|(name, value)| {
        let text = value.as_str().map_or_else(|| Cow::Owned(value.to_string()), Cow::Borrowed);
        (name, text)
    })
}

fn append_text(text: &str, bytes: &mut Vec<u8>) {
    let length = u32::try_from(text.len()).expect("the fields of a header are at most 255 bytes on the wire");
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use guesthouse_connector::{HeaderValue, Headers};

    use super::*;

    fn raw(pairs: &[(&str, HeaderValue)]) -> RawHeaders {
        let mut wire = Vec::new();
        for (name, value) in pairs {
            let mut one = Headers::new();
            one.insert(*name, value.clone()).unwrap();
            wire.extend_from_slice(&one.encode());
        }
        RawHeaders(Bytes::from(wire))
    }

    #[test]
    fn values_are_text_and_names_are_in_order() {
        let headers = raw(&[
            ("b", HeaderValue::U32(7)),
            ("c", HeaderValue::Raw(Bytes::from_static(&[0, 255]))),
            ("a", HeaderValue::Bool(true)),
        ]);
        let mut bytes = vec![9];
        append(&headers, &mut bytes);
        assert_eq!(
            bytes,
            b"\x09\x01\0\0\0a\x04\0\0\0true\x01\0\0\0b\x01\0\0\x007\x01\0\0\0c\x04\0\0\x0000ff"
        );
        let names: Vec<_> = sorted(&headers).into_iter().map(|(name, _)| name.into_owned()).collect();
        assert_eq!(names, ["a", "b", "c"]);
    }
}
