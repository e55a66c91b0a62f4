//! What the tests of all codecs need: the platform's samples, messages and emits.

use std::sync::Arc;

use bytes::Bytes;
use bytestring::ByteString;
use guesthouse_connector::{HeaderValue, Headers, Offset, OutgoingMessage, PartitionId, RawHeaders};

use crate::event::{Event, Message, Source, SourceTopic};
use crate::handler::HandlerName;
use crate::identity::{EmitId, EventIdentity};
use crate::outcome::Emit;

const SAMPLES: &str = include_str!("../../../tests/data/rustok-sample-events.json");
const SAMPLES_META: &str = include_str!("../../../tests/data/rustok-sample-events.meta.json");

/// The platform's own samples as JSON, each with what is known about it.
pub(crate) fn samples() -> Vec<(String, serde_json::Value)> {
    let samples: Vec<&serde_json::value::RawValue> = serde_json::from_str(SAMPLES).unwrap();
    let meta: Vec<serde_json::Value> = serde_json::from_str(SAMPLES_META).unwrap();
    assert_eq!(samples.len(), meta.len());
    samples.into_iter().map(|sample| sample.get().to_owned()).zip(meta).collect()
}

/// A message with these headers.
pub(super) fn message(payload: impl Into<Bytes>, headers: &[(&str, &str)]) -> Message {
    let topic = Arc::new(SourceTopic { stream: "rustok".into(), topic: "domain".into() });
    let source = Source {
        topic,
        partition: PartitionId(0),
        offset: Offset(0),
        message_id: 1,
        timestamp_micros: 0,
        origin_timestamp_micros: 0,
    };
    let mut encoded = Headers::new();
    for (name, value) in headers {
        encoded.insert(*name, *value).unwrap();
    }
    Message { source, headers: RawHeaders(encoded.encode()), payload: payload.into() }
}

/// What a guest emits.
pub(super) fn emit(payload: &'static [u8]) -> Emit {
    Emit {
        event_type: ByteString::from_static("order.counted"),
        schema_version: 2,
        topic: None,
        key: None,
        headers: vec![("region".into(), "eu".into())],
        payload: Bytes::from_static(payload),
    }
}

/// The id of the first emit of a handler for this event.
pub(super) fn emit_id(cause: &Event) -> EmitId {
    EmitId::of(EventIdentity::of(&cause.message), &HandlerName::new("totals").unwrap(), 0)
}

/// The text of a header.
pub(crate) fn header(message: &OutgoingMessage, name: &str) -> String {
    message.headers.get(name).map(HeaderValue::to_string).unwrap_or_default()
}

/// Bytes that are given in hexadecimal.
pub(crate) fn bytes_of(hex: &str) -> Vec<u8> {
    hex.as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}
