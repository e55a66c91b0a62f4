//! Events that a handler asks the host to publish.

use crate::contract::guesthouse::handler::types;

/// An event to publish. The host publishes it only when the attempt succeeds, before the event being handled
/// counts as handled, for the tenant of that event and with an id that is the same on every attempt.
#[derive(Clone, Debug, PartialEq)]
pub struct Emit(pub(crate) types::Emit);

impl Emit {
    /// An emit of this type, dotted and lower case. With the `json` codec the payload must be a JSON value.
    #[must_use]
    pub fn new(event_type: impl Into<String>, payload: impl Into<Vec<u8>>) -> Self {
        Self(types::Emit {
            type_: event_type.into(),
            schema_version: 0,
            topic: None,
            key: None,
            headers: Vec::new(),
            payload: payload.into(),
        })
    }

    /// Sets the version of the payload's schema, which is 0 otherwise.
    #[must_use]
    pub fn schema_version(mut self, version: u16) -> Self {
        self.0.schema_version = version;
        self
    }

    /// Sets the topic, which the event's type decides otherwise. The operator must allow it for the handler.
    #[must_use]
    pub fn topic(mut self, topic: impl Into<String>) -> Self {
        self.0.topic = Some(topic.into());
        self
    }

    /// Sets the key that chooses the partition, which is the tenant otherwise.
    #[must_use]
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.0.key = Some(key.into());
        self
    }

    /// Adds a user header. Names that start with `gh-` and names that the envelope uses are refused.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.0.headers.push(types::Header { name: name.into(), value: value.into() });
        self
    }
}

/// What a handler may return on success: `()`, an [`Emit`], an `Option` of one, a `Vec` or an array of them.
#[diagnostic::on_unimplemented(message = "a handler cannot return `{Self}` on success")]
pub trait IntoEmits {
    /// The emits, in the order in which they are published. Called once per handled event.
    fn into_emits(self) -> impl IntoIterator<Item = Emit>;
}

impl IntoEmits for () {
    fn into_emits(self) -> impl IntoIterator<Item = Emit> {
        None
    }
}

impl IntoEmits for Emit {
    fn into_emits(self) -> impl IntoIterator<Item = Emit> {
        Some(self)
    }
}

impl IntoEmits for Option<Emit> {
    fn into_emits(self) -> impl IntoIterator<Item = Emit> {
        self
    }
}

impl IntoEmits for Vec<Emit> {
    fn into_emits(self) -> impl IntoIterator<Item = Emit> {
        self
    }
}

impl<const N: usize> IntoEmits for [Emit; N] {
    fn into_emits(self) -> impl IntoIterator<Item = Emit> {
        self
    }
}
