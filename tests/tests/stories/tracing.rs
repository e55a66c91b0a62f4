//! Goal: what happens to single events can be traced, by the names that the platform's dashboards know.
//! Method: a layer of `tracing-subscriber` keeps the spans of a host and a transport on this thread.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use guesthouse::{Config, EventEnvelope, EventTransport, Host, IggyConfig, IggyTransport};
use guesthouse_tests::house::{handler, with};
use guesthouse_tests::{House, eventually};
use serde_json::json;
use serde_json::value::RawValue;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{Layer, Registry};
use uuid::Uuid;

const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// What spans said, by the time of their end.
#[derive(Debug, Clone, Default)]
struct Spans(Arc<Mutex<Vec<(String, Fields)>>>);

/// The fields of one span.
#[derive(Debug, Clone, Default)]
struct Fields(BTreeMap<String, String>);

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}"));
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Spans {
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        metadata.target() == "guesthouse::event" && *metadata.level() <= Level::DEBUG
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, ctx: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        ctx.span(id).unwrap().extensions_mut().insert(fields);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, ctx: Context<'_, S>) {
        values.record(ctx.span(id).unwrap().extensions_mut().get_mut::<Fields>().unwrap());
    }

    fn on_close(&self, id: Id, ctx: Context<'_, S>) {
        let span = ctx.span(&id).unwrap();
        let fields = span.extensions().get::<Fields>().unwrap().clone();
        self.0.lock().unwrap().push((span.name().to_owned(), fields));
    }
}

impl Spans {
    fn of(&self, name: &str) -> Vec<BTreeMap<String, String>> {
        let spans = self.0.lock().unwrap();
        spans.iter().filter(|(found, _)| found == name).map(|(_, fields)| fields.0.clone()).collect()
    }
}

fn event(behave: &str) -> EventEnvelope {
    let event = json!({ "type": "Picky", "data": { "behave": behave } });
    let event = RawValue::from_string(event.to_string()).unwrap();
    let new = json!({
        "id": Uuid::new_v4(),
        "event_type": "demo.picky",
        "schema_version": 1,
        "correlation_id": Uuid::new_v4(),
        "tenant_id": Uuid::new_v4(),
        "trace_id": TRACEPARENT,
        "timestamp": "2026-08-20T09:14:41Z",
        "event": event,
    });
    serde_json::from_value(new).unwrap()
}

#[tokio::test]
async fn attempts_and_publishing_can_be_traced() {
    let spans = Spans::default();
    let _listening = tracing::subscriber::set_default(Registry::default().with(spans.clone()));
    let house = House::new();
    let retry = json!({ "backoff_min": "1ms", "backoff_max": "2ms" });
    let picky = with(handler("picky", "picky"), &[("/events", json!(["demo.picky"])), ("/retry", retry)]);
    let config = Config::load(&house.write("host", &house.config(&[picky])), []).unwrap();
    let transport = IggyTransport::new(IggyConfig::from(&config)).await.unwrap();
    let host = Host::builder().config(config).connector(Arc::clone(transport.connector()));
    let host = host.build().await.unwrap();
    let handle = host.handle();
    let running = tokio::task::spawn(host.run(std::future::pending()));
    let (again, rejected) = (event("retry-twice"), event("reject"));
    transport.publish(again.clone()).await.unwrap();
    eventually("the first event is settled", async || (handle.counters().settled == 1).then_some(())).await;
    transport.publish(rejected.clone()).await.unwrap();
    eventually("the second one, too", async || (handle.counters().settled == 2).then_some(())).await;
    handle.stop(Duration::from_secs(10)).await;
    running.await.unwrap().unwrap();
    transport.shutdown().await.unwrap();

    let attempts = spans.of("event_dispatch");
    let told = |name: &str| attempts.iter().map(|span| span[name].as_str()).collect::<Vec<_>>();
    assert_eq!(told("attempt"), ["1", "2", "3", "1"]);
    assert_eq!(told("outcome"), ["retry", "retry", "done", "reject"]);
    assert_eq!(told("event_id")[2..], [again.id.to_string(), rejected.id.to_string()]);
    let of_all = [
        ("otel.kind", "consumer"),
        ("event_type", "demo.picky"),
        ("module_slug", "picky"),
        ("consumer_group", guesthouse_tests::house::GROUP),
        ("topic", "domain"),
        ("traceparent", TRACEPARENT),
    ];
    for (name, value) in of_all {
        assert!(told(name).iter().all(|found| *found == value), "{name}: {attempts:?}");
    }
    for number in ["queue_delay_ms", "latency_ms"] {
        assert!(told(number).iter().all(|found| found.parse::<u64>().is_ok()), "{number}: {attempts:?}");
    }
    let published = spans.of("event_publish");
    let ids: Vec<_> =
        published.iter().filter(|span| span["topic"] == "domain").map(|span| &span["event.id"]).collect();
    assert_eq!(ids, [&again.id.to_string(), &rejected.id.to_string()]);
    assert!(published.iter().any(|span| span["topic"] == "dlq"), "{published:?}");
    for span in &published {
        assert_eq!((&*span["otel.kind"], &*span["outcome"]), ("producer", "published"));
        assert_eq!(&*span["traceparent"], TRACEPARENT, "{span:?}");
        assert_eq!(&*span["event.type"], "demo.picky");
    }
    let all = format!("{attempts:?} {published:?}");
    assert!(!all.contains("behave"), "no payloads: {all}");
}
