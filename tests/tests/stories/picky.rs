//! Goal: each way in which an event can end has its name, and what is given up lies whole and explained in the dead
//! letter queue. Method: the guest `picky` behaves as told; counters, and each dead letter header by header.

use std::collections::BTreeMap;

use guesthouse_connector::{OutgoingMessage, PartitionId, ReceivedMessage};
use guesthouse_tests::client::{Client, DLQ, DOMAIN, envelope_of};
use guesthouse_tests::envelope::{message, order, picky, tenant, text};
use guesthouse_tests::house::{GROUP, House, PARTITIONS, handler, with};
use serde_json::{Value, json};

const BEHAVIOURS: [&str; 6] = ["done", "reject", "retry-twice", "trap", "loop", "grow"];

/// How a behaviour is given up.
#[derive(Debug)]
struct Death {
    behave: &'static str,
    outcome: &'static str,
    code: Option<&'static str>,
    attempts: u64,
    /// What the reason contains.
    reason: &'static str,
}

const DEATHS: [Death; 4] = [
    Death {
        behave: "reject",
        outcome: "reject",
        code: None,
        attempts: 1,
        reason: "the payload asks for a rejection",
    },
    Death {
        behave: "trap",
        outcome: "trapped",
        code: Some("unreachable"),
        attempts: 3,
        reason: "the payload asks for a trap",
    },
    Death { behave: "loop", outcome: "timed-out", code: None, attempts: 3, reason: "no answer within 100ms" },
    Death { behave: "grow", outcome: "out-of-memory", code: None, attempts: 3, reason: "may have 16777216" },
];

/// A header of the producer's own, and its trace context.
const OWN_HEADERS: [(&str, &str); 2] =
    [("region", "eu"), ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")];

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
    client.publish_messages(DOMAIN, events.iter().map(message_with_headers).collect()).await;
    let counters = host.until("all events are settled", |counters| counters.settled == 6).await;

    for (event, behave) in events.iter().zip(BEHAVIOURS) {
        let counted = &counters.tenants[text(event, "tenant_id")];
        let death = DEATHS.iter().find(|death| death.behave == behave);
        let dead_letters: BTreeMap<_, _> =
            death.map(|death| (death.outcome.to_owned(), 1)).into_iter().collect();
        assert_eq!(counted.dead_letters, dead_letters, "dead letters of `{behave}`");
        assert_eq!(counted.handled, u64::from(death.is_none()), "handled events of `{behave}`");
        let retried = if behave == "retry-twice" { 2 } else { death.map_or(0, |death| death.attempts - 1) };
        assert_eq!(counted.retried, retried, "attempts of `{behave}` that were followed by another");
    }
    expect_dead_letters(&client, house.stream(), &events).await;
    assert_eq!(host.stop().await.code, Some(0));
}

fn message_with_headers(event: &Value) -> OutgoingMessage {
    let mut message = message(event);
    for (name, value) in OWN_HEADERS {
        message.headers.insert(name, value).unwrap();
    }
    message
}

async fn expect_dead_letters(client: &Client, stream: &str, events: &[Value]) {
    let sources = client.read(DOMAIN).await;
    let dead: Vec<ReceivedMessage> = client.read(DLQ).await.into_iter().map(|(_, message)| message).collect();
    assert_eq!(dead.len(), DEATHS.len());
    for death in &DEATHS {
        let event = &events[BEHAVIOURS.iter().position(|behave| *behave == death.behave).unwrap()];
        let same_id = |message: &ReceivedMessage| envelope_of(message)["id"] == event["id"];
        let (partition, source) = sources.iter().find(|(_, message)| same_id(message)).unwrap();
        let letter = dead.iter().find(|message| same_id(message)).unwrap();
        assert_eq!(letter.payload, source.payload, "the payload of {death:?} is the same byte for byte");
        assert_ne!(letter.id, source.id);
        let mut told = expected_headers((*partition, source), event, death);
        told.insert("gh-stream", stream.to_owned());
        expect_headers(letter, &told, death);
    }
}

/// The headers whose values are known beforehand.
fn expected_headers(
    (partition, source): (PartitionId, &ReceivedMessage),
    event: &Value,
    death: &Death,
) -> BTreeMap<&'static str, String> {
    let mut headers = BTreeMap::from([
        ("gh-schema", "1".to_owned()),
        ("gh-topic", DOMAIN.to_owned()),
        ("gh-partition", partition.to_string()),
        ("gh-offset", source.offset.to_string()),
        ("gh-message-id", text(event, "id").to_owned()),
        ("gh-timestamp", source.timestamp_micros.to_string()),
        ("gh-origin-timestamp", source.origin_timestamp_micros.to_string()),
        ("gh-group", GROUP.to_owned()),
        ("gh-tenant", text(event, "tenant_id").to_owned()),
        ("gh-event-id", text(event, "id").to_owned()),
        ("gh-event-type", "demo.picky".to_owned()),
        ("gh-handler", "picky".to_owned()),
        ("gh-outcome", death.outcome.to_owned()),
        ("gh-attempts", death.attempts.to_string()),
        ("gh-lane", "tenant".to_owned()),
    ]);
    headers.extend(OWN_HEADERS.map(|(name, value)| (name, value.to_owned())));
    headers.extend(death.code.map(|code| ("gh-code", code.to_owned())));
    headers
}

/// Checks that a dead letter has the headers that are known beforehand, those that only the host can know, and no
/// others.
fn expect_headers(letter: &ReceivedMessage, known: &BTreeMap<&str, String>, death: &Death) {
    let mut headers: BTreeMap<String, String> =
        letter.headers.iter().map(|(name, value)| (name.into_owned(), value.to_string())).collect();
    for (name, value) in known {
        assert_eq!(headers.remove(*name).as_ref(), Some(value), "header `{name}` of {death:?}");
    }
    let mut take = |name: &str| headers.remove(name).unwrap_or_else(|| panic!("{death:?} has no `{name}`"));
    let reason = take("gh-reason");
    assert!(reason.contains(death.reason), "the reason of {death:?} is: {reason}");
    assert!(take("gh-component-digest").starts_with("blake3:"));
    let mut number = |name: &str| take(name).parse::<u64>().unwrap();
    let (first, last) = (number("gh-first-failed-at"), number("gh-failed-at"));
    assert!(
        first <= last && (first == last) == (death.attempts == 1),
        "{death:?} failed at {first} and {last}"
    );
    assert!(number("gh-duration-us") > 0);
    assert!(number("gh-memory-peak") > 0);
    // What the guest last said and where it was may need more than one header.
    headers.retain(|name, _| !name.starts_with("gh-reason-"));
    assert!(headers.is_empty(), "{death:?} has headers that nobody expects: {headers:#?}");
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
    events.extend((0..ORDERS).map(|n| order(&neighbour, &format!("order-{n}"))));
    events.extend((0..ORDERS).map(|n| order(&looper, &format!("own-{n}"))));
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
