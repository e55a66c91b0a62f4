//! Goal: a topic that was deleted and made anew, offsets and all, is read from its beginning, whatever was committed.
//! Method: a host works and stops, the topic is deleted, the next host makes it again and gets as many new orders.

use guesthouse_tests::House;
use guesthouse_tests::client::{Client, DOMAIN};
use guesthouse_tests::envelope::{order, tenant};
use guesthouse_tests::house::{PARTITIONS, order_totals};
use guesthouse_tests::orders::OrderBook;
use serde_json::Value;

const ORDERS: usize = 200;

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_made_anew_is_handled_from_its_beginning() {
    let house = House::beside_a_broker().await;
    let config = house.config(&[order_totals()]);
    let client = house.client().await;
    for life in ["first", "second"] {
        let mut host = house.start(life, &config);
        host.until_reading(PARTITIONS).await;
        place_and_expect(&client, life).await;
        let ended = host.stop().await;
        assert_eq!(ended.code, Some(0), "{}", ended.log);
        client.delete(DOMAIN).await;
    }
}

/// Publishes orders and waits for their totals; those of an earlier topic are gone.
async fn place_and_expect(client: &Client, life: &str) {
    let names: Vec<String> = (0..ORDERS).map(|n| format!("{life}-{n}")).collect();
    let orders: Vec<Value> = (0..).zip(&names).map(|(n, name)| order(&tenant(n % 50), name)).collect();
    client.publish(&orders).await;
    OrderBook::new(client).expect_totals(&names).await;
}
