//! Goal: a handler with a dedup window runs an event once, whoever brings it again: a host that died before it had
//! committed, or a producer. What is outside of the window, or replayed, runs again.
//! Method: the guest `witness` writes down every event it is given; a host that commits nothing is killed, and events are
//! published again under other message ids.

use std::collections::{BTreeMap, HashSet};

use guesthouse::Counters;
use guesthouse_connector::OutgoingMessage;
use guesthouse_tests::client::{Client, DOMAIN, envelope_of};
use guesthouse_tests::envelope::{envelope, message, tenant, text};
use guesthouse_tests::house::{PARTITIONS, handler, with};
use guesthouse_tests::{House, eventually, witness};
use serde_json::{Value, json};
use uuid::Uuid;

const TENANTS: u64 = 4;

/// Events of each tenant.
const EVENTS_EACH: u64 = 25;

const EVENTS: u64 = EVENTS_EACH * TENANTS;

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_a_producer_and_a_restart_repeat_nothing() {
    let house = House::beside_a_broker().await;
    let mut config = config(&house, &json!({ "within": "1h" }));
    config["dispatch"] = json!({ "commit_interval": "1h", "commit_events_max": 1_000_000 });
    let mut host = house.start("first", &config);
    host.until_reading(PARTITIONS).await;
    let client = house.client().await;
    let envelopes: Vec<Value> =
        (1..=EVENTS_EACH).flat_map(|n| (0..TENANTS).map(move |t| event(t, n))).collect();
    client.publish(&envelopes).await;
    host.until("all are handled", |counters| handled(counters) == EVENTS).await;
    let first = host.log();
    host.kill();

    let mut host = house.start("second", &config);
    host.until("all are recognised", |counters| deduplicated(counters) == EVENTS).await;
    client.publish_messages(DOMAIN, copies(&envelopes)).await;
    let counters = host.until("the copies, too", |counters| deduplicated(counters) == 2 * EVENTS).await;
    assert_eq!(handled(&counters), 0, "{counters:?}");
    let second = host.stop().await;
    assert_eq!(second.code, Some(0), "{}", second.log);

    let mut host = house.start("third", &config);
    host.until_reading(PARTITIONS).await;
    client.publish_messages(DOMAIN, copies(&envelopes)).await;
    host.until("and those after a restart", |counters| deduplicated(counters) == EVENTS).await;
    let third = host.stop().await;
    let runs = runs(&[&first, &second.log, &third.log]);
    assert_eq!(runs.len() as u64, EVENTS);
    assert!(runs.values().all(|runs| *runs == 1), "{runs:?}");
    expect_emits_of_one_run_each(&client).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_outside_of_the_window_or_replayed_runs_again() {
    let house = House::new();
    let mut host = house.start("host", &config(&house, &json!({ "events": 3 })));
    host.until_reading(PARTITIONS).await;
    let client = house.client().await;
    let envelopes: Vec<Value> = (1..=5).map(|n| event(0, n)).collect();
    client.publish(&envelopes).await;
    host.until("all are handled", |counters| handled(counters) == 5).await;

    client.publish_messages(DOMAIN, copies(&envelopes[4..])).await;
    host.until("the last one is recognised", |counters| deduplicated(counters) == 1).await;
    client.publish_messages(DOMAIN, copies(&envelopes[..1])).await;
    host.until("the first one is forgotten", |counters| handled(counters) == 6).await;
    let mut replay = copies(&envelopes[4..]);
    replay[0].headers.insert("gh-replays", 1_u32).unwrap();
    client.publish_messages(DOMAIN, replay).await;
    let counters = host.until("a replay runs again", |counters| handled(counters) == 7).await;
    assert_eq!(deduplicated(&counters), 1, "{counters:?}");
    let ended = host.stop().await;
    assert_eq!(ended.code, Some(0), "{}", ended.log);
    let runs = runs(&[&ended.log]);
    let of = |envelope: &Value| runs[text(envelope, "id")];
    assert_eq!(envelopes.iter().map(of).collect::<Vec<_>>(), [2, 1, 1, 1, 2]);
}

fn config(house: &House, window: &Value) -> Value {
    let settings = [
        ("/events", json!(["torture.steady"])),
        ("/grants", json!(["log"])),
        ("/emit_topics", json!(["system"])),
        ("/limits/log_lines_max", json!(10_000)),
        ("/dedup", window.clone()),
    ];
    let mut config = house.config(&[with(handler("witness", "witness"), &settings)]);
    config["sandbox"]["state"] = json!({ "path": house.data_dir().with_extension("redb") });
    config
}

fn event(of: u64, sequence: u64) -> Value {
    let data = json!({ "sequence": sequence, "behave": "done" });
    envelope(&tenant(of.into()), "torture.steady", &json!({ "type": "Witnessed", "data": data }))
}

/// The same events as other messages, so that the broker takes them for new ones.
fn copies(envelopes: &[Value]) -> Vec<OutgoingMessage> {
    let copy = |envelope| OutgoingMessage { id: Uuid::new_v4().as_u128(), ..message(envelope) };
    envelopes.iter().map(copy).collect()
}

fn handled(counters: &Counters) -> u64 {
    counters.tenants.values().map(|tenant| tenant.handled).sum()
}

fn deduplicated(counters: &Counters) -> u64 {
    counters.tenants.values().map(|tenant| tenant.deduplicated).sum()
}

/// How often a guest was given each event.
fn runs(logs: &[&str]) -> BTreeMap<String, u32> {
    let mut runs = BTreeMap::new();
    for (_, id) in logs.iter().flat_map(|log| witness::runs(log)) {
        *runs.entry(id).or_default() += 1;
    }
    runs
}

/// Waits until there is an emit about every event, and checks that each has one id, however often it lies there.
async fn expect_emits_of_one_run_each(client: &Client) {
    let (mut reader, mut causes, mut ids) = (client.reader(DOMAIN), HashSet::new(), HashSet::new());
    eventually("there are emits about every event", async || {
        for (_, message) in reader.more().await {
            let envelope = envelope_of(&message);
            if text(&envelope, "event_type") == "torture.witnessed" {
                causes.insert(text(&envelope, "causation_id").to_owned());
                ids.insert(message.id);
            }
        }
        (causes.len() as u64 == EVENTS).then_some(())
    })
    .await;
    assert_eq!(ids.len(), causes.len());
}
