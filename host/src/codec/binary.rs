//! The envelope of the binary formats: its ids are 16 bytes, its time is a number, its event becomes JSON.

use bytes::Bytes;
use bytestring::ByteString;
use uuid::Uuid;

use super::decoded::{Decoded, Repeated};
use super::envelope::is_event_type;
use super::headers::{EventHeaders, own};
use super::{DecodeError, DecodeErrorCode};
use crate::event::Tenant;

/// An envelope that was read.
#[derive(Debug)]
pub(super) struct BinaryEnvelope {
    pub(super) id: Uuid,
    pub(super) event_type: ByteString,
    pub(super) schema_version: u16,
    pub(super) correlation_id: Option<Uuid>,
    pub(super) causation_id: Option<Uuid>,
    pub(super) tenant_id: Uuid,
    pub(super) timestamp_micros: i64,
    pub(super) actor_id: Option<Uuid>,
    /// The event in JSON.
    pub(super) event: Bytes,
}

impl BinaryEnvelope {
    /// What it says, after a look at its fields and at the headers. Mistakes in it get this code.
    pub(super) fn check(
        self,
        headers: &EventHeaders<'_>,
        code: DecodeErrorCode,
    ) -> Result<Decoded, DecodeError> {
        let wrong = |name: &str, shown: &str, expected: &str| {
            Err(DecodeError::new(code, format!("field `{name}` is `{shown}`, expected {expected}")))
        };
        if !is_event_type(&self.event_type) {
            let shown: String = self.event_type.chars().take(64).collect();
            return wrong("event_type", &shown, "1 to 255 bytes without control characters");
        }
        let named = [
            ("id", Some(self.id)),
            ("correlation_id", self.correlation_id),
            ("causation_id", self.causation_id),
            ("actor_id", self.actor_id),
        ];
        if let Some((name, _)) = named.into_iter().find(|(_, id)| id.is_some_and(|id| id.is_nil())) {
            return wrong(name, Tenant::PLATFORM_ID, "a UUID other than the nil one");
        }
        let Ok(timestamp_micros) = u64::try_from(self.timestamp_micros) else {
            let shown = self.timestamp_micros.to_string();
            return wrong("timestamp", &shown, "microseconds since 1970");
        };
        let (id, tenant_id) = (id_text(self.id), id_text(self.tenant_id));
        Repeated { tenant_id: &tenant_id, event_type: &self.event_type, id: &id }.compare(headers)?;
        Ok(Decoded {
            id,
            event_type: self.event_type,
            schema_version: self.schema_version,
            tenant: Tenant::from_name(tenant_id),
            key: headers.partition_key.map(own),
            correlation_id: self.correlation_id.map(id_text),
            causation_id: self.causation_id.map(id_text),
            actor: self.actor_id.map(id_text),
            for_handler: headers.for_handler(),
            traceparent: headers.traceparent(),
            timestamp_micros,
            payload: self.event,
        })
    }
}

fn id_text(id: Uuid) -> ByteString {
    let mut text = Uuid::encode_buffer();
    ByteString::from(&*id.hyphenated().encode_lower(&mut text))
}
