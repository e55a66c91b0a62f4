//! The `json` codec: the platform's envelopes, root and contract, one per message.

use bytes::Bytes;
use bytestring::ByteString;
use guesthouse_connector::{Headers, OutgoingMessage, Partitioning};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::binary::json_of;
use super::decoded::{Decoded, Repeated};
use super::emit::{self, EmitError};
use super::envelope::Envelope;
use super::format::Format;
use super::headers::{
    CONTENT_TYPE, EVENT_ID, EVENT_TYPE, EventHeaders, PROFILE, PROFILE_ROOT, SCHEMA_VERSION, TENANT_ID, own,
};
use super::{DecodeError, DecodeErrorCode, slice, topic_for};
use crate::event::{Event, Message, Tenant};
use crate::identity::EmitId;
use crate::outcome::Emit;

const PROFILE_CONTRACT: &str = "contract";

pub(super) fn read(message: &Message, headers: &EventHeaders<'_>) -> Result<Decoded, DecodeError> {
    let whole = ByteString::try_from(message.payload.clone()).map_err(|error| {
        let reason = format!("not UTF-8 from byte {} on", error.valid_up_to());
        DecodeError::new(DecodeErrorCode::JsonSyntax, reason)
    })?;
    let envelope = Envelope::read(&whole)?;
    let (tenant_id, event_type) = (&*envelope.tenant_id.0, &*envelope.event_type.0);
    Repeated { tenant_id, event_type, id: &envelope.id.0 }.compare(headers)?;
    let timestamp_micros = envelope.timestamp_micros(&whole)?;
    Ok(Decoded {
        payload: whole.as_bytes().slice_ref(envelope.event.get().as_bytes()),
        id: slice(&whole, envelope.id.0),
        event_type: slice(&whole, envelope.event_type.0),
        schema_version: envelope.schema_version,
        tenant: Tenant::from_name(slice(&whole, envelope.tenant_id.0)),
        key: headers.partition_key.map(own),
        correlation_id: envelope.correlation_id.map(|id| slice(&whole, id.0)),
        causation_id: envelope.causation_id.map(|id| slice(&whole, id.0)),
        actor: envelope.actor_id.map(|id| slice(&whole, id.0)),
        traceparent: headers.traceparent(),
        timestamp_micros,
    })
}

/// A root envelope to be written, fields in wire order.
#[derive(Serialize)]
struct RootEnvelope<'a> {
    id: String,
    event_type: &'a str,
    schema_version: u16,
    correlation_id: &'a str,
    causation_id: &'a str,
    tenant_id: &'a str,
    trace_id: Option<&'a str>,
    timestamp: String,
    actor_id: Option<&'a str>,
    event: &'a RawValue,
    retry_count: u32,
}

pub(super) fn encode_emit(
    cause: &Event,
    emit: &Emit,
    id: EmitId,
    now_micros: u64,
) -> Result<OutgoingMessage, EmitError> {
    let event = json_of(emit)?;
    let envelope = RootEnvelope {
        id: id.to_string(),
        event_type: &emit.event_type,
        schema_version: emit.schema_version,
        correlation_id: cause.correlation_id.as_ref().unwrap_or(&cause.id),
        causation_id: &cause.id,
        tenant_id: cause.tenant.as_str(),
        trace_id: None,
        timestamp: rfc3339(now_micros),
        actor_id: cause.actor.as_deref(),
        event,
        retry_count: 0,
    };
    let payload = serde_json::to_vec(&envelope).map_err(EmitError::NotJson)?;
    emit::enveloped(cause, emit, id, (Format::Json, payload))
}

/// Microseconds since 1970 as the platform writes times.
fn rfc3339(micros: u64) -> String {
    let timestamp = i64::try_from(micros).ok().and_then(|micros| Timestamp::from_microsecond(micros).ok());
    let text = format!("{:.6}", timestamp.unwrap_or(Timestamp::MAX));
    format!("{}+00:00", text.trim_end_matches('Z'))
}

/// An envelope ready to be published, with the topic its type belongs to.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Publication {
    /// The topic by [`topic_for`].
    pub(crate) topic: &'static str,
    /// The message: its id is the envelope's, its key the tenant.
    pub(crate) message: OutgoingMessage,
}

/// Checks an envelope written by somebody else and makes a message of it, byte for byte.
///
/// # Errors
/// When the `json` codec could not read it back.
pub(crate) fn read_publication(payload: Bytes) -> Result<Publication, DecodeError> {
    let whole = ByteString::try_from(payload)
        .map_err(|error| DecodeError::new(DecodeErrorCode::JsonSyntax, error.to_string()))?;
    let envelope = Envelope::read(&whole)?;
    envelope.timestamp_micros(&whole)?;
    let headers = publication_headers(&envelope)
        .map_err(|error| DecodeError::new(DecodeErrorCode::JsonEnvelope, error.to_string()))?;
    let id = uuid::Uuid::try_parse(&envelope.id.0)
        .map_err(|error| DecodeError::new(DecodeErrorCode::JsonEnvelope, error.to_string()))?;
    let topic = topic_for(&envelope.event_type.0);
    let partition = Partitioning::Key(envelope.tenant_id.0.into_owned());
    let message =
        OutgoingMessage { id: id.as_u128(), partition, payload: whole.clone().into_bytes(), headers };
    Ok(Publication { topic, message })
}

fn publication_headers(envelope: &Envelope<'_>) -> Result<Headers, guesthouse_connector::HeaderError> {
    let mut headers = Headers::new();
    headers.insert(CONTENT_TYPE, Format::Json.media_type())?;
    headers.insert(PROFILE, profile_of(envelope.event))?;
    headers.insert(EVENT_TYPE, &*envelope.event_type.0)?;
    headers.insert(SCHEMA_VERSION, envelope.schema_version)?;
    headers.insert(TENANT_ID, &*envelope.tenant_id.0)?;
    headers.insert(EVENT_ID, &*envelope.id.0)?;
    Ok(headers)
}

/// A contract envelope names the family inside its event.
fn profile_of(event: &RawValue) -> &'static str {
    #[derive(Deserialize)]
    struct Contract {
        #[serde(rename = "family")]
        _family: serde::de::IgnoredAny,
    }
    match serde_json::from_str::<Contract>(event.get()) {
        Ok(_) => PROFILE_CONTRACT,
        Err(_) => PROFILE_ROOT,
    }
}

#[cfg(test)]
mod tests;
