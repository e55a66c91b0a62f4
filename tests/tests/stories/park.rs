//! Goal: a dead event parks its lane, over restarts and changes of hosts, until an operator releases or drops it.
//! Method: poisoned events among good ones, the program's own commands, and the log of what each host did.

use guesthouse::HandlerCounters;
use guesthouse_connector::{OutgoingMessage, PartitionId, Partitioning, ReceivedMessage};
use guesthouse_tests::client::{Client, DLQ};
use guesthouse_tests::envelope::{envelope, tenant, text};
use guesthouse_tests::house::{GROUP, PARTITIONS, handler, with};
use guesthouse_tests::{HostProgram, House, eventually};
use serde_json::{Value, json};

/// Where lanes of the topic `domain` are parked.
const PARKED: &str = "domain-parked";

/// The guest `witness` writes down what it is given, in order.
fn parking() -> Value {
    with(
        handler("witness", "witness"),
        &[
            ("/events", json!(["demo.witnessed"])),
            ("/grants", json!(["log"])),
            ("/emit_topics", json!(["system"])),
            ("/on_failure", json!("park")),
        ],
    )
}

/// Events of a tenant with these numbers and ways to end.
fn events(tenant: &str, events: &[(u64, &str)]) -> Vec<Value> {
    let event = |(sequence, behave): &(u64, &str)| {
        let data = json!({ "sequence": sequence, "behave": behave });
        envelope(tenant, "demo.witnessed", &json!({ "type": "Witnessed", "data": data }))
    };
    events.iter().map(event).collect()
}

/// The lanes that are parked now.
async fn lanes(house: &House, config: &Value) -> Vec<Value> {
    serde_json::from_str(&house.parked(config, &["list", "--json"]).await).expect("a JSON array is printed")
}

/// What a guest wrote about the events of a tenant.
fn witnessed(log: &str, tenant: &str) -> Vec<String> {
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let lines = lines.filter(|line| line["target"] == "guest" && line["fields"]["tenant"] == tenant);
    let words = lines.filter_map(|line| {
        let message = line["fields"]["message"].as_str()?;
        Some(message.rsplit_once(' ')?.0.to_owned())
    });
    words.collect()
}

/// Waits until so many lanes and events of the handler are parked on a host.
async fn until_parked(host: &mut HostProgram, lanes: u64, events: u64) {
    let is_so = |witness: &HandlerCounters| (witness.parked_lanes, witness.parked_events) == (lanes, events);
    let what = format!("{lanes} lanes with {events} events are parked");
    host.until(&what, |counters| {
        counters.unsettled == 0 && counters.handlers.get("witness").is_some_and(is_so)
    })
    .await;
}

