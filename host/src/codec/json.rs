//! The `json` codec: the platform's envelopes, root and contract, one per message.

use bytes::Bytes;
use bytestring::ByteString;
use guesthouse_connector::{Headers, OutgoingMessage, Partitioning};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::decoded::{Decoded, Repeated};
use super::envelope::Envelope;
use super::format::Format;
use super::headers::{EVENT_ID, EVENT_TYPE, EventHeaders, SCHEMA_VERSION, TENANT_ID, envelope_headers, own};
use super::written::{Unwritable, Written};
use super::{DecodeError, DecodeErrorCode, slice, topic_for};
use crate::event::{Message, Tenant};

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
        for_handler: headers.for_handler(),
        traceparent: headers.traceparent(),
        timestamp_micros,
    })
}

pub(super) fn write(envelope: &Written<'_>) -> Result<Vec<u8>, Unwritable> {
    let wire = envelope.with(Ok, rfc3339(envelope.timestamp_micros), envelope.event)?;
    serde_json::to_vec(&wire).map_err(|error| Unwritable(error.to_string()))
}

/// Microseconds since 1970 as the platform writes times: no more digits than they need, three at once.
fn rfc3339(micros: u64) -> String {
    let timestamp = i64::try_from(micros).ok().and_then(|micros| Timestamp::from_microsecond(micros).ok());
    let timestamp = timestamp.unwrap_or(Timestamp::MAX);
    let digits = match micros {
        _ if micros.is_multiple_of(1_000_000) => 0,
        _ if micros.is_multiple_of(1_000) => 3,
        _ => 6,
    };
    let text = format!("{timestamp:.digits$}");
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
    let mut headers = envelope_headers(Format::Json, is_contract(envelope.event))?;
    headers.insert(EVENT_TYPE, &*envelope.event_type.0)?;
    headers.insert(SCHEMA_VERSION, envelope.schema_version)?;
    headers.insert(TENANT_ID, &*envelope.tenant_id.0)?;
    headers.insert(EVENT_ID, &*envelope.id.0)?;
    Ok(headers)
}

/// A contract envelope names the family inside its event.
pub(crate) fn is_contract(event: &RawValue) -> bool {
    #[derive(Deserialize)]
    struct Contract {
        #[serde(rename = "family")]
        _family: serde::de::IgnoredAny,
    }
    serde_json::from_str::<Contract>(event.get()).is_ok()
}

#[cfg(test)]
mod tests;
