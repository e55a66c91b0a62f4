//! Goal: hosts that join and leave under load lose no event, keep the order of every lane, and repeat little.
//! Method: the guest `witness` writes down what it is given; the lines of all hosts, by the clock they share.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};

use guesthouse_tests::client::{Client, DOMAIN, envelope_of};
use guesthouse_tests::envelope::{envelope, tenant, text};
use guesthouse_tests::house::{PARTITIONS, handler, with};
use guesthouse_tests::{HostProgram, House, eventually, witness};
use serde_json::{Value, json};

const TENANTS: u128 = 40;

/// Events of each tenant in one request.
const EVENTS_EACH: u64 = 5;

/// Events that are published and not handled: enough to keep every partition busy.
const BACKLOG: u64 = 2_000;

/// Events of one partition that a host has in hand.
const IN_FLIGHT_EVENTS_MAX: u64 = 300;

/// How often a partition changes hands at most: half of them go to the second host, come back, and go again.
const CHANGES_MAX: u64 = 3 * PARTITIONS;

#[tokio::test(flavor = "multi_thread")]
async fn partitions_change_hands_under_load() {
    let house = House::beside_a_broker().await;
    let mut config = house.config(&[witness()]);
    config["dispatch"]["in_flight_events_max"] = json!(IN_FLIGHT_EVENTS_MAX);
    let mut first = house.start("first", &config);
    first.until_reading(PARTITIONS).await;
    let client = house.client().await;

    let is_over = AtomicBool::new(false);
    let (sent, logs) = tokio::join!(publish_until(&client, &is_over), async {
        let mut second = house.start("second", &config);
        share(&mut first, &mut second).await;
        let second = second.stop().await;
        assert_eq!(second.code, Some(0), "{}", second.log);
        first.until_reading(PARTITIONS).await;
        let mut third = house.start("third", &config);
        share(&mut first, &mut third).await;
        let first = first.stop().await;
        assert_eq!(first.code, Some(0), "{}", first.log);
        third.until_reading(PARTITIONS).await;
        is_over.store(true, Ordering::Relaxed);
        (third, [first.log, second.log])
    });
    let (third, [first, second]) = logs;
    until_all_are_witnessed(&client, sent.len()).await;
    let third = third.stop().await;

    let runs = runs([&first, &second, &third.log]);
    let repeated = runs.len() - sent.len();
    eprintln!("{} events, {repeated} of them repeated", sent.len());
    assert!(repeated as u64 <= CHANGES_MAX * IN_FLIGHT_EVENTS_MAX, "more was repeated than was in flight");
    expect_order(&sent, &runs);
}

fn witness() -> Value {
    with(
        handler("witness", "witness"),
        &[
            ("/events", json!(["torture.steady"])),
            ("/grants", json!(["log"])),
            ("/emit_topics", json!(["system"])),
            ("/limits/log_lines_max", json!(10_000)),
            ("/limits/log_bytes_max", json!("4MiB")),
        ],
    )
}

/// Waits until each of the two has handled events of its half of the partitions.
async fn share(one: &mut HostProgram, other: &mut HostProgram) {
    for host in [one, other] {
        host.until_reading(PARTITIONS / 2).await;
        let before = host.counters().map_or(0, |counters| counters.settled);
        host.until("the host has handled something", |counters| counters.settled > before + 200).await;
    }
}

/// Publishes events until told to stop. Tells tenant and place of each by its id.
async fn publish_until(client: &Client, is_over: &AtomicBool) -> HashMap<String, (u128, u64)> {
    let mut sent = HashMap::new();
    let mut sequence = 0;
    while !is_over.load(Ordering::Relaxed) {
        let mut envelopes = Vec::new();
        for _ in 0..EVENTS_EACH {
            sequence += 1;
            for n in 0..TENANTS {
                let data = json!({ "sequence": sequence, "behave": "done" });
                let event = json!({ "type": "Witnessed", "data": data });
                let envelope = envelope(&tenant(n), "torture.steady", &event);
                sent.insert(text(&envelope, "id").to_owned(), (n, sequence));
                envelopes.push(envelope);
            }
        }
        client.publish(&envelopes).await;
        let published = sent.len() as u64;
        // The guest emits once to this topic for each event it handles.
        eventually("the hosts keep up", async || {
            (client.count("system").await + BACKLOG >= published).then_some(())
        })
        .await;
    }
    sent
}

async fn until_all_are_witnessed(client: &Client, events: usize) {
    let mut reader = client.reader(DOMAIN);
    let mut witnessed = HashMap::new();
    eventually("every event is witnessed", async || {
        for (_, message) in reader.more().await {
            let envelope = envelope_of(&message);
            if text(&envelope, "event_type") == "torture.witnessed" {
                *witnessed.entry(text(&envelope, "causation_id").to_owned()).or_insert(0) += 1;
            }
        }
        (witnessed.len() == events).then_some(())
    })
    .await;
}

/// The ids of all events that guests were given, in the order in which they were.
fn runs(logs: [&str; 3]) -> Vec<String> {
    let mut runs = BTreeMap::new();
    for (time, id) in logs.into_iter().flat_map(witness::runs) {
        runs.insert((time, runs.len()), id);
    }
    runs.into_values().collect()
}

/// Checks that no event is run for the first time after a later one of its tenant, nor left out.
fn expect_order(sent: &HashMap<String, (u128, u64)>, runs: &[String]) {
    let mut reached: HashMap<u128, u64> = HashMap::new();
    for id in runs {
        let (tenant, sequence) = sent[id];
        let furthest = reached.entry(tenant).or_default();
        assert!(sequence <= *furthest + 1, "tenant {tenant}: {sequence} was run after {furthest}");
        *furthest = (*furthest).max(sequence);
    }
}
