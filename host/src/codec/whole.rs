//! A binary envelope with all its fields, for those who want it back as it was written rather than an event of it.

use uuid::Uuid;

use super::format::Format;
use super::{DecodeError, messagepack, postcard};

/// What an envelope says, its ids as they are.
#[derive(Debug)]
pub(crate) struct Whole {
    pub(crate) id: Uuid,
    pub(crate) event_type: String,
    pub(crate) schema_version: u16,
    pub(crate) correlation_id: Uuid,
    pub(crate) causation_id: Option<Uuid>,
    pub(crate) tenant_id: Uuid,
    pub(crate) trace_id: Option<String>,
    /// Microseconds since 1970.
    pub(crate) timestamp_micros: i64,
    pub(crate) actor_id: Option<Uuid>,
    /// The event in JSON.
    pub(crate) event_json: String,
    pub(crate) retry_count: u32,
}

impl Whole {
    /// Reads one; `None` in JSON, which describes itself.
    ///
    /// # Errors
    /// When the bytes are no envelope in this format. Its fields are not checked.
    pub(crate) fn read(format: Format, bytes: &[u8]) -> Option<Result<Self, DecodeError>> {
        match format {
            Format::Json => None,
            Format::MessagePack => Some(messagepack::read_whole(bytes)),
            Format::Postcard => Some(postcard::read_whole(bytes)),
        }
    }
}
