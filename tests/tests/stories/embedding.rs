//! Goal: a platform can wire a host as its documents show, and drop it without harm.
//! Method: run the example as a program; drop a host in this process in mid-work and let another one go on.

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use guesthouse::{Config, Host, IggyConfig, IggyTransport};
use guesthouse_tests::envelope::{order, tenant};
use guesthouse_tests::house::order_totals;
use guesthouse_tests::orders::OrderBook;
use guesthouse_tests::{Client, House, builds, eventually};
use serde_json::Value;
use tokio::sync::watch;

#[test]
fn the_example_runs() {
    let house = House::new();
    let file = house.write("host", &house.config(&[order_totals()]));
    let ran = Command::new(builds::example("embedded")).arg(file).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success(), "{err}");
    assert!(out.starts_with("guesthouse-") && out.contains(" is ready\n"), "{out}{err}");
    assert!(out.contains("2 settled\n"), "the order and its total: {out}{err}");
    assert!(out.contains("rustok_event_bus_published_total{transport=\"iggy\"} 1\n"), "{out}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_dropped_loses_nothing() {
    let house = House::new();
    let file = house.write("host", &house.config(&[order_totals()]));
    let config = Config::load(&file, []).unwrap();
    let transport = IggyTransport::new(IggyConfig::from(&config)).await.unwrap();
    let build =
        || Host::builder().config(config.clone()).connector(Arc::clone(transport.connector())).build();
    let (stop, stopped) = watch::channel(false);
    let first = build().await.unwrap().spawn(stopped.clone());
    eventually("the first host is ready", async || first.is_ready().then_some(())).await;

    let client = Client::over(Arc::clone(transport.connector()), house.stream());
    let names: Vec<String> = (0..500).map(|n| format!("order-{n}")).collect();
    let envelopes: Vec<Value> = (0..).zip(&names).map(|(n, name)| order(&tenant(n % 7), name)).collect();
    client.publish(&envelopes).await;
    eventually("it is at work", async || (first.counters().received > 0).then_some(())).await;
    let handle = first.handle().clone();
    drop(first);
    eventually("its end is known", async || handle.is_finished().then_some(())).await;
    assert!(!handle.is_ready());

    let second = build().await.unwrap().spawn(stopped);
    assert_ne!(second.instance_id(), handle.instance_id());
    OrderBook::new(&client).expect_totals(&names).await;
    stop.send_replace(true);
    eventually("the signal stops it", async || second.is_finished().then_some(())).await;
    second.stop(Duration::from_secs(10)).await.unwrap();
    transport.shutdown().await.unwrap();
}
