//! Goal: two tenants never see each other's events, and a third one's reach nobody.
//! Method: a handler bound to each of two tenants, events of three of them interleaved; counters and log lines tell.

use guesthouse_tests::House;
use guesthouse_tests::envelope::{order, tenant, text};
use guesthouse_tests::house::{PARTITIONS, handler, with};
use guesthouse_tests::program::GuestLine;
use serde_json::{Value, json};

const EVENTS_EACH: usize = 100;

#[tokio::test(flavor = "multi_thread")]
async fn tenants_see_their_own_events_only() {
    let tenants = [tenant(1), tenant(2), tenant(3)];
    let bound = |name: &str, tenant: &str| {
        with(handler(name, "audit-log"), &[("/grants", json!(["log"])), ("/tenants", json!([tenant]))])
    };
    let house = House::new();
    let config = house.config(&[bound("first", &tenants[0]), bound("second", &tenants[1])]);
    let mut host = house.start("host", &config);
    host.until_reading(PARTITIONS).await;
    let events: Vec<Value> =
        (0..3 * EVENTS_EACH).map(|n| order(&tenants[n % 3], &format!("order-{n}"))).collect();
    house.client().await.publish(&events).await;

    let all = 3 * EVENTS_EACH as u64;
    let counters = host.until("all events are settled", |counters| counters.settled == all).await;
    let handled: Vec<u64> = tenants.iter().map(|tenant| counters.tenants[tenant].handled).collect();
    assert_eq!(handled, [EVENTS_EACH as u64, EVENTS_EACH as u64, 0]);
    assert_eq!(counters.tenants[&tenants[2]].deliveries, 0);
    assert_eq!(counters.unmatched, EVENTS_EACH as u64);

    let mut lines = host.stop().await.guest_lines();
    let mut expected: Vec<GuestLine> =
        events.iter().filter_map(|event| line_about(event, &tenants)).collect();
    lines.sort();
    expected.sort();
    assert_eq!(lines, expected);
}

/// The one line about an event, if anybody shall see it.
fn line_about(event: &Value, tenants: &[String]) -> Option<GuestLine> {
    let (id, tenant) = (text(event, "id"), text(event, "tenant_id"));
    let place = tenants.iter().position(|bound| bound == tenant)?;
    Some(GuestLine {
        handler: (*["first", "second"].get(place)?).to_owned(),
        tenant: tenant.to_owned(),
        text: format!("order.placed {id} of {tenant}, attempt 1"),
    })
}
