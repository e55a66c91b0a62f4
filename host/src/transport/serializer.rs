//! Serializers: envelopes to bytes and back, by the names that RusToK knows.

use std::time::{Duration, SystemTime};

use uuid::Uuid;

use super::{ContractEventEnvelope, EventEnvelope, TransportError};
use crate::codec::{Format, Whole};

/// Writes envelopes in one format and reads them back. What is written is what a transport publishes.
pub trait EventSerializer: Send + Sync {
    /// Which format it is.
    fn format(&self) -> Format;

    /// The bytes of an envelope.
    ///
    /// # Errors
    /// [`TransportError::Validation`] when the envelope breaks a rule, [`TransportError::Serialization`] when the format
    /// cannot express it.
    fn serialize(&self, envelope: &EventEnvelope) -> Result<Vec<u8>, TransportError> {
        envelope.to_bytes(self.format())
    }

    /// The envelope in these bytes, root or contract.
    ///
    /// # Errors
    /// [`TransportError::Unreadable`] when they are none in this format, [`TransportError::Validation`] when it breaks a
    /// rule.
    fn deserialize(&self, payload: &[u8]) -> Result<EventEnvelope, TransportError> {
        let format = self.format();
        let unreadable = |reason: String| TransportError::Unreadable { format, reason };
        let envelope = match Whole::read(format, payload) {
            None => serde_json::from_slice(payload).map_err(|error| unreadable(error.to_string()))?,
            Some(Ok(whole)) => envelope_of(whole).map_err(unreadable)?,
            Some(Err(error)) => return Err(unreadable(error.to_string())),
        };
        envelope.check()?;
        Ok(envelope)
    }

    /// The bytes of an envelope of a bounded family.
    ///
    /// # Errors
    /// As [`serialize`](Self::serialize).
    fn serialize_contract(&self, envelope: &ContractEventEnvelope) -> Result<Vec<u8>, TransportError> {
        self.serialize(envelope.as_envelope())
    }

    /// The envelope of a bounded family in these bytes.
    ///
    /// # Errors
    /// As [`deserialize`](Self::deserialize), and [`TransportError::Validation`] when its event names no family.
    fn deserialize_contract(&self, payload: &[u8]) -> Result<ContractEventEnvelope, TransportError> {
        ContractEventEnvelope::new(self.deserialize(payload)?)
    }
}

/// JSON, the platform's own default.
#[derive(Debug, Clone, Copy, Default)]
pub struct JsonSerializer;

/// MessagePack with named fields.
#[derive(Debug, Clone, Copy, Default)]
pub struct MessagePackSerializer;

/// Postcard, in a layout of ours that has a version and so can be read back.
#[derive(Debug, Clone, Copy, Default)]
pub struct PostcardSerializer;

impl EventSerializer for JsonSerializer {
    fn format(&self) -> Format {
        Format::Json
    }
}

impl EventSerializer for MessagePackSerializer {
    fn format(&self) -> Format {
        Format::MessagePack
    }
}

impl EventSerializer for PostcardSerializer {
    fn format(&self) -> Format {
        Format::Postcard
    }
}

/// Each format is its own serializer.
impl EventSerializer for Format {
    fn format(&self) -> Format {
        *self
    }
}

fn envelope_of(whole: Whole) -> Result<EventEnvelope, String> {
    let micros = u64::try_from(whole.timestamp_micros).map_err(|_| {
        format!("field `timestamp` is {}, expected a time since 1970", whole.timestamp_micros)
    })?;
    let timestamp = SystemTime::UNIX_EPOCH.checked_add(Duration::from_micros(micros));
    Ok(EventEnvelope {
        id: whole.id,
        event_type: whole.event_type,
        schema_version: whole.schema_version,
        correlation_id: whole.correlation_id,
        causation_id: whole.causation_id,
        tenant_id: whole.tenant_id,
        trace_id: whole.trace_id,
        timestamp: timestamp.ok_or("field `timestamp` is beyond all times")?,
        actor_id: whole.actor_id,
        event: serde_json::from_str(&whole.event_json).map_err(|error| format!("field `event`: {error}"))?,
        retry_count: whole.retry_count,
    })
}

/// The key that decides the partition of a tenant's events: its id, in lower case and with hyphens.
pub fn partition_key(tenant_id: Uuid) -> String {
    tenant_id.hyphenated().to_string()
}
