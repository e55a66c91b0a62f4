//! Goal: with `on_failure: block` nothing of a lane runs past a dead event, until a restart or a command lets it.
//! Method: a poisoned event between orders of one tenant, orders of another one; counters, stored offsets, a second
//! host, and the program's own commands.

use std::collections::BTreeSet;

use guesthouse::Counters;
use guesthouse_tests::House;
use guesthouse_tests::client::DLQ;
use guesthouse_tests::envelope::{picky, tenant, text};
use guesthouse_tests::house::{GROUP, PARTITIONS, handler, with};
use serde_json::{Value, json};

const BEFORE: usize = 5;
const BEHIND: usize = 20;

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_event_stops_its_lane() {
    let house = House::beside_a_broker().await;
    let picky_with = |on_failure: &str| {
        with(
            handler("picky", "picky"),
            &[("/events", json!(["demo.picky"])), ("/on_failure", json!(on_failure))],
        )
    };
    let (blocked, other) = (tenant(1), tenant(2));
    let mut events: Vec<Value> = (0..BEFORE).map(|_| picky(&blocked, "done")).collect();
    events.push(picky(&blocked, "reject"));
    events.extend((0..BEHIND).flat_map(|_| [picky(&blocked, "done"), picky(&other, "done")]));
    let mut host = house.start("blocking", &house.config(&[picky_with("block")]));
    host.until_reading(PARTITIONS).await;
    let client = house.client().await;
    client.publish(&events).await;
    let counters = host
        .until("the lane is blocked and the other tenant is done", |counters| {
            let handled = |tenant| counters.tenants.get(tenant).map_or(0, |counted| counted.handled);
            let lanes = counters.handlers.get("picky").map_or(0, |picky| picky.blocked_lanes);
            lanes == 1 && handled(&other) == BEHIND as u64
        })
        .await;
    assert_eq!(counters.tenants[&blocked].handled, BEFORE as u64);
    let ended = host.stop().await;
    assert_eq!(ended.code, Some(0), "{}", ended.log);
    assert!(ended.log.contains("a lane is blocked by a dead event"), "{}", ended.log);
    assert_eq!(client.read(DLQ).await.len(), 1);
    let stored: u64 = client.stored_offsets(GROUP).await.values().map(|offset| offset.0 + 1).sum();
    assert!(stored < events.len() as u64, "what stands behind the dead event is not committed");

    let mut host = house.start("skipping", &house.config(&[picky_with("skip")]));
    let counters = host
        .until("the rest is settled", |counters| {
            let handled = |tenant| counters.tenants.get(tenant).map_or(0, |counted| counted.handled);
            handled(&blocked) >= BEHIND as u64 && counters.unsettled == 0
        })
        .await;
    assert_eq!(counters.dead_letters["picky"]["reject"], 1, "the dead event was tried again");
    assert_eq!(host.stop().await.code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blocked_lane_is_released_by_command() {
    let house = House::beside_a_broker().await;
    let settings = [("/events", json!(["demo.picky"])), ("/on_failure", json!("block"))];
    let config = house.config(&[with(handler("picky", "picky"), &settings)]);
    let tenant = tenant(1);
    let mut host = house.start("host", &config);
    host.until_reading(PARTITIONS).await;
    let client = house.client().await;
    client.publish(&["done", "reject", "done"].map(|behave| picky(&tenant, behave))).await;
    let is_blocked = |counters: &Counters| {
        counters.handlers["picky"].blocked_lanes == 1 && counters.tenants[&tenant].handled == 1
    };
    host.until("the lane is blocked", |counters| {
        counters.handlers.contains_key("picky")
            && counters.tenants.contains_key(&tenant)
            && is_blocked(counters)
    })
    .await;

    let lanes: Value = serde_json::from_str(&house.parked(&config, &["list", "--json"]).await).unwrap();
    let name = text(&lanes[0], "lane");
    assert_eq!((lanes.as_array().map(Vec::len), text(&lanes[0], "state")), (Some(1), "blocked"));
    house.parked(&config, &["release", name]).await;
    host.until("it has died again", |counters| {
        counters.dead_letters["picky"]["reject"] == 2 && is_blocked(counters)
    })
    .await;
    house.parked(&config, &["release", name, "--skip-first"]).await;
    host.until("the rest is settled", |counters| {
        counters.tenants[&tenant].handled == 2 && counters.unsettled == 0
    })
    .await;
    // A broker that does not know ids again keeps both.
    let letters: BTreeSet<u128> = client.read(DLQ).await.iter().map(|(_, letter)| letter.id).collect();
    assert_eq!(letters.len(), 1, "both deaths are of one event");
    assert_eq!(host.stop().await.code, Some(0));
    assert_eq!(house.parked(&config, &["list", "--json"]).await.trim(), "[]");
}
