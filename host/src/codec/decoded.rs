//! What an envelope says, whichever format it came in, and whether the message's headers agree with it.

use bytes::Bytes;
use bytestring::ByteString;

use super::format::Format;
use super::headers::{EVENT_ID, EVENT_TYPE, EventHeaders, TENANT_ID, text};
use super::{DecodeError, DecodeErrorCode};
use crate::event::{Event, Message, Tenant};

/// Everything of an event but the message it came in.
#[derive(Debug)]
pub(super) struct Decoded {
    pub(super) id: ByteString,
    pub(super) event_type: ByteString,
    pub(super) schema_version: u16,
    pub(super) tenant: Tenant,
    pub(super) key: Option<ByteString>,
    pub(super) correlation_id: Option<ByteString>,
    pub(super) causation_id: Option<ByteString>,
    pub(super) actor: Option<ByteString>,
    pub(super) for_handler: Option<ByteString>,
    pub(super) traceparent: Option<ByteString>,
    pub(super) timestamp_micros: u64,
    /// The event in JSON.
    pub(super) payload: Bytes,
}

impl Decoded {
    /// Reads a message in the format that its `content-type` names, or else in the usual one.
    pub(super) fn read(message: &Message, usual: Format) -> Result<Self, DecodeError> {
        let headers = EventHeaders::read(&message.headers);
        let named = headers.content_type.and_then(|value| Format::of_media_type(&text(value)));
        named.unwrap_or(usual).read(message, &headers)
    }

    /// The event in that message.
    pub(super) fn into_event(self, message: Message) -> Event {
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
            for_handler: self.for_handler,
            traceparent: self.traceparent,
            timestamp_micros: self.timestamp_micros,
            content_type: ByteString::from_static(Format::Json.media_type()),
            payload: self.payload,
        }
    }
}

/// The fields of an envelope that headers may repeat.
#[derive(Debug, Clone, Copy)]
pub(super) struct Repeated<'a> {
    pub(super) tenant_id: &'a str,
    pub(super) event_type: &'a str,
    pub(super) id: &'a str,
}

impl Repeated<'_> {
    /// Refuses a message whose headers and envelope disagree: whoever routes by one would trust the other.
    pub(super) fn compare(&self, headers: &EventHeaders<'_>) -> Result<(), DecodeError> {
        let pairs = [
            (TENANT_ID, headers.tenant_id, self.tenant_id, DecodeErrorCode::TenantMismatch),
            (EVENT_TYPE, headers.event_type, self.event_type, DecodeErrorCode::HeaderMismatch),
            (EVENT_ID, headers.event_id, self.id, DecodeErrorCode::HeaderMismatch),
        ];
        for (name, header, field, code) in pairs {
            if let Some(header) = header.map(text).filter(|header| !header.eq_ignore_ascii_case(field)) {
                let reason = format!("header `{name}` is `{header}`, but the envelope says `{field}`");
                return Err(DecodeError::new(code, reason));
            }
        }
        Ok(())
    }
}
