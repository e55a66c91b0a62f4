//! The record of a parked event: the event as it was, with the lane that it waits in.

use guesthouse_connector::{OutgoingMessage, Partitioning};

use super::headers::LetterHeaders;
use super::{PARKED_BEHIND, PayloadForm, REFERENCE, describe_source, lane, payload};
use crate::event::Event;
use crate::handler::HandlerConfig;
use crate::identity::LaneName;
use crate::parked::{Kind, Owner, names};

/// An event to park, and why.
#[derive(Debug)]
pub(crate) struct EventRecord<'a> {
    /// The event.
    pub(crate) event: &'a Event,
    /// Whose lane.
    pub(crate) handler: &'a HandlerConfig,
    /// Its lane.
    pub(crate) lane: LaneName,
    /// Whether it was parked before and released.
    pub(crate) is_again: bool,
    /// Who parks it.
    pub(crate) owner: Owner,
    /// Why it is parked.
    pub(crate) kind: Kind,
    /// Deaths of the host that are not held against it once it is released.
    pub(crate) deaths_forgiven: u32,
    /// The dead letter that the lane waits behind, if it is one; of a dead event, its own.
    pub(crate) behind: Option<String>,
    /// When it is parked, in microseconds since 1970.
    pub(crate) now_micros: u64,
}

/// Makes the record of a parked event that `group` read, under a message id that nothing else has.
pub(crate) fn park(record: &EventRecord<'_>, group: &str, id: u128) -> OutgoingMessage {
    let event = record.event;
    let message = &event.message;
    let (payload, form) = payload(message);
    let mut letter = LetterHeaders::default();
    describe_source(&mut letter, message, group);
    letter.text(names::KIND, record.kind.as_str());
    letter.text(names::LANE, &record.lane.to_string());
    letter.number(names::OWNER, record.owner.0);
    if record.is_again {
        letter.number(names::AGAIN, 1_u8);
    }
    letter.number(names::PARKED_AT, record.now_micros);
    letter.text("gh-handler", record.handler.name.as_str());
    letter.text("gh-tenant", event.tenant.as_str());
    letter.text("gh-event-id", &event.id);
    letter.text("gh-event-type", &event.event_type);
    letter.text("gh-lane", &lane(&record.handler.order_by, event));
    if let Kind::Waiting { until_micros, attempts, first_failed_micros } = record.kind {
        letter.number(names::NOT_BEFORE, until_micros);
        letter.number(names::ATTEMPTS, attempts);
        letter.number(names::FIRST_FAILED_AT, first_failed_micros);
    }
    if record.deaths_forgiven > 0 {
        letter.number(names::DEATHS, record.deaths_forgiven);
    }
    letter.text(PARKED_BEHIND, record.behind.as_deref().unwrap_or_default());
    if form == PayloadForm::Reference {
        letter.text("gh-payload", REFERENCE);
    }
    OutgoingMessage {
        id,
        partition: Partitioning::Partition(message.source.partition),
        payload,
        headers: letter.with_source_headers(&message.headers),
    }
}
