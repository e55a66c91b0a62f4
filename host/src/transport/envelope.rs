//! Envelopes as the platform's code holds them, root and contract.

use std::borrow::Cow;
use std::time::{Duration, SystemTime};

use guesthouse_connector::{Headers, OutgoingMessage, PAYLOAD_BYTES_MAX, Partitioning};
use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::{TransportError, partition_key};
use crate::codec::{self, Format, Written};

/// Longest trace id.
const TRACE_ID_BYTES_MAX: usize = 512;

/// An event of the platform with what surrounds it. As JSON it is the platform's own form; unknown fields are ignored.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct EventEnvelope {
    /// Names the event; never nil. Published twice it is the same event.
    pub id: Uuid,
    /// Dotted, such as `order.placed`; 1 to 255 bytes.
    pub event_type: String,
    /// Version of the event's schema.
    pub schema_version: u16,
    /// Shared by all events of one business transaction; its own id for the first.
    pub correlation_id: Uuid,
    /// The event that caused this one.
    #[serde(default)]
    pub causation_id: Option<Uuid>,
    /// Whose event it is; nil for the platform's own. It chooses the partition.
    pub tenant_id: Uuid,
    /// 1 to 512 bytes, not blank.
    #[serde(default)]
    pub trace_id: Option<String>,
    /// When it happened, since 1970. MessagePack and postcard keep microseconds.
    #[serde(with = "rfc3339")]
    pub timestamp: SystemTime,
    /// Who acted.
    #[serde(default)]
    pub actor_id: Option<Uuid>,
    /// The event: `{"type": …, "data": …}`.
    pub event: Box<RawValue>,
    /// How often its publishing was tried before.
    #[serde(default)]
    pub retry_count: u32,
}

/// An event of a bounded family: its `event` is `{"family": …, "event": {"type": …, "data": …}}`.
#[derive(Debug, Clone, Serialize)]
#[serde(transparent)]
pub struct ContractEventEnvelope(EventEnvelope);

impl EventEnvelope {
    /// A new event that nothing caused, happening now.
    ///
    /// # Errors
    /// When the event is no JSON.
    pub fn new(
        tenant_id: Uuid,
        event_type: impl Into<String>,
        event: &impl Serialize,
    ) -> Result<Self, serde_json::Error> {
        let id = Uuid::new_v4();
        Ok(Self {
            id,
            event_type: event_type.into(),
            schema_version: 1,
            correlation_id: id,
            causation_id: None,
            tenant_id,
            trace_id: None,
            timestamp: SystemTime::now(),
            actor_id: None,
            event: serde_json::value::to_raw_value(event)?,
            retry_count: 0,
        })
    }

    pub(super) fn check(&self) -> Result<(), TransportError> {
        let wrong = |reason: &str| Err(TransportError::Validation { id: self.id, reason: reason.to_owned() });
        if !codec::is_event_type(&self.event_type) {
            return wrong("`event_type` must have 1 to 255 bytes without control characters");
        }
        let named = [Some(self.id), Some(self.correlation_id), self.causation_id, self.actor_id];
        if named.iter().flatten().any(Uuid::is_nil) {
            return wrong("of its ids only `tenant_id` may be nil");
        }
        let is_trace = |id: &String| id.len() <= TRACE_ID_BYTES_MAX && !id.trim().is_empty();
        if !self.trace_id.as_ref().is_none_or(is_trace) {
            return wrong("`trace_id` must have 1 to 512 bytes and not be blank");
        }
        if self.timestamp < SystemTime::UNIX_EPOCH {
            return wrong("`timestamp` must not be before 1970");
        }
        Ok(())
    }

    /// The bytes of it in a format.
    pub(super) fn to_bytes(&self, format: Format) -> Result<Vec<u8>, TransportError> {
        self.check()?;
        let since = self.timestamp.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let text = |id: Uuid| Cow::Owned(id.hyphenated().to_string());
        let written = Written {
            id: text(self.id),
            event_type: &self.event_type,
            schema_version: self.schema_version,
            correlation_id: text(self.correlation_id),
            causation_id: self.causation_id.map(text),
            tenant_id: text(self.tenant_id),
            trace_id: self.trace_id.as_deref(),
            timestamp_micros: u64::try_from(since.as_micros()).unwrap_or(u64::MAX),
            actor_id: self.actor_id.map(text),
            event: &self.event,
            retry_count: self.retry_count,
        };
        written.to_bytes(format).map_err(|error| self.unwritable(error.to_string()))
    }

