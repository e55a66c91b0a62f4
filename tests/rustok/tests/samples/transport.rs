//! Goal: the platform publishes through its own trait. Method: the adapter over an embedded broker, the platform's
//! sample events in, the messages that are there afterwards out.

use std::sync::Arc;

use guesthouse_rustok::adapter::GuesthouseTransport;
use guesthouse_rustok::platform::{
    ContractEventEnvelope, Error, EventEnvelope, EventTransport, ReliabilityLevel,
};
use rustok_iggy::{EmbeddedConfig, IggyConfig, IggyTransport, SerializationFormat};
use rustok_iggy_connector::TopicAddress;
use serde_json::Value;

const SAMPLES: &str = include_str!("../../../data/rustok-sample-events.json");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_platforms_trait_publishes_both_kinds_of_envelope() {
    let dir = tempfile::tempdir().unwrap();
    let config = IggyConfig {
        serialization: SerializationFormat::Json,
        embedded: EmbeddedConfig {
            data_dir: dir.path().display().to_string(),
            tcp_port: 0,
            ..Default::default()
        },
        ..Default::default()
    };
    let inner = Arc::new(IggyTransport::new(config).await.unwrap());
    let transport: Box<dyn EventTransport> = Box::new(GuesthouseTransport(Arc::clone(&inner)));
    assert_eq!(transport.reliability_level(), ReliabilityLevel::Streaming);

    let samples: Vec<Value> = serde_json::from_str(SAMPLES).unwrap();
    let (contracts, roots): (Vec<_>, Vec<_>) =
        samples.into_iter().partition(|sample| sample["event"].get("family").is_some());
    assert_eq!((contracts.len(), roots.len()), (2, 8));
    transport.publish(EventEnvelope(roots[0].clone())).await.unwrap();
    transport.publish_batch(roots[1..].iter().cloned().map(EventEnvelope).collect()).await.unwrap();
    for contract in contracts {
        transport.publish_contract(ContractEventEnvelope(contract)).await.unwrap();
    }
    assert_eq!((held(&inner, "domain").await, held(&inner, "system").await), (9, 1));

    let root = ContractEventEnvelope(roots[0].clone());
    let refused = transport.publish_contract(root).await.unwrap_err();
    assert!(matches!(&refused, Error::Validation(reason) if reason.contains("family")), "{refused:?}");
    inner.shutdown().await.unwrap();
    let closed = transport.publish(EventEnvelope(roots[0].clone())).await.unwrap_err();
    assert!(matches!(closed, Error::External(_)), "{closed:?}");
}

/// How many messages a topic holds.
async fn held(transport: &IggyTransport, topic: &str) -> u64 {
    let state = transport.connector().topic_state(&TopicAddress::new("rustok", topic)).await.unwrap();
    state.partitions.iter().map(|partition| partition.messages_count).sum()
}
