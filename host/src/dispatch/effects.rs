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
pub(crate) struct EffectId(pub(crate) u64);

/// Messages to publish, each with the name of its topic, in order.
#[derive(Debug)]
pub(crate) struct PublishJob {
    pub(crate) effect: EffectId,
    pub(crate) messages: Vec<(String, OutgoingMessage)>,
    pub(crate) on_refusal: OnRefusal,
}

/// What to do when the broker refuses a message for what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnRefusal {
    /// Give the effect up after a few tries, and tell.
    Tell,
    /// Try without end: nothing else can be done with it.
    Insist,
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
        Ok(PublishJob { on_refusal: OnRefusal::Tell, ..self.job(messages) })
    }

    /// Publishes the dead letter of an event that a handler gave up on.
    pub(crate) fn dead_letter(
        &mut self,
        event: &Event,
        config: &HandlerConfig,
        failure: &Failure<'_>,
    ) -> PublishJob {
        let cause = Cause::Handler {
            event,
            handler: &config.name,
            component_digest: self.digests.get(&config.name).map_or("", String::as_str),
            component_version: config.version.as_deref(),
            order_by: &config.order_by,
        };
        let letter = dead_letter::build(&event.message, &self.group, &cause, failure);
        self.bury(letter)
    }

    /// Publishes the dead letter of a message that no codec could read.
    pub(crate) fn undecodable(&mut self, message: &Message, outcome: &Outcome, now: Now) -> PublishJob {
        let failure = Failure {
            outcome,
            attempts: 1,
            first_failed_micros: now.unix_micros,
            failed_micros: now.unix_micros,
            duration: Duration::ZERO,
            memory_peak_bytes: 0,
        };
        let letter = dead_letter::build(message, &self.group, &Cause::Decode, &failure);
        self.bury(letter)
    }

    fn bury(&mut self, letter: OutgoingMessage) -> PublishJob {
        self.job(vec![(self.dead_letter_topic.clone(), letter)])
    }

    fn job(&mut self, messages: Vec<(String, OutgoingMessage)>) -> PublishJob {
        self.made += 1;
        PublishJob { effect: EffectId(self.made), messages, on_refusal: OnRefusal::Insist }
    }
}
