//! The dead letter: an event that was given up on, whole, with who gave it up, why, and after how many attempts.
//!
//! The payload is byte-identical to the source's and the source's own headers are kept. Ours start with `gh-`;
//! those of an earlier death are replaced, but the number of replays and the hop count travel on. Making a dead letter
//! cannot fail, whatever the event contains:
//!
//! - texts are escaped and cut to the length of a header, the reason goes on in `gh-reason-1` to `gh-reason-3`;
//! - the source's headers keep the kinds of their keys and values; each that finds no room is left out alone, and
//!   counted in `gh-headers-dropped`, which goes on with the event and adds up;
//! - a payload that the broker would refuse (empty or too large) is replaced by a JSON record of its position,
//!   length and BLAKE3 hash, and `gh-payload` says `reference`.

mod again;
mod foreign;
mod headers;
mod parked;
mod read;
mod state;
mod text;

#[cfg(test)]
mod tests;

use std::time::Duration;

use bytes::Bytes;
use guesthouse_connector::{Headers, OutgoingMessage, PAYLOAD_BYTES_MAX, Partitioning};

use crate::event::{Event, Message, Tenant};
use crate::handler::HandlerName;
use crate::identity::{DeadLetterId, EventIdentity};
use crate::lane::OrderBy;
use crate::outcome::Outcome;

pub(crate) use again::{EventAgain, again};
pub(crate) use foreign::{dead_letter_of, entry_again, entry_id};
pub(crate) use headers::{LetterHeaders, source_headers};
pub(crate) use parked::{EventRecord, park};
pub(crate) use read::{DeadLetter, LetterSummary, payload_text};
pub(crate) use state::{LetterState, LetterStates, RECORDS, StateRecord};
pub(crate) use text::clean;

/// What stands for the handler when a message could not be decoded.
pub(crate) const DECODE_STEP: &str = "decode";

/// Version of the headers' meaning.
const SCHEMA: u16 = 1;
/// Value of `gh-payload` when the payload is a reference record.
pub(crate) const REFERENCE: &str = "reference";
/// The dead letter that an event's lane was parked behind.
pub(crate) const PARKED_BEHIND: &str = "gh-parked-behind";

/// What gave the event up.
#[derive(Debug)]
pub(crate) enum Cause<'a> {
    /// A handler.
    Handler {
        /// The event.
        event: &'a Event,
        /// The handler's name.
        handler: &'a HandlerName,
        /// Digest of its component, empty when unknown.
        component_digest: &'a str,
        /// Version of its component, where the operator names one.
        component_version: Option<&'a str>,
        /// What its lanes are told apart by.
        order_by: &'a OrderBy,
    },
    /// No codec could read the message.
    Decode,
}

/// How the last attempt ended and what came before it.
#[derive(Debug)]
pub(crate) struct Failure<'a> {
    /// What the last attempt ended in.
    pub(crate) outcome: &'a Outcome,
    /// Attempts in all.
    pub(crate) attempts: u32,
    /// When the first attempt failed, in microseconds since 1970.
    pub(crate) first_failed_micros: u64,
    /// When the last attempt failed, in microseconds since 1970.
    pub(crate) failed_micros: u64,
    /// How long the last attempt took.
    pub(crate) duration: Duration,
    /// Most memory that the guest used in it.
    pub(crate) memory_peak_bytes: u64,
    /// The dead letter that its lane was parked behind before.
    pub(crate) behind: Option<String>,
}

/// Makes the dead letter of a message that `group` read. It cannot fail. Its id depends on the event and the handler alone, and its
/// key is the tenant, or the platform's when the tenant is unknown.
pub(crate) fn build(
    message: &Message,
    group: &str,
    cause: &Cause<'_>,
    failure: &Failure<'_>,
) -> OutgoingMessage {
    let identity = EventIdentity::of(message);
    let id = match cause {
        Cause::Handler { handler, .. } => DeadLetterId::of_handler(identity, handler),
        Cause::Decode => DeadLetterId::of_undecodable(identity),
    };
    let (payload, form) = payload(message);
    OutgoingMessage {
        id: id.as_u128(),
        partition: Partitioning::Key(tenant(cause).to_owned()),
        payload,
        headers: headers(message, cause, failure, form, group),
    }
}

