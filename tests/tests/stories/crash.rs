//! Goal: a host that is killed at any moment loses nothing, and no stored offset ever ran ahead of what was settled.
//! Method: fifty kills at random moments under load; after each, stored offsets against the totals on the topic.

use std::time::Duration;

use guesthouse_tests::client::{Client, DOMAIN};
use guesthouse_tests::envelope::{message, order, tenant};
use guesthouse_tests::house::{GROUP, PARTITIONS, order_totals};
use guesthouse_tests::orders::OrderBook;
use guesthouse_tests::{House, eventually};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use tokio::sync::watch;

const KILLS: usize = 50;

/// Orders that are published together.
const BATCH: usize = 30;

const TENANTS: u128 = 300;

/// Names the seed of a run that is to be repeated.
const SEED: &str = "GUESTHOUSE_TEST_SEED";

#[tokio::test(flavor = "multi_thread")]
async fn fifty_kills_lose_nothing() {
    let seed = std::env::var(SEED).ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(rand::random);
    println!("the moments of the kills follow from {SEED}={seed}");
    let mut random = SmallRng::seed_from_u64(seed);
    let house = House::beside_a_broker().await;
    let config = house.config(&[order_totals()]);
    let mut host = house.start("host", &config);
    host.until_reading(PARTITIONS).await;
    let client = house.client().await;
    let mut book = OrderBook::new(&client);
    let (stop, stopped) = watch::channel(false);
    let mut settled = Vec::with_capacity(KILLS);
    let publisher = tokio::spawn(publish_until(stopped, client.clone()));

    for kill in 0..KILLS {
        if kill % 2 == 0 {
            // Every other life may come to work first; the others may end while they are still starting.
            let before = book.totals();
            eventually("the host comes to work", async || {
                book.update().await;
                (book.totals() > before).then_some(())
            })
            .await;
        }
        tokio::time::sleep(Duration::from_millis(random.random_range(0..400))).await;
        host.kill();
        let stored = client.stored_offsets(GROUP).await;
        book.update().await;
        settled.push(book.expect_settled_up_to(&stored));
        host = house.start("host", &config);
    }

    stop.send_replace(true);
    let orders = publisher.await.unwrap();
    book.expect_totals(&orders).await;
    // The totals are events of the same topic, and the last of them are read after the last order.
    let on_topic = client.read(DOMAIN).await.len() as u64;
    eventually("everything on the topic is committed", async || {
        let stored = client.stored_offsets(GROUP).await;
        (stored.values().map(|offset| offset.0 + 1).sum::<u64>() == on_topic).then_some(())
    })
    .await;
    let ended = host.stop().await;
    assert_eq!(ended.code, Some(0), "{}", ended.log);
    settled.dedup();
    println!("{} orders, {KILLS} kills, {} of them after progress", orders.len(), settled.len());
    assert!(settled.len() >= KILLS / 5, "every other life came to work, yet the offsets stood still");
}

/// Publishes orders of many tenants until told to stop, and tells which.
async fn publish_until(stop: watch::Receiver<bool>, client: Client) -> Vec<String> {
    let mut orders = Vec::new();
    while !*stop.borrow() {
        let names: Vec<String> = (orders.len()..).take(BATCH).map(|n| format!("order-{n}")).collect();
        let tenants = (orders.len() as u128..).map(|n| tenant(n % TENANTS));
        let envelopes = tenants.zip(&names).map(|(tenant, name)| order(&tenant, name));
        client.publish_messages(DOMAIN, envelopes.map(|envelope| message(&envelope)).collect()).await;
        orders.extend(names);
        // The pace of the load; nothing is synchronised by it.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    orders
}
