//! What the `json` codec reads, refuses and writes.

use guesthouse_connector::RawHeaders;

use super::*;
use crate::codec::fixtures::{emit, emit_id, header, message, samples};
use crate::codec::{Codec, EmitError};
use crate::event::Event;
use crate::outcome::Emit;

const ID: &str = "01a01e73-d391-f057-ce73-018173b720d4";
const TENANT: &str = "7f3c9a52-4b1e-4d6a-9c80-5e2f1ab34d10";

fn envelope(change: impl Fn(&mut serde_json::Map<String, serde_json::Value>)) -> String {
    let mut value = serde_json::json!({
        "id": ID, "event_type": "order.placed", "schema_version": 1, "correlation_id": ID,
        "causation_id": null, "tenant_id": TENANT, "trace_id": "4503599627370499",
        "timestamp": "2026-08-20T09:15:02.417305+00:00", "actor_id": null,
        "event": {"type": "OrderPlaced", "data": {"total": 12540}}, "retry_count": 0,
    });
    change(value.as_object_mut().unwrap());
    value.to_string()
}

fn decoded(text: impl Into<Bytes>) -> Event {
    Codec::default().decode(message(text, &[])).map_err(|(_, error)| error).unwrap()
}

fn refused(text: impl Into<Bytes>, headers: &[(&str, &str)]) -> DecodeError {
    Codec::default().decode(message(text, headers)).unwrap_err().1
}

fn encoded(cause: &Event, emit: &Emit) -> Result<OutgoingMessage, EmitError> {
    Codec::default().encode_emit(cause, emit, emit_id(cause), 1_787_217_302_417_305)
}

/// The platform's own samples decode, root and contract, and the payload is the `event` member byte for byte.
#[test]
fn the_platforms_samples_decode() {
    for (sample, meta) in samples() {
        let event = decoded(sample.clone());
        assert_eq!(meta["event_type"], *event.event_type);
        assert_eq!(meta["partition_key"], event.tenant.as_str());
        let member: std::collections::BTreeMap<&str, &RawValue> = serde_json::from_str(&sample).unwrap();
        assert_eq!(event.payload, member["event"].get().as_bytes());
        let publication = read_publication(Bytes::from(sample.clone())).unwrap();
        assert_eq!(meta["topic"], publication.topic);
        assert_eq!(meta["profile"], header(&publication.message, "profile"));
        assert_eq!(publication.message.payload, sample.as_bytes());
    }
}

#[test]
fn fields_are_slices_of_the_message() {
    let text = Bytes::from(envelope(|_| {}));
    let event = decoded(text.clone());
    let inside = |part: &[u8]| text.as_ptr_range().contains(&part.as_ptr());
    for part in [&event.id, &event.event_type, event.correlation_id.as_ref().unwrap()] {
        assert!(inside(part.as_bytes()));
    }
    assert!(inside(&event.payload));
    assert_eq!(event.timestamp_micros, 1_787_217_302_417_305);
    assert_eq!((event.schema_version, event.causation_id, event.actor), (1, None, None));
}

#[test]
fn unknown_fields_are_ignored_and_absent_options_are_none() {
    let event = decoded(envelope(|fields| {
        for name in
            ["correlation_id", "causation_id", "actor_id", "trace_id", "retry_count", "schema_version"]
        {
            fields.remove(name);
        }
        fields.insert("later".into(), serde_json::json!({"deep": [[[1]]]}));
    }));
    assert_eq!((event.schema_version, event.correlation_id), (0, None));
}

#[test]
fn an_id_has_one_text() {
    let event = decoded(envelope(|fields| {
        fields.insert("tenant_id".into(), TENANT.to_uppercase().into());
    }));
    assert_eq!(event.tenant.as_str(), TENANT);
    let escaped = envelope(|_| {}).replace(TENANT, &TENANT.replace('7', "\\u0037"));
    assert_eq!(decoded(escaped).tenant.as_str(), TENANT);
}

#[test]
fn the_nil_tenant_is_the_platform() {
    let event = decoded(envelope(|fields| {
        fields.insert("tenant_id".into(), Tenant::PLATFORM_ID.into());
    }));
    assert_eq!(event.tenant, Tenant::Platform);
}

#[test]
fn wrong_envelopes_are_refused_with_field_and_position() {
    let nil = Tenant::PLATFORM_ID;
    for (field, value, expected) in [
        ("id", "not-a-uuid", "field `id` at byte"),
        ("id", nil, "other than the nil one"),
        ("causation_id", nil, "other than the nil one"),
        ("actor_id", nil, "field `actor_id`"),
        ("tenant_id", "tenant-123", "field `tenant_id` at byte"),
        ("timestamp", "yesterday", "expected an RFC 3339 time"),
        ("timestamp", "1969-12-31T23:59:59Z", "since 1970"),
        ("event_type", "", "field `event_type`"),
        ("event_type", "a\nb", "without control characters"),
    ] {
        let error = refused(envelope(|fields| drop(fields.insert(field.into(), value.into()))), &[]);
        assert_eq!(error.code(), "json-envelope", "{field}={value}");
        assert!(error.to_string().contains(expected), "{error}");
    }
    for field in ["id", "event_type", "tenant_id", "timestamp", "event"] {
        let error = refused(envelope(|fields| drop(fields.remove(field))), &[]);
        assert_eq!(error.code(), "json-envelope");
        assert!(error.to_string().contains(&format!("missing field `{field}`")), "{error}");
    }
    let error = refused(envelope(|fields| drop(fields.insert("schema_version".into(), 65_536.into()))), &[]);
    assert_eq!(error.code(), "json-envelope");
}

