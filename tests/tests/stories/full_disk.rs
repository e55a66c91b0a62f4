//! Goal: a full disk under the state of handlers, or a dead Redis server, is told at once and by its name, holds up the
//! handlers that keep state and nobody else, and heals without a restart and without a lost or doubled count.
//! Method: a host whose state lies on a small file system that is filled and emptied again; one whose server dies.

use std::fs;
use std::path::Path;
use std::process::Command;

use guesthouse_tests::client::{Client, DOMAIN, envelope_of};
use guesthouse_tests::endpoint::get;
use guesthouse_tests::envelope::{envelope, order, tenant, text};
use guesthouse_tests::house::{PARTITIONS, handler, order_totals, with};
use guesthouse_tests::redis::RedisServer;
use guesthouse_tests::{HostProgram, House, eventually};
use serde_json::{Value, json};

/// Large enough for an empty state and not for much more.
const DISK_BYTES: usize = 4 << 20;
const VISITS: u64 = 400;
const ORDERS: usize = 50;

/// A file system of its own; none, said aloud, when this user may not mount one.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mounted() -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let size = format!("size={DISK_BYTES}");
        let mount =
            Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(directory.path()).status();
        if mount.is_ok_and(|status| status.success()) {
            return Some(Self(directory));
        }
        eprintln!("SKIPPED: full disk: this user may not mount a file system");
        None
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Leaves no room; gives back the file that takes it.
    fn fill(&self) -> std::path::PathBuf {
        let file = self.path().join("space");
        let written = fs::write(&file, vec![1; 2 * DISK_BYTES]);
        assert!(written.is_err(), "the disk is smaller than that");
        file
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(self.path()).status());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_told_and_heals() {
    let Some(disk) = SmallDisk::mounted() else { return };
    let house = House::beside_a_broker().await;
    let config = stateful(&house, &json!({ "path": disk.path().join("state.redb") }));
    let mut host = start(&house, &config).await;
    let client = house.client().await;
    let space = disk.fill();
    visit(&client).await;
    expect_trouble(&host, "No space left").await;
    others_go_on(&mut host, &client).await;
    fs::remove_file(space).unwrap();
    healed(&host).await;
    expect_visits(&client).await;
    expect_one_line_each(&host.stop().await.log);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_redis_server_is_told_and_comes_back() {
    let house = House::beside_a_broker().await;
    let redis = RedisServer::start().await;
    let config = stateful(&house, &json!({ "store": "redis", "redis_url": redis.url() }));
    let mut host = start(&house, &config).await;
    let client = house.client().await;
    redis.freeze();
    visit(&client).await;
    expect_trouble(&host, "Redis at 127.0.0.1").await;
    others_go_on(&mut host, &client).await;
    redis.thaw();
    healed(&host).await;
    expect_visits(&client).await;
    expect_one_line_each(&host.stop().await.log);
}

fn stateful(house: &House, state: &Value) -> Value {
    let visits = [("/events", json!(["shop.visited"])), ("/grants", json!(["state"]))];
    let visits = with(handler("visit-counter", "visit-counter"), &visits);
    let mut config = house.config(&[visits, order_totals()]);
    config["sandbox"]["state"] = state.clone();
    config["metrics"] = json!({ "listen": "127.0.0.1:0" });
    config["health"] = json!({ "every": "200ms" });
    config
}

async fn start(house: &House, config: &Value) -> HostProgram {
    let mut host = house.start("host", config);
    host.until_reading(PARTITIONS).await;
    host
}

/// Events of one customer, so that their counts are the numbers from one on.
async fn visit(client: &Client) {
    let data = json!({ "customer_id": "ada" });
    let event = json!({ "type": "ShopVisited", "data": data });
    let visits: Vec<Value> = (0..VISITS).map(|_| envelope(&tenant(1), "shop.visited", &event)).collect();
    client.publish(&visits).await;
}

async fn causes(host: &HostProgram) -> Vec<(String, String)> {
    let log = host.log();
    let address = log.split("metrics and health at http://").nth(1).unwrap().split('/').next().unwrap();
    let body = get(address.parse().unwrap(), "/health/ready").await.unwrap().1;
    let health: Value = serde_json::from_str(&body).unwrap();
    let causes = health["details"]["causes"].as_array().unwrap().iter();
    causes.map(|cause| (text(cause, "code").to_owned(), text(cause, "message").to_owned())).collect()
}

async fn expect_trouble(host: &HostProgram, reason: &str) {
    eventually("health names the store", async || {
        let found = causes(host).await;
        found.iter().any(|(code, text)| code == "state_unwritable" && text.contains(reason)).then_some(())
    })
    .await;
}

/// Handlers without state are as quick as ever.
async fn others_go_on(host: &mut HostProgram, client: &Client) {
    let orders: Vec<Value> = (0..ORDERS).map(|n| order(&tenant(2), &format!("order-{n}"))).collect();
    client.publish(&orders).await;
    host.until("the orders are handled", |counters| {
        counters.tenants.get(&tenant(2)).is_some_and(|tenant| tenant.handled >= ORDERS as u64)
    })
    .await;
    assert!(causes(host).await.iter().any(|(code, _)| code == "state_unwritable"), "the store is still away");
}

async fn healed(host: &HostProgram) {
    eventually("health is well again", async || {
        let found = causes(host).await;
        found.iter().all(|(code, _)| code != "state_unwritable").then_some(())
    })
    .await;
}

/// Every visit is counted, once.
async fn expect_visits(client: &Client) {
    let mut reader = client.reader(DOMAIN);
    let mut counts = std::collections::BTreeMap::<u64, std::collections::BTreeSet<u128>>::new();
    eventually("every visit is counted", async || {
        for (_, message) in reader.more().await {
            let envelope = envelope_of(&message);
            if text(&envelope, "event_type") == "customer.visited" {
                let visits = envelope["event"]["data"]["visits"].as_u64().unwrap();
                counts.entry(visits).or_default().insert(message.id);
            }
        }
        (counts.len() as u64 >= VISITS).then_some(())
    })
    .await;
    assert!(counts.keys().copied().eq(1..=VISITS), "{counts:?}");
    assert!(counts.values().all(|ids| ids.len() == 1), "{counts:?}");
}

/// However many events and tries there were, the log has a line for the failure and one for its end.
fn expect_one_line_each(log: &str) {
    let lines = |text: &str| log.lines().filter(|line| line.contains(text)).count();
    let (failures, ends) = (lines("wait, and it is"), lines("works again after"));
    assert!((1..=3).contains(&failures) && failures == ends, "{failures} failures, {ends} ends in\n{log}");
}
