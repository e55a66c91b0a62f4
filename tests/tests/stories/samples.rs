//! Goal: every sample event of the platform reaches the guests that it is meant for, under the right tenant.
//! Method: publish the ten samples to their topics, in JSON and in MessagePack, and read the lines that `audit-log`
//! writes about them.

use guesthouse_connector::OutgoingMessage;
use guesthouse_tests::envelope::{PLATFORM, message, text};
use guesthouse_tests::house::{handler, with};
use guesthouse_tests::program::GuestLine;
use guesthouse_tests::{House, builds};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn every_sample_reaches_its_guest() {
    let messages = samples().iter().map(message).collect();
    each_reaches_its_guest("json", messages).await;
}

/// The bytes are the platform's own.
#[tokio::test(flavor = "multi_thread")]
async fn every_sample_in_messagepack_reaches_its_guest() {
    let packed = |(sample, known): (&Value, Value)| {
        let mut message = message(sample);
        message.payload = bytes_of(text(&known, "msgpack_hex")).into();
        message
    };
    let known: Vec<Value> = read("rustok-sample-events.meta.json");
    each_reaches_its_guest("messagepack", samples().iter().zip(known).map(packed).collect()).await;
}

async fn each_reaches_its_guest(serialization: &str, messages: Vec<OutgoingMessage>) {
    let samples = samples();
    let house = House::new();
    let mut config = house.config(&[
        with(handler("audit", "audit-log"), &[("/grants", json!(["log"]))]),
        with(
            handler("audit-platform", "audit-log"),
            &[("/grants", json!(["log"])), ("/tenants", json!("platform"))],
        ),
    ]);
    config["subscriptions"][0]["topics"] = json!(["domain", "system"]);
    config["events"]["iggy"]["serialization"] = json!(serialization);
    let mut host = house.start("host", &config);
    host.until_reading(16).await;
    let client = house.client().await;
    for (sample, message) in samples.iter().zip(messages) {
        client.publish_messages(topic_of(sample), vec![message]).await;
    }

    let counters = host.until("all samples are settled", |counters| counters.settled == 10).await;
    assert_eq!((counters.received, counters.unmatched, counters.undecodable), (10, 0, 0));
    assert!(counters.dead_letters.is_empty(), "{:?}", counters.dead_letters);
    let mut lines = host.stop().await.guest_lines();
    let mut expected: Vec<GuestLine> = samples.iter().map(line_about).collect();
    lines.sort();
    expected.sort();
    assert_eq!(lines, expected);
}

/// The one line about a sample, by the one handler that it is meant for.
fn line_about(sample: &Value) -> GuestLine {
    let (kind, id, tenant) = (text(sample, "event_type"), text(sample, "id"), text(sample, "tenant_id"));
    let (handler, called) =
        if tenant == PLATFORM { ("audit-platform", "the platform") } else { ("audit", tenant) };
    GuestLine {
        handler: handler.to_owned(),
        tenant: tenant.to_owned(),
        text: format!("{kind} {id} of {called}, attempt 1"),
    }
}

fn topic_of(sample: &Value) -> &'static str {
    if text(sample, "event_type").starts_with("index.") { "system" } else { "domain" }
}

fn samples() -> Vec<Value> {
    read("rustok-sample-events.json")
}

fn read(file: &str) -> Vec<Value> {
    let file = builds::repository().join("tests/data").join(file);
    serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
}

fn bytes_of(hex: &str) -> Vec<u8> {
    let digits = |pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap();
    hex.as_bytes().chunks(2).map(digits).collect()
}
