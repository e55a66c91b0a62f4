//! What all codecs check and write when a handler's emit becomes a message.

use bytes::Bytes;
use guesthouse_connector::{HeaderError, Headers, OutgoingMessage, PAYLOAD_BYTES_MAX, Partitioning};

use super::Codec;
use super::envelope::EVENT_TYPE_BYTES_MAX;
use super::format::Format;
use super::headers::{
    CONTENT_TYPE, EVENT_ID, EVENT_TYPE, HOPS, PARTITION_KEY, PROFILE, PROFILE_ROOT, SCHEMA_VERSION,
    TENANT_ID, TRACEPARENT, hops,
};
use super::written::{Unwritable, Written};
use crate::event::Event;
use crate::handler::HandlerName;
use crate::identity::{EmitId, EventIdentity};
use crate::outcome::Emit;

/// Longest chain of events in which each was emitted by a handler of the one before.
const HOPS_MAX: u8 = 16;
/// Headers that a guest may not set, besides those that start with `gh-`.
const RESERVED: [&str; 7] =
    [EVENT_ID, EVENT_TYPE, PARTITION_KEY, PROFILE, SCHEMA_VERSION, TENANT_ID, TRACEPARENT];

/// Why an emit cannot be published. The guest that made it is at fault.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EmitError {
    /// The type is none.
    #[error(
        "`{0}` is not an event type to emit: expected segments of a-z, 0-9, '_' and '-' with dots between them, \
         at most 255 bytes"
    )]
    EventType(String),
    /// The handler may not publish to the topic.
    #[error(
        "the handler may not emit to topic `{0}`: it is neither the one for the event's type nor in `emit_topics`"
    )]
    Topic(String),
    /// The payload of an emit with a JSON envelope is not JSON.
    #[error("the payload of an emit is not JSON: {0}")]
    NotJson(#[source] serde_json::Error),
    /// The message would be empty or too large.
    #[error("an emit would make a message of {bytes} bytes, expected 1 to {PAYLOAD_BYTES_MAX}")]
    Length {
        /// Its length.
        bytes: usize,
    },
    /// A header belongs to the host.
    #[error("header `{0}` of an emit is set by the host, use another name")]
    ReservedHeader(String),
    /// A header breaks a limit.
    #[error("an emit cannot have this header: {0}")]
    Header(#[from] HeaderError),
    /// The format cannot express the emit.
    #[error("an emit cannot be published: {0}")]
    Unwritable(#[from] Unwritable),
    /// Handlers feed each other in a circle.
    #[error(
        "the event is the end of a chain of {HOPS_MAX} emits, and handlers that feed each other are stopped there"
    )]
    Loop,
}

/// What a handler may emit, for those who must know before it is published.
#[derive(Debug)]
pub(crate) struct EmitRules {
    pub(crate) codec: Codec,
    pub(crate) handler: HandlerName,
    pub(crate) topics: Vec<String>,
}

impl EmitRules {
    /// Finds out whether all emits could be published.
    ///
    /// # Errors
    /// When one of them could not.
    pub(crate) fn check(&self, cause: &Event, emits: &[Emit]) -> Result<(), EmitError> {
        for (index, emit) in (0..).zip(emits) {
            let id = EmitId::of(EventIdentity::of(&cause.message), &self.handler, index);
            self.codec.topic_of_emit(emit, &self.topics)?;
            self.codec.encode_emit(cause, emit, id, cause.timestamp_micros)?;
        }
        Ok(())
    }
}

/// Checks what does not depend on the codec.
pub(super) fn check(emit: &Emit) -> Result<(), EmitError> {
    let segment = |text: &str| {
        let allowed = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'_' || c == b'-';
        !text.is_empty() && text.bytes().all(allowed)
    };
    let name = &emit.event_type;
    if name.len() > EVENT_TYPE_BYTES_MAX || !name.split('.').all(segment) {
        return Err(EmitError::EventType(name.chars().take(EVENT_TYPE_BYTES_MAX).collect()));
    }
    for (name, _) in &emit.headers {
        let lower = name.to_ascii_lowercase();
        if lower.starts_with("gh-") || RESERVED.contains(&lower.as_str()) {
            return Err(EmitError::ReservedHeader(name.clone()));
        }
    }
    Ok(())
}

/// The guest's headers and those that every emit has.
pub(super) fn headers(cause: &Event, emit: &Emit, id: EmitId) -> Result<Headers, EmitError> {
    let hops = hops(&cause.message.headers).saturating_add(1);
    if hops > HOPS_MAX {
        return Err(EmitError::Loop);
    }
    let mut headers = Headers::new();
    for (name, value) in &emit.headers {
        headers.insert(name.as_str(), value.as_str())?;
    }
    headers.insert(EVENT_TYPE, &*emit.event_type)?;
    headers.insert(SCHEMA_VERSION, emit.schema_version)?;
    headers.insert(TENANT_ID, cause.tenant.as_str())?;
    headers.insert(EVENT_ID, id.to_string())?;
    headers.insert(HOPS, hops)?;
    if let Some(key) = &emit.key {
        headers.insert(PARTITION_KEY, key.as_str())?;
    }
    if let Some(traceparent) = &cause.traceparent {
        headers.insert(TRACEPARENT, &**traceparent)?;
    }
    Ok(headers)
}

/// The message of an emit in an envelope of this format.
pub(super) fn enveloped(
    cause: &Event,
    emit: &Emit,
    id: EmitId,
    (format, now_micros): (Format, u64),
) -> Result<OutgoingMessage, EmitError> {
    let payload = Written::of_emit(cause, emit, id, now_micros)?.to_bytes(format)?;
    let mut headers = headers(cause, emit, id)?;
    if headers.insert(CONTENT_TYPE, format.media_type())?.is_some() {
        return Err(EmitError::ReservedHeader(CONTENT_TYPE.to_owned()));
    }
    headers.insert(PROFILE, PROFILE_ROOT)?;
    message(cause, emit, id, (headers, payload.into()))
}

/// Sets the content type unless the guest did.
pub(super) fn default_content_type(headers: &mut Headers, content_type: &str) -> Result<(), EmitError> {
    if headers.get(CONTENT_TYPE).is_none() {
        headers.insert(CONTENT_TYPE, content_type)?;
    }
    Ok(())
}

/// The message, keyed by the emit's key or else by the tenant.
pub(super) fn message(
    cause: &Event,
    emit: &Emit,
    id: EmitId,
    (headers, payload): (Headers, Bytes),
) -> Result<OutgoingMessage, EmitError> {
    if !(1..=PAYLOAD_BYTES_MAX).contains(&payload.len()) {
        return Err(EmitError::Length { bytes: payload.len() });
    }
    let key = emit.key.clone().unwrap_or_else(|| cause.tenant.as_str().to_owned());
    Ok(OutgoingMessage { id: id.as_u128(), partition: Partitioning::Key(key), payload, headers })
}
