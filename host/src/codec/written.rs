//! An envelope on its way out, and how it stands in each format.

use serde::Serialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::emit::EmitError;
use super::format::Format;
use super::{json, messagepack, postcard};
use crate::event::Event;
use crate::identity::EmitId;
use crate::outcome::Emit;

/// An envelope to be written.
#[derive(Debug)]
pub(crate) struct Written<'a> {
    pub(crate) id: Uuid,
    pub(crate) event_type: &'a str,
    pub(crate) schema_version: u16,
    pub(crate) correlation_id: Uuid,
    pub(crate) causation_id: Option<Uuid>,
    pub(crate) tenant_id: Uuid,
    pub(crate) trace_id: Option<&'a str>,
    /// Microseconds since 1970.
    pub(crate) timestamp_micros: u64,
    pub(crate) actor_id: Option<Uuid>,
    pub(crate) event: &'a RawValue,
    pub(crate) retry_count: u32,
}

/// What the formats with named fields write, in the platform's order. Time and event differ between them.
#[derive(Debug, Serialize)]
pub(super) struct Wire<'a, T, E> {
    id: Uuid,
    event_type: &'a str,
    schema_version: u16,
    correlation_id: Uuid,
    causation_id: Option<Uuid>,
    tenant_id: Uuid,
    trace_id: Option<&'a str>,
    timestamp: T,
    actor_id: Option<Uuid>,
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
    /// When the emit is not JSON, or an id of the cause is no UUID, which only events without an envelope can have.
    pub(super) fn of_emit(
        cause: &Event,
        emit: &'a Emit,
        id: EmitId,
        now_micros: u64,
    ) -> Result<Self, EmitError> {
        Ok(Self {
            id: Uuid::from_u128(id.as_u128()),
            event_type: &emit.event_type,
            schema_version: emit.schema_version,
            correlation_id: parse(cause.correlation_id.as_ref().unwrap_or(&cause.id))?,
            causation_id: Some(parse(&cause.id)?),
            tenant_id: parse(cause.tenant.as_str())?,
            trace_id: None,
            timestamp_micros: now_micros,
            actor_id: cause.actor.as_deref().map(parse).transpose()?,
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

    /// With the time and the event as a format has them.
    pub(super) fn with<T, E>(&self, timestamp: T, event: E) -> Wire<'a, T, E> {
        Wire {
            id: self.id,
            event_type: self.event_type,
            schema_version: self.schema_version,
            correlation_id: self.correlation_id,
            causation_id: self.causation_id,
            tenant_id: self.tenant_id,
            trace_id: self.trace_id,
            timestamp,
            actor_id: self.actor_id,
            event,
            retry_count: self.retry_count,
        }
    }
}

fn parse(id: &str) -> Result<Uuid, EmitError> {
    Uuid::try_parse(id).map_err(|_| EmitError::Id(id.to_owned()))
}
