//! Goal: SIGTERM under load ends in order, with everything that was settled committed.
//! Method: stop a host in the middle of its work; stored offsets and a second host tell what was left.

use std::sync::atomic::{AtomicBool, Ordering};

use guesthouse_tests::client::{Client, DOMAIN};
use guesthouse_tests::envelope::{order, picky, tenant};
use guesthouse_tests::house::{GROUP, PARTITIONS, handler, order_totals, with};
use guesthouse_tests::orders::OrderBook;
use guesthouse_tests::{Ended, HostProgram, House, eventually};
use rustix::process::Signal;
use serde_json::{Value, json};

/// A tenant that no other order is of.
const ENDLESS: u128 = 1_000;

#[tokio::test(flavor = "multi_thread")]
async fn what_was_settled_is_committed() {
    let house = House::beside_a_broker().await;
    let mut config = house.config(&[order_totals()]);
    // Little enough to be finished in the time that a stopping host has, however slow the machine.
    config["dispatch"]["in_flight_events_max"] = json!(200);
    let client = house.client().await;
    let (first, orders) = stop_under_load(house.start("first", &config), &client).await;
    let report = first.report.unwrap();
    assert_eq!(report.unsettled, 0, "what was read was finished");
    assert_eq!(stored(&client).await, report.settled, "all that was settled is committed, and nothing else");

    let mut second = house.start("second", &config);
    OrderBook::new(&client).expect_totals(&orders).await;
    let rest = client.read(DOMAIN).await.len() as u64 - report.settled;
    second.until("the rest is settled", |counters| counters.settled == rest).await;
    assert_eq!(second.stop().await.report.unwrap().received, rest, "nothing was read twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn running_out_of_time_loses_nothing() {
    let house = House::beside_a_broker().await;
    // A guest that is never done with the one order that it gets, so that the time is never enough.
    let settings = [
        ("/events", json!(["order.placed"])),
        ("/tenants", json!([tenant(ENDLESS)])),
        ("/grants", json!(["log"])),
        ("/limits/deadline", json!("10m")),
    ];
    let mut config = house.config(&[order_totals(), with(handler("witness", "witness"), &settings)]);
    config["dispatch"]["drain"] = json!("1ms");
    let client = house.client().await;
    let mut first = house.start("first", &config);
    first.until_reading(PARTITIONS).await;
    let mut endless = order(&tenant(ENDLESS), "order-endless");
    endless["event"]["data"]["sequence"] = json!(1);
    endless["event"]["data"]["behave"] = json!("loop");
    client.publish(&[endless]).await;
    first.until("the endless order is read", |counters| counters.received > 0).await;
    let (first, mut orders) = stop_under_load(first, &client).await;
    orders.push("order-endless".to_owned());
    let report = first.report.unwrap();
    assert!(first.log.contains("will be read again"), "{}", first.log);
    assert!(report.unsettled > 0, "there was time enough to finish");
    assert!(stored(&client).await <= report.settled, "more is committed than was settled");

    let second = house.start("second", &house.config(&[order_totals()]));
    OrderBook::new(&client).expect_totals(&orders).await;
    drop(second);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_it_at_once() {
    let house = House::beside_a_broker().await;
    let looping = with(
        handler("picky", "picky"),
        &[("/events", json!(["demo.picky"])), ("/limits/deadline", json!("10m"))],
    );
    let mut config = house.config(&[looping]);
    config["dispatch"]["drain"] = json!("10m");
    let mut host = house.start("host", &config);
    house.client().await.publish(&[picky(&tenant(1), "loop")]).await;
    host.until("the guest loops", |counters| counters.received == 1).await;
    // Signals that come together are one, as `timeout` sends them to a process and its group.
    host.ask_to_stop();
    host.signal(Signal::CONT);
    host.ask_to_stop();
    host.until_logged("finishing what was read").await;
    let ended = stopped_again(host).await;
    assert_eq!(ended.code, Some(1), "{}", ended.log);
    assert!(ended.log.contains("second signal"), "{}", ended.log);
}

/// Asks a host to stop until it ends; the first of these signals may still belong to the one before.
async fn stopped_again(mut host: HostProgram) -> Ended {
    eventually("a second signal ends it", async || {
        if !host.has_ended() {
            host.ask_to_stop();
        }
        host.has_ended().then_some(())
    })
    .await;
    host.ended().await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_signal_that_asks_to_stop_drains() {
    let house = House::beside_a_broker().await;
    for signal in [Signal::HUP, Signal::QUIT, Signal::INT, Signal::TERM] {
        let mut host = house.start("host", &house.config(&[order_totals()]));
        host.until_reading(PARTITIONS).await;
        // These end nothing.
        host.signal(Signal::USR1);
        host.signal(Signal::USR2);
        host.signal(signal);
        host.signal(signal);
        let ended = host.ended().await;
        assert_eq!(ended.code, Some(0), "{signal:?}: {}", ended.log);
        assert!(ended.log.contains("finishing what was read"), "{signal:?}: {}", ended.log);
    }
}

/// Stops the host by SIGTERM while orders keep coming, until after its end. Gives back its end and the orders.
async fn stop_under_load(mut host: HostProgram, client: &Client) -> (Ended, Vec<String>) {
    host.until_reading(PARTITIONS).await;
    let has_ended = AtomicBool::new(false);
    let publishing = async {
        let mut orders: Vec<String> = Vec::new();
        // The last ones come after its end, so that something is left for the next host.
        let mut is_last = false;
        while !is_last {
            is_last = has_ended.load(Ordering::Relaxed);
            let numbers = orders.len()..orders.len() + 500;
            let named: Vec<String> = numbers.map(|n| format!("order-{n}")).collect();
            let envelopes: Vec<Value> =
                (0..).zip(&named).map(|(n, name)| order(&tenant(n % 100), name)).collect();
            client.publish(&envelopes).await;
            orders.extend(named);
        }
        orders
    };
    let stopping = async {
        host.until("the host is in the middle of it", |counters| counters.settled > 500).await;
        let ended = host.stop().await;
        has_ended.store(true, Ordering::Relaxed);
        ended
    };
    let (orders, ended) = tokio::join!(publishing, stopping);
    assert_eq!(ended.code, Some(0), "{}", ended.log);
    (ended, orders)
}

/// How many messages lie at or below the stored offsets.
async fn stored(client: &Client) -> u64 {
    client.stored_offsets(GROUP).await.values().map(|offset| offset.0 + 1).sum()
}
