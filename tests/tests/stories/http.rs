//! Goal: handlers reach the hosts of their list over HTTP and no others, and a host that never answers holds up nobody
//! else. Method: the guest `order-webhook` posts orders to a server on loopback that answers as its path says.

use std::collections::BTreeSet;

use guesthouse_tests::client::DLQ;
use guesthouse_tests::envelope::{order, tenant, text};
use guesthouse_tests::house::{PARTITIONS, handler, with};
use guesthouse_tests::receiver::{BROKEN_ONCE, ELSEWHERE, PROMPT, Receiver, SILENT};
use guesthouse_tests::{House, eventually};
use serde_json::{Value, json};

/// A handler that posts the orders of one tenant to a URL.
fn webhook(name: &str, tenant: &str, (host, url): (&str, &str)) -> Value {
    let settings = [
        ("/events", json!(["order.placed"])),
        ("/tenants", json!([tenant])),
        ("/grants", json!(["http", "config"])),
        ("/http_hosts", json!([host])),
        ("/config", json!({ "url": url })),
        ("/limits", json!({ "deadline": "10s" })),
        ("/retry", json!({ "backoff_min": "1ms", "backoff_max": "5ms" })),
    ];
    with(handler(name, "order-webhook"), &settings)
}

fn orders(tenant: &str, count: usize) -> Vec<Value> {
    (0..count).map(|n| order(tenant, &format!("order-{n}"))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_arrive_and_a_broken_server_is_tried_again() {
    const ORDERS: usize = 20;
    let (house, receiver) = (House::new(), Receiver::start().await);
    let shop = tenant(1);
    let config = house.config(&[webhook("webhook", &shop, (&receiver.host(), &receiver.url(BROKEN_ONCE)))]);
    let mut host = house.start("host", &config);
    host.until_reading(PARTITIONS).await;
    let events = orders(&shop, ORDERS);
    house.client().await.publish(&events).await;
    let all = ORDERS as u64;
    let counters = host.until("all orders are settled", |counters| counters.settled == all).await;
    let counted = &counters.tenants[&shop];
    assert_eq!((counted.handled, counted.retried, counted.dead_letters.len()), (all, all, 0));

    let requests = receiver.requests(BROKEN_ONCE);
    assert_eq!(requests.len(), 2 * ORDERS);
    for event in &events {
        let same: Vec<_> = requests.iter().filter(|request| request.key == text(event, "id")).collect();
        assert_eq!(same.len(), 2, "an order comes again under the same key");
        assert!(same.iter().all(|request| request.body == event["event"]), "{same:?}");
    }
    let ended = host.stop().await;
    assert_eq!(ended.code, Some(0), "{}", ended.log);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_not_listed_is_never_called() {
    let (house, listed, other) = (House::new(), Receiver::start().await, Receiver::start().await);
    let (stranger, redirected) = (tenant(1), tenant(2));
    let handlers = [
        webhook("stranger", &stranger, (&listed.host(), &other.url(PROMPT))),
        webhook("redirected", &redirected, (&listed.host(), &listed.url(ELSEWHERE))),
    ];
    let mut host = house.start("host", &house.config(&handlers));
    host.until_reading(PARTITIONS).await;
    let client = house.client().await;
    client.publish(&[order(&stranger, "a"), order(&redirected, "b")]).await;
    let counters = host.until("both orders are dead", |counters| counters.settled == 2).await;
    for (name, expected) in [("stranger", "HttpRequestDenied"), ("redirected", "answers 302")] {
        assert_eq!(counters.dead_letters[name]["reject"], 1);
        let dead = client.read(DLQ).await;
        let letter = dead.iter().map(|(_, message)| message).find(|message| {
            message.headers.get("gh-handler").is_some_and(|handler| handler.to_string() == name)
        });
        let reason = letter.and_then(|letter| letter.headers.get("gh-reason")).unwrap().to_string();
        assert!(reason.contains(expected), "{reason}");
    }
    assert!(other.requests(PROMPT).is_empty() && listed.requests(PROMPT).is_empty());
    assert_eq!(listed.requests(ELSEWHERE).len(), 1, "a redirect is a response and is not followed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_never_answers_holds_up_nobody_else() {
    const ORDERS: usize = 100;
    let (house, receiver) = (House::new(), Receiver::start().await);
    let (stuck, neighbour) = (tenant(1), tenant(2));
    let endless = [("/limits/deadline", json!("10m")), ("/order_by", json!("none"))];
    let silent = webhook("silent", &stuck, (&receiver.host(), &receiver.url(SILENT)));
    let handlers = [
        with(silent, &endless),
        webhook("prompt", &neighbour, (&receiver.host(), &receiver.url(PROMPT))),
        with(handler("plain", "no-op"), &[("/tenants", json!([neighbour]))]),
    ];
    let mut config = house.config(&handlers);
    config["sandbox"] = json!({ "workers": 1, "waiting_workers": 4 });
    config["dispatch"] = json!({ "drain": "100ms" });
    let mut host = house.start("host", &config);
    host.until_reading(PARTITIONS).await;
    let client = house.client().await;
    client.publish(&orders(&stuck, 20)).await;
    eventually("the stuck tenant has all the threads it may have", async || {
        (receiver.requests(SILENT).len() == 2).then_some(())
    })
    .await;

    client.publish(&orders(&neighbour, ORDERS)).await;
    let all = ORDERS as u64;
    let counters = host.until("the neighbour's orders are settled", |counters| counters.settled == all).await;
    assert_eq!(counters.tenants[&neighbour].handled, 2 * all, "by both of its handlers");
    let posted: BTreeSet<String> = receiver.requests(PROMPT).into_iter().map(|request| request.key).collect();
    assert_eq!(posted.len(), ORDERS);
    assert_eq!(receiver.requests(SILENT).len(), 2, "the stuck tenant still has only its share");
    assert_eq!((counters.tenants[&stuck].handled, counters.tenants[&stuck].dead_letters.len()), (0, 0));

    // Guests that wait do not keep the host from ending.
    let ended = host.stop().await;
    assert_eq!(ended.code, Some(0), "{}", ended.log);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_ends_with_the_deadline() {
    let (house, receiver) = (House::new(), Receiver::start().await);
    let shop = tenant(1);
    let silent = webhook("silent", &shop, (&receiver.host(), &receiver.url(SILENT)));
    let short = [("/limits/deadline", json!("100ms")), ("/retry/attempts_max", json!(2))];
    let mut host = house.start("host", &house.config(&[with(silent, &short)]));
    host.until_reading(PARTITIONS).await;
    house.client().await.publish(&[order(&shop, "a")]).await;
    let counters = host.until("the order is dead", |counters| counters.settled == 1).await;
    assert_eq!(counters.dead_letters["silent"]["timed-out"], 1);
    assert_eq!(receiver.requests(SILENT).len(), 2, "each attempt has asked");
}
