//! What the `raw` codec takes from headers and from the subscription.

use std::sync::Arc;

use bytes::Bytes;
use guesthouse_connector::{Headers, Offset, PartitionId, Partitioning, RawHeaders};

use super::*;
use crate::codec::Codec;
use crate::event::{Source, SourceTopic};
use crate::handler::HandlerName;
use crate::identity::EventIdentity;

fn message(headers: &[(&str, &str)]) -> Message {
    let topic = Arc::new(SourceTopic { stream: "rustok".into(), topic: "sensors".into() });
    let source = Source {
        topic,
        partition: PartitionId(0),
        offset: Offset(0),
        message_id: 0x0102,
        timestamp_micros: 9,
        origin_timestamp_micros: 7,
    };
    let mut encoded = Headers::new();
    for (name, value) in headers {
        encoded.insert(*name, *value).unwrap();
    }
    Message { source, headers: RawHeaders(encoded.encode()), payload: Bytes::from_static(&[0, 255]) }
}

fn fixed() -> Codec {
    let tenant = RawTenant::Fixed(Tenant::Named("acme".into()));
    Codec::Raw(RawCodec { tenant, event_type: RawEventType::Fixed("sensor.read".into()) })
}

fn from_headers() -> Codec {
    Codec::Raw(RawCodec { tenant: RawTenant::Header, event_type: RawEventType::Header })
}

#[test]
fn a_message_without_headers_is_described_by_the_subscription() {
    let event = fixed().decode(message(&[])).unwrap();
    assert_eq!(event.id, "00000000-0000-0000-0000-000000000102");
    assert_eq!((event.event_type.as_ref(), event.tenant.as_str()), ("sensor.read", "acme"));
    assert_eq!((event.schema_version, event.timestamp_micros), (0, 7));
    assert_eq!(event.content_type, "application/octet-stream");
    assert_eq!(event.payload, &[0, 255][..]);
}

#[test]
fn headers_describe_a_message() {
    let headers = [
        ("tenant-id", "acme"),
        ("event-type", "sensor.read"),
        ("event-id", "r-1"),
        ("schema-version", "3"),
        ("content-type", "image/png"),
        ("partition-key", "s-7"),
        ("traceparent", "00-a-b-01"),
    ];
    let event = from_headers().decode(message(&headers)).unwrap();
    assert_eq!((event.id.as_ref(), event.schema_version), ("r-1", 3));
    assert_eq!((event.content_type.as_ref(), event.key.as_deref()), ("image/png", Some("s-7")));
    assert_eq!(event.traceparent.as_deref(), Some("00-a-b-01"));
}

#[test]
fn what_the_headers_must_say_and_do_not_is_refused() {
    let code = |codec: Codec, headers: &[(&str, &str)]| codec.decode(message(headers)).unwrap_err().1.code();
    assert_eq!(code(from_headers(), &[("event-type", "a")]), "header-missing");
    assert_eq!(code(from_headers(), &[("tenant-id", "a")]), "header-missing");
    assert_eq!(code(from_headers(), &[("tenant-id", "a\r"), ("event-type", "a")]), "header-invalid");
    assert_eq!(code(fixed(), &[("schema-version", "-1")]), "header-invalid");
    assert_eq!(code(fixed(), &[("tenant-id", "umbrella")]), "tenant-mismatch");
}

#[test]
fn an_emit_is_its_payload_and_describes_itself() {
    let cause = fixed().decode(message(&[])).unwrap();
    let id = EmitId::of(EventIdentity::of(&cause.message), &HandlerName::new("h").unwrap(), 0);
    let emit = Emit {
        event_type: "sensor.mean".into(),
        schema_version: 1,
        topic: None,
        key: None,
        headers: vec![("content-type".into(), "image/png".into())],
        payload: Bytes::from_static(&[1, 2]),
    };
    let sent = fixed().encode_emit(&cause, &emit, id, 0).unwrap();
    assert_eq!((sent.payload.as_ref(), &sent.partition), (&[1, 2][..], &Partitioning::Key("acme".into())));
    let mut received = message(&[]);
    received.headers = RawHeaders(sent.headers.encode());
    let event = from_headers().decode(received).unwrap();
    assert_eq!((event.event_type.as_ref(), event.tenant.as_str()), ("sensor.mean", "acme"));
    assert_eq!((event.content_type.as_ref(), event.id.as_ref()), ("image/png", id.to_string().as_str()));
    let empty = Emit { payload: Bytes::new(), ..emit };
    assert!(matches!(fixed().encode_emit(&cause, &empty, id, 0), Err(EmitError::Length { bytes: 0 })));
}
