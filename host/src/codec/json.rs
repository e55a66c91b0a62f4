//! The `json` codec: the platform's envelopes, root and contract, one per message.

use bytes::Bytes;
use bytestring::ByteString;
use guesthouse_connector::{Headers, OutgoingMessage, Partitioning};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::emit::{self, EmitError};
use super::envelope::Envelope;
use super::headers::{
    CONTENT_TYPE, EVENT_ID, EVENT_TYPE, EventHeaders, PROFILE, SCHEMA_VERSION, TENANT_ID, own, text,
};
use super::{DecodeError, DecodeErrorCode, slice, topic_for};
use crate::event::{Event, Message, Tenant};
use crate::identity::EmitId;
use crate::outcome::Emit;

const MEDIA_TYPE: &str = "application/json";
const PROFILE_ROOT: &str = "root";
const PROFILE_CONTRACT: &str = "contract";

#[expect(
    clippy::result_large_err,
    reason = "the message must come back whole, and boxing it would cost more"
)]
pub(super) fn decode(message: Message) -> Result<Event, (Message, DecodeError)> {
    match Decoded::read(&message) {
        Ok(decoded) => Ok(decoded.into_event(message)),
        Err(error) => Err((message, error)),
    }
}

/// Everything of an event but the message it came in.
struct Decoded {
    id: ByteString,
    event_type: ByteString,
    schema_version: u16,
    tenant: Tenant,
    key: Option<ByteString>,
    correlation_id: Option<ByteString>,
    causation_id: Option<ByteString>,
    actor: Option<ByteString>,
    traceparent: Option<ByteString>,
    timestamp_micros: u64,
    payload: Bytes,
}

impl Decoded {
    fn read(message: &Message) -> Result<Self, DecodeError> {
        let whole = ByteString::try_from(message.payload.clone()).map_err(|error| {
            let reason = format!("not UTF-8 from byte {} on", error.valid_up_to());
            DecodeError::new(DecodeErrorCode::JsonSyntax, reason)
        })?;
        let envelope = Envelope::read(&whole)?;
        let headers = EventHeaders::read(&message.headers);
        compare(&envelope, &headers)?;
        let timestamp_micros = envelope.timestamp_micros(&whole)?;
        Ok(Self {
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

    fn into_event(self, message: Message) -> Event {
        Event {
            message,
            id: self.id,
            event_type: self.event_type,
            schema_version: self.schema_version,
            tenant: self.tenant,
            key: self.key,
            correlation_id: self.correlation_id,
            causation_id: self.causation_id,
            actor: self.actor,
            traceparent: self.traceparent,
            timestamp_micros: self.timestamp_micros,
            content_type: ByteString::from_static(MEDIA_TYPE),
            payload: self.payload,
        }
    }
}

/// Refuses a message whose headers and envelope disagree: whoever routes by one would trust the other.
fn compare(envelope: &Envelope<'_>, headers: &EventHeaders<'_>) -> Result<(), DecodeError> {
    let pairs = [
        (TENANT_ID, headers.tenant_id, &envelope.tenant_id.0, DecodeErrorCode::TenantMismatch),
        (EVENT_TYPE, headers.event_type, &envelope.event_type.0, DecodeErrorCode::HeaderMismatch),
        (EVENT_ID, headers.event_id, &envelope.id.0, DecodeErrorCode::HeaderMismatch),
    ];
    for (name, header, field, code) in pairs {
        if let Some(header) = header.map(text).filter(|header| !header.eq_ignore_ascii_case(field)) {
            let reason = format!("header `{name}` is `{header}`, but the envelope says `{field}`");
            return Err(DecodeError::new(code, reason));
        }
    }
    Ok(())
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
    let event: &RawValue = serde_json::from_slice(&emit.payload).map_err(EmitError::NotJson)?;
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
    let mut headers = emit::headers(cause, emit, id)?;
    if headers.insert(CONTENT_TYPE, MEDIA_TYPE)?.is_some() {
        return Err(EmitError::ReservedHeader(CONTENT_TYPE.to_owned()));
    }
    headers.insert(PROFILE, PROFILE_ROOT)?;
    emit::message(cause, emit, id, (headers, payload.into()))
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
    headers.insert(CONTENT_TYPE, MEDIA_TYPE)?;
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