/// Publishes the same events of a good tenant behind those of a bad one, and waits until they are handled.
async fn publish(client: &Client, bad: &[Value], good: &[Value]) {
    client.publish(&[bad, good].concat()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_event_parks_its_lane_until_it_is_released() {
    let house = House::beside_a_broker().await;
    let (handler, bad, good) = (parking(), tenant(1), tenant(2));
    let config = house.config(std::slice::from_ref(&handler));
    let mut host = house.start("first", &config);
    host.until_reading(PARTITIONS).await;
    let client = house.client().await;
    publish(
        &client,
        &events(&bad, &[(0, "done"), (1, "reject"), (2, "done"), (3, "done")]),
        &events(&good, &[(0, "done")]),
    )
    .await;
    until_parked(&mut host, 1, 3).await;
    let ended = host.stop().await;
    assert_eq!(ended.code, Some(0), "{}", ended.log);
    assert_eq!(witnessed(&ended.log, &bad), ["handled 0", "failed 1"]);
    let stored = client.stored_offsets(GROUP).await;
    assert!(stored.values().any(|offset| offset.0 >= 3), "what is parked holds up no commit: {stored:?}");

    let mut host = house.start("second", &config);
    until_parked(&mut host, 1, 3).await;
    publish(&client, &events(&bad, &[(4, "done")]), &events(&good, &[(1, "done")])).await;
    until_parked(&mut host, 1, 4).await;
    let found = lanes(&house, &config).await;
    let [lane] = &found[..] else { panic!("one lane is parked: {found:?}") };
    assert_eq!(
        (&lane["tenant"], &lane["events"], &lane["state"]),
        (&json!(bad), &json!(4), &json!("parked"))
    );
    let letters = client.read(DLQ).await;
    let letter = uuid::Uuid::from_u128(letters[0].1.id).to_string();
    assert_eq!((letters.len(), text(lane, "behind")), (1, letter.as_str()));
    let name = text(lane, "lane");
    assert!(house.parked(&config, &["show", name]).await.contains("behind"));

    house.parked(&config, &["release", name]).await;
    host.until_logged("a parked lane is released").await;
    host.until("it is tried again, and dies again", |counters| counters.dead_letters.contains_key("witness"))
        .await;
    until_parked(&mut host, 1, 4).await;
    house.parked(&config, &["release", name, "--skip-first"]).await;
    until_parked(&mut host, 0, 0).await;
    publish(&client, &events(&bad, &[(5, "done")]), &[]).await;
    host.until("what comes later is handled as usual", |counters| {
        counters.tenants.get(&bad).is_some_and(|counted| counted.handled == 4)
    })
    .await;
    let ended = host.stop().await;
    let expected = ["failed 1", "handled 2", "handled 3", "handled 4", "handled 5"];
    assert_eq!(witnessed(&ended.log, &bad), expected);
    assert!(lanes(&house, &config).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parked_lane_moves_with_its_partition_and_may_be_dropped() {
    let house = House::beside_a_broker().await;
    let (handler, bad, good) = (parking(), tenant(1), tenant(2));
    let config = house.config(std::slice::from_ref(&handler));
    let mut first = house.start("first", &config);
    first.until_reading(PARTITIONS).await;
    let client = house.client().await;
    publish(&client, &events(&bad, &[(0, "reject"), (1, "done")]), &events(&good, &[(0, "done")])).await;
    until_parked(&mut first, 1, 2).await;
    let mut second = house.start("second", &config);
    second.until_reading(PARTITIONS / 2).await;
    first.kill();
    second.until_reading(PARTITIONS).await;
    publish(&client, &events(&bad, &[(2, "done")]), &[]).await;
    until_parked(&mut second, 1, 3).await;

    let lane = lanes(&house, &config).await.remove(0);
    house.parked(&config, &["drop", text(&lane, "lane"), "--first-only", "--yes"]).await;
    until_parked(&mut second, 1, 2).await;
    house.parked(&config, &["drop", text(&lane, "lane"), "--yes"]).await;
    until_parked(&mut second, 0, 0).await;
    publish(&client, &events(&bad, &[(3, "done")]), &[]).await;
    let counters = second
        .until("the lane goes on", |counters| {
            counters.tenants.get(&bad).is_some_and(|counted| counted.handled == 1)
        })
        .await;
    assert_eq!(counters.handlers["witness"].dropped_events, 3);
    assert_eq!(witnessed(&second.stop().await.log, &bad), ["handled 3"], "what is dropped never runs");
}

/// The claims that hosts have written to the parked topic, once there are so many.
async fn claims(client: &Client, count: u64) -> Vec<(PartitionId, ReceivedMessage)> {
    eventually("the hosts have claimed what is parked", async || {
        let records = client.read(PARKED).await;
        let claims: Vec<_> = records.into_iter().filter(|(_, record)| record.payload == "claim").collect();
        (claims.len() as u64 >= count).then_some(claims)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_that_comes_late_loses_nothing() {
    let house = House::beside_a_broker().await;
    let (handler, bad) = (parking(), tenant(1));
    let config = house.config(std::slice::from_ref(&handler));
    let mut first = house.start("first", &config);
    first.until_reading(PARTITIONS).await;
    let client = house.client().await;
    let late = claims(&client, PARTITIONS).await;
    first.kill();
    let mut second = house.start("second", &config);
    second.until_reading(PARTITIONS).await;
    claims(&client, 2 * PARTITIONS).await;
    let late = late.into_iter().map(|(partition, claim)| OutgoingMessage {
        id: claim.id.wrapping_add(1),
        partition: Partitioning::Partition(partition),
        headers: claim.headers.to_headers().unwrap(),
        payload: claim.payload,
    });
    client.publish_messages(PARKED, late.collect()).await;
    publish(&client, &events(&bad, &[(0, "reject"), (1, "done")]), &[]).await;
    second.until_logged("joining the group anew").await;
    claims(&client, 4 * PARTITIONS).await;
    until_parked(&mut second, 1, 2).await;
    let ended = second.stop().await;
    assert_eq!(ended.code, Some(0), "{}", ended.log);
    let lane = lanes(&house, &config).await.remove(0);
    assert_eq!((&lane["tenant"], &lane["events"]), (&json!(bad), &json!(2)));
}

#[tokio::test(flavor = "multi_thread")]
async fn many_lanes_are_released_or_dropped_by_one_command() {
    const LANES: u64 = 120;
    let house = House::beside_a_broker().await;
    let config = house.config(&[parking()]);
    let mut host = house.start("first", &config);
    host.until_reading(PARTITIONS).await;
    let client = house.client().await;
    let of_tenants = |from: u64, to: u64, told: &[(u64, &str)]| -> Vec<Value> {
        (from..to).flat_map(|number| events(&tenant(number.into()), told)).collect()
    };
    client.publish(&of_tenants(1, LANES + 1, &[(0, "reject"), (1, "done"), (2, "done")])).await;
    until_parked(&mut host, LANES, LANES * 3).await;

    let dry = house.parked(&config, &["release", "--all", "--skip-first", "--dry-run"]).await;
    let nothing = "nothing was written: this was a dry run\n";
    assert_eq!(dry, format!("120 lanes with 360 events, 0 commands written\n{nothing}"));
    let one = house.parked(&config, &["drop", "--all", "--tenant", &tenant(1), "--yes"]).await;
    assert!(one.contains("3 events of it are dropped\n1 lanes with 3 events, 1 commands written\n"), "{one}");
    until_parked(&mut host, LANES - 1, (LANES - 1) * 3).await;

    let found = lanes(&house, &config).await;
    let named: Vec<&str> = found.iter().take(2).map(|lane| text(lane, "lane")).collect();
    let two = house.parked(&config, &["release", "--skip-first", named[0], named[1], named[1]]).await;
    assert_eq!(two.matches("2 events of it run in order").count(), 2, "{two}");
    until_parked(&mut host, LANES - 3, (LANES - 3) * 3).await;

    let all = house.parked(&config, &["release", "--all", "--skip-first", "--handler", "witness"]).await;
    assert!(all.starts_with("117 lanes with 351 events, 117 commands written\n"), "{all}");
    until_parked(&mut host, 0, 0).await;
    let none = house.parked(&config, &["release", "--all"]).await;
    assert_eq!(none, "0 lanes with 0 events, 0 commands written\n");
    let ended = host.stop().await;
    assert_eq!(witnessed(&ended.log, &tenant(1)), ["failed 0"]);
    for number in 2..=LANES {
        let in_order = ["failed 0", "handled 1", "handled 2"];
        assert_eq!(witnessed(&ended.log, &tenant(number.into())), in_order, "of tenant {number}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_wait_is_spent_in_the_parked_topic_over_a_restart() {
    let house = House::beside_a_broker().await;
    let tenant = tenant(1);
    let retry = json!({ "attempts_max": 2, "backoff_max": "10s", "in_memory_max": "1s" });
    let handler = with(parking(), &[("/on_failure", json!("skip")), ("/retry", retry)]);
    let config = house.config(std::slice::from_ref(&handler));
    let mut host = house.start("first", &config);
    host.until_reading(PARTITIONS).await;
    let client = house.client().await;
    client.publish(&events(&tenant, &[(0, "later-once"), (1, "done")])).await;
    until_parked(&mut host, 1, 2).await;
    assert_eq!(lanes(&house, &config).await[0]["state"], json!("waiting"));
    let first = witnessed(&host.stop().await.log, &tenant);
    let mut host = house.start("second", &config);
    let counters = host
        .until("both are handled", |counters| {
            counters.tenants.get(&tenant).is_some_and(|counted| counted.handled == 2)
        })
        .await;
    assert!(counters.dead_letters.is_empty(), "{counters:?}");
    until_parked(&mut host, 0, 0).await;
    let all = [first, witnessed(&host.stop().await.log, &tenant)].concat();
    assert_eq!(all, ["failed 0", "handled 0", "handled 1"], "the attempt before the restart counts");
}
