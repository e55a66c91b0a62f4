//! Goal: a module that was built for the RusToK platform handles events here without being changed. Method: a module
//! that publishes the text it was given, and fails for one event; the text against the platform's, field by field.

use guesthouse_tests::client::{DLQ, DOMAIN, envelope_of};
use guesthouse_tests::envelope::{order, tenant, text};
use guesthouse_tests::house::{House, PARTITIONS, handler, with};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn a_module_of_the_platform_runs_as_it_is() {
    let house = House::new();
    let module = with(
        handler("on-order", "rustok-module"),
        &[
            ("/events", json!(["order.placed"])),
            ("/retry/attempts_max", json!(2)),
            ("/retry/backoff_min", json!("10ms")),
            ("/retry/backoff_max", json!("10ms")),
        ],
    );
    let mut host = house.start("host", &house.config(&[module]));
    host.until_reading(PARTITIONS).await;
    let client = house.client().await;
    let (good, bad) = (order(&tenant(1), "o1"), order(&tenant(2), ""));
    client.publish(&[good.clone(), bad.clone()]).await;
    host.until("both and the emit are settled", |counters| counters.settled == 3).await;

    let messages = client.read(DOMAIN).await;
    let emits: Vec<Value> = messages.iter().map(|(_, message)| envelope_of(message)).collect();
    let mirrored: Vec<_> = emits.iter().filter(|emit| emit["event_type"] == "order.mirrored").collect();
    assert_eq!(mirrored.len(), 1, "{emits:?}");
    assert_eq!(text(mirrored[0], "tenant_id"), tenant(1));
    let data = &mirrored[0]["event"]["data"];
    let event =
        json!({ "id": good["id"], "type": "order.placed", "schema_version": 1, "payload": good["event"] });
    let expected = json!({
        "dispatch_version": 1,
        "binding_id": "on-order",
        "binding_kind": "event",
        "phase": "event",
        "payload": { "binding_id": "on-order", "event": event },
    });
    assert_eq!(data["dispatch"], expected);
    assert_eq!(text(data, "denied"), "CAPABILITY_DENIED: sandbox capability `platform.http` is not granted");

    let dead = client.read(DLQ).await;
    assert_eq!(dead.len(), 1);
    let (_, letter) = &dead[0];
    assert_eq!(envelope_of(letter)["id"], bad["id"]);
    let header = |name: &str| letter.headers.get(name).map(|value| value.to_string());
    assert_eq!(header("gh-outcome").as_deref(), Some("retry"));
    assert_eq!(header("gh-attempts").as_deref(), Some("2"));
    assert_eq!(header("gh-reason").as_deref(), Some("the order has no id"));
    assert_eq!(host.stop().await.code, Some(0));
}