/// How the payload of a dead letter relates to the source's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PayloadForm {
    Identical,
    Reference,
}

fn tenant<'a>(cause: &'a Cause<'_>) -> &'a str {
    match cause {
        Cause::Handler { event, .. } => event.tenant.as_str(),
        Cause::Decode => Tenant::PLATFORM_ID,
    }
}

fn payload(message: &Message) -> (Bytes, PayloadForm) {
    if (1..=PAYLOAD_BYTES_MAX).contains(&message.payload.len()) {
        return (message.payload.clone(), PayloadForm::Identical);
    }
    let source = &message.source;
    let record = serde_json::json!({
        "stream": source.topic.stream,
        "topic": source.topic.topic,
        "partition": source.partition.0,
        "offset": source.offset.0,
        "payload_bytes": message.payload.len(),
        "payload_blake3": blake3::hash(&message.payload).to_string(),
    });
    (record.to_string().into(), PayloadForm::Reference)
}

fn headers(
    message: &Message,
    cause: &Cause<'_>,
    failure: &Failure<'_>,
    form: PayloadForm,
    group: &str,
) -> Headers {
    let mut letter = LetterHeaders::default();
    describe_source(&mut letter, message, group);
    letter.text("gh-outcome", failure.outcome.kind().as_str());
    letter.text("gh-code", failure.outcome.code());
    letter.reason(failure.outcome);
    letter.number("gh-attempts", failure.attempts);
    letter.number("gh-first-failed-at", failure.first_failed_micros);
    letter.number("gh-failed-at", failure.failed_micros);
    letter.number("gh-duration-us", u64::try_from(failure.duration.as_micros()).unwrap_or(u64::MAX));
    letter.number("gh-memory-peak", failure.memory_peak_bytes);
    if form == PayloadForm::Reference {
        letter.text("gh-payload", REFERENCE);
    }
    letter.text(PARKED_BEHIND, failure.behind.as_deref().unwrap_or_default());
    describe_cause(&mut letter, cause);
    letter.with_source_headers(&message.headers)
}

fn describe_source(letter: &mut LetterHeaders, message: &Message, group: &str) {
    let source = &message.source;
    letter.number("gh-schema", SCHEMA);
    letter.text("gh-stream", &source.topic.stream);
    letter.text("gh-topic", &source.topic.topic);
    letter.number("gh-partition", source.partition.0);
    letter.number("gh-offset", source.offset.0);
    letter.text("gh-message-id", &uuid::Uuid::from_u128(source.message_id).to_string());
    letter.number("gh-timestamp", source.timestamp_micros);
    letter.number("gh-origin-timestamp", source.origin_timestamp_micros);
    letter.text("gh-group", group);
}

fn describe_cause(letter: &mut LetterHeaders, cause: &Cause<'_>) {
    let Cause::Handler { event, handler, component_digest, component_version, order_by } = cause else {
        letter.text("gh-handler", DECODE_STEP);
        return;
    };
    letter.text("gh-handler", handler.as_str());
    letter.text("gh-component-digest", component_digest);
    letter.text("gh-component-version", component_version.unwrap_or_default());
    letter.text("gh-tenant", event.tenant.as_str());
    letter.text("gh-event-id", &event.id);
    letter.text("gh-event-type", &event.event_type);
    letter.text("gh-lane", &lane(order_by, event));
    if let Some(traceparent) = &event.traceparent {
        letter.text("traceparent", traceparent);
    }
}

/// The order key of the event, with the rule that chose it.
pub(crate) fn lane(order_by: &OrderBy, event: &Event) -> String {
    let or_none = |value: Option<String>| value.map(|value| format!("={value}")).unwrap_or_default();
    let key = match order_by {
        OrderBy::Tenant | OrderBy::None => None,
        OrderBy::Key => event.key.as_ref().map(ToString::to_string),
        OrderBy::Partition => Some(event.message.source.partition.to_string()),
        OrderBy::Header(name) => event.message.headers.get(name).map(|value| value.to_string()),
    };
    format!("{order_by}{}", or_none(key))
}
