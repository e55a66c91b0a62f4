//! An envelope on its way out, and how it stands in each format.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::emit::EmitError;
use super::format::Format;
use super::{json, messagepack, postcard};
use crate::event::Event;
use crate::identity::EmitId;
use crate::outcome::Emit;

/// An envelope to be written. Its ids are texts, as events have them.
#[derive(Debug)]
pub(crate) struct Written<'a> {
    pub(crate) id: Cow<'a, str>,
    pub(crate) event_type: &'a str,
    pub(crate) schema_version: u16,
    pub(crate) correlation_id: Cow<'a, str>,
    pub(crate) causation_id: Option<Cow<'a, str>>,
    pub(crate) tenant_id: Cow<'a, str>,
    pub(crate) trace_id: Option<&'a str>,
    /// Microseconds since 1970.
    pub(crate) timestamp_micros: u64,
    pub(crate) actor_id: Option<Cow<'a, str>>,
    pub(crate) event: &'a RawValue,
    pub(crate) retry_count: u32,
}

/// What the formats with named fields write, in the platform's order. Ids, time and event differ between them.
#[derive(Debug, Serialize)]
pub(super) struct Wire<'a, I, T, E> {
    id: I,
    event_type: &'a str,
    schema_version: u16,
    correlation_id: I,
    causation_id: Option<I>,
    tenant_id: I,
    trace_id: Option<&'a str>,
    timestamp: T,
    actor_id: Option<I>,
    event: E,
    retry_count: u32,
}

/// The format cannot express an envelope.
#[derive(Debug, thiserror::Error)]
#[error("the envelope cannot be written: {0}")]
pub(crate) struct Unwritable(pub(super) String);

impl<'a> Written<'a> {
    /// What a handler emits because of an event, which becomes its cause.
    ///
    /// # Errors
    /// When the emit is not JSON.
    pub(super) fn of_emit(
        cause: &'a Event,
        emit: &'a Emit,
        id: EmitId,
        now_micros: u64,
    ) -> Result<Self, EmitError> {
        Ok(Self {
            id: Cow::Owned(id.to_string()),
            event_type: &emit.event_type,
            schema_version: emit.schema_version,
            correlation_id: Cow::Borrowed(cause.correlation_id.as_ref().unwrap_or(&cause.id)),
            causation_id: Some(Cow::Borrowed(&cause.id)),
            tenant_id: Cow::Borrowed(cause.tenant.as_str()),
            trace_id: None,
            timestamp_micros: now_micros,
            actor_id: cause.actor.as_deref().map(Cow::Borrowed),
            event: serde_json::from_slice(&emit.payload).map_err(EmitError::NotJson)?,
            retry_count: 0,
        })
    }

    /// The bytes of it in a format.
    ///
    /// # Errors
    /// When the format has no way to say it, such as JSON nested too deep.
    pub(crate) fn to_bytes(&self, format: Format) -> Result<Vec<u8>, Unwritable> {
        match format {
            Format::Json => json::write(self),
            Format::MessagePack => messagepack::write(self),
            Format::Postcard => postcard::write(self),
        }
    }

    /// With ids, time and event as a format has them.
    pub(super) fn with<'b, I, T, E>(
        &'b self,
        id: impl Fn(&'b str) -> Result<I, Unwritable>,
        timestamp: T,
        event: E,
    ) -> Result<Wire<'b, I, T, E>, Unwritable> {
        Ok(Wire {
            id: id(&self.id)?,
            event_type: self.event_type,
            schema_version: self.schema_version,
            correlation_id: id(&self.correlation_id)?,
            causation_id: self.causation_id.as_deref().map(&id).transpose()?,
            tenant_id: id(&self.tenant_id)?,
            trace_id: self.trace_id,
            timestamp,
            actor_id: self.actor_id.as_deref().map(&id).transpose()?,
            event,
            retry_count: self.retry_count,
        })
    }
}

/// An id as the binary formats have it.
pub(super) fn uuid(id: &str) -> Result<Uuid, Unwritable> {
    Uuid::try_parse(id).map_err(|_| Unwritable(format!("`{id}` is an id, and this format takes only UUIDs")))
}
