//! Effects: the messages that must be confirmed before an event is settled.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use guesthouse_connector::{OutgoingMessage, PartitionId};

use super::Now;
use crate::codec::{Codec, EmitError};
use crate::dead_letter::{self, Cause, EventRecord, Failure};
use crate::event::{Event, Message, SourceTopic};
use crate::handler::{HandlerConfig, HandlerName};
use crate::identity::{EmitId, EventIdentity, LaneName};
use crate::outcome::{Emit, Outcome};
use crate::parked::Control;

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

/// What a guest asked to publish when it handled an event.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) emits: &'a [Emit],
    /// Of the copy of the event that it handled.
    pub(crate) identity: EventIdentity,
}

impl PublishJob {
    /// The id of the dead letter that it begins with.
    pub(crate) fn letter_id(&self) -> Option<String> {
        self.messages.first().map(|(_, letter)| uuid::Uuid::from_u128(letter.id).to_string())
    }
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
    /// What the name of a topic ends in that holds the parked events of another.
    parked_suffix: String,
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
        Self { codec, group, dead_letter_topic, parked_suffix: String::new(), digests, made: 0 }
    }

    /// Events are parked in topics whose names are those of their own and this.
    pub(crate) fn park_in(&mut self, suffix: String) {
        self.parked_suffix = suffix;
    }

    /// Publishes what a guest asked for.
    ///
    /// # Errors
    /// When an emit cannot be published as asked; none of them is then.
    pub(crate) fn emits(
        &mut self,
        config: &HandlerConfig,
        cause: &Event,
        Asked { emits, identity }: Asked<'_>,
        now: Now,
    ) -> Result<PublishJob, EmitError> {
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

    /// Makes it part of a job that an event is parked.
    pub(crate) fn park(&self, job: &mut PublishJob, record: &EventRecord<'_>, id: u128) {
        let topic = self.parked_topic(&record.event.message.source.topic);
        job.messages.push((topic, dead_letter::park(record, &self.group, id)));
    }

    /// The group whose events these are.
    pub(crate) fn group(&self) -> &str {
        &self.group
    }

    /// Publishes nothing, until something is made part of it.
    pub(crate) fn nothing_yet(&mut self) -> PublishJob {
        self.job(Vec::new())
    }

    /// Publishes that events of a lane are settled.
    pub(crate) fn note(
        &mut self,
        source: &SourceTopic,
        partition: PartitionId,
        (lane, control): (LaneName, Control),
        id: u128,
    ) -> PublishJob {
        let message = control.message(&self.group, lane, partition, id);
        self.job(vec![(self.parked_topic(source), message)])
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
            behind: None,
        };
        let letter = dead_letter::build(message, &self.group, &Cause::Decode, &failure);
        self.bury(letter)
    }

    fn parked_topic(&self, source: &SourceTopic) -> String {
        format!("{}{}", source.topic, self.parked_suffix)
    }

    fn bury(&mut self, letter: OutgoingMessage) -> PublishJob {
        self.job(vec![(self.dead_letter_topic.clone(), letter)])
    }

    fn job(&mut self, messages: Vec<(String, OutgoingMessage)>) -> PublishJob {
        self.made += 1;
        PublishJob { effect: EffectId(self.made), messages, on_refusal: OnRefusal::Insist }
    }
}
