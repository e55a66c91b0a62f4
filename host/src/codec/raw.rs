//! The `raw` codec: messages without an envelope, described by their headers and the subscription.

use bytestring::ByteString;
use guesthouse_connector::{HeaderValueRef, OutgoingMessage};

use super::emit::{self, EmitError};
use super::headers::{EVENT_TYPE, EventHeaders, SCHEMA_VERSION, TENANT_ID, own, text};
use super::{DecodeError, DecodeErrorCode};
use crate::event::{Event, Message, Tenant};
use crate::identity::EmitId;
use crate::outcome::Emit;

const MEDIA_TYPE: &str = "application/octet-stream";

/// Where events without an envelope get their tenant and type from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawCodec {
    /// Whose events they are.
    pub tenant: RawTenant,
    /// Of which type they are.
    pub event_type: RawEventType,
}

/// Whose the events of a raw subscription are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RawTenant {
    /// All this tenant's.
    Fixed(Tenant),
    /// The tenant's that the header `tenant-id` names.
    Header,
}

/// Of which type the events of a raw subscription are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RawEventType {
    /// All of this type.
    Fixed(ByteString),
    /// Of the type that the header `event-type` names.
    Header,
}

impl RawCodec {
    #[expect(
        clippy::result_large_err,
        reason = "the message must come back whole, and boxing it would cost more"
    )]
    pub(super) fn decode(&self, message: Message) -> Result<Event, (Message, DecodeError)> {
        match self.describe(&message) {
            Ok(described) => Ok(described.into_event(message)),
            Err(error) => Err((message, error)),
        }
    }

    fn describe(&self, message: &Message) -> Result<Described, DecodeError> {
        let headers = EventHeaders::read(&message.headers);
        Ok(Described {
            id: headers.event_id.map_or_else(|| uuid_text(message.source.message_id), own),
            tenant: self.tenant(headers.tenant_id)?,
            event_type: match &self.event_type {
                RawEventType::Header => required(EVENT_TYPE, headers.event_type)?,
                RawEventType::Fixed(fixed) => fixed.clone(),
            },
            schema_version: headers.schema_version.map_or(Ok(0), schema_version)?,
            key: headers.partition_key.map(own),
            content_type: headers.content_type.map_or(ByteString::from_static(MEDIA_TYPE), own),
            for_handler: headers.for_handler(),
            traceparent: headers.traceparent(),
        })
    }

    fn tenant(&self, header: Option<HeaderValueRef<'_>>) -> Result<Tenant, DecodeError> {
        let fixed = match &self.tenant {
            RawTenant::Header => return Ok(Tenant::from_name(required(TENANT_ID, header)?)),
            RawTenant::Fixed(fixed) => fixed,
        };
        match header.map(text).filter(|header| header != fixed.as_str()) {
            None => Ok(fixed.clone()),
            Some(header) => {
                let reason = format!(
                    "header `{TENANT_ID}` is `{header}`, but the subscription reads for `{fixed}` only"
                );
                Err(DecodeError::new(DecodeErrorCode::TenantMismatch, reason))
            }
        }
    }
}

fn schema_version(header: HeaderValueRef<'_>) -> Result<u16, DecodeError> {
    text(header).parse().map_err(|_| {
        let reason = format!("header `{SCHEMA_VERSION}` is `{header}`, expected 0 to 65535");
        DecodeError::new(DecodeErrorCode::HeaderInvalid, reason)
    })
}

/// What the headers and the subscription say of a message.
struct Described {
    id: ByteString,
    event_type: ByteString,
    schema_version: u16,
    tenant: Tenant,
    key: Option<ByteString>,
    for_handler: Option<ByteString>,
    traceparent: Option<ByteString>,
    content_type: ByteString,
}

impl Described {
    fn into_event(self, message: Message) -> Event {
        Event {
            id: self.id,
            event_type: self.event_type,
            schema_version: self.schema_version,
            tenant: self.tenant,
            key: self.key,
            correlation_id: None,
            causation_id: None,
            actor: None,
            for_handler: self.for_handler,
            traceparent: self.traceparent,
            timestamp_micros: message.source.origin_timestamp_micros,
            content_type: self.content_type,
            payload: message.payload.clone(),
            message,
        }
    }
}

fn required(name: &str, header: Option<HeaderValueRef<'_>>) -> Result<ByteString, DecodeError> {
    let Some(header) = header else {
        let reason = format!("header `{name}` is missing, and the subscription takes it from there");
        return Err(DecodeError::new(DecodeErrorCode::HeaderMissing, reason));
    };
    let text = own(header);
    if text.chars().any(char::is_control) {
        let reason = format!("header `{name}` has control characters");
        return Err(DecodeError::new(DecodeErrorCode::HeaderInvalid, reason));
    }
    Ok(text)
}

fn uuid_text(id: u128) -> ByteString {
    let mut text = uuid::Uuid::encode_buffer();
    ByteString::from(&*uuid::Uuid::from_u128(id).hyphenated().encode_lower(&mut text))
}

pub(super) fn encode_emit(cause: &Event, emit: &Emit, id: EmitId) -> Result<OutgoingMessage, EmitError> {
    let mut headers = emit::headers(cause, emit, id)?;
    emit::default_content_type(&mut headers, MEDIA_TYPE)?;
    emit::message(cause, emit, id, (headers, emit.payload.clone()))
}

#[cfg(test)]
mod tests;
