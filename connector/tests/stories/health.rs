//! Goal: health says what is so: in order, worth a look, or broken, within its deadline, with the reasons.
//! Method: take the broker, its answers, its topics and its readers away, one by one.

use std::sync::Arc;
use std::time::Duration;

use guesthouse_connector::{
    ConnectorMode, ConsumerGroupManager, GroupAddress, HealthCheck, HealthCheckResult, HealthStatus,
    IggyConnector, RemoteConnector, TopicSpec, TopologyManager, connector, health_check,
};

use crate::kit::{House, PATIENCE, batch, both_kinds, embedded_config, remote_config, spec, start_broker};
use crate::proxy::Proxy;

both_kinds!(a_broker_that_answers_is_healthy, drift_and_lag_are_worth_a_look);

async fn a_broker_that_answers_is_healthy(house: &House) {
    let health = health_check(house.connector.as_ref()).await.unwrap();
    assert_eq!(health.status, HealthStatus::Healthy, "{health:?}");
    let details = health.details.unwrap();
    assert_eq!(details["connected"], true);
    assert_eq!(details["connection"]["state"], "connected");
    assert!(details["latency_ms"].is_u64(), "{details}");
}

async fn drift_and_lag_are_worth_a_look(house: &House) {
    let topic = house.topic("topic", 1).await;
    let shorter = TopicSpec { age_max: Some(Duration::from_secs(3_600)), ..spec("topic", 1) };
    let topology = TopologyManager::new(Arc::clone(&house.connector), &house.stream, [shorter]);
    let check = |topology| HealthCheck::new(&*house.connector).topology(topology);
    let health = check(&topology).run().await;
    assert_eq!(health.status, HealthStatus::Degraded, "{health:?}");
    assert!(health.message.contains("topic topic: age_max"), "{health:?}");
    topology.apply().await.unwrap();
    assert_eq!(check(&topology).run().await.status, HealthStatus::Healthy);

    house.connector.publish_batch(&topic, batch(1..=3, 0)).await.unwrap();
    let groups = ConsumerGroupManager::new(Arc::clone(&house.connector));
    let group = GroupAddress::new(topic, "readers");
    let health = HealthCheck::new(&*house.connector).group(&groups, &group, 2).run().await;
    assert_eq!(health.status, HealthStatus::Degraded, "{health:?}");
    assert!(health.message.contains("3 messages") && health.message.contains("nobody reads 1"), "{health:?}");

    let missing = TopologyManager::new(Arc::clone(&house.connector), &house.stream, [spec("missing", 1)]);
    let health = check(&missing).run().await;
    assert_eq!(health.status, HealthStatus::Unhealthy, "{health:?}");
    assert!(health.message.contains("missing does not exist"), "{health:?}");
}

#[tokio::test]
async fn what_is_not_connected_is_unhealthy() {
    for mode in [ConnectorMode::Embedded, ConnectorMode::Remote] {
        let health = health_check(connector(mode).as_ref()).await.unwrap();
        assert_eq!(health.status, HealthStatus::Unhealthy);
        assert_eq!(health.details.unwrap()["error_code"], "iggy.connector.not_connected");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_broker_is_unhealthy_within_the_deadline() {
    let dir = tempfile::tempdir().unwrap();
    let broker = start_broker(dir.path(), 0).await;
    let proxy = Proxy::start(broker.address()).await;
    let mut config = remote_config(&broker);
    config.remote.addresses = vec![proxy.address.to_string()];
    let remote = RemoteConnector::new();
    remote.connect(&config).await.unwrap();
    proxy.swallow_answers(true);
    let health = HealthCheck::new(&remote).deadline(Duration::from_millis(200)).run().await;
    assert_eq!(health.status, HealthStatus::Unhealthy);
    assert!(health.message.contains("no answer within 200ms"), "{health:?}");
    assert_eq!(code(&health), "iggy.connector.timed_out");
    proxy.swallow_answers(false);
    proxy.cut();
    drop(proxy);
    let health = crate::kit::eventually("the loss is seen", async || {
        code(&HealthCheck::new(&remote).run().await) == "iggy.connector.connection_failed"
    });
    health.await;
    let health = health_check(&remote).await.unwrap();
    assert_eq!(health.details.unwrap()["connection"]["state"], "lost");
    remote.shutdown().await.unwrap();
    broker.shutdown(PATIENCE).await.unwrap();
}

#[test]
fn results_have_the_platforms_shape() {
    let degraded = HealthCheckResult::degraded("slow").with_details(serde_json::json!({ "lag": 3 }));
    assert_eq!((degraded.status.to_string().as_str(), degraded.message.as_str()), ("degraded", "slow"));
    assert_eq!(HealthCheckResult::healthy("").status.to_string(), "healthy");
    assert_eq!(HealthCheckResult::unhealthy("").status.to_string(), "unhealthy");
    let text = serde_json::to_string(&degraded).unwrap();
    assert_eq!(text, r#"{"status":"degraded","message":"slow","details":{"lag":3}}"#);
}

fn code(health: &HealthCheckResult) -> String {
    health.details.as_ref().unwrap()["error_code"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_embedded_broker_cannot_do_is_told_by_its_connector() {
    let dir = tempfile::tempdir().unwrap();
    let embedded = connector(ConnectorMode::Embedded);
    embedded.connect(&embedded_config(dir.path())).await.unwrap();
    embedded.ensure_topics("stream", &[spec("topic", 6)]).await.unwrap();
    assert_eq!(embedded.broker_troubles(), [""; 0]);
    let (topic, aside) = (dir.path().join("streams/0/0"), dir.path().join("aside"));
    std::fs::rename(topic.join("3"), &aside).unwrap();
    let [trouble] = &embedded.broker_troubles()[..] else { panic!("{:?}", embedded.broker_troubles()) };
    assert!(
        trouble.starts_with("partition 3 of stream/topic takes no messages: somebody removed"),
        "{trouble}"
    );
    std::fs::rename(&aside, topic.join("3")).unwrap();
    assert_eq!(embedded.broker_troubles(), [""; 0]);
    std::fs::rename(&topic, &aside).unwrap();
    let troubles = embedded.broker_troubles();
    assert_eq!((troubles.len(), troubles[4].as_str()), (5, "2 more"), "{troubles:?}");
    std::fs::rename(&aside, &topic).unwrap();
    embedded.shutdown().await.unwrap();
    assert_eq!(embedded.broker_troubles(), [""; 0]);
}
