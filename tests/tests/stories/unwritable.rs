//! Goal: when the dead letter topic is gone, nothing that needs it is committed, all else goes on, and it heals alone.
//! Method: an operator deletes the topic under a working host; events to give up and good ones follow.

use guesthouse_tests::client::{DLQ, DOMAIN};
use guesthouse_tests::envelope::{message, order, picky, tenant, text};
use guesthouse_tests::eventually;
use guesthouse_tests::house::{GROUP, House, PARTITIONS, handler, order_totals, with};
use serde_json::{Value, json};

const POISON: u64 = 60;

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_topic_that_is_gone_loses_nothing() {
    let house = House::new();
    let picky_handler = with(handler("picky", "picky"), &[("/events", json!(["demo.picky"]))]);
    let mut host = house.start("host", &house.config(&[order_totals(), picky_handler]));
    host.until_reading(PARTITIONS).await;
    let client = house.client().await;
    client.delete(DLQ).await;

    let poison: Vec<Value> = (0..POISON).map(|n| picky(&tenant(n.into()), "reject")).collect();
    let names: Vec<String> = (0..POISON).map(|n| format!("order-{n}")).collect();
    let orders: Vec<Value> = (0..).zip(&names).map(|(n, name)| order(&tenant(n), name)).collect();
    let mixed = poison.iter().zip(&orders).flat_map(|(bad, good)| [message(bad), message(good)]);
    client.publish_messages(DOMAIN, mixed.collect()).await;

    let settled = 3 * POISON;
    let counters = host
        .until("everything is settled", |counters| {
            counters.settled == settled && counters.unwritable_topics.is_empty()
        })
        .await;
    assert!(counters.publish_failures > 0, "the topic was gone, and that was counted");
    let mut dead: Vec<u128> = client.read(DLQ).await.iter().map(|(_, letter)| gh_event(letter)).collect();
    dead.sort_unstable();
    dead.dedup();
    let mut given_up: Vec<u128> = poison.iter().map(|event| id(text(event, "id"))).collect();
    given_up.sort_unstable();
    assert_eq!(dead, given_up);
    let on_topic = client.read(DOMAIN).await.len() as u64;
    eventually("everything on the topic is committed", async || {
        let stored = client.stored_offsets(GROUP).await;
        (stored.values().map(|offset| offset.0 + 1).sum::<u64>() == on_topic).then_some(())
    })
    .await;
    let ended = host.stop().await;
    assert_eq!(ended.code, Some(0), "{}", ended.log);
    assert!(ended.log.contains("cannot publish; what waits for it is not committed"), "{}", ended.log);
    assert!(ended.log.contains("publishing works again"), "{}", ended.log);
}

fn gh_event(letter: &guesthouse_connector::ReceivedMessage) -> u128 {
    id(&letter.headers.get("gh-event-id").expect("a dead letter names its event").to_string())
}

fn id(text: &str) -> u128 {
    text.parse::<uuid::Uuid>().expect("the id of an event is a UUID").as_u128()
}
