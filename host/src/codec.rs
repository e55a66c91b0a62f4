//! Codecs: how the bytes of a message become an event, and how an emit becomes the bytes of a message.
//!
//! What a codec cannot read comes back whole, with a stable code and a reason, so that it can be put into the dead
//! letter queue. Nothing a message contains makes a codec panic.

mod binary;
mod carried;
mod decoded;
mod emit;
mod envelope;
#[cfg(test)]
pub(crate) mod fixtures;
mod format;
mod headers;
mod json;
mod messagepack;
mod postcard;
mod raw;
mod whole;
mod written;

use bytestring::ByteString;
use guesthouse_connector::{DOMAIN_TOPIC, MODULE_BUILD_TOPIC, OutgoingMessage, SYSTEM_TOPIC};

use self::decoded::Decoded;
use crate::event::{Event, Message};
use crate::identity::EmitId;
use crate::outcome::Emit;

pub(crate) use carried::{CarriedHeaders, carry};
pub(crate) use emit::{EmitError, EmitRules};
pub(crate) use envelope::is_event_type;
pub use format::Format;
pub(crate) use headers::{
    EVENT_ID, EVENT_TYPE, FOR_HANDLER, HOPS, REPLAYS, SCHEMA_VERSION, TENANT_ID, TRACEPARENT, TRACESTATE,
    envelope_headers, is_replay,
};
pub(crate) use json::{Publication, is_contract, read_publication};
pub use raw::{RawCodec, RawEventType, RawTenant};
pub(crate) use whole::Whole;
pub(crate) use written::Written;

/// How the messages of a subscription are read, and how the emits of its handlers are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Codec {
    /// Envelopes, root and contract. Those whose `content-type` names no other format are in this one, and emits are
    /// written in it.
    Enveloped(Format),
    /// No envelope: the payload is the message, and headers say the rest.
    Raw(RawCodec),
}

/// Why a message could not be decoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub(crate) struct DecodeError {
    code: DecodeErrorCode,
    reason: String,
}

/// What kind of mistake a message contains.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum DecodeErrorCode {
    /// The payload is not JSON.
    JsonSyntax,
    /// The payload is JSON, but not an envelope.
    JsonEnvelope,
    /// The payload is not an envelope in MessagePack.
    MessagePackEnvelope,
    /// The payload is a postcard record of another version, or none.
    PostcardVersion,
    /// The payload is not an envelope in postcard.
    PostcardEnvelope,
    /// The header `tenant-id` names another tenant than the envelope.
    TenantMismatch,
    /// The header `event-type` or `event-id` says something else than the envelope.
    HeaderMismatch,
    /// A header that must be there is not.
    HeaderMissing,
    /// A header's value cannot be what it stands for.
    HeaderInvalid,
}

impl DecodeErrorCode {
    /// The name used in logs, headers and metrics.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::JsonSyntax => "json-syntax",
            Self::JsonEnvelope => "json-envelope",
            Self::MessagePackEnvelope => "messagepack-envelope",
            Self::PostcardVersion => "postcard-version",
            Self::PostcardEnvelope => "postcard-envelope",
            Self::TenantMismatch => "tenant-mismatch",
            Self::HeaderMismatch => "header-mismatch",
            Self::HeaderMissing => "header-missing",
            Self::HeaderInvalid => "header-invalid",
        }
    }
}

impl DecodeError {
    pub(crate) fn new(code: DecodeErrorCode, reason: impl Into<String>) -> Self {
        Self { code, reason: reason.into() }
    }

    /// The stable name of the kind of mistake.
    pub(crate) const fn code(&self) -> &'static str {
        self.code.as_str()
    }
}

impl Default for Codec {
    fn default() -> Self {
        Self::Enveloped(Format::default())
    }
}

impl Codec {
    /// Reads a message. The event's fields are slices of it wherever that is possible.
    ///
    /// # Errors
    /// Gives the message back with what is wrong with it.
    #[expect(
        clippy::result_large_err,
        reason = "the message must come back whole, and boxing it would cost more"
    )]
    pub(crate) fn decode(&self, message: Message) -> Result<Event, (Message, DecodeError)> {
        match self {
            Self::Enveloped(usual) => match Decoded::read(&message, *usual) {
                Ok(decoded) => Ok(decoded.into_event(message)),
                Err(error) => Err((message, error)),
            },
            Self::Raw(raw) => raw.decode(message),
        }
    }

    /// The topic that an emit goes to: the one it names, if its type belongs there or the handler may publish to it,
    /// and else the one its type belongs to.
    ///
    /// # Errors
    /// When it names a topic that the handler may not publish to.
    pub(crate) fn topic_of_emit<'a>(
        &self,
        emit: &'a Emit,
        emit_topics: &[String],
    ) -> Result<&'a str, EmitError> {
        let of_type = topic_for(&emit.event_type);
        match emit.topic.as_deref() {
            None => Ok(of_type),
            Some(topic) if topic == of_type || emit_topics.iter().any(|allowed| allowed == topic) => {
                Ok(topic)
            }
            Some(topic) => Err(EmitError::Topic(topic.to_owned())),
        }
    }

    /// Writes an emit of a handler as a message. The tenant is the cause's; the key is the emit's, or else the
    /// tenant. The same cause, emit and id give the same message but for the time in its envelope.
    ///
    /// # Errors
    /// When the emit cannot be published, which is the guest's fault.
    pub(crate) fn encode_emit(
        &self,
        cause: &Event,
        emit: &Emit,
        id: EmitId,
        now_micros: u64,
    ) -> Result<OutgoingMessage, EmitError> {
        emit::check(emit)?;
        match self {
            Self::Enveloped(format) => emit::enveloped(cause, emit, id, (*format, now_micros)),
            Self::Raw(_) => raw::encode_emit(cause, emit, id),
        }
    }
}

/// The topic that events of a type belong to.
pub(crate) fn topic_for(event_type: &str) -> &'static str {
    if event_type == "module.build.queued" {
        MODULE_BUILD_TOPIC
    } else if event_type.starts_with("index.") || event_type.starts_with("build.") {
        SYSTEM_TOPIC
    } else {
        DOMAIN_TOPIC
    }
}

/// A slice of `whole` where `text` borrows from it, else a string of its own.
fn slice(whole: &ByteString, text: std::borrow::Cow<'_, str>) -> ByteString {
    match text {
        std::borrow::Cow::Borrowed(text) => whole.slice_ref(text),
        std::borrow::Cow::Owned(text) => ByteString::from(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_follow_the_platforms_routing() {
        assert_eq!(topic_for("module.build.queued"), "module-build");
        assert_eq!(topic_for("module.build.done"), "domain");
        assert_eq!(topic_for("index.reindex_requested"), "system");
        assert_eq!(topic_for("build.finished"), "system");
        assert_eq!(topic_for("indexed"), "domain");
        assert_eq!(topic_for("order.placed"), "domain");
    }
}
