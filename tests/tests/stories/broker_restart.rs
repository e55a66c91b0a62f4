//! Goal: when the broker dies and comes back, host and publisher go on without help and nothing is lost.
//! Method: kill the broker's process five times under load and start it again on the same directory and port.

use std::collections::BTreeSet;

use guesthouse_tests::client::{Client, DOMAIN, envelope_of};
use guesthouse_tests::envelope::{message, order, tenant, text};
use guesthouse_tests::house::{PARTITIONS, order_totals};
use guesthouse_tests::orders::OrderBook;
use guesthouse_tests::{House, eventually};
use tokio::sync::watch;

const RESTARTS: usize = 5;

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_comes_back_finds_everybody_at_work() {
    let Some(mut house) = House::beside_a_mortal_broker("broker-restart").await else { return };
    let mut host = house.start("host", &house.config(&[order_totals()]));
    host.until_reading(PARTITIONS).await;
    let client = house.client().await;
    let mut book = OrderBook::new(&client);
    let (stop, stopped) = watch::channel(false);
    let publisher = tokio::spawn(publish_until(stopped, client.clone()));

    for _ in 0..RESTARTS {
        let before = book.totals();
        eventually("the host goes on", async || {
            book.update().await;
            (book.totals() > before + 50).then_some(())
        })
        .await;
        house.broker().kill();
        house.broker().start_again().await;
    }

    stop.send_replace(true);
    let orders = publisher.await.unwrap();
    book.expect_totals(&orders).await;
    let placed: BTreeSet<String> = client
        .read(DOMAIN)
        .await
        .iter()
        .map(|(_, message)| envelope_of(message))
        .filter(|envelope| text(envelope, "event_type") == "order.placed")
        .map(|envelope| text(&envelope["event"]["data"], "order_id").to_owned())
        .collect();
    assert_eq!(placed, orders.into_iter().collect(), "the orders on the topic are those that were confirmed");
    let ended = host.stop().await;
    assert_eq!(ended.code, Some(0), "{}", ended.log);
}

/// Publishes orders until told to stop, each until it is confirmed, and tells which.
async fn publish_until(stop: watch::Receiver<bool>, client: Client) -> Vec<String> {
    let mut orders = Vec::new();
    while !*stop.borrow() {
        let name = format!("order-{}", orders.len());
        let envelope = order(&tenant(orders.len() as u128 % 40), &name);
        client.publish_messages(DOMAIN, vec![message(&envelope)]).await;
        orders.push(name);
    }
    orders
}
