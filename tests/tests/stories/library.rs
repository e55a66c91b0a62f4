//! Goal: a program can embed the host: build it, watch it, stop it, and share its own connection with it.
//! Method: everything in this process, by the public API of the library alone.

use std::time::Duration;

use guesthouse::{Config, Host, MetricsCollector};
use guesthouse_connector::connector;
use guesthouse_tests::envelope::{order, tenant};
use guesthouse_tests::house::{PARTITIONS, order_totals};
use guesthouse_tests::orders::OrderBook;
use guesthouse_tests::wait::PATIENCE;
use guesthouse_tests::{Client, House, eventually};
use serde_json::Value;

#[tokio::test(flavor = "multi_thread")]
async fn a_host_lives_in_this_process() {
    let house = House::new();
    let file = house.write("host", &house.config(&[order_totals()]));
    let config = Config::load(&file, []).unwrap();
    let shared = connector(config.connector.mode);
    shared.connect(&config.connector).await.unwrap();
    let host = Host::builder().config(config).connector(shared.clone()).build().await.unwrap();
    let handle = host.handle();
    assert!(!handle.is_ready() && !handle.is_finished(), "it does not run yet");
    let running = tokio::spawn(host.run(std::future::pending()));
    eventually("the host is ready", async || {
        (handle.is_ready() && handle.counters().partitions == PARTITIONS).then_some(())
    })
    .await;

    let client = Client::over(shared.clone(), house.stream());
    let names: Vec<String> = (0..200).map(|n| format!("order-{n}")).collect();
    let envelopes: Vec<Value> = (0..).zip(&names).map(|(n, name)| order(&tenant(n % 7), name)).collect();
    client.publish(&envelopes).await;
    let mut book = OrderBook::new(&client);
    book.expect_totals(&names).await;
    eventually("orders and totals are settled", async || (handle.counters().settled == 400).then_some(()))
        .await;
    let metrics = MetricsCollector::new().host(&handle);
    eventually("the metrics say so, too", async || {
        let text = metrics.to_text().unwrap();
        [
            r#"guesthouse_settled_total{subscription="default"} 400"#,
            r#"guesthouse_handler_attempts_total{subscription="default",handler="order-totals",outcome="done"} 200"#,
            r#"guesthouse_published_total{subscription="default",topic="domain"} 200"#,
            r#"guesthouse_latency_seconds_count{subscription="default"} 200"#,
            r#"rustok_runtime_consumer_deliveries_total{consumer="default",outcome="done"} 200"#,
            r#"rustok_runtime_consumer_in_flight{consumer="default"} 0"#,
            r#"rustok_runtime_consumer_worker_starts_total{consumer="default"} 1"#,
        ]
        .iter()
        .all(|line| text.lines().any(|found| found == *line))
        .then_some(())
    })
    .await;
    let handled: u64 = handle.counters().tenants.values().map(|tenant| tenant.handled).sum();
    assert_eq!(handled, 200);

    tokio::time::timeout(PATIENCE, handle.stop(Duration::from_secs(10))).await.expect("the host stops");
    assert!(handle.is_finished() && !handle.is_ready());
    assert!(metrics.to_text().unwrap().contains("guesthouse_ready{subscription=\"default\"} 0"));
    let report = running.await.unwrap().unwrap();
    assert_eq!((report.counters.settled, report.counters.unsettled), (400, 0));
    shared.ping().await.expect("the connection is ours, so it is open still");
    client.publish(&[order(&tenant(1), "order-after")]).await;
    shared.shutdown().await.unwrap();
}
