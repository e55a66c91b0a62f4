//! Goal: a host says how it fares, with every cause by its name, to its embedder, over HTTP and on the command line.
//! Method: one thing after the other goes wrong with a host in this process and its broker, and comes back.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use guesthouse::{Config, Host, HostHandle, MetricsCollector};
use guesthouse_connector::{TopicAddress, TopicSpec, attach};
use guesthouse_tests::client::DLQ;
use guesthouse_tests::endpoint::{get, request, sample};
use guesthouse_tests::envelope::{order, picky, tenant};
use guesthouse_tests::house::{GROUP, handler, order_totals, with};
use guesthouse_tests::torture::fault::{Fault, Target, Trap};
use guesthouse_tests::torture::proxy::Proxy;
use guesthouse_tests::{House, builds, eventually};
use serde_json::{Value, json};

const POISON: u64 = 30;

/// Iggy's code for messages that could not be written, which says nothing for good.
const CANNOT_APPEND: u32 = 4_010;

fn config(house: &House) -> Value {
    let failing = |name: &str, tenant_id: String| {
        with(
            handler(name, "picky"),
            &[
                ("/events", json!(["demo.picky"])),
                ("/tenants", json!([tenant_id])),
                ("/retry/attempts_max", json!(1)),
            ],
        )
    };
    let pausing = with(
        failing("pausing", tenant(0)),
        &[
            ("/breaker/attempts_min", json!(5)),
            ("/breaker/cool_down", json!("1h")),
            ("/breaker/cool_down_max", json!("1h")),
        ],
    );
    let blocking = with(failing("blocking", tenant(1)), &[("/on_failure", json!("block"))]);
    let mut config = house.config(&[pausing, blocking, order_totals()]);
    config["metrics"] = json!({ "listen": "127.0.0.1:0" });
    config["health"] =
        json!({ "every": "100ms", "lag_max": 3, "dead_letters_max": 2, "stuck_after": "300ms" });
    config
}

