//! The `messagepack` codec: the platform's envelopes with named fields, ids as 16 bytes and the time in microseconds.
//! The event in it is walked and becomes JSON for guests.

mod walk;

use std::io::Cursor;

use bytes::Bytes;
use bytestring::ByteString;
use rmp_serde::Serializer;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use self::walk::{Json, Packed};
use super::binary::BinaryEnvelope;
use super::decoded::Decoded;
use super::headers::EventHeaders;
use super::whole::Whole;
use super::written::{Unwritable, Written, uuid};
use super::{DecodeError, DecodeErrorCode};

/// Deepest nesting that is read, as deep as the JSON of guests may be.
const DEPTH_MAX: usize = 128;

/// The fields of an envelope that are read. Others are ignored.
#[derive(Deserialize)]
struct Envelope {
    id: Uuid,
    event_type: String,
    #[serde(default)]
    schema_version: u16,
    #[serde(default)]
    correlation_id: Option<Uuid>,
    #[serde(default)]
    causation_id: Option<Uuid>,
    tenant_id: Uuid,
    timestamp: i64,
    #[serde(default)]
    actor_id: Option<Uuid>,
    event: Json,
}

/// All fields of an envelope.
#[derive(Deserialize)]
struct WholeEnvelope {
    id: Uuid,
    event_type: String,
    schema_version: u16,
    correlation_id: Uuid,
    #[serde(default)]
    causation_id: Option<Uuid>,
    tenant_id: Uuid,
    #[serde(default)]
    trace_id: Option<String>,
    timestamp: i64,
    #[serde(default)]
    actor_id: Option<Uuid>,
    event: Json,
    #[serde(default)]
    retry_count: u32,
}

pub(super) fn read(payload: &Bytes, headers: &EventHeaders<'_>) -> Result<Decoded, DecodeError> {
    let envelope: Envelope = unpack(payload)?;
    let envelope = BinaryEnvelope {
        id: envelope.id,
        event_type: ByteString::from(envelope.event_type),
        schema_version: envelope.schema_version,
        correlation_id: envelope.correlation_id,
        causation_id: envelope.causation_id,
        tenant_id: envelope.tenant_id,
        timestamp_micros: envelope.timestamp,
        actor_id: envelope.actor_id,
        event: envelope.event.into(),
    };
    envelope.check(headers, DecodeErrorCode::MessagePackEnvelope)
}

pub(super) fn read_whole(payload: &[u8]) -> Result<Whole, DecodeError> {
    let envelope: WholeEnvelope = unpack(payload)?;
    Ok(Whole {
        id: envelope.id,
        event_type: envelope.event_type,
        schema_version: envelope.schema_version,
        correlation_id: envelope.correlation_id,
        causation_id: envelope.causation_id,
        tenant_id: envelope.tenant_id,
        trace_id: envelope.trace_id,
        timestamp_micros: envelope.timestamp,
        actor_id: envelope.actor_id,
        event_json: envelope.event.into_text().map_err(|error| wrong(error.to_string()))?,
        retry_count: envelope.retry_count,
    })
}

/// Reads the one value that the bytes must be.
fn unpack<'a, T: Deserialize<'a>>(payload: &'a [u8]) -> Result<T, DecodeError> {
    let mut deserializer = rmp_serde::Deserializer::new(Cursor::new(payload));
    deserializer.set_max_depth(DEPTH_MAX);
    let value = T::deserialize(&mut deserializer).map_err(|error| wrong(error.to_string()))?;
    let left = payload.len() as u64 - deserializer.position();
    if left > 0 {
        return Err(wrong(format!("{left} bytes follow the envelope")));
    }
    Ok(value)
}

fn wrong(reason: String) -> DecodeError {
    DecodeError::new(DecodeErrorCode::MessagePackEnvelope, reason)
}

pub(super) fn write(envelope: &Written<'_>) -> Result<Vec<u8>, Unwritable> {
    let mut payload = Vec::new();
    let micros = i64::try_from(envelope.timestamp_micros).unwrap_or(i64::MAX);
    envelope
        .with(uuid, micros, Packed(envelope.event))?
        .serialize(&mut Serializer::new(&mut payload).with_struct_map())
        .map_err(|error| Unwritable(error.to_string()))?;
    Ok(payload)
}

#[cfg(test)]
mod tests;
