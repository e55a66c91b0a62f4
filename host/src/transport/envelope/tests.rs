//! Which envelopes may be published, and as what.

use super::*;
use crate::codec::fixtures::{self, bytes_of, header};

fn samples() -> Vec<(EventEnvelope, serde_json::Value)> {
    let envelope = |(text, known): (String, _)| (serde_json::from_str(&text).unwrap(), known);
    fixtures::samples().into_iter().map(envelope).collect()
}

/// In MessagePack they are the platform's bytes to the last one, in JSON the platform's text.
#[test]
fn the_platforms_samples_are_written_as_the_platform_writes_them() {
    for ((envelope, meta), (text, _)) in samples().into_iter().zip(fixtures::samples()) {
        let (topic, packed) = envelope.to_message(Format::MessagePack).unwrap();
        assert_eq!(packed.payload, bytes_of(meta["msgpack_hex"].as_str().unwrap()));
        assert_eq!(
            (meta["topic"].as_str(), meta["profile"].as_str()),
            (Some(topic), Some(&*header(&packed, "profile")))
        );
        assert_eq!(packed.id, envelope.id.as_u128());
        let Partitioning::Key(key) = &packed.partition else { panic!("{:?}", packed.partition) };
        assert_eq!(meta["partition_key"], **key);

        let (_, json) = envelope.to_message(Format::Json).unwrap();
        let [ours, theirs] = [&json.payload[..], text.as_bytes()]
            .map(|json| serde_json::from_slice::<serde_json::Value>(json).unwrap());
        assert_eq!(ours, theirs);
        assert_eq!(serde_json::to_value(&envelope).unwrap(), theirs, "serde writes the same");
        assert_eq!(header(&json, "event-type"), envelope.event_type);
        assert_eq!(header(&json, "event-id"), envelope.id.to_string());
        assert_eq!(header(&json, "content-type"), "application/json");
    }
}

#[test]
fn a_contract_envelope_names_a_family() {
    for (envelope, meta) in samples() {
        let contract = ContractEventEnvelope::new(envelope);
        assert_eq!(contract.is_ok(), meta["profile"] == "contract", "{}", meta["event_type"]);
    }
    let root = &samples()[0].0;
    let text = serde_json::to_string(root).unwrap();
    let error = serde_json::from_str::<ContractEventEnvelope>(&text).unwrap_err();
    assert!(error.to_string().contains("needs the member `family`"), "{error}");
}

#[test]
fn wrong_envelopes_are_refused_with_their_id_and_the_rule() {
    let sound = samples().remove(3).0;
    let nil = Uuid::nil();
    let early = SystemTime::UNIX_EPOCH - Duration::from_secs(1);
    let cases = [
        (EventEnvelope { event_type: String::new(), ..sound.clone() }, "`event_type` must have"),
        (EventEnvelope { event_type: "a\n".into(), ..sound.clone() }, "`event_type` must have"),
        (EventEnvelope { id: nil, ..sound.clone() }, "only `tenant_id` may be nil"),
        (EventEnvelope { causation_id: Some(nil), ..sound.clone() }, "only `tenant_id` may be nil"),
        (EventEnvelope { trace_id: Some("  ".into()), ..sound.clone() }, "`trace_id` must have"),
        (EventEnvelope { timestamp: early, ..sound.clone() }, "before 1970"),
    ];
    for (envelope, rule) in cases {
        let error = envelope.to_message(Format::Json).unwrap_err();
        assert_eq!(error.stable_code(), "iggy.transport.envelope_invalid");
        assert!(!error.is_retryable());
        assert!(error.to_string().contains(rule), "{error}");
        assert!(error.to_string().contains(&envelope.id.to_string()), "{error}");
    }
    let platform = EventEnvelope { tenant_id: nil, ..sound };
    assert!(platform.to_message(Format::Json).is_ok(), "the platform's own events");
}

#[test]
fn what_is_too_large_is_refused_here() {
    let text = serde_json::json!({ "type": "Large", "data": "x".repeat(PAYLOAD_BYTES_MAX) });
    let envelope = EventEnvelope::new(Uuid::from_u128(1), "a.b", &text).unwrap();
    let error = envelope.to_message(Format::Json).unwrap_err().to_string();
    assert!(error.contains("at most"), "{error}");
}

#[test]
fn only_a_trace_context_becomes_one() {
    let context = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    for (id, expected) in [("4503599627370499", ""), (context, context), ("00-xx-yy-01", "")] {
        let envelope = EventEnvelope { trace_id: Some(id.into()), ..samples().remove(0).0 };
        assert_eq!(header(&envelope.to_message(Format::Json).unwrap().1, "traceparent"), expected);
    }
}

#[test]
fn a_new_envelope_is_read_back() {
    let event = serde_json::json!({ "type": "OrderPlaced", "data": { "total": 1 } });
    let envelope = EventEnvelope::new(Uuid::from_u128(7), "order.placed", &event).unwrap();
    let read: EventEnvelope = serde_json::from_str(&serde_json::to_string(&envelope).unwrap()).unwrap();
    assert_eq!((read.id, read.correlation_id, read.schema_version), (envelope.id, envelope.id, 1));
    assert_eq!(read.timestamp, envelope.timestamp);
    assert_eq!(read.event.get(), envelope.event.get());
}