/// Waits until exactly these causes are told everywhere alike.
async fn told(handle: &HostHandle, status: &str, causes: &[&str]) {
    let address = handle.endpoint().unwrap();
    eventually(&format!("{status} because of {causes:?}"), async || {
        let (code, body) = get(address, "/health/ready").await?;
        let health: Value = serde_json::from_str(&body).unwrap();
        let found = health["details"]["causes"].as_array()?.iter();
        let found: BTreeSet<_> = found.map(|cause| cause["code"].as_str().unwrap()).collect();
        let is_told = health["status"] == status && found == causes.iter().copied().collect();
        assert_eq!(code, if health["status"] == "unhealthy" { 503 } else { 200 });
        is_told.then_some(())
    })
    .await;
    let scrape = get(address, "/metrics").await.unwrap().1;
    let of = |cause: &str| sample(&scrape, &format!("guesthouse_health_cause{{cause=\"{cause}\"}}"));
    assert!(causes.iter().all(|cause| of(cause) == Some(1.0)), "{scrape}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_says_how_it_fares() {
    let Some(mut house) = House::beside_a_mortal_broker("health").await else { return };
    let config = Config::load(&house.write("host", &config(&house)), []).unwrap();
    let specs = config.topology.clone();
    let broker = attach(&config.connector).await.unwrap();
    let host = Host::builder().config(config).build().await.unwrap();
    let handle = host.handle();
    let running = tokio::spawn(host.run(std::future::pending()));
    told(&handle, "healthy", &[]).await;
    strangers_learn_nothing(handle.endpoint().unwrap()).await;

    let client = house.client().await;
    let poison = (0..POISON).map(|_| picky(&tenant(0), "trap"));
    let dead = std::iter::once(picky(&tenant(1), "reject"));
    client.publish(&poison.chain(dead).chain([order(&tenant(2), "order")]).collect::<Vec<_>>()).await;
    let failing = ["breaker_open", "dead_letters", "lag", "lane_blocked", "partition_stuck"];
    told(&handle, "degraded", &failing).await;
    every_metric_is_there(&handle).await;

    let system = topic(&specs, "system");
    let kept = TopicSpec { age_max: Some(Duration::from_secs(3_600)), ..system.clone() };
    broker.update_retention(house.stream(), &kept).await.unwrap();
    told(&handle, "degraded", &[&failing[..], &["topology_drift"]].concat()).await;
    broker.update_retention(house.stream(), &system).await.unwrap();

    broker.delete_topic(&TopicAddress::new(house.stream(), "system")).await.unwrap();
    let failing = [&failing[..], &["topic_made_again"]].concat();
    told(&handle, "degraded", &failing).await;
    let found = broker.topic_state(&TopicAddress::new(house.stream(), "system")).await.unwrap();
    assert_eq!(found.partitions.len(), system.partitions as usize);

    house.broker().kill();
    eventually("the broker is missed", async || {
        let health = handle.health();
        let causes = health.details.unwrap()["causes"].to_string();
        ["broker_unreachable", "not_reading", "not_observed"]
            .iter()
            .all(|cause| causes.contains(cause))
            .then_some(())
    })
    .await;
    house.broker().start_again().await;
    told(&handle, "degraded", &failing).await;

    handle.stop(Duration::from_secs(1)).await;
    running.await.unwrap().unwrap();
    let health = handle.health();
    assert_eq!(health.status, guesthouse::HealthStatus::Unhealthy);
    assert!(health.message.contains("the host has ended"), "{health:?}");
    assert_eq!(get(handle.endpoint().unwrap(), "/health/live").await, None, "nobody listens any more");
    drop(broker);
}

fn topic(specs: &[TopicSpec], name: &str) -> TopicSpec {
    specs.iter().find(|spec| spec.name == name).unwrap().clone()
}

/// What is scraped bears only names that the collector knows.
async fn every_metric_is_there(handle: &HostHandle) {
    let scrape = get(handle.endpoint().unwrap(), "/metrics").await.unwrap().1;
    let known: BTreeSet<&str> = MetricsCollector::names().collect();
    let types = scrape.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    let found: BTreeSet<&str> = types.collect();
    assert!(found.is_subset(&known), "{found:?}");
    for name in ["rustok_runtime_consumer_lag", "rustok_runtime_consumer_position_complete"] {
        assert!(found.contains(name), "{name} is missing in {scrape}");
    }
    let paused = r#"guesthouse_handler_paused_tenants{subscription="default",handler="pausing"}"#;
    assert_eq!(sample(&scrape, paused), Some(1.0), "{scrape}");
    assert!(!scrape.contains(&tenant(0)), "no tenants are in it");
}

async fn strangers_learn_nothing(address: SocketAddr) {
    let elsewhere = "GET /metrics HTTP/1.1\r\nHost: example.com\r\nConnection: close\r\n\r\n";
    assert_eq!(request(address, elsewhere).await.unwrap().0, 421);
    let post = "POST /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    assert_eq!(request(address, post).await.unwrap().0, 405);
    assert_eq!(get(address, "/etc/passwd").await.unwrap().0, 404);
    assert_eq!(get(address, "/health/live").await.unwrap(), (200, "alive\n".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_reads_and_what_takes_nothing_is_told() {
    let house = House::beside_a_broker().await;
    let mut written = config(&house);
    written["health"]["stuck_after"] = json!("1h");
    let addresses = &mut written["events"]["iggy"]["remote"]["addresses"];
    let proxy = Proxy::start(addresses[0].as_str().unwrap().parse().unwrap()).await;
    *addresses = json!([proxy.address()]);
    let refuse =
        |target| Trap { target, nth: 1, fault: Fault::Refuse { code: CANNOT_APPEND, times: u32::MAX } };

    proxy.set(refuse(Target::Join));
    let config = Config::load(&house.write("host", &written), []).unwrap();
    let host = Host::builder().config(config).build().await.unwrap();
    let handle = host.handle();
    let running = tokio::spawn(host.run(std::future::pending()));
    told(&handle, "unhealthy", &["not_reading", "partition_unread"]).await;
    proxy.heal();
    told(&handle, "healthy", &[]).await;

    proxy.set(refuse(Target::Publish(DLQ.to_owned())));
    let client = house.client().await;
    client.publish(&[picky(&tenant(0), "reject")]).await;
    told(&handle, "degraded", &["topic_unwritable"]).await;
    proxy.heal();
    told(&handle, "healthy", &[]).await;
    assert_eq!(client.read(DLQ).await.len(), 1);
    handle.stop(Duration::from_secs(10)).await;
    running.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_commits_are_told_and_made_up_for() {
    let house = House::beside_a_broker().await;
    let mut written = config(&house);
    written["health"]["stuck_after"] = json!("1h");
    // What is not committed counts as before the group.
    written["health"]["lag_max"] = json!(1_000);
    let addresses = &mut written["events"]["iggy"]["remote"]["addresses"];
    let proxy = Proxy::start(addresses[0].as_str().unwrap().parse().unwrap()).await;
    *addresses = json!([proxy.address()]);
    let fault = Fault::Refuse { code: CANNOT_APPEND, times: u32::MAX };
    proxy.set(Trap { target: Target::Store, nth: 1, fault });
    let config = Config::load(&house.write("host", &written), []).unwrap();
    let host = Host::builder().config(config).build().await.unwrap();
    let handle = host.handle();
    let running = tokio::spawn(host.run(std::future::pending()));
    told(&handle, "healthy", &[]).await;
    let client = house.client().await;
    client.publish(&(0..9).map(|n| order(&tenant(n), "order")).collect::<Vec<_>>()).await;
    told(&handle, "degraded", &["commits_refused"]).await;
    let counters = eventually("all is settled", async || {
        let counters = handle.counters();
        (counters.settled >= 9).then_some(counters)
    });
    let counters = counters.await;
    assert_eq!(counters.commits, 0, "{counters:?}");
    assert!(counters.troubles["commits_refused"] >= 1 && client.stored_offsets(GROUP).await.is_empty());
    // Nothing more comes: what was refused is stored all the same.
    proxy.heal();
    told(&handle, "healthy", &[]).await;
    assert!(!client.stored_offsets(GROUP).await.is_empty());
    handle.stop(Duration::from_secs(10)).await;
    running.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_asks_the_host_or_the_broker() {
    let house = House::beside_a_broker().await;
    let mut written = house.config(&[order_totals()]);
    let without = house.write("without", &written);
    let mut host = house.start("plain", &written);
    host.until_reading(guesthouse_tests::house::PARTITIONS).await;
    eventually("the broker finds all in order", async || (ask(&without).0 == 0).then_some(())).await;
    assert_eq!(host.stop().await.code, Some(0));
    let (code, health) = ask(&without);
    assert_eq!((code, &health["status"]), (1, &json!("degraded")));
    assert!(health["message"].as_str().unwrap().contains("nobody reads"), "{health}");

    written["metrics"] = json!({ "listen": "127.0.0.1:1" });
    let (code, health) = ask(&house.write("with", &written));
    assert_eq!((code, &health["status"]), (1, &json!("unhealthy")));
    assert!(health["message"].as_str().unwrap().contains("no host answers at 127.0.0.1:1"), "{health}");

    written["metrics"] = json!({ "listen": "127.0.0.1:0" });
    let host = house.start("shown", &written);
    host.until_logged("metrics and health at http://").await;
    let log = host.log();
    let address = log.split("http://").nth(1).unwrap().split('/').next().unwrap().to_owned();
    written["metrics"] = json!({ "listen": address });
    let asking = house.write("asking", &written);
    let health = eventually("the host is healthy", async || {
        let (code, health) = ask(&asking);
        (code == 0).then_some(health)
    });
    assert!(health.await["details"]["subscriptions"]["default"]["partitions"].is_u64());
    assert_eq!(host.stop().await.code, Some(0));
}

fn ask(config: &Path) -> (i32, Value) {
    let mut command = Command::new(builds::host());
    let asked = command.args(["health", "--json", "--config"]).arg(config).output().unwrap();
    (asked.status.code().unwrap(), serde_json::from_slice(&asked.stdout).unwrap())
}
