//! The mark of an event: what the journal recognises it by, for one handler, in another process.

use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;

use foldhash::quality::FixedState;

use crate::event::{Message, SourceTopic};
use crate::handler::HandlerName;

/// An event on its way to a handler, as a hash of where it stands and what the broker says of it. Two events with the
/// same mark are a rare accident that costs nothing: the innocent one runs alone once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct EventMark(pub(super) u64);

/// The hash differs from that of a version with another `foldhash`; suspects are then forgotten.
const STATE: FixedState = FixedState::with_seed(0x6775_6573_7468_6f75);

impl EventMark {
    /// The mark of an event on its way to a handler.
    pub(crate) fn of(handler: &HandlerName, message: &Message) -> Self {
        Marker::new(handler).mark(message)
    }
}

/// Makes the marks of a handler's events; quick for many of one topic.
#[derive(Debug)]
pub(super) struct Marker<'a> {
    handler: &'a HandlerName,
    topic: Option<(Arc<SourceTopic>, u64)>,
}

impl<'a> Marker<'a> {
    pub(super) fn new(handler: &'a HandlerName) -> Self {
        Self { handler, topic: None }
    }

    pub(super) fn mark(&mut self, message: &Message) -> EventMark {
        let source = &message.source;
        let mut hasher = STATE.build_hasher();
        hasher.write_u64(self.seed(&source.topic));
        hasher.write_u64(source.partition.0.into());
        hasher.write_u64(source.offset.0);
        hasher.write_u128(source.message_id);
        hasher.write_u64(source.origin_timestamp_micros);
        // Zero stands for nobody in the file.
        EventMark(hasher.finish().max(1))
    }

    fn seed(&mut self, topic: &Arc<SourceTopic>) -> u64 {
        if let Some((known, seed)) = &self.topic
            && Arc::ptr_eq(known, topic)
        {
            return *seed;
        }
        let seed = STATE.hash_one((self.handler.as_str(), &topic.stream, &topic.topic));
        self.topic = Some((Arc::clone(topic), seed));
        seed
    }
}
