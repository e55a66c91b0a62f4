//! Goal: hosts and brokers may start in any order, and a broker that comes back empty or with another password is worked
//! with again, without a restart of the host. Method: brokers that are killed, started late, and started on nothing.

use std::net::SocketAddr;
use std::path::Path;

use guesthouse_tests::client::{Client, DOMAIN};
use guesthouse_tests::endpoint::get;
use guesthouse_tests::envelope::{order, tenant, text};
use guesthouse_tests::house::{PARTITIONS, order_totals};
use guesthouse_tests::orders::OrderBook;
use guesthouse_tests::{HostProgram, House, eventually};
use serde_json::{Value, json};

const ORDERS: usize = 100;

#[tokio::test(flavor = "multi_thread")]
async fn a_host_waits_for_a_server_that_is_not_up_yet() {
    let Some(mut house) = House::beside_a_mortal_broker("late broker").await else { return };
    let mut config = house.config(&[order_totals()]);
    config["metrics"] = json!({ "listen": "127.0.0.1:0" });
    house.broker().kill();
    let mut host = house.start("early", &config);
    host.until_logged("the broker does not answer yet; it is waited for up to 1m").await;
    assert!(!host.has_ended());
    expect_causes(&host, &["starting"]).await;
    assert_eq!(get(address(&host), "/health/live").await.unwrap(), (200, "alive\n".to_owned()));
    house.broker().start_again().await;
    host.until_reading(PARTITIONS).await;
    place_and_expect(&house.client().await, "late").await;
    assert_eq!(get(address(&host), "/metrics").await.unwrap().0, 200);
    let ended = host.stop().await;
    let lines = |text: &str| ended.log.lines().filter(|line| line.contains(text)).count();
    assert_eq!(
        (ended.code, lines("does not answer yet"), lines("the broker answers after")),
        (Some(0), 1, 1)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stays_away_ends_the_host_after_the_stated_time() {
    let Some(mut house) = House::beside_a_mortal_broker("absent broker").await else { return };
    let mut config = house.config(&[order_totals()]);
    config["events"]["iggy"]["remote"]["wait_max"] = json!("600ms");
    house.broker().kill();
    let ended = house.start("patient", &config).ended().await;
    assert_eq!(ended.code, Some(1), "{}", ended.log);
    assert!(ended.log.contains("waited for up to 600ms"), "{}", ended.log);
    config["events"]["iggy"]["remote"]["wait_max"] = json!("0s");
    let ended = house.start("impatient", &config).ended().await;
    assert_eq!(ended.code, Some(1), "{}", ended.log);
    assert!(
        ended.log.contains("cannot open the broker") && !ended.log.contains("waited for"),
        "{}",
        ended.log
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_starts_empty_with_another_password_is_worked_with_again() {
    let Some(mut house) = House::beside_a_mortal_broker("empty broker").await else { return };
    let mut config = house.config(&[order_totals()]);
    let remote = &mut config["events"]["iggy"]["remote"];
    let file = house.keep("password", text(remote, "password").as_bytes());
    remote.as_object_mut().unwrap().remove("password");
    remote["password_file"] = json!(file);
    config["metrics"] = json!({ "listen": "127.0.0.1:0" });
    config["health"] = json!({ "every": "200ms" });
    let mut host = house.start("host", &config);
    host.until_reading(PARTITIONS).await;
    place_and_expect(&house.client().await, "first").await;
    // What no broker has confirmed cannot go back.
    host.until("offsets are committed", |counters| counters.commits > 0).await;

    house.broker().kill();
    house.broker().start_empty().await;
    let password = house.broker().access().password.clone();
    expect_causes(&host, &["not_reading"]).await;
    // As those who rotate passwords do: the new one takes the place of the old one at once.
    let beside = house.keep("password.new", format!("{password}\n").as_bytes());
    std::fs::rename(beside, &file).unwrap();
    expect_causes(&host, &["topic_made_again"]).await;
    place_and_expect(&house.client().await, "second").await;
    eventually("the host is ready", async || {
        let (code, health) = health(&host).await;
        (code == 200 && text(&health, "status") == "degraded").then_some(())
    })
    .await;
    expect_causes(&host, &["group_went_back", "topic_made_again"]).await;
    let ended = host.stop().await;
    assert_eq!(ended.code, Some(0), "{}", ended.log);
    assert!(ended.report.unwrap().handled_again > 0 && !ended.log.contains(&password));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_is_deleted_while_the_host_is_idle_is_made_again() {
    let house = House::beside_a_broker().await;
    let mut config = house.config(&[order_totals()]);
    config["metrics"] = json!({ "listen": "127.0.0.1:0" });
    config["health"] = json!({ "every": "200ms" });
    let mut host = house.start("host", &config);
    host.until_reading(PARTITIONS).await;
    let client = house.client().await;
    client.delete("system").await;
    client.delete(DOMAIN).await;
    expect_causes(&host, &["topic_made_again"]).await;
    assert_eq!(client.count("system").await, 0, "it is there again");
    place_and_expect(&client, "anew").await;
    let ended = host.stop().await;
    assert_eq!(ended.code, Some(0), "{}", ended.log);
    for topic in ["system", DOMAIN] {
        assert!(
            ended.log.contains(&format!("topic {topic} did not exist and was made again")),
            "{}",
            ended.log
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_did_to_the_group_while_the_host_slept_is_told() {
    let house = House::beside_a_broker().await;
    let mut config = house.config(&[order_totals()]);
    config["sandbox"]["journal_dir"] = json!(house.cache_dir().with_file_name("journal"));
    let mut host = house.start("first", &config);
    host.until_reading(PARTITIONS).await;
    place_and_expect(&house.client().await, "before").await;
    assert_eq!(host.stop().await.code, Some(0));
    put_back(&house.write("reset", &config));
    let mut host = house.start("second", &config);
    let wanted = ORDERS as u64;
    let counters = host.until("all is handled again", |counters| counters.handled_again >= wanted).await;
    assert!(counters.handled_again >= wanted, "{counters:?}");
    assert!(host.stop().await.log.contains("group-went-back: the stored offset of group"));
}

/// Puts the group at the beginning, as an operator does.
fn put_back(config: &Path) {
    let mut command = std::process::Command::new(guesthouse_tests::builds::host());
    let group = guesthouse_tests::house::GROUP;
    let ran =
        command.args(["groups", "reset", group, "--beginning", "--yes", "--config"]).arg(config).output();
    let ran = ran.unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
}

async fn health(host: &HostProgram) -> (u16, Value) {
    let (code, body) = get(address(host), "/health/ready").await.unwrap();
    (code, serde_json::from_str(&body).unwrap())
}

fn address(host: &HostProgram) -> SocketAddr {
    let log = host.log();
    let address = log.split("metrics and health at http://").nth(1).unwrap().split('/').next().unwrap();
    address.parse().unwrap()
}

async fn expect_causes(host: &HostProgram, wanted: &[&str]) {
    eventually(&format!("health tells of {wanted:?}"), async || {
        let (_, health) = health(host).await;
        let causes = health["details"]["causes"].as_array().unwrap();
        let has = |wanted: &&str| causes.iter().any(|cause| text(cause, "code") == *wanted);
        wanted.iter().all(has).then_some(())
    })
    .await;
}

async fn place_and_expect(client: &Client, life: &str) {
    let names: Vec<String> = (0..ORDERS).map(|n| format!("{life}-{n}")).collect();
    let orders: Vec<Value> = (0..).zip(&names).map(|(n, name)| order(&tenant(n % 50), name)).collect();
    client.publish(&orders).await;
    OrderBook::new(client).expect_totals(&names).await;
}