#[test]
fn what_is_not_json_is_refused_with_its_position() {
    let whole = envelope(|_| {});
    for end in 0..whole.len() {
        let error = refused(whole.as_bytes()[..end].to_owned(), &[]);
        assert_eq!(error.code(), "json-syntax", "{end}: {error}");
    }
    let error = refused(&b"{\"id\": \xFF}"[..], &[]);
    assert_eq!((error.code(), error.to_string().as_str()), ("json-syntax", "not UTF-8 from byte 7 on"));
    assert_eq!(refused("[]", &[]).code(), "json-envelope");
    assert_eq!(refused(format!("{whole} x"), &[]).code(), "json-syntax");
    assert_eq!(refused("[".repeat(1 << 20), &[]).code(), "json-envelope");
    let deep = whole.replace("12540", &format!("{}1{}", "[".repeat(1 << 18), "]".repeat(1 << 18)));
    assert_eq!(decoded(deep).schema_version, 1);
}

#[test]
fn headers_that_disagree_with_the_envelope_are_refused() {
    let text = envelope(|_| {});
    let other = "00000000-0000-4000-8000-000000000001";
    assert_eq!(refused(text.clone(), &[("tenant-id", other)]).code(), "tenant-mismatch");
    assert_eq!(refused(text.clone(), &[("event-id", other)]).code(), "header-mismatch");
    assert_eq!(refused(text.clone(), &[("event-type", "order.paid")]).code(), "header-mismatch");
    let agreeing =
        [("tenant-id", TENANT), ("event-id", ID), ("partition-key", "k"), ("traceparent", "00-a-b-01")];
    let event = Codec::default().decode(message(text, &agreeing)).unwrap();
    assert_eq!((event.key.as_deref(), event.traceparent.as_deref()), (Some("k"), Some("00-a-b-01")));
}

#[test]
fn an_emit_reads_back_as_an_event_of_the_same_tenant() {
    let traced = [("traceparent", "00-a-b-01")];
    let cause = Codec::default().decode(message(envelope(|_| {}), &traced)).unwrap();
    let sent = encoded(&cause, &Emit { key: Some("order-1".into()), ..emit(b" {\"n\": 1} ") }).unwrap();
    assert_eq!(sent.partition, Partitioning::Key("order-1".into()));
    for (name, expected) in [
        ("content-type", "application/json"),
        ("profile", "root"),
        ("event-type", "order.counted"),
        ("schema-version", "2"),
        ("tenant-id", TENANT),
        ("traceparent", "00-a-b-01"),
        ("gh-hops", "1"),
        ("region", "eu"),
        ("event-id", &uuid::Uuid::from_u128(sent.id).to_string()),
    ] {
        assert_eq!(header(&sent, name), expected, "{name}");
    }
    let mut received = message(sent.payload.clone(), &[]);
    received.headers = RawHeaders(sent.headers.encode());
    let event = Codec::default().decode(received).unwrap();
    assert_eq!((&event.tenant, event.key.as_deref()), (&cause.tenant, Some("order-1")));
    assert_eq!(event.correlation_id.as_deref(), Some(ID));
    assert_eq!(event.causation_id.as_deref(), Some(ID));
    assert_eq!((event.schema_version, event.timestamp_micros), (2, 1_787_217_302_417_305));
    assert_eq!(event.payload, &b"{\"n\": 1}"[..]);
    assert!(String::from_utf8_lossy(&sent.payload).contains("\"2026-08-20T09:15:02.417305+00:00\""));
}

#[test]
fn an_emit_without_a_key_goes_to_the_tenants_partition() {
    let cause = decoded(envelope(|_| {}));
    let sent = encoded(&cause, &emit(b"1")).unwrap();
    assert_eq!(sent.partition, Partitioning::Key(TENANT.into()));
    assert_eq!(sent, encoded(&cause, &emit(b"1")).unwrap());
}

#[test]
fn emits_that_cannot_be_published_are_refused() {
    let cause = decoded(envelope(|_| {}));
    let with_header =
        |name: &str, value: &str| Emit { headers: vec![(name.into(), value.into())], ..emit(b"1") };
    assert!(matches!(encoded(&cause, &emit(b"{")), Err(EmitError::NotJson(_))));
    assert!(matches!(encoded(&cause, &emit(b"")), Err(EmitError::NotJson(_))));
    assert!(matches!(encoded(&cause, &emit(b"1 2")), Err(EmitError::NotJson(_))));
    for name in ["GH-x", "gh-hops", "tenant-id", "Event-Id", "content-type"] {
        let refused = encoded(&cause, &with_header(name, "x"));
        assert!(matches!(refused, Err(EmitError::ReservedHeader(_))), "{name}");
    }
    assert!(matches!(encoded(&cause, &with_header("x", "")), Err(EmitError::Header(_))));
    assert!(matches!(encoded(&cause, &with_header("x", &"v".repeat(256))), Err(EmitError::Header(_))));
    for event_type in ["", "Order", "order..x", "a b"] {
        let emit = Emit { event_type: event_type.into(), ..emit(b"1") };
        assert!(matches!(encoded(&cause, &emit), Err(EmitError::EventType(_))), "{event_type}");
    }
}

#[test]
fn handlers_that_feed_each_other_are_stopped() {
    let mut cause = decoded(envelope(|_| {}));
    for expected in 1..=16 {
        let sent = encoded(&cause, &emit(b"1")).unwrap();
        assert_eq!(header(&sent, "gh-hops"), expected.to_string());
        cause.message.headers = RawHeaders(sent.headers.encode());
    }
    assert!(matches!(encoded(&cause, &emit(b"1")), Err(EmitError::Loop)));
}
