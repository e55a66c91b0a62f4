//! Goal: a handler that fails at everything does not empty its topic into the dead letter queue, and its events wait.
//! Method: poison of two tenants for a handler that pauses long; counters, a stop, and a second host that pauses not.

use guesthouse::HandlerState;
use guesthouse_tests::House;
use guesthouse_tests::client::DLQ;
use guesthouse_tests::envelope::{order, picky, tenant};
use guesthouse_tests::house::{PARTITIONS, handler, order_totals, with};
use serde_json::{Value, json};

const POISON: u64 = 120;
const ORDERS: u64 = 50;

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_always_fails_is_paused() {
    let house = House::beside_a_broker().await;
    let failing = |on_failing: &str| {
        with(
            handler("picky", "picky"),
            &[
                ("/events", json!(["demo.picky"])),
                ("/order_by", json!("none")),
                ("/retry/attempts_max", json!(1)),
                ("/breaker/cool_down", json!("1h")),
                ("/breaker/cool_down_max", json!("1h")),
                ("/on_failing", json!(on_failing)),
            ],
        )
    };
    let mut host = house.start("pausing", &house.config(&[failing("pause"), order_totals()]));
    host.until_reading(PARTITIONS).await;
    let client = house.client().await;
    let poison = (0..POISON).map(|n| picky(&tenant((n % 2).into()), "trap"));
    let orders = (0..ORDERS).map(|n| order(&tenant((n % 2).into()), &format!("order-{n}")));
    client.publish(&poison.chain(orders).collect::<Vec<Value>>()).await;
    let counters = host
        .until("the failing handler is paused, and the other goes on", |counters| {
            let handled: u64 = counters.tenants.values().map(|tenant| tenant.handled).sum();
            let is_paused =
                counters.handlers.get("picky").is_some_and(|picky| picky.state == HandlerState::Paused);
            is_paused && handled == ORDERS
        })
        .await;
    assert_eq!(counters.handlers["order-totals"].state, HandlerState::Running);
    let ended = host.stop().await;
    assert_eq!(ended.code, Some(0), "{}", ended.log);
    assert!(ended.log.contains("the handler is paused"), "{}", ended.log);
    let dead = ended.report.unwrap().dead_letters["picky"]["trapped"];
    assert!(dead < POISON / 2, "{dead} of {POISON} events died before the handler was paused");

    let mut host = house.start("going-on", &house.config(&[failing("dead-letter"), order_totals()]));
    let client = house.client().await;
    host.until("the events that waited are given up, as is asked for now", |counters| {
        counters.received > 0 && counters.unsettled == 0 && counters.dead_letters.contains_key("picky")
    })
    .await;
    guesthouse_tests::eventually("all poison is in the dead letter queue", async || {
        let mut letters: Vec<u128> =
            client.read(DLQ).await.into_iter().map(|(_, message)| message.id).collect();
        letters.sort_unstable();
        letters.dedup();
        (letters.len() as u64 == POISON).then_some(())
    })
    .await;
    assert_eq!(host.stop().await.code, Some(0));
}
