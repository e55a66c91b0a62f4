//! An event made up for a trial.

use bytes::Bytes;
use bytestring::ByteString;
use guesthouse_connector::{Headers, RawHeaders};

use crate::event::{Event, Message, SharedEvent, Source, Tenant};
use crate::sandbox::CallEvent;

/// When events of a trial happen unless they say so themselves: 2023-11-14T22:13:20Z, in microseconds since 1970.
pub(super) const TIMESTAMP_MICROS: u64 = 1_700_000_000_000_000;

/// An event for a guest. The default is an empty JSON object of type `trial.event` for a tenant named `trial`.
#[derive(Debug, Clone)]
pub struct TrialEvent {
    /// Identity given by the producer.
    pub id: String,
    /// Type, dotted and lower case.
    pub event_type: String,
    /// Version of the payload's schema.
    pub schema_version: u16,
    /// Whose event it is.
    pub tenant: Tenant,
    /// Key by which the producer chose the partition.
    pub key: Option<String>,
    /// Id shared by all events of one business transaction.
    pub correlation_id: Option<String>,
    /// Id of the event that caused this one.
    pub causation_id: Option<String>,
    /// Id of the person or service that acted.
    pub actor: Option<String>,
    /// W3C trace context.
    pub traceparent: Option<String>,
    /// When the event happened, in microseconds since 1970.
    pub timestamp_micros: u64,
    /// User headers.
    pub headers: Headers,
    /// Media type of the payload.
    pub content_type: String,
    /// The payload.
    pub payload: Bytes,
    /// Where it stands in the topic of the trial; the next free place when absent. An event with the offset and
    /// payload of an earlier one is that one, delivered again.
    pub offset: Option<u64>,
    /// Which try this is, counted from 1.
    pub attempt: u32,
    /// Events of one call with the same number belong to one ordered lane.
    pub lane: u32,
}

impl Default for TrialEvent {
    fn default() -> Self {
        Self {
            id: "trial-event".to_owned(),
            event_type: "trial.event".to_owned(),
            schema_version: 1,
            tenant: Tenant::Named(ByteString::from_static("trial")),
            key: None,
            correlation_id: None,
            causation_id: None,
            actor: None,
            traceparent: None,
            timestamp_micros: TIMESTAMP_MICROS,
            headers: Headers::new(),
            content_type: "application/json".to_owned(),
            payload: Bytes::from_static(b"{}"),
            offset: None,
            attempt: 1,
            lane: 0,
        }
    }
}

impl TrialEvent {
    /// An event of a type, with a payload.
    pub fn new(event_type: impl Into<String>, payload: impl Into<Bytes>) -> Self {
        Self { event_type: event_type.into(), payload: payload.into(), ..Self::default() }
    }

    /// The same event for a tenant, by the name that envelopes give; the nil UUID is the platform.
    #[must_use]
    pub fn of_tenant(self, name: impl Into<String>) -> Self {
        Self { tenant: Tenant::from_name(name.into().into()), ..self }
    }

    /// The event as guests get it, read at `source`.
    pub(super) fn call_event(&self, source: Source) -> CallEvent {
        let headers = RawHeaders(self.headers.encode());
        let optional = |text: &Option<String>| text.clone().map(ByteString::from);
        let event = Event {
            message: Message { source, headers, payload: self.payload.clone() },
            id: self.id.clone().into(),
            event_type: self.event_type.clone().into(),
            schema_version: self.schema_version,
            tenant: self.tenant.clone(),
            key: optional(&self.key),
            correlation_id: optional(&self.correlation_id),
            causation_id: optional(&self.causation_id),
            actor: optional(&self.actor),
            for_handler: None,
            traceparent: optional(&self.traceparent),
            timestamp_micros: self.timestamp_micros,
            content_type: self.content_type.clone().into(),
            payload: self.payload.clone(),
        };
        CallEvent { event: SharedEvent::from(event), attempt: self.attempt, lane: self.lane }
    }
}
