//! The input of `publish`: JSON lines, or one JSON array, checked entry by entry.

use std::fmt;

use bytes::Bytes;
use serde_json::value::RawValue;

use crate::codec::{Publication, read_publication};
use crate::dead_letter::clean;
use crate::encoding::{self, EncodingError};

/// Longest reason that is shown for a bad entry.
const REASON_BYTES_MAX: usize = 300;

/// What an input holds.
#[derive(Debug, Default)]
pub(super) struct Input {
    /// Envelopes in their order, ready to be published.
    pub(super) good: Vec<Publication>,
    /// Everything else.
    pub(super) bad: Vec<BadEntry>,
}

/// An entry that is no envelope.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BadEntry {
    place: EntryPlace,
    reason: String,
}

/// Where an entry stands, counted from one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum EntryPlace {
    Line(usize),
    Element(usize),
}

impl fmt::Display for BadEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place {
            EntryPlace::Line(number) => write!(f, "line {number}: {}", self.reason),
            EntryPlace::Element(number) => write!(f, "element {number}: {}", self.reason),
        }
    }
}

/// Reads an input. Empty lines do not count, but are numbered. Byte order marks before the array, and before lines
/// of files that were put together, do not belong to it.
///
/// # Errors
/// When all of it is text of another encoding.
pub(super) fn read_input(text: &Bytes) -> Result<Input, EncodingError> {
    if let Some(other) = encoding::other_encoding(text) {
        return Err(other);
    }
    let mut input = Input::default();
    let start = encoding::bytes_without_mark(text).trim_ascii_start();
    if start.starts_with(b"[") {
        input.take_array(text.slice_ref(encoding::bytes_without_mark(text)).as_ref());
    } else {
        for (number, line) in (1..).zip(text.split(|byte| *byte == b'\n')) {
            let line = encoding::bytes_without_mark(line).trim_ascii();
            if !line.is_empty() {
                input.take(EntryPlace::Line(number), text.slice_ref(line));
            }
        }
    }
    Ok(input)
}

impl Input {
    fn take_array(&mut self, text: &[u8]) {
        match serde_json::from_slice::<Vec<&RawValue>>(text) {
            Ok(elements) => {
                for (number, element) in (1..).zip(elements) {
                    self.take(EntryPlace::Element(number), compact(element.get()).into());
                }
            }
            Err(error) => {
                let reason = format!("the array cannot be read: {}", without_place(&error.to_string()));
                self.bad.push(BadEntry { place: EntryPlace::Line(error.line()), reason });
            }
        }
    }

    fn take(&mut self, place: EntryPlace, entry: Bytes) {
        match read_publication(entry) {
            Ok(publication) => self.good.push(publication),
            Err(error) => {
                let reason = clean(without_place(&error.to_string()), REASON_BYTES_MAX);
                self.bad.push(BadEntry { place, reason });
            }
        }
    }
}

/// What the JSON parser says, without its place: it counts lines within the entry, which has its own place here.
fn without_place(reason: &str) -> String {
    match reason.rsplit_once(" at line ") {
        Some((problem, place)) => match place.strip_prefix("1 column ") {
            // Within its line the column helps.
            Some(column) if column.bytes().all(|byte| byte.is_ascii_digit()) => {
                format!("{problem}, at column {column}")
            }
            _ if place
                .bytes()
                .all(|byte| byte.is_ascii_digit() || byte.is_ascii_alphabetic() || byte == b' ') =>
            {
                problem.to_owned()
            }
            _ => reason.to_owned(),
        },
        None => reason.to_owned(),
    }
}

/// Valid JSON without the white space between its tokens. Numbers and texts keep their spelling.
fn compact(json: &str) -> Vec<u8> {
    let (mut in_text, mut escaped) = (false, false);
    let kept = json.bytes().filter(|byte| {
        if in_text {
            in_text = escaped || *byte != b'"';
            escaped = !escaped && *byte == b'\\';
            return true;
        }
        in_text = *byte == b'"';
        !byte.is_ascii_whitespace()
    });
    kept.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLES: &str = include_str!("../../../../tests/data/rustok-sample-events.json");
    const META: &str = include_str!("../../../../tests/data/rustok-sample-events.meta.json");

    #[test]
    fn an_array_and_lines_give_the_same_events() {
        let array = read_input(&Bytes::from_static(SAMPLES.as_bytes())).unwrap();
        assert_eq!((array.good.len(), array.bad.len()), (10, 0));
        let elements: Vec<serde_json::Value> = serde_json::from_str(SAMPLES).unwrap();
        let lines: String = elements.iter().map(|element| format!("{element}\r\n\n")).collect();
        let lines = read_input(&lines.into()).unwrap();
        assert_eq!(lines.bad, []);
        let ids = |input: &Input| input.good.iter().map(|good| good.message.id).collect::<Vec<_>>();
        assert_eq!(ids(&lines), ids(&array));
    }

    /// The platform writes its envelopes without white space; the lengths are those of its own serializer.
    #[test]
    fn elements_of_an_array_lose_their_white_space_only() {
        let meta: Vec<serde_json::Value> = serde_json::from_str(META).unwrap();
        let input = read_input(&Bytes::from_static(SAMPLES.as_bytes())).unwrap();
        for (good, meta) in input.good.iter().zip(&meta) {
            assert_eq!(meta["json_bytes"], good.message.payload.len());
        }
        let text = r#"{ "a \\" : " \" { " , "n" : 1.0e+2 }"#;
        assert_eq!(compact(text), br#"{"a \\":" \" { ","n":1.0e+2}"#);
    }

    #[test]
    fn byte_order_marks_do_not_belong_to_the_events() {
        let array = read_input(&format!("\u{feff}{SAMPLES}").into()).unwrap();
        assert_eq!((array.good.len(), array.bad.len()), (10, 0));
        let elements: Vec<serde_json::Value> = serde_json::from_str(SAMPLES).unwrap();
        let line = elements[0].to_string();
        let put_together = read_input(&format!("\u{feff}{line}\r\n\u{feff}{line}").into()).unwrap();
        assert_eq!(put_together.bad, []);
        assert_eq!(put_together.good[1].message.payload, line, "the mark is not published");
        let utf16: Vec<u8> = line.encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_eq!(read_input(&utf16.into()).unwrap_err(), EncodingError::Utf16);
    }

    #[test]
    fn bad_entries_are_numbered_as_an_editor_does() {
        let input = read_input(&Bytes::from_static(b"\n{}\n\n{\n")).unwrap();
        let shown: Vec<String> = input.bad.iter().map(ToString::to_string).collect();
        assert!(shown[0].starts_with("line 2: missing field `id`"), "{shown:?}");
        assert!(shown[1].starts_with("line 4: EOF while parsing"), "{shown:?}");
        let input = read_input(&Bytes::from_static(b"[{},\n 7]")).unwrap();
        assert!(input.bad[1].to_string().starts_with("element 2: invalid type"), "{:?}", input.bad);
        let input = read_input(&Bytes::from_static(b"[{},\n")).unwrap();
        assert!(input.bad[0].to_string().starts_with("line 2: the array cannot be read"), "{:?}", input.bad);
        assert!(read_input(&Bytes::new()).unwrap().bad.is_empty());
    }
}
