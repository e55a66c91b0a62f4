//! Goal: an event that takes the host down with it each time does so three times and no more, and costs nobody else.
//! Method: a guest that loops without end, and a host that is killed whenever it has the event; then the dead letter.

use guesthouse_tests::House;
use guesthouse_tests::client::DLQ;
use guesthouse_tests::envelope::{picky, tenant, text};
use guesthouse_tests::house::{PARTITIONS, handler, with};
use serde_json::{Value, json};

const INNOCENT: u64 = 30;
/// A kill may come before the guest has the event, and then does not count.
const KILLS_MAX: usize = 10;

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_kills_the_host_becomes_a_dead_letter() {
    let house = House::beside_a_broker().await;
    let looping = with(
        handler("picky", "picky"),
        &[("/events", json!(["demo.picky"])), ("/limits/deadline", json!("10m"))],
    );
    let mut config = house.config(&[looping]);
    config["sandbox"]["host_deaths_max"] = json!(3);
    let client = house.client().await;
    let killer = picky(&tenant(1), "loop");
    let mut events: Vec<Value> = (0..INNOCENT).map(|n| picky(&tenant((n % 3).into()), "done")).collect();
    events.insert(events.len() / 2, killer.clone());
    let mut host = house.start("host", &config);
    host.until_reading(PARTITIONS).await;
    client.publish(&events).await;
    let mut kills = 0;
    loop {
        let counters = host
            .until("the guest loops, or the event is given up", |counters| {
                let is_stuck = counters.received > 0 && counters.unsettled > 0;
                is_stuck || counters.dead_letters.contains_key("picky")
            })
            .await;
        if counters.dead_letters.contains_key("picky") {
            break;
        }
        kills += 1;
        assert!(kills <= KILLS_MAX, "the event still runs after {kills} kills:\n{}", host.log());
        host.kill();
        host = house.start("host", &config);
    }
    assert!(kills >= 3, "it was given up after {kills} deaths of the host");
    let counters = host.until("all else is settled", |counters| counters.unsettled == 0).await;
    assert_eq!(counters.dead_letters["picky"].keys().collect::<Vec<_>>(), ["host-crash"]);
    assert_eq!(counters.dead_letters["picky"]["host-crash"], 1);
    let letters = client.read(DLQ).await;
    let header = |name: &str| letters[0].1.headers.get(name).unwrap().to_string();
    assert_eq!((letters.len(), header("gh-event-id").as_str()), (1, text(&killer, "id")));
    assert_eq!((header("gh-outcome").as_str(), header("gh-attempts").as_str()), ("host-crash", "3"));
    assert_eq!(host.stop().await.code, Some(0));
}
