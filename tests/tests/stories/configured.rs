//! Goal: guests are told what their operator configured, do not start without what they need, and no secret of
//! theirs gets out. Method: a guest that reads its configuration when it starts; guests that are made to say a
//! secret, and every place where the host could repeat it.

use guesthouse_tests::client::{DLQ, DOMAIN, envelope_of};
use guesthouse_tests::envelope::{envelope, order, picky, tenant};
use guesthouse_tests::house::{House, PARTITIONS, handler, with};
use serde_json::{Value, json};

/// It is an event's type as well, so that a guest that logs types says it.
const SECRET: &str = "demo.top-secret";

fn flag_orders(config: &Value) -> Value {
    with(
        handler("flag-orders", "flag-orders"),
        &[("/events", json!(["order.placed"])), ("/grants", json!(["config"])), ("/config", config.clone())],
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_is_told_its_configuration_before_its_first_event() {
    let house = House::new();
    let mut host = house.start("host", &house.config(&[flag_orders(&json!({ "threshold": 20_000 }))]));
    host.until_reading(PARTITIONS).await;
    let client = house.client().await;
    let of_total = |total: u64| {
        let data = json!({ "order_id": format!("of-{total}"), "total": total });
        envelope(&tenant(1), "order.placed", &json!({ "type": "OrderPlaced", "data": data }))
    };
    client.publish(&[of_total(20_000), of_total(20_001)]).await;
    host.until("both and the flag are settled", |counters| counters.settled == 3).await;
    let emits: Vec<Value> =
        client.read(DOMAIN).await.iter().map(|(_, message)| envelope_of(message)).collect();
    let flagged: Vec<_> = emits.iter().filter(|emit| emit["event_type"] == "order.flagged").collect();
    assert_eq!(flagged.len(), 1);
    assert_eq!(flagged[0]["event"]["data"], json!({ "order_id": "of-20001", "total": 20_001 }));
    assert_eq!(host.stop().await.code, Some(0));
}

#[tokio::test]
async fn a_guest_that_lacks_its_configuration_is_refused_in_its_own_words() {
    let house = House::new();
    for (config, expected) in [
        (json!({}), "the guest cannot get ready: expected `threshold` in the handler's config"),
        (
            json!({ "threshold": "many" }),
            "the guest cannot get ready: `threshold: many`: invalid digit found",
        ),
    ] {
        let ended = house.start("refused", &house.config(&[flag_orders(&config)])).ended().await;
        assert_eq!(ended.code, Some(2), "{}", ended.log);
        assert!(ended.log.contains(expected), "{}", ended.log);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_gets_out() {
    let house = House::new();
    let secret = house.keep("token", format!("{SECRET}\n").as_bytes());
    let told = |guest: &str| {
        with(
            handler(guest, guest),
            &[
                ("/grants", json!(["log", "config"])),
                ("/secrets", json!({ "token": { "file": secret } })),
                ("/events", json!(["demo.*"])),
            ],
        )
    };
    let mut host = house.start("host", &house.config(&[told("picky"), told("audit-log")]));
    host.until_reading(PARTITIONS).await;
    let client = house.client().await;
    let of_its_type = envelope(&tenant(1), SECRET, &json!({ "type": "Picky", "data": { "behave": "done" } }));
    client.publish(&[picky(&tenant(1), SECRET), of_its_type, order(&tenant(1), "1")]).await;
    host.until("all is settled", |counters| counters.settled == 3).await;

    let dead = client.read(DLQ).await;
    assert_eq!(dead.len(), 1);
    let reason = dead[0].1.headers.get("gh-reason").unwrap().to_string();
    assert!(reason.contains("unknown variant `[secret token]`, expected one of"), "{reason}");
    let ended = host.stop().await;
    assert_eq!(ended.code, Some(0));
    let said = ended.guest_lines();
    assert_eq!(said.iter().filter(|line| line.text.starts_with("[secret token] ")).count(), 1, "{said:?}");
    assert!(!ended.log.contains(SECRET), "{}", ended.log);
}
