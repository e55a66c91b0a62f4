//! The user headers that codecs read and write.

use std::borrow::Cow;

use bytestring::ByteString;
use guesthouse_connector::{HeaderValueRef, RawHeaders};

pub(crate) const CONTENT_TYPE: &str = "content-type";
pub(crate) const EVENT_ID: &str = "event-id";
pub(crate) const EVENT_TYPE: &str = "event-type";
pub(crate) const HOPS: &str = "gh-hops";
pub(crate) const PARTITION_KEY: &str = "partition-key";
pub(crate) const PROFILE: &str = "profile";
pub(crate) const SCHEMA_VERSION: &str = "schema-version";
pub(crate) const TENANT_ID: &str = "tenant-id";
pub(crate) const TRACEPARENT: &str = "traceparent";

/// What the headers of a message say, in text form.
#[derive(Debug, Default)]
pub(super) struct EventHeaders<'a> {
    pub(super) content_type: Option<Cow<'a, str>>,
    pub(super) event_id: Option<Cow<'a, str>>,
    pub(super) event_type: Option<Cow<'a, str>>,
    pub(super) partition_key: Option<Cow<'a, str>>,
    pub(super) schema_version: Option<Cow<'a, str>>,
    pub(super) tenant_id: Option<Cow<'a, str>>,
    pub(super) traceparent: Option<Cow<'a, str>>,
}

impl<'a> EventHeaders<'a> {
    /// Reads all of them in one pass; of a name that appears twice the first one counts.
    pub(super) fn read(headers: &'a RawHeaders) -> Self {
        let mut found = Self::default();
        for (name, value) in headers {
            let place = match &*name {
                CONTENT_TYPE => &mut found.content_type,
                EVENT_ID => &mut found.event_id,
                EVENT_TYPE => &mut found.event_type,
                PARTITION_KEY => &mut found.partition_key,
                SCHEMA_VERSION => &mut found.schema_version,
                TENANT_ID => &mut found.tenant_id,
                TRACEPARENT => &mut found.traceparent,
                _ => continue,
            };
            place.get_or_insert_with(|| text_form(value));
        }
        found
    }

    /// The trace context, if it can be one. A broken one is no reason to refuse an event.
    pub(super) fn take_traceparent(&mut self) -> Option<ByteString> {
        let text = self.traceparent.take()?;
        text.bytes().all(|byte| byte.is_ascii_graphic()).then(|| own(text))
    }
}

/// A copy, so that an event does not keep the headers of a whole poll alive on their account.
pub(super) fn own(text: Cow<'_, str>) -> ByteString {
    ByteString::from(text.into_owned())
}

/// How often an event was emitted by a handler of an event that was emitted by a handler, and so on.
pub(super) fn hops(headers: &RawHeaders) -> u8 {
    headers.get(HOPS).and_then(|value| text_form(value).parse().ok()).unwrap_or(0)
}

fn text_form(value: HeaderValueRef<'_>) -> Cow<'_, str> {
    value.as_str().map_or_else(|| Cow::Owned(value.to_string()), Cow::Borrowed)
}
