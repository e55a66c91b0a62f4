//! Spans of what happens to single events: one for each attempt of a handler, one for each message that is published.
//!
//! They are of the target `guesthouse::event` and the level debug. Where nobody listens to that, a call of guests and a
//! request to publish cost one look at a flag, whatever they carry. They hold names and ids, never payloads.

#[cfg(feature = "opentelemetry")]
mod trace;

use std::time::Duration;

use foldhash::{HashMap, HashMapExt};
use guesthouse_connector::{HeaderValue, OutgoingMessage, PublishBatchError};
use tracing::field::Empty;
use tracing::{Level, Span};
use uuid::Uuid;

use crate::codec::{EVENT_TYPE, TRACEPARENT, TRACESTATE};
use crate::dispatch::{Call, Now};
use crate::handler::HandlerName;
use crate::outcome::{Outcome, OutcomeKind};
use crate::sandbox::{Answer, CallEvent, CallId, CallReport, CallResult};

/// What a message says of the trace that it belongs to.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(not(feature = "opentelemetry"), expect(dead_code, reason = "only OpenTelemetry knows traces"))]
struct Carried<'a> {
    traceparent: Option<&'a str>,
    tracestate: Option<&'a str>,
}

/// Without OpenTelemetry there are no traces, and `traceparent` is a field of a span like the others.
#[cfg(not(feature = "opentelemetry"))]
mod trace {
    pub(super) fn continue_in(_span: &super::Span, _carried: &super::Carried<'_>) {}

    pub(super) fn put_into(_message: &mut super::OutgoingMessage, _span: &super::Span) {}
}

/// The attempts that are under way.
#[derive(Debug)]
pub(crate) struct AttemptSpans {
    group: String,
    open: HashMap<CallId, Vec<Span>>,
}

impl AttemptSpans {
    /// Spans of the attempts of a subscription in this group.
    pub(crate) fn new(group: String) -> Self {
        Self { group, open: HashMap::new() }
    }

    /// A call begins.
    pub(crate) fn begin(&mut self, call: &Call, handler: &HandlerName, now: Now) {
        if !tracing::enabled!(target: "guesthouse::event", Level::DEBUG) {
            return;
        }
        let spans = call.events.iter().map(|event| self.span(event, handler, now)).collect();
        self.open.insert(call.id, spans);
    }

    /// A call was not made after all.
    pub(crate) fn forget(&mut self, id: CallId) {
        self.open.remove(&id);
    }

    /// A call ended; so do its spans.
    pub(crate) fn end(&mut self, report: &CallReport) {
        let Some(spans) = self.open.remove(&report.id) else { return };
        let note = |span: &Span, (outcome, code): (&str, &str)| {
            span.record("outcome", outcome);
            span.record("latency_ms", millis(report.duration));
            if !code.is_empty() {
                span.record("error_code", code);
            }
        };
        let ended = |outcome: &Outcome| (outcome.kind().as_str(), outcome.code());
        match &report.result {
            CallResult::Failed(outcome) => spans.iter().for_each(|span| note(span, ended(outcome))),
            CallResult::Answered(answers) => {
                let mut answers = answers.iter().peekable();
                for (at, span) in spans.iter().enumerate() {
                    match answers.next_if(|(index, _)| *index == at) {
                        None => note(span, (OutcomeKind::Done.as_str(), "")),
                        Some((_, Answer::Ended(outcome))) => note(span, ended(outcome)),
                        Some((_, Answer::DoneBefore(_))) => note(span, ("done-before", "")),
                        Some((_, Answer::NotRun)) => note(span, ("not-run", "")),
                    }
                }
            }
        }
    }

    fn span(&self, CallEvent { event, attempt, .. }: &CallEvent, handler: &HandlerName, now: Now) -> Span {
        let source = &event.message.source;
        let delay = Duration::from_micros(now.unix_micros.saturating_sub(source.timestamp_micros));
        let span = tracing::debug_span!(
            target: "guesthouse::event",
            parent: None,
            "event_dispatch",
            "otel.kind" = "consumer",
            event_type = %event.event_type,
            event_id = %event.id,
            tenant_id = %event.tenant,
            actor_id = event.actor.as_deref(),
            module_slug = %handler,
            consumer_group = self.group,
            topic = source.topic.topic,
            attempt,
            queue_delay_ms = millis(delay),
            traceparent = event.traceparent.as_deref(),
            outcome = Empty,
            error_code = Empty,
            latency_ms = Empty,
        );
        let tracestate = event.message.headers.get(TRACESTATE);
        let tracestate = tracestate.as_ref().and_then(|state| state.as_str());
        trace::continue_in(&span, &Carried { traceparent: event.traceparent.as_deref(), tracestate });
        span
    }
}

/// Messages that are being published.
#[derive(Debug)]
pub(crate) struct ProducerSpans(Vec<(u128, Span)>);

impl ProducerSpans {
    /// Messages go to a topic.
    pub(crate) fn begin(topic: &str, messages: &[OutgoingMessage]) -> Self {
        if !tracing::enabled!(target: "guesthouse::event", Level::DEBUG) {
            return Self(Vec::new());
        }
        Self(messages.iter().map(|message| (message.id, span_of(topic, message))).collect())
    }

    /// Lets the messages that carry no trace carry those of their spans. To be called with those of the beginning.
    pub(crate) fn put_into(&self, messages: &mut [OutgoingMessage]) {
        for ((_, span), message) in self.0.iter().zip(messages) {
            trace::put_into(message, span);
        }
    }

    /// They are confirmed, or not; so their spans end.
    pub(crate) fn end(self, published: &Result<(), PublishBatchError>) {
        let error = published.as_ref().err();
        // What is not confirmed comes back in order.
        let mut left = error.map_or(&[][..], |error| &error.unpublished).iter().peekable();
        for (id, span) in self.0 {
            match error.filter(|_| left.next_if(|message| message.id == id).is_some()) {
                None => span.record("outcome", "published"),
                Some(error) => {
                    span.record("outcome", "failed").record("error_code", error.source.stable_code())
                }
            };
        }
    }
}

fn span_of(topic: &str, message: &OutgoingMessage) -> Span {
    let header = |name| match message.headers.get(name) {
        Some(HeaderValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    let span = tracing::debug_span!(
        target: "guesthouse::event",
        "event_publish",
        "otel.kind" = "producer",
        "event.type" = header(EVENT_TYPE).map(display),
        "event.id" = %Uuid::from_u128(message.id),
        topic,
        traceparent = header(TRACEPARENT).map(display),
        outcome = Empty,
        error_code = Empty,
    );
    let (traceparent, tracestate) = (header(TRACEPARENT), header(TRACESTATE));
    trace::continue_in(&span, &Carried { traceparent, tracestate });
    span
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
