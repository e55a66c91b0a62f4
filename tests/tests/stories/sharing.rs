//! Goal: two hosts in one group share the partitions and take over from each other, whichever way one of them ends.
//! Method: two programs beside one broker; one is killed, then another one is stopped, with orders before and after.

use guesthouse_tests::client::Client;
use guesthouse_tests::envelope::{order, tenant};
use guesthouse_tests::house::{PARTITIONS, order_totals};
use guesthouse_tests::orders::OrderBook;
use guesthouse_tests::{HostProgram, House};
use serde_json::Value;

const ORDERS_EACH: usize = 400;

#[tokio::test(flavor = "multi_thread")]
async fn hosts_share_and_take_over() {
    let house = House::beside_a_broker().await;
    let config = house.config(&[order_totals()]);
    let mut first = house.start("first", &config);
    first.until_reading(PARTITIONS).await;
    let client = house.client().await;
    let mut book = OrderBook::new(&client);
    let mut orders = Vec::new();

    let mut second = house.start("second", &config);
    share(&mut first, &mut second).await;
    place(&client, &mut orders).await;
    book.expect_totals(&orders).await;
    for host in [&mut first, &mut second] {
        host.until("both hosts have handled something", |counters| counters.settled > 0).await;
    }

    second.kill();
    place(&client, &mut orders).await;
    first.until_reading(PARTITIONS).await;
    book.expect_totals(&orders).await;

    let mut third = house.start("third", &config);
    share(&mut first, &mut third).await;
    place(&client, &mut orders).await;
    let ended = first.stop().await;
    assert_eq!(ended.code, Some(0), "{}", ended.log);
    third.until_reading(PARTITIONS).await;
    book.expect_totals(&orders).await;
    assert_eq!(third.stop().await.code, Some(0));
}

/// Waits until each of the two holds half of the partitions.
async fn share(one: &mut HostProgram, other: &mut HostProgram) {
    one.until_reading(PARTITIONS / 2).await;
    other.until_reading(PARTITIONS / 2).await;
}

/// Publishes some more orders, of enough tenants to reach every partition.
async fn place(client: &Client, orders: &mut Vec<String>) {
    let names: Vec<String> =
        (orders.len()..orders.len() + ORDERS_EACH).map(|n| format!("order-{n}")).collect();
    let envelopes: Vec<Value> = (0..).zip(&names).map(|(n, name)| order(&tenant(n % 50), name)).collect();
    client.publish(&envelopes).await;
    orders.extend(names);
}
