//! Effects: the messages that must be confirmed before an event is settled.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use guesthouse_connector::OutgoingMessage;

use super::Now;
use crate::codec::{Codec, EmitError};
use crate::dead_letter::{self, Cause, Failure};
use crate::event::{Event, Message};
use crate::handler::{HandlerConfig, HandlerName};
use crate::identity::{EmitId, EventIdentity};
use crate::outcome::{Emit, Outcome};

/// Names an effect until it is confirmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct EffectId(u64);

/// Messages to publish, each with the name of its topic, in order.
#[derive(Debug)]
pub(crate) struct PublishJob {
    pub(crate) effect: EffectId,
    pub(crate) messages: Vec<(String, OutgoingMessage)>,
}

impl PublishJob {
    /// Bytes of the payloads.
    pub(crate) fn bytes(&self) -> usize {
        self.messages.iter().map(|(_, message)| message.payload.len()).sum()
    }
}

/// Why and how a delivery was given up.
#[derive(Debug)]
pub(crate) struct Death<'a> {
    pub(crate) config: &'a HandlerConfig,
    pub(crate) outcome: &'a Outcome,
    pub(crate) attempts: u32,
    pub(crate) first_failed_micros: u64,
    pub(crate) duration: Duration,
    pub(crate) memory_peak_bytes: u64,
}

/// Makes the messages of effects.
#[derive(Debug)]
pub(crate) struct Effects {
    codec: Arc<Codec>,
    group: String,
    dead_letter_topic: String,
    digests: BTreeMap<HandlerName, String>,
    made: u64,
}

impl Effects {
    /// Effects of a subscription's events. `digests` names the component of each handler.
    pub(crate) fn new(
        codec: Arc<Codec>,
        group: String,
        dead_letter_topic: String,
        digests: BTreeMap<HandlerName, String>,
    ) -> Self {
        Self { codec, group, dead_letter_topic, digests, made: 0 }
    }

    /// Publishes what a guest asked for.
    ///
    /// # Errors
    /// When an emit cannot be published as asked; none of them is then.
    pub(crate) fn emits(
        &mut self,
        config: &HandlerConfig,
        cause: &Event,
        emits: &[Emit],
        now: Now,
    ) -> Result<PublishJob, EmitError> {
        let identity = EventIdentity::of(&cause.message);
        let mut messages = Vec::with_capacity(emits.len());
        for (index, emit) in (0..).zip(emits) {
            let id = EmitId::of(identity, &config.name, index);
            let topic = self.codec.topic_of_emit(emit, &config.emit_topics)?;
            let message = self.codec.encode_emit(cause, emit, id, now.unix_micros)?;
            messages.push((topic.to_owned(), message));
        }
        Ok(self.job(messages))
    }

    /// Publishes the dead letter of an event that a handler gave up on.
    pub(crate) fn dead_letter(&mut self, event: &Event, death: &Death<'_>, now: Now) -> PublishJob {
        let failure = Failure {
            group: &self.group,
            outcome: death.outcome,
            attempts: death.attempts,
            first_failed_micros: death.first_failed_micros,
            failed_micros: now.unix_micros,
            duration: death.duration,
            memory_peak_bytes: death.memory_peak_bytes,
        };
        let cause = Cause::Handler {
            event,
            handler: &death.config.name,
            component_digest: self.digests.get(&death.config.name).map_or("", String::as_str),
            component_version: death.config.version.as_deref(),
            order_by: &death.config.order_by,
        };
        let message = dead_letter::build(&event.message, &cause, &failure);
        self.job(vec![(self.dead_letter_topic.clone(), message)])
    }

    /// Publishes the dead letter of a message that no codec could read.
    pub(crate) fn undecodable(&mut self, message: &Message, outcome: &Outcome, now: Now) -> PublishJob {
        let failure = Failure {
            group: &self.group,
            outcome,
            attempts: 1,
            first_failed_micros: now.unix_micros,
            failed_micros: now.unix_micros,
            duration: Duration::ZERO,
            memory_peak_bytes: 0,
        };
        let letter = dead_letter::build(message, &Cause::Decode, &failure);
        self.job(vec![(self.dead_letter_topic.clone(), letter)])
    }

    fn job(&mut self, messages: Vec<(String, OutgoingMessage)>) -> PublishJob {
        self.made += 1;
        PublishJob { effect: EffectId(self.made), messages }
    }
}
