//! Envelopes as the platform writes them.

use bytes::Bytes;
use guesthouse_connector::{Headers, OutgoingMessage, Partitioning};
use serde_json::{Value, json};
use uuid::Uuid;

/// The tenant of the platform itself.
pub const PLATFORM: &str = "00000000-0000-0000-0000-000000000000";

/// The n-th tenant; every number names another one.
pub fn tenant(n: u128) -> String {
    Uuid::from_u128(0x7f3c_9a52_4b1e_4d6a_9c80_0000_0000_0000 + n).to_string()
}

/// A root envelope with a fresh id.
pub fn envelope(tenant: &str, event_type: &str, event: &Value) -> Value {
    let id = Uuid::new_v4().to_string();
    json!({
        "id": id,
        "event_type": event_type,
        "schema_version": 1,
        "correlation_id": id,
        "causation_id": null,
        "tenant_id": tenant,
        "trace_id": "4503599627370499",
        "timestamp": "2026-08-20T09:15:02.417305+00:00",
        "actor_id": null,
        "event": event,
        "retry_count": 0,
    })
}

/// An order that `order-totals` takes.
pub fn order(tenant: &str, order_id: &str) -> Value {
    let data = json!({ "order_id": order_id, "customer_id": tenant, "total": 12_540, "currency": "EUR" });
    envelope(tenant, "order.placed", &json!({ "type": "OrderPlaced", "data": data }))
}

/// An event that makes `picky` behave in a certain way.
pub fn picky(tenant: &str, behave: &str) -> Value {
    envelope(tenant, "demo.picky", &json!({ "type": "Picky", "data": { "behave": behave } }))
}

/// A field of an envelope that is a string.
pub fn text<'a>(envelope: &'a Value, field: &str) -> &'a str {
    envelope[field].as_str().unwrap_or_else(|| panic!("the envelope has no text `{field}`: {envelope}"))
}

/// The message that carries an envelope: its id is the envelope's, its key the tenant, and it has no headers.
pub fn message(envelope: &Value) -> OutgoingMessage {
    let id: Uuid = text(envelope, "id").parse().expect("the id of an envelope is a UUID");
    OutgoingMessage {
        id: id.as_u128(),
        partition: Partitioning::Key(text(envelope, "tenant_id").to_owned()),
        payload: Bytes::from(envelope.to_string()),
        headers: Headers::new(),
    }
}
