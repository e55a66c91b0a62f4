//! Goal: SIGTERM under load ends in order, with everything that was settled committed.
//! Method: stop a host in the middle of its work; stored offsets and a second host tell what was left.

use guesthouse_tests::House;
use guesthouse_tests::client::DOMAIN;
use guesthouse_tests::envelope::{order, tenant};
use guesthouse_tests::house::{GROUP, PARTITIONS, order_totals};
use guesthouse_tests::orders::OrderBook;
use serde_json::{Value, json};

const ORDERS: usize = 20_000;

#[tokio::test(flavor = "multi_thread")]
async fn what_was_settled_is_committed() {
    let house = House::beside_a_broker().await;
    let mut config = house.config(&[order_totals()]);
    // Little enough to be finished in the time that a stopping host has, however slow the machine.
    config["dispatch"]["in_flight_events_max"] = json!(200);
    let mut host = house.start("first", &config);
    host.until_reading(PARTITIONS).await;
    let client = house.client().await;
    let names: Vec<String> = (0..ORDERS).map(|n| format!("order-{n}")).collect();
    let envelopes: Vec<Value> = (0..).zip(&names).map(|(n, name)| order(&tenant(n % 100), name)).collect();
    let publisher = tokio::spawn({
        let client = client.clone();
        async move {
            for chunk in envelopes.chunks(500) {
                client.publish(chunk).await;
            }
        }
    });

    host.until("the host is in the middle of it", |counters| counters.settled > 500).await;
    let report = host.report_after_stop().await;
    publisher.await.unwrap();
    assert_eq!(report.unsettled, 0, "what was read was finished");
    assert!(report.settled < 2 * ORDERS as u64, "the stop came too late to tell anything");
    let stored: u64 = client.stored_offsets(GROUP).await.values().map(|offset| offset.0 + 1).sum();
    assert_eq!(stored, report.settled, "all that was settled is committed, and nothing else");

    let second = house.start("second", &config);
    OrderBook::new(&client).expect_totals(&names).await;
    let rest = client.read(DOMAIN).await.len() as u64 - report.settled;
    let mut second = second;
    second.until("the rest is settled", |counters| counters.settled == rest).await;
    assert_eq!(second.report_after_stop().await.received, rest, "nothing was read twice");
}
