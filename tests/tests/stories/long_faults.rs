//! Goal: a host that the broker takes for dead, because it is frozen or cannot be heard, loses nothing and harms nobody
//! when it goes on.
//! Method: a broker as patient as an ordinary one, so that a story takes a minute; they are told when
//! `GUESTHOUSE_TEST_LONG` is set.

use std::net::SocketAddr;
use std::ops::Range;
use std::time::Duration;

use guesthouse_tests::client::Client;
use guesthouse_tests::envelope::{order, tenant};
use guesthouse_tests::house::{GROUP, PARTITIONS, order_totals};
use guesthouse_tests::orders::OrderBook;
use guesthouse_tests::torture::fault::{Fault, Target, Trap};
use guesthouse_tests::torture::proxy::Proxy;
use guesthouse_tests::{HostProgram, House};
use rustix::process::Signal;
use serde_json::{Value, json};

const LONG: &str = "GUESTHOUSE_TEST_LONG";

/// Longer than the broker waits for a member, and longer than any request does for its answer.
const DARK: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_was_frozen_until_others_had_its_partitions_goes_on() {
    if !is_asked_for("a_host_that_was_frozen_until_others_had_its_partitions_goes_on") {
        return;
    }
    let house = House::beside_a_broker().await;
    let config = house.config(&[order_totals()]);
    let mut frozen = house.start("frozen", &config);
    frozen.until_reading(PARTITIONS).await;
    let mut other = house.start("other", &config);
    other.until_reading(PARTITIONS / 2).await;
    let client = house.client().await;
    let mut orders = place(&client, 0..2_000).await;
    in_the_middle(&mut frozen).await;
    frozen.signal(Signal::STOP);
    orders.extend(place(&client, 2_000..4_000).await);
    other.until_reading(PARTITIONS).await;
    orders.extend(place(&client, 4_000..5_000).await);
    frozen.signal(Signal::CONT);
    orders.extend(place(&client, 5_000..6_000).await);
    frozen.until_reading(PARTITIONS / 2).await;
    other.until_reading(PARTITIONS / 2).await;
    orders.extend(place(&client, 6_000..7_000).await);
    expect(&client, &orders, vec![frozen, other]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_minute_in_which_nothing_passes_loses_nothing() {
    if !is_asked_for("a_minute_in_which_nothing_passes_loses_nothing") {
        return;
    }
    let house = House::beside_a_broker().await;
    let mut config = house.config(&[order_totals()]);
    let address = &mut config["events"]["iggy"]["remote"]["addresses"][0];
    let broker: SocketAddr = address.as_str().and_then(|address| address.parse().ok()).unwrap();
    let way = Proxy::start(broker).await;
    *address = json!(way.address().to_string());
    let mut host = house.start("host", &config);
    host.until_reading(PARTITIONS).await;
    let client = house.client().await;
    let mut orders = place(&client, 0..2_000).await;
    in_the_middle(&mut host).await;
    let mut dark = way.set(Trap { target: Target::Any, nth: 1, fault: Fault::BlackHole(DARK) });
    dark.wait().await;
    orders.extend(place(&client, 2_000..4_000).await);
    expect(&client, &orders, vec![host]).await;
}

fn is_asked_for(story: &str) -> bool {
    let asked = std::env::var_os(LONG).is_some();
    if !asked {
        eprintln!("SKIPPED: {story}: it takes more than a minute; set {LONG}=1");
    }
    asked
}

/// Places orders of these numbers, and tells their names.
async fn place(client: &Client, numbers: Range<u128>) -> Vec<String> {
    let name = |n| format!("order-{n}");
    let envelopes: Vec<Value> = numbers.clone().map(|n| order(&tenant(n % 100), &name(n))).collect();
    for some in envelopes.chunks(500) {
        client.publish(some).await;
    }
    numbers.map(name).collect()
}

async fn in_the_middle(host: &mut HostProgram) {
    host.until("the host is at work", |counters| counters.settled > 100).await;
}

/// Waits until every order has its total, and checks that no offset is stored ahead of one and that the hosts end in
/// order.
async fn expect(client: &Client, orders: &[String], hosts: Vec<HostProgram>) {
    let mut book = OrderBook::new(client);
    book.expect_totals(orders).await;
    let stored = client.stored_offsets(GROUP).await;
    book.update().await;
    book.expect_settled_up_to(&stored);
    for host in hosts {
        let ended = host.stop().await;
        assert_eq!(ended.code, Some(0), "{}", ended.log);
    }
}
