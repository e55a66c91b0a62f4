//! Goal: killing the process that embeds the broker loses no message that was acknowledged, and reuses no offset.
//! Method: ten rounds of publishing over TCP from outside, kill, start, and comparing the log with what was confirmed.

use std::collections::BTreeMap;
use std::time::Duration;

use guesthouse_connector::{Offset, PartitionId};
use guesthouse_tests::House;
use guesthouse_tests::client::{Client, DOMAIN};
use guesthouse_tests::envelope::{message, order, tenant};
use guesthouse_tests::house::{PARTITIONS, order_totals};
use rand::RngExt;
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinSet;

const ROUNDS: usize = 10;

const PUBLISHERS: usize = 4;

type Log = BTreeMap<(PartitionId, Offset), u128>;

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_survives_the_broker() {
    let Some(house) = House::embedded("embedded-crash") else { return };
    // No handler wants these events, so nobody but the publisher writes to the topic.
    let mut nobody = order_totals();
    nobody["events"] = json!(["nothing.at.all"]);
    let config = house.config(&[nobody]);
    let mut host = house.start("host", &config);
    host.until_reading(PARTITIONS).await;
    let mut log = Log::new();
    let mut confirmed: Vec<u128> = Vec::new();

    for _ in 0..ROUNDS {
        let (counted, mut count) = watch::channel(0);
        let mut publishers = JoinSet::new();
        for _ in 0..PUBLISHERS {
            publishers.spawn(publish_until_it_fails(house.client().await, counted.clone()));
        }
        count.wait_for(|confirmed| *confirmed > 400).await.unwrap();
        tokio::time::sleep(Duration::from_millis(rand::rng().random_range(0..200))).await;
        host.kill();
        confirmed.extend(publishers.join_all().await.into_iter().flatten());
        host = house.start("host", &config);
        host.until_reading(PARTITIONS).await;
        log = compare(&log, &read_log(&house).await, &confirmed);
    }
    println!("{} confirmed, {} on the topic, {ROUNDS} kills", confirmed.len(), log.len());
    assert_eq!(host.stop().await.code, Some(0));
}

/// Checks that the log holds all that it held and all that was confirmed, once each and without a gap.
fn compare(before: &Log, after: &Log, confirmed: &[u128]) -> Log {
    for (place, id) in before {
        assert_eq!(after.get(place), Some(id), "what was at {place:?} is not there any more");
    }
    let mut places = BTreeMap::<u128, Vec<_>>::new();
    for (place, id) in after {
        places.entry(*id).or_default().push(place);
    }
    for id in confirmed {
        let found = places.get(id).map_or(0, Vec::len);
        assert_eq!(found, 1, "message {id:x} was confirmed and is there {found} times");
    }
    for (place, next) in after.keys().zip(after.keys().skip(1)) {
        let follows = if place.0 == next.0 { place.1.next() } else { Offset(0) };
        assert_eq!(next.1, follows, "the offset after {place:?} is {next:?}");
    }
    after.clone()
}

async fn read_log(house: &House) -> Log {
    let messages = house.client().await.read(DOMAIN).await;
    let length = messages.len();
    let log: Log = messages.into_iter().map(|(partition, m)| ((partition, m.offset), m.id)).collect();
    assert_eq!(log.len(), length, "an offset is there twice");
    log
}

/// Publishes until the broker is gone, and tells the ids of what was confirmed. What is refused is not repeated.
async fn publish_until_it_fails(client: Client, counted: watch::Sender<usize>) -> Vec<u128> {
    let mut confirmed = Vec::new();
    loop {
        let names = (confirmed.len()..).map(|n| format!("order-{n}"));
        let batch: Vec<_> = (0..20).zip(names).map(|(n, name)| message(&order(&tenant(n), &name))).collect();
        let ids: Vec<u128> = batch.iter().map(|message| message.id).collect();
        let left = client.try_publish(DOMAIN, batch).await.err().unwrap_or_default();
        let before = confirmed.len();
        confirmed.extend(ids.into_iter().filter(|id| left.iter().all(|message| message.id != *id)));
        counted.send_modify(|count| *count += confirmed.len() - before);
        if !left.is_empty() {
            return confirmed;
        }
    }
}
