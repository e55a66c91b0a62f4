//! The headers of an event as guests get them: values as text, in the order of their names.

use std::borrow::Cow;

use guesthouse_connector::{HeaderValueRef, RawHeaders};

/// A name and a value.
pub(super) type TextPair<'a> = (Cow<'a, str>, Cow<'a, str>);

/// The headers in the order of their names.
pub(super) fn sorted<'a>(headers: &'a RawHeaders) -> Vec<TextPair<'a>> {
    let text =
        |value: HeaderValueRef<'a>| value.as_str().map_or_else(|| value.to_string().into(), Cow::Borrowed);
    let mut pairs: Vec<TextPair<'a>> = headers.iter().map(|(name, value)| (name, text(value))).collect();
    pairs.sort_by(|(left, _), (right, _)| left.cmp(right));
    pairs
}

/// Appends `[u32 length][name][u32 length][value]` for each header, in the order of their names.
pub(super) fn append(headers: &RawHeaders, bytes: &mut Vec<u8>) {
    let start = bytes.len();
    let mut last_name = None;
    // Clients write headers in order, so sorting is the exception.
    for (name, value) in headers.iter() {
        if last_name.is_some_and(|last| name < last) {
            bytes.truncate(start);
            append_sorted(headers, bytes);
            return;
        }
        append_text(bytes, &name);
        match value.as_str() {
            Some(text) => append_text(bytes, text),
            None => append_text(bytes, &value.to_string()),
        }
        last_name = Some(name);
    }
}

fn append_sorted(headers: &RawHeaders, bytes: &mut Vec<u8>) {
    for (name, value) in sorted(headers) {
        append_text(bytes, &name);
        append_text(bytes, &value);
    }
}

fn append_text(bytes: &mut Vec<u8>, text: &str) {
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
