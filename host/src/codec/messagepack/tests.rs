//! What the `messagepack` codec reads, refuses and writes.

use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::*;
use crate::codec::fixtures::{bytes_of, emit, emit_id, header, message, samples};
use crate::codec::{Codec, Format};

const CODEC: Codec = Codec::Enveloped(Format::MessagePack);

fn refused(payload: Vec<u8>) -> DecodeError {
    CODEC.decode(message(payload, &[])).unwrap_err().1
}

/// An envelope with these changes, in MessagePack.
fn packed(change: impl Fn(&mut serde_json::Map<String, Value>)) -> Vec<u8> {
    let mut value: Value = serde_json::from_str(&samples()[3].0).unwrap();
    value["timestamp"] = json!(1_787_217_302_417_305_u64);
    change(value.as_object_mut().unwrap());
    let text = RawValue::from_string(value.to_string()).unwrap();
    let mut bytes = Vec::new();
    Packed(&text).serialize(&mut Serializer::new(&mut bytes)).unwrap();
    bytes
}

/// The platform's own bytes say the same as its JSON, root and contract.
#[test]
fn the_platforms_samples_decode_as_their_json_does() {
    for (json, meta) in samples() {
        let bytes = bytes_of(meta["msgpack_hex"].as_str().unwrap());
        let event = CODEC.decode(message(bytes.clone(), &[])).map_err(|(_, error)| error).unwrap();
        let twin = Codec::default().decode(message(json, &[])).map_err(|(_, error)| error).unwrap();
        assert_eq!(event.message.payload, bytes, "the message is untouched");
        assert_eq!((&event.id, &event.event_type, &event.tenant), (&twin.id, &twin.event_type, &twin.tenant));
        assert_eq!(
            (&event.correlation_id, &event.causation_id, &event.actor, event.schema_version),
            (&twin.correlation_id, &twin.causation_id, &twin.actor, twin.schema_version)
        );
        assert_eq!(event.timestamp_micros, twin.timestamp_micros);
        assert_eq!(event.content_type, "application/json");
        let [value, twin] =
            [event.payload, twin.payload].map(|json| serde_json::from_slice::<Value>(&json).unwrap());
        assert_eq!(value, twin);
    }
}

/// Written again, the event of a sample has the platform's own bytes: ids are bytes at any depth.
#[test]
fn events_are_written_as_the_platform_writes_them() {
    for (json, meta) in samples() {
        let event = serde_json::from_str::<std::collections::BTreeMap<String, Box<RawValue>>>(&json).unwrap();
        let mut bytes = Vec::new();
        Packed(&event["event"]).serialize(&mut Serializer::new(&mut bytes)).unwrap();
        let whole = bytes_of(meta["msgpack_hex"].as_str().unwrap());
        assert!(whole.windows(bytes.len()).any(|window| window == bytes), "{json}");
    }
}

#[test]
fn an_emit_is_read_back() {
    let (json, _) = samples().remove(3);
    let cause = Codec::default().decode(message(json, &[])).map_err(|(_, error)| error).unwrap();
    let payload = br#"{"type":"OrderCounted","data":{"id":"7f3c9a52-4b1e-4d6a-9c80-5e2f1ab34d10","list":[1,-2,2.5,null,true,"x"]}}"#;
    let written = CODEC.encode_emit(&cause, &emit(payload), emit_id(&cause), 1_787_217_302_417_305).unwrap();
    assert_eq!(header(&written, "content-type"), "application/msgpack");
    assert_eq!(header(&written, "profile"), "root");
    let headers = [("content-type", "application/msgpack"), ("event-type", "order.counted")];
    for reader in [CODEC, Codec::default()] {
        let event =
            reader.decode(message(written.payload.clone(), &headers)).map_err(|(_, error)| error).unwrap();
        assert_eq!(event.payload, payload[..]);
        assert_eq!(event.id, emit_id(&cause).to_string());
        assert_eq!((event.causation_id, &event.tenant), (Some(cause.id.clone()), &cause.tenant));
        assert_eq!((event.timestamp_micros, event.schema_version), (1_787_217_302_417_305, 2));
    }
}

#[test]
fn what_is_no_envelope_is_refused_with_a_reason() {
    let cases: [(Vec<u8>, &str); 10] = [
        ([&packed(|_| {})[..], b"xy"].concat(), "2 bytes follow the envelope"),
        (b"\xc1".to_vec(), "marker"),
        (Vec::new(), "fill whole buffer"),
        (br#"{"id":1}"#.to_vec(), "invalid"),
        (packed(|fields| drop(fields.remove("event"))), "missing field `event`"),
        (packed(|fields| fields["id"] = json!("no id")), "invalid type: string \"no id\""),
        (packed(|fields| fields["timestamp"] = json!(-1)), "field `timestamp` is `-1`"),
        (packed(|fields| fields["event_type"] = json!("a\nb")), "field `event_type` is"),
        (
            packed(|fields| fields["id"] = json!("00000000-0000-0000-0000-000000000000")),
            "other than the nil one",
        ),
        (packed(|fields| fields["tenant_id"] = json!([1])), "invalid"),
    ];
    for (payload, expected) in cases {
        let error = refused(payload.clone());
        assert_eq!(error.code(), "messagepack-envelope", "{error}");
        assert!(error.to_string().contains(expected), "{error}, not {expected}: {payload:?}");
    }
}

/// Cut at any byte, or with any byte changed, it is an error or another event, never a panic.
#[test]
fn damage_is_never_a_panic() {
    let bytes = packed(|_| {});
    for cut in 0..bytes.len() {
        refused(bytes[..cut].to_vec());
    }
    for at in 0..bytes.len() {
        for change in [0x01, 0x80, 0xff] {
            let mut damaged = bytes.clone();
            damaged[at] ^= change;
            drop(CODEC.decode(message(damaged, &[])));
        }
    }
}

/// A map that says it has four thousand million members, and one in one in one.
#[test]
fn bombs_are_refused() {
    let mut wide = packed(|_| {});
    let at = wide.windows(6).position(|window| window == b"\xa5event").unwrap();
    wide.truncate(at + 6);
    let mut deep = wide.clone();
    wide.extend([0xdf, 0xff, 0xff, 0xff, 0xff]);
    refused(wide);
    deep.extend([0x91; 100_000]);
    assert!(refused(deep).to_string().contains("depth"), "nesting has a bound");
}

#[test]
fn what_json_does_not_have_is_refused_or_translated() {
    let with_event = |event: &[u8]| {
        let mut bytes = packed(|fields| drop(fields.remove("event")));
        bytes[0] += 1;
        bytes.extend(b"\xa5event");
        bytes.extend(event);
        CODEC.decode(message(bytes, &[])).map(|event| event.payload).map_err(|(_, error)| error.to_string())
    };
    assert_eq!(with_event(b"\xc4\x02ab").unwrap(), "[97,98]");
    assert!(with_event(b"\xd4\x01\x00").is_err(), "an extension");
    assert!(with_event(b"\x81\x01\x02").unwrap_err().contains("expected a string"), "a key that is a number");
    assert!(with_event(b"\x81\xa1\xff\x02").is_err(), "a key that is not UTF-8");
}
