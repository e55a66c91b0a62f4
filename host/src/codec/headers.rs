//! The user headers that codecs read and write.

use std::borrow::Cow;

use bytestring::ByteString;
use guesthouse_connector::{HeaderError, HeaderValueRef, Headers, RawHeaders};

use super::format::Format;

pub(crate) const CONTENT_TYPE: &str = "content-type";
pub(crate) const EVENT_ID: &str = "event-id";
pub(crate) const EVENT_TYPE: &str = "event-type";
/// Names the only handler that a message is for.
pub(crate) const FOR_HANDLER: &str = "gh-for-handler";
pub(crate) const HOPS: &str = "gh-hops";
pub(crate) const PARTITION_KEY: &str = "partition-key";
pub(crate) const PROFILE: &str = "profile";
/// How often a message was published again.
pub(crate) const REPLAYS: &str = "gh-replays";
pub(crate) const SCHEMA_VERSION: &str = "schema-version";
pub(crate) const TENANT_ID: &str = "tenant-id";
pub(crate) const TRACEPARENT: &str = "traceparent";
pub(crate) const TRACESTATE: &str = "tracestate";

/// The profile of an envelope that carries its event as it is.
pub(super) const PROFILE_ROOT: &str = "root";
/// The profile of an envelope that carries the event of a family.
const PROFILE_CONTRACT: &str = "contract";

/// The headers of a message that codecs look at.
#[derive(Debug, Default)]
pub(super) struct EventHeaders<'a> {
    pub(super) content_type: Option<HeaderValueRef<'a>>,
    pub(super) event_id: Option<HeaderValueRef<'a>>,
    pub(super) event_type: Option<HeaderValueRef<'a>>,
    for_handler: Option<HeaderValueRef<'a>>,
    pub(super) partition_key: Option<HeaderValueRef<'a>>,
    pub(super) schema_version: Option<HeaderValueRef<'a>>,
    pub(super) tenant_id: Option<HeaderValueRef<'a>>,
    traceparent: Option<HeaderValueRef<'a>>,
}

impl<'a> EventHeaders<'a> {
    /// Finds all of them in one pass; of a name that appears twice the first one counts.
    pub(super) fn read(headers: &'a RawHeaders) -> Self {
        let mut found = Self::default();
        for (name, value) in headers {
            let place = match &*name {
                CONTENT_TYPE => &mut found.content_type,
                EVENT_ID => &mut found.event_id,
                EVENT_TYPE => &mut found.event_type,
                FOR_HANDLER => &mut found.for_handler,
                PARTITION_KEY => &mut found.partition_key,
                SCHEMA_VERSION => &mut found.schema_version,
                TENANT_ID => &mut found.tenant_id,
                TRACEPARENT => &mut found.traceparent,
                _ => continue,
            };
            place.get_or_insert(value);
        }
        found
    }

    /// The only handler that the message is for.
    pub(super) fn for_handler(&self) -> Option<ByteString> {
        self.for_handler.map(own)
    }

    /// The trace context, if it can be one. A broken one is no reason to refuse an event.
    pub(super) fn traceparent(&self) -> Option<ByteString> {
        let text = own(self.traceparent?);
        text.bytes().all(|byte| byte.is_ascii_graphic()).then_some(text)
    }
}

/// The headers of every message with an envelope: its media type and its profile.
pub(crate) fn envelope_headers(format: Format, is_contract: bool) -> Result<Headers, HeaderError> {
    let mut headers = Headers::new();
    headers.insert(CONTENT_TYPE, format.media_type())?;
    headers.insert(PROFILE, if is_contract { PROFILE_CONTRACT } else { PROFILE_ROOT })?;
    Ok(headers)
}

/// The text form of a header.
pub(super) fn text(value: HeaderValueRef<'_>) -> Cow<'_, str> {
    value.as_str().map_or_else(|| Cow::Owned(value.to_string()), Cow::Borrowed)
}

/// A copy of the text form, so that an event does not keep the headers of a whole poll alive on their account.
pub(super) fn own(value: HeaderValueRef<'_>) -> ByteString {
    ByteString::from(text(value).into_owned())
}

/// How often an event was emitted by a handler of an event that was emitted by a handler, and so on.
pub(super) fn hops(headers: &RawHeaders) -> u8 {
    headers.get(HOPS).and_then(|value| text(value).parse().ok()).unwrap_or(0)
}

/// Whether a message was published again on purpose: by a replay, or out of the dead letters.
pub(crate) fn is_replay(headers: &RawHeaders) -> bool {
    headers.get(REPLAYS).is_some_and(|value| text(value) != "0")
}
