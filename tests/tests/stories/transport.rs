//! Goal: what a platform publishes through the transport is handled, by a host that shares the connection, once per
//! event id. Method: publish root and contract envelopes in every format, one wrong one among them.

use std::sync::Arc;
use std::time::Duration;

use guesthouse::{
    Config, ContractEventEnvelope, EventEnvelope, EventTransport, Format, Host, IggyConfig, IggyTransport,
    ReliabilityLevel,
};
use guesthouse_tests::house::{handler, with};
use guesthouse_tests::{House, builds, eventually};
use serde_json::json;
use uuid::Uuid;

#[tokio::test(flavor = "multi_thread")]
async fn what_the_platform_publishes_is_handled() {
    for format in Format::ALL {
        let house = House::new();
        let mut config = house.config(&[with(handler("audit", "audit-log"), &[("/grants", json!(["log"]))])]);
        config["events"]["iggy"]["serialization"] = json!(format.as_str());
        config["subscriptions"][0]["topics"] = json!(["domain", "system"]);
        let config = Config::load(&house.write("host", &config), []).unwrap();
        let transport = Arc::new(IggyTransport::new(IggyConfig::from(&config)).await.unwrap());
        assert!(transport.is_connected());
        assert_eq!(transport.reliability_level(), ReliabilityLevel::Streaming);
        let host = Host::builder()
            .config(config)
            .connector(Arc::clone(transport.connector()))
            .build()
            .await
            .unwrap();
        let handle = host.handle();
        let running = tokio::spawn(host.run(std::future::pending()));

        let samples = samples();
        let (contracts, roots): (Vec<_>, Vec<_>) =
            samples.into_iter().partition(|sample| ContractEventEnvelope::new(sample.clone()).is_ok());
        let mut batch = roots.clone();
        batch.insert(1, EventEnvelope { id: Uuid::nil(), ..roots[0].clone() });
        let results = transport.publish_each(&batch).await;
        let wrong: Vec<usize> = (0..results.len()).filter(|place| results[*place].is_err()).collect();
        assert_eq!(wrong, [1], "{results:?}");
        for contract in contracts {
            let contract = ContractEventEnvelope::new(contract).unwrap();
            transport.publish_contract(contract).await.unwrap();
        }
        eventually("all samples are settled", async || (handle.counters().settled == 10).then_some(())).await;
        assert_eq!(handle.counters().undecodable, 0);
        handle.stop(Duration::from_secs(10)).await;
        running.await.unwrap().unwrap();
        transport.shutdown().await.unwrap();
        assert!(transport.publish(roots[0].clone()).await.unwrap_err().is_retryable());
    }
}

fn samples() -> Vec<EventEnvelope> {
    let file = builds::repository().join("tests/data/rustok-sample-events.json");
    serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
}
