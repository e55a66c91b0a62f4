//! The `postcard` codec: a record of our own whose first byte is its version. Postcard does not describe itself, so
//! the event stands in it as JSON text, for readers that do not know its type.

use std::borrow::Cow;

use bytes::Bytes;
use bytestring::ByteString;
use guesthouse_connector::OutgoingMessage;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::binary::{BinaryEnvelope, EmitIds, json_of};
use super::decoded::Decoded;
use super::emit::{self, EmitError};
use super::format::Format;
use super::headers::EventHeaders;
use super::{DecodeError, DecodeErrorCode};
use crate::event::Event;
use crate::identity::EmitId;
use crate::outcome::Emit;

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

pub(super) fn encode_emit(
    cause: &Event,
    emit: &Emit,
    id: EmitId,
    now_micros: u64,
) -> Result<OutgoingMessage, EmitError> {
    let ids = EmitIds::of(cause, id, now_micros)?;
    let record = Record {
        id: ids.id.into_bytes(),
        event_type: Cow::Borrowed(&emit.event_type),
        schema_version: emit.schema_version,
        correlation_id: ids.correlation_id.into_bytes(),
        causation_id: Some(ids.causation_id.into_bytes()),
        tenant_id: ids.tenant_id.into_bytes(),
        trace_id: None,
        timestamp_micros: ids.timestamp_micros,
        actor_id: ids.actor_id.map(Uuid::into_bytes),
        event_json: json_of(emit)?.get(),
        retry_count: 0,
    };
    let payload = postcard::to_extend(&record, vec![VERSION])
        .map_err(|error| EmitError::Unwritable(error.to_string()))?;
    emit::enveloped(cause, emit, id, (Format::Postcard, payload))
}

#[cfg(test)]
mod tests;
