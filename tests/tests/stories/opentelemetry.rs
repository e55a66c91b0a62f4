//! Goal: a trace goes on through the host: from the platform's request, over publishing, to the attempt of a handler.
//! Method: OpenTelemetry's own SDK keeps what a layer over a host and a transport on this thread exports.

use std::sync::Arc;
use std::time::Duration;

use guesthouse::{Config, EventEnvelope, EventTransport, Host, IggyConfig, IggyTransport};
use guesthouse_tests::house::{handler, with};
use guesthouse_tests::{House, eventually};
use opentelemetry::trace::{SpanId, SpanKind, TraceId, TracerProvider as _};
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider, SpanData};
use serde_json::json;
use tracing::Instrument as _;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::{EnvFilter, Registry};
use uuid::Uuid;

const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn event(trace_id: Option<&str>) -> EventEnvelope {
    let event = json!({ "type": "Picky", "data": { "behave": "done" } });
    let new = EventEnvelope::new(Uuid::new_v4(), "demo.picky", &event).unwrap();
    EventEnvelope { trace_id: trace_id.map(str::to_owned), ..new }
}

/// The only span of this name about this event.
fn of<'a>(spans: &'a [SpanData], name: &str, event: &EventEnvelope) -> &'a SpanData {
    let id = event.id.to_string();
    let is_about = |span: &&SpanData| {
        let mut attributes = span.attributes.iter();
        span.name == name && attributes.any(|attribute| attribute.value.as_str() == id)
    };
    let found: Vec<_> = spans.iter().filter(is_about).collect();
    assert_eq!(found.len(), 1, "{name} in {spans:?}");
    found[0]
}

/// Publishes one event of a foreign trace and one within a request, and waits until a host has handled them.
async fn handle(house: &House, foreign: &EventEnvelope, ours: &EventEnvelope) {
    let picky = with(handler("picky", "picky"), &[("/events", json!(["demo.picky"]))]);
    let config = Config::load(&house.write("host", &house.config(&[picky])), []).unwrap();
    let transport = IggyTransport::new(IggyConfig::from(&config)).await.unwrap();
    let host = Host::builder().config(config).connector(Arc::clone(transport.connector()));
    let host = host.build().await.unwrap();
    let handle = host.handle();
    let running = tokio::task::spawn(host.run(std::future::pending()));
    transport.publish(foreign.clone()).await.unwrap();
    let request = tracing::info_span!(target: "platform", "request");
    transport.publish(ours.clone()).instrument(request).await.unwrap();
    eventually("both events are settled", async || (handle.counters().settled == 2).then_some(())).await;
    handle.stop(Duration::from_secs(10)).await;
    running.await.unwrap().unwrap();
    transport.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_trace_goes_on_through_the_host() {
    let exporter = InMemorySpanExporter::default();
    let provider = SdkTracerProvider::builder().with_simple_exporter(exporter.clone()).build();
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("story"));
    let heard = EnvFilter::new("guesthouse::event=debug,platform=info");
    let _listening = tracing::subscriber::set_default(Registry::default().with(heard).with(layer));
    let house = House::new();
    let (foreign, ours) = (event(Some(TRACEPARENT)), event(None));
    handle(&house, &foreign, &ours).await;
    let spans = exporter.get_finished_spans().unwrap();

    let remote = SpanId::from_hex("00f067aa0ba902b7").unwrap();
    for (name, kind) in [("event_publish", SpanKind::Producer), ("event_dispatch", SpanKind::Consumer)] {
        let span = of(&spans, name, &foreign);
        let trace = TraceId::from_hex("4bf92f3577b34da6a3ce929d0e0e4736").unwrap();
        assert_eq!((span.span_context.trace_id(), span.parent_span_id), (trace, remote), "{span:?}");
        assert_eq!((&span.span_kind, span.parent_span_is_remote), (&kind, true), "{span:?}");
    }

    let request = spans.iter().find(|span| span.name == "request").unwrap();
    let publish = of(&spans, "event_publish", &ours);
    let dispatch = of(&spans, "event_dispatch", &ours);
    assert_eq!(publish.parent_span_id, request.span_context.span_id());
    assert_eq!(dispatch.parent_span_id, publish.span_context.span_id());
    let traces = [request, publish, dispatch].map(|span| span.span_context.trace_id());
    assert_eq!(traces, [traces[0]; 3]);
}
