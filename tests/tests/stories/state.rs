//! Goal: what an event writes to its handler's state counts exactly once, whatever dies, and is its tenant's alone.
//! Method: a guest that counts visits and emits each count; hosts are killed under load, and no count may be missing
//! or come twice.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use guesthouse_tests::client::{Client, DLQ, DOMAIN, TopicReader, envelope_of};
use guesthouse_tests::envelope::{envelope, message, tenant, text};
use guesthouse_tests::house::{PARTITIONS, handler, with};
use guesthouse_tests::redis::RedisServer;
use guesthouse_tests::{HostProgram, House, eventually};
use rand::RngExt;
use serde_json::{Value, json};
use tokio::sync::watch;

const KILLS: usize = 10;

/// Orders that are published together.
const BATCH: usize = 30;

const TENANTS: usize = 20;

/// Customers of each tenant; those of all tenants have the same names.
const CUSTOMERS: usize = 3;

/// Tenant and customer.
type Customer = (String, String);

#[tokio::test(flavor = "multi_thread")]
async fn ten_kills_count_every_order_once() {
    let house = House::beside_a_broker().await;
    let state = house.keep("state", b"").with_extension("redb");
    let config = stateful(&house, &[visit_counter()], &json!({ "store": "embedded", "path": state }));
    let mut host = house.start("host", &config);
    host.until_reading(PARTITIONS).await;
    let client = house.client().await;
    let mut visits = Visits::new(&client);
    let (stop, stopped) = watch::channel(false);
    let publisher = tokio::spawn(publish_until(stopped, client.clone()));
    for _ in 0..KILLS {
        visits.more().await;
        pause().await;
        host.kill();
        host = house.start("host", &config);
    }
    stop.send_replace(true);
    visits.expect(&publisher.await.unwrap()).await;
    let ended = host.stop().await;
    assert_eq!(ended.code, Some(0), "{}", ended.log);
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_that_share_redis_count_every_order_once() {
    let house = House::beside_a_broker().await;
    let redis = RedisServer::start().await;
    let config = stateful(&house, &[visit_counter()], &json!({ "store": "redis", "redis_url": redis.url() }));
    let mut hosts: Vec<HostProgram> =
        ["first", "second"].map(|name| house.start(name, &config)).into_iter().collect();
    let client = house.client().await;
    let mut visits = Visits::new(&client);
    let (stop, stopped) = watch::channel(false);
    let publisher = tokio::spawn(publish_until(stopped, client.clone()));
    for kill in 0..KILLS / 2 {
        visits.more().await;
        pause().await;
        // Half of the partitions go to the other host, with what it has in hand.
        hosts.remove(0).kill();
        pause().await;
        hosts.push(house.start(&format!("host-{kill}"), &config));
    }
    stop.send_replace(true);
    visits.expect(&publisher.await.unwrap()).await;
    for host in hosts {
        let ended = host.stop().await;
        assert_eq!(ended.code, Some(0), "{}", ended.log);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_is_a_dead_letter_and_changes_nothing() {
    let house = House::new();
    // A key of three bytes and its count of eight fit once.
    let limited = [("/limits/state_stored_max", json!("15B")), ("/retry/on_limit", json!("dead-letter"))];
    let small = with(visit_counter(), &limited);
    let state = house.keep("state", b"").with_extension("redb");
    let config = stateful(&house, &[small], &json!({ "path": state }));
    let mut host = house.start("host", &config);
    host.until_reading(PARTITIONS).await;
    let client = house.client().await;
    let (first, second) = (tenant(1), tenant(2));
    let orders = [("ada", &first), ("bob", &first), ("ada", &first), ("bob", &second)];
    client.publish(&orders.map(|(customer, tenant)| order(tenant, customer))).await;
    let counters = host.until("all is settled", |counters| counters.settled >= 4).await;
    assert_eq!(counters.dead_letters["visit-counter"]["limit-exceeded"], 1, "{counters:?}");
    let mut visits = Visits::new(&client);
    visits.expect(&[("ada", &first), ("ada", &first), ("bob", &second)].map(owned)).await;
    let letters = client.read(DLQ).await;
    let [(_, letter)] = &letters[..] else { panic!("{letters:?}") };
    let headers = format!("{:?}", letter.headers);
    assert!(headers.contains("state-stored"), "{headers}");
    assert_eq!(host.stop().await.code, Some(0));
}

/// A configuration with these handlers and this place for their state.
fn stateful(house: &House, handlers: &[Value], state: &Value) -> Value {
    let mut config = house.config(handlers);
    config["sandbox"] = json!({ "state": state, "host_deaths_max": 0 });
    config
}

fn visit_counter() -> Value {
    let settings = [("/events", json!(["order.placed"])), ("/grants", json!(["state"]))];
    with(handler("visit-counter", "visit-counter"), &settings)
}

fn order(tenant: &str, customer: &str) -> Value {
    let data = json!({ "customer_id": customer });
    envelope(tenant, "order.placed", &json!({ "type": "OrderPlaced", "data": data }))
}

fn owned((customer, tenant): (&str, &String)) -> Customer {
    (tenant.clone(), customer.to_owned())
}

/// A moment of life between two kills; nothing is synchronised by it.
async fn pause() {
    let moment = rand::rng().random_range(0..400);
    tokio::time::sleep(Duration::from_millis(moment)).await;
}

/// Publishes orders until told to stop, and tells whose they were.
async fn publish_until(stop: watch::Receiver<bool>, client: Client) -> Vec<Customer> {
    let mut orders = Vec::new();
    while !*stop.borrow() {
        let next =
            (orders.len()..).map(|n| (tenant((n % TENANTS) as u128), format!("customer-{}", n % CUSTOMERS)));
        let next: Vec<Customer> = next.take(BATCH).collect();
        let messages = next.iter().map(|(tenant, customer)| message(&order(tenant, customer))).collect();
        client.publish_messages(DOMAIN, messages).await;
        orders.extend(next);
        // The pace of the load; nothing is synchronised by it.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    orders
}

/// The counts that were emitted.
struct Visits {
    reader: TopicReader,
    /// The message ids of each count of each customer.
    counts: BTreeMap<Customer, BTreeMap<u64, BTreeSet<u128>>>,
}

impl Visits {
    fn new(client: &Client) -> Self {
        Self { reader: client.reader(DOMAIN), counts: BTreeMap::new() }
    }

    async fn update(&mut self) {
        for (_, message) in self.reader.more().await {
            let envelope = envelope_of(&message);
            if text(&envelope, "event_type") == "customer.visited" {
                let data = &envelope["event"]["data"];
                let customer =
                    (text(&envelope, "tenant_id").to_owned(), text(data, "customer_id").to_owned());
                let visits = data["visits"].as_u64().expect("a count is a number");
                self.counts.entry(customer).or_default().entry(visits).or_default().insert(message.id);
            }
        }
    }

    fn total(&self) -> usize {
        self.counts.values().map(BTreeMap::len).sum()
    }

    /// Waits until something new was counted.
    async fn more(&mut self) {
        let before = self.total();
        eventually("the hosts come to work", async || {
            self.update().await;
            (self.total() > before).then_some(())
        })
        .await;
    }

    /// Waits until as many orders are counted as there were, and checks that the counts of each customer are those
    /// from one to the number of its orders, each emitted under one id.
    async fn expect(&mut self, orders: &[Customer]) {
        eventually("every order is counted", async || {
            self.update().await;
            (self.total() >= orders.len()).then_some(())
        })
        .await;
        let mut expected: BTreeMap<&Customer, u64> = BTreeMap::new();
        for customer in orders {
            *expected.entry(customer).or_default() += 1;
        }
        assert_eq!(self.counts.keys().collect::<Vec<_>>(), expected.keys().copied().collect::<Vec<_>>());
        for (customer, counts) in &self.counts {
            let found: Vec<u64> = counts.keys().copied().collect();
            assert_eq!(found, (1..=expected[customer]).collect::<Vec<u64>>(), "counts of {customer:?}");
            assert!(
                counts.values().all(|ids| ids.len() == 1),
                "a count of {customer:?} came from two events"
            );
        }
        println!("{} orders of {} customers are counted", orders.len(), expected.len());
    }
}
