//! Goal: each way in which an event can end has its name, and what is given up lies whole and explained in the dead
//! letter queue. Method: the guest `picky` behaves as told; counters, and each dead letter header by header.

use std::collections::BTreeMap;

use guesthouse_connector::ReceivedMessage;
use guesthouse_tests::client::{Client, DLQ, DOMAIN, envelope_of};
use guesthouse_tests::envelope::{picky, tenant, text};
use guesthouse_tests::house::{GROUP, House, PARTITIONS, handler, with};
use serde_json::{Value, json};

const BEHAVIOURS: [&str; 6] = ["done", "reject", "retry-twice", "trap", "loop", "grow"];

/// Behaviour, outcome, code, attempts and a part of the reason of each one that is given up.
const DEATHS: [(&str, &str, &str, u32, &str); 4] = [
    ("reject", "reject", "", 1, "the payload asks for a rejection"),
    ("trap", "trapped", "unreachable", 3, "the payload asks for a trap"),
    ("loop", "timed-out", "", 3, "no answer within 100ms"),
    ("grow", "out-of-memory", "", 3, "may have 16777216"),
];

fn handler_picky() -> Value {
    with(
        handler("picky", "picky"),
        &[
            ("/events", json!(["demo.picky"])),
            ("/limits/deadline", json!("100ms")),
            ("/limits/memory_max", json!("16MiB")),
            ("/retry/attempts_max", json!(3)),
            ("/retry/backoff_min", json!("10ms")),
            ("/retry/backoff_max", json!("50ms")),
        ],
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn each_behaviour_ends_in_its_outcome() {
    let house = House::new();
    let mut host = house.start("host", &house.config(&[handler_picky()]));
    host.until_reading(PARTITIONS).await;
    let client = house.client().await;
    // One tenant for each, so that none waits behind another.
    let events: Vec<Value> = (1..).zip(BEHAVIOURS).map(|(n, behave)| picky(&tenant(n), behave)).collect();
    client.publish(&events).await;
    let counters = host.until("all events are settled", |counters| counters.settled == 6).await;

    for (event, behave) in events.iter().zip(BEHAVIOURS) {
        let counted = &counters.tenants[text(event, "tenant_id")];
        let death = DEATHS.iter().find(|death| death.0 == behave);
        let dead_letters = death.map(|death| (death.1.to_owned(), 1)).into_iter().collect::<BTreeMap<_, _>>();
        assert_eq!(counted.dead_letters, dead_letters, "dead letters of `{behave}`");
        assert_eq!(counted.handled, u64::from(death.is_none()), "handled events of `{behave}`");
        let retried =
            if behave == "retry-twice" { 2 } else { death.map_or(0, |death| u64::from(death.3) - 1) };
        assert_eq!(counted.retried, retried, "attempts of `{behave}` that were followed by another");
    }
    expect_dead_letters(&client, &events).await;
    assert_eq!(host.stop().await.code, Some(0));
}

async fn expect_dead_letters(client: &Client, events: &[Value]) {
    let sources = client.read(DOMAIN).await;
    let dead: Vec<ReceivedMessage> = client.read(DLQ).await.into_iter().map(|(_, message)| message).collect();
    assert_eq!(dead.len(), DEATHS.len());
    for death in DEATHS {
        let event = &events[BEHAVIOURS.iter().position(|behave| *behave == death.0).unwrap()];
        let same_id = |message: &ReceivedMessage| envelope_of(message)["id"] == event["id"];
        let (partition, source) = sources.iter().find(|(_, message)| same_id(message)).unwrap();
        let letter = dead.iter().find(|message| same_id(message)).unwrap();
        assert_eq!(letter.payload, source.payload, "the payload of `{}` is the same byte for byte", death.0);
        assert_ne!(letter.id, source.id);
        expect_headers(letter, (partition.0, source), event, death);
    }
}

fn expect_headers(
    letter: &ReceivedMessage,
    (partition, source): (u32, &ReceivedMessage),
    event: &Value,
    (behave, outcome, code, attempts, reason): (&str, &str, &str, u32, &str),
) {
    let headers: BTreeMap<String, String> =
        letter.headers.iter().map(|(name, value)| (name.into_owned(), value.to_string())).collect();
    let header = |name: &str| {
        headers
            .get(name)
            .unwrap_or_else(|| panic!("`{behave}` has no header `{name}`: {headers:#?}"))
            .as_str()
    };
    let expected = [
        ("gh-topic", DOMAIN.to_owned()),
        ("gh-partition", partition.to_string()),
        ("gh-offset", source.offset.to_string()),
        ("gh-timestamp", source.timestamp_micros.to_string()),
        ("gh-group", GROUP.to_owned()),
        ("gh-tenant", text(event, "tenant_id").to_owned()),
        ("gh-event-id", text(event, "id").to_owned()),
        ("gh-event-type", "demo.picky".to_owned()),
        ("gh-handler", "picky".to_owned()),
        ("gh-outcome", outcome.to_owned()),
        ("gh-attempts", attempts.to_string()),
    ];
    for (name, value) in expected {
        assert_eq!(header(name), value, "header `{name}` of `{behave}`");
    }
    if !code.is_empty() {
        assert_eq!(header("gh-code"), code);
    }
    assert!(header("gh-reason").contains(reason), "reason of `{behave}`: {}", header("gh-reason"));
    for name in ["gh-schema", "gh-stream", "gh-message-id", "gh-component-digest", "gh-lane"] {
        assert!(!header(name).is_empty());
    }
    let number = |name: &str| header(name).parse::<u64>().unwrap_or_else(|_| panic!("`{name}` is no number"));
    assert!(number("gh-first-failed-at") >= source.timestamp_micros);
    assert!(number("gh-failed-at") >= number("gh-first-failed-at"));
    assert!(number("gh-duration-us") > 0);
    assert!(number("gh-memory-peak") > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_looping_guest_holds_up_nobody_else() {
    const LOOPS: u64 = 60;
    const ORDERS: u64 = 300;
    let house = House::new();
    let looping =
        with(handler_picky(), &[("/limits/deadline", json!("250ms")), ("/retry/attempts_max", json!(1))]);
    let totals = with(handler("totals", "order-totals"), &[("/events", json!(["order.placed"]))]);
    let mut config = house.config(&[looping, totals]);
    config["sandbox"]["workers"] = json!(2);
    let mut host = house.start("host", &config);
    host.until_reading(PARTITIONS).await;
    let (looper, neighbour) = (tenant(1), tenant(2));
    let mut events: Vec<Value> = (0..LOOPS).map(|_| picky(&looper, "loop")).collect();
    events.extend((0..ORDERS).map(|n| guesthouse_tests::envelope::order(&neighbour, &format!("order-{n}"))));
    events.extend((0..ORDERS).map(|n| guesthouse_tests::envelope::order(&looper, &format!("own-{n}"))));
    house.client().await.publish(&events).await;

    let counters = host
        .until("a loop is stopped, and all neighbours are handled", |counters| {
            let handled = |tenant| counters.tenants.get(tenant).map_or(0, |counted| counted.handled);
            let stopped = counters.dead_letters.contains_key("picky");
            stopped && handled(&neighbour) == ORDERS && handled(&looper) == ORDERS
        })
        .await;
    let stopped = counters.dead_letters["picky"]["timed-out"];
    assert!(stopped < LOOPS, "the neighbours waited until all {LOOPS} loops were over");
}