    /// The topic it belongs to and its message in a format.
    pub(super) fn to_message(
        &self,
        format: Format,
    ) -> Result<(&'static str, OutgoingMessage), TransportError> {
        let payload = self.to_bytes(format)?;
        if payload.len() > PAYLOAD_BYTES_MAX {
            let reason = format!("it has {} bytes, at most {PAYLOAD_BYTES_MAX} are possible", payload.len());
            return Err(TransportError::Validation { id: self.id, reason });
        }
        let message = OutgoingMessage {
            id: self.id.as_u128(),
            partition: Partitioning::Key(partition_key(self.tenant_id)),
            payload: payload.into(),
            headers: self.headers(format).map_err(|error| self.unwritable(error.to_string()))?,
        };
        Ok((codec::topic_for(&self.event_type), message))
    }

    fn unwritable(&self, reason: String) -> TransportError {
        TransportError::Serialization { id: self.id, reason }
    }

    /// What is said of it beside its payload.
    pub(crate) fn headers(&self, format: Format) -> Result<Headers, guesthouse_connector::HeaderError> {
        let mut headers = codec::envelope_headers(format, codec::is_contract(&self.event))?;
        headers.insert(codec::EVENT_TYPE, self.event_type.as_str())?;
        headers.insert(codec::SCHEMA_VERSION, self.schema_version)?;
        headers.insert(codec::TENANT_ID, self.tenant_id.hyphenated().to_string())?;
        headers.insert(codec::EVENT_ID, self.id.hyphenated().to_string())?;
        // The platform's trace ids are span ids, and no context; some are.
        if let Some(context) = self.trace_id.as_ref().filter(|id| is_trace_context(id)) {
            headers.insert(codec::TRACEPARENT, context.as_str())?;
        }
        Ok(headers)
    }
}

impl ContractEventEnvelope {
    /// Takes an envelope whose event names its family.
    ///
    /// # Errors
    /// [`TransportError::Validation`] when it names none.
    pub fn new(envelope: EventEnvelope) -> Result<Self, TransportError> {
        if !codec::is_contract(&envelope.event) {
            let reason = "the `event` of a contract envelope needs the member `family`".to_owned();
            return Err(TransportError::Validation { id: envelope.id, reason });
        }
        Ok(Self(envelope))
    }

    /// The envelope in it.
    pub fn as_envelope(&self) -> &EventEnvelope {
        &self.0
    }

    /// The envelope in it, by itself.
    pub fn into_inner(self) -> EventEnvelope {
        self.0
    }
}

impl<'de> Deserialize<'de> for ContractEventEnvelope {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(EventEnvelope::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// Whether a text is a W3C trace context: `00-TRACE-SPAN-FLAGS`, <https://www.w3.org/TR/trace-context/>.
fn is_trace_context(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let lengths: Vec<usize> = parts.iter().map(|part| part.len()).collect();
    lengths == [2, 32, 16, 2] && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f' | b'-'))
}

/// Times as the platform's JSON has them.
mod rfc3339 {
    use super::{Cow, Deserialize, Deserializer, Serializer, SystemTime, Timestamp};

    pub(super) fn serialize<S: Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
        let timestamp = Timestamp::try_from(*time).map_err(serde::ser::Error::custom)?;
        // None, three, six or nine digits.
        let digits = match timestamp.subsec_nanosecond() {
            0 => 0,
            nanos if nanos % 1_000_000 == 0 => 3,
            nanos if nanos % 1_000 == 0 => 6,
            _ => 9,
        };
        let text = format!("{timestamp:.digits$}");
        serializer.collect_str(&format_args!("{}+00:00", text.trim_end_matches('Z')))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SystemTime, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        text.parse::<Timestamp>().map(SystemTime::from).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests;
