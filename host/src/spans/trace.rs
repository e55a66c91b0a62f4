//! The traces that spans belong to, for OpenTelemetry: a span continues the one that a message carries, and a message
//! without one carries that of its span.

use std::collections::HashMap;

use guesthouse_connector::OutgoingMessage;
use opentelemetry::Context;
use opentelemetry::propagation::{Extractor, TextMapPropagator as _};
use opentelemetry::trace::TraceContextExt as _;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use super::Carried;
use crate::codec::{TRACEPARENT, TRACESTATE};

impl Extractor for Carried<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        match key {
            TRACEPARENT => self.traceparent,
            TRACESTATE => self.tracestate,
            _ => None,
        }
    }

    fn keys(&self) -> Vec<&str> {
        vec![TRACEPARENT, TRACESTATE]
    }
}

/// Makes a span, which must be new, a part of the trace that a message carries.
pub(super) fn continue_in(span: &Span, carried: &Carried<'_>) {
    let context = TraceContextPropagator::new().extract_with_context(&Context::new(), carried);
    if context.span().span_context().is_valid() {
        // Fails where no layer brings spans to OpenTelemetry: then there is no trace to continue.
        drop(span.set_parent(context));
    }
}

/// Lets a message that carries no trace carry that of its span.
pub(super) fn put_into(message: &mut OutgoingMessage, span: &Span) {
    if message.headers.get(TRACEPARENT).is_some() {
        return;
    }
    let mut texts: HashMap<String, String> = HashMap::new();
    TraceContextPropagator::new().inject_context(&span.context(), &mut texts);
    for (name, text) in texts.into_iter().filter(|(_, text)| !text.is_empty()) {
        // A message without room for it goes without it.
        drop(message.headers.insert(name, text));
    }
}
