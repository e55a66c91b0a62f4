//! The `postcard` codec: a record of our own whose first byte is its version. Postcard does not describe itself, so
//! the event stands in it as JSON text, for readers that do not know its type.

use std::borrow::Cow;

use bytes::Bytes;
use bytestring::ByteString;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::binary::BinaryEnvelope;
use super::decoded::Decoded;
use super::headers::EventHeaders;
use super::whole::Whole;
use super::written::{Unwritable, Written, uuid};
use super::{DecodeError, DecodeErrorCode};

/// The version of the layout below.
const VERSION: u8 = 1;

/// Version 1, behind the byte that says so.
#[derive(Debug, Serialize, Deserialize)]
struct Record<'a> {
    id: [u8; 16],
    event_type: Cow<'a, str>,
    schema_version: u16,
    correlation_id: [u8; 16],
    causation_id: Option<[u8; 16]>,
    tenant_id: [u8; 16],
    trace_id: Option<Cow<'a, str>>,
    timestamp_micros: i64,
    actor_id: Option<[u8; 16]>,
    event_json: &'a str,
    retry_count: u32,
}

pub(super) fn read(payload: &Bytes, headers: &EventHeaders<'_>) -> Result<Decoded, DecodeError> {
    let record = open(payload)?;
    let envelope = BinaryEnvelope {
        id: Uuid::from_bytes(record.id),
        event_type: ByteString::from(&*record.event_type),
        schema_version: record.schema_version,
        correlation_id: Some(Uuid::from_bytes(record.correlation_id)),
        causation_id: record.causation_id.map(Uuid::from_bytes),
        tenant_id: Uuid::from_bytes(record.tenant_id),
        timestamp_micros: record.timestamp_micros,
        actor_id: record.actor_id.map(Uuid::from_bytes),
        event: payload.slice_ref(record.event_json.as_bytes()),
    };
    envelope.check(headers, DecodeErrorCode::PostcardEnvelope)
}

pub(super) fn read_whole(payload: &[u8]) -> Result<Whole, DecodeError> {
    let record = open(payload)?;
    Ok(Whole {
        id: Uuid::from_bytes(record.id),
        event_type: record.event_type.into_owned(),
        schema_version: record.schema_version,
        correlation_id: Uuid::from_bytes(record.correlation_id),
        causation_id: record.causation_id.map(Uuid::from_bytes),
        tenant_id: Uuid::from_bytes(record.tenant_id),
        trace_id: record.trace_id.map(Cow::into_owned),
        timestamp_micros: record.timestamp_micros,
        actor_id: record.actor_id.map(Uuid::from_bytes),
        event_json: record.event_json.to_owned(),
        retry_count: record.retry_count,
    })
}

/// The record behind its version.
fn open(payload: &[u8]) -> Result<Record<'_>, DecodeError> {
    let Some((&VERSION, rest)) = payload.split_first() else {
        let found = payload.first().map_or("nothing".to_owned(), |version| format!("version {version}"));
        let reason = format!("the record has {found}, expected version {VERSION}");
        return Err(DecodeError::new(DecodeErrorCode::PostcardVersion, reason));
    };
    let wrong = |reason: String| DecodeError::new(DecodeErrorCode::PostcardEnvelope, reason);
    let (record, left): (Record<'_>, &[u8]) = postcard::take_from_bytes(rest)
        .map_err(|error| wrong(format!("not an envelope of version {VERSION}: {error}")))?;
    if !left.is_empty() {
        return Err(wrong(format!("{} bytes follow the envelope", left.len())));
    }
    serde_json::from_str::<&RawValue>(record.event_json)
        .map_err(|error| wrong(format!("field `event_json` is not JSON: {error}")))?;
    Ok(record)
}

pub(super) fn write(envelope: &Written<'_>) -> Result<Vec<u8>, Unwritable> {
    let id = |id: &str| uuid(id).map(Uuid::into_bytes);
    let record = Record {
        id: id(&envelope.id)?,
        event_type: Cow::Borrowed(envelope.event_type),
        schema_version: envelope.schema_version,
        correlation_id: id(&envelope.correlation_id)?,
        causation_id: envelope.causation_id.as_deref().map(id).transpose()?,
        tenant_id: id(&envelope.tenant_id)?,
        trace_id: envelope.trace_id.map(Cow::Borrowed),
        timestamp_micros: i64::try_from(envelope.timestamp_micros).unwrap_or(i64::MAX),
        actor_id: envelope.actor_id.as_deref().map(id).transpose()?,
        event_json: envelope.event.get(),
        retry_count: envelope.retry_count,
    };
    postcard::to_extend(&record, vec![VERSION]).map_err(|error| Unwritable(error.to_string()))
}

#[cfg(test)]
mod tests;
