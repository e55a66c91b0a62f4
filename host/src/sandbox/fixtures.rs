//! Events and components for the tests of the sandbox.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use bytestring::ByteString;
use guesthouse_connector::{Offset, PartitionId, RawHeaders};

use crate::event::{Event, Message, SharedEvent, Source, SourceTopic, Tenant};
use crate::handler::HandlerName;
use crate::route::TenantScope;
use crate::sandbox::{CallEvent, Grants, GuestLimits, GuestSpec, Isolation};

pub(crate) fn event(id: &str, tenant: &str) -> Event {
    let topic = Arc::new(SourceTopic { stream: "rustok".to_owned(), topic: "domain".to_owned() });
    let source = Source {
        topic,
        partition: PartitionId(5),
        offset: Offset(42),
        message_id: 1,
        timestamp_micros: 1,
        origin_timestamp_micros: 1,
    };
    Event {
        message: Message { source, headers: RawHeaders::default(), payload: Bytes::from_static(b"{}") },
        id: id.to_owned().into(),
        event_type: ByteString::from_static("order.placed"),
        schema_version: 2,
        tenant: Tenant::from_name(tenant.to_owned().into()),
        key: Some(ByteString::from_static("k1")),
        correlation_id: None,
        causation_id: None,
        actor: None,
        for_handler: None,
        traceparent: None,
        timestamp_micros: 1_700_000_000_000_000,
        content_type: ByteString::from_static("application/json"),
        payload: Bytes::from_static(b"{}"),
    }
}

pub(super) fn call_event(event: Event, lane: u32) -> CallEvent {
    CallEvent { event: SharedEvent::from(event), attempt: 1, lane }
}

pub(super) fn limits() -> GuestLimits {
    GuestLimits {
        deadline: Duration::from_millis(250),
        memory_bytes_max: 64 << 20,
        emits_max: 4,
        emit_bytes_max: 1 << 10,
        log_lines_max: 3,
        ..GuestLimits::default()
    }
}

pub(super) fn spec() -> GuestSpec {
    GuestSpec {
        handler: HandlerName::new("fixture").unwrap(),
        tenants: TenantScope::All,
        limits: limits(),
        grants: Grants::default(),
        isolation: Isolation::Reuse,
        emits: None,
        dedup: None,
    }
}

/// A component made of `fixtures/actor.wat` with these lines put in.
pub(crate) fn actor(lines: &[(&str, &str)]) -> Bytes {
    let mut text = include_str!("fixtures/actor.wat").to_owned();
    for (place, line) in lines {
        text = text.replace(&format!(";;@{place}\n"), &format!("{line}\n"));
    }
    component(&text)
}

/// The line that exports the world that takes one event at a time.
pub(crate) const EXPORT_HANDLER: (&str, &str) =
    ("export", r#"(export "guesthouse:handler/handler@0.1.0" (instance $handler))"#);

/// The line that exports the world that takes batches.
pub(crate) const EXPORT_BATCH: (&str, &str) =
    ("export", r#"(export "guesthouse:handler/batch@0.1.0" (instance $batch))"#);

/// A component, or module, of a text.
pub(super) fn component(text: &str) -> Bytes {
    wat::parse_str(text).unwrap().into()
}

/// A component that declares component types inside each other. The text form cannot say more than a hundred levels.
pub(super) fn types_in_types(levels: usize) -> Bytes {
    let (opening, innermost) = ([0x41, 1, 1].repeat(levels - 1), [0x41, 0]);
    let length = 1 + opening.len() + innermost.len();
    assert!(length < 1 << 14, "the length is written with two bytes");
    let low = |value: usize| u8::try_from(value & 0x7f).unwrap();
    let mut bytes = b"\0asm\x0d\0\x01\0\x07".to_vec();
    bytes.extend([low(length) | 0x80, low(length >> 7), 1]);
    bytes.extend(opening.iter().chain(&innermost));
    bytes.into()
}
