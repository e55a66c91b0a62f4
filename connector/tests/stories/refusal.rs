//! Goal: what cannot work fails at once, with an error that says what to do, and never as a success.
//! Method: connect wrongly in every way, and use a connector that is not connected.

use guesthouse_connector::{
    ConnectorConfig, ConnectorError, ConnectorMode, EmbeddedConnector, GroupAddress, IggyConnector, Offset,
    PartitionId, PublishRequest, RemoteConnector, TopicAddress, connector,
};
use secrecy::SecretString;

use crate::kit::{House, batch, both_kinds, embedded_config, remote_config, start_broker};

both_kinds!(connecting_twice_is_refused, nothing_works_after_shutdown);

async fn connecting_twice_is_refused(house: &House) {
    let error = house.connector.connect(&house.config).await.unwrap_err();
    assert!(matches!(error, ConnectorError::Config(_)), "{error:?}");
    assert!(house.connector.is_connected());
    house.connector.ping().await.unwrap();
}

async fn nothing_works_after_shutdown(house: &House) {
    house.connector.shutdown().await.unwrap();
    assert_all_refuse(&*house.connector).await;
}

#[tokio::test]
async fn nothing_works_before_connecting() {
    assert_all_refuse(&EmbeddedConnector::new()).await;
    assert_all_refuse(&RemoteConnector::new()).await;
}

async fn assert_all_refuse(connector: &dyn IggyConnector) {
    let topic = TopicAddress::new("stream", "topic");
    let group = GroupAddress::new(topic.clone(), "group");
    let refusal = ConnectorError::NotConnected;
    assert!(!connector.is_connected());
    assert_eq!(connector.ping().await, Err(refusal.clone()));
    let request = PublishRequest::simple("key", vec![1], "id");
    assert_eq!(connector.publish(request).await, Err(refusal.clone()));
    let error = connector.publish_batch(&topic, batch([1, 2], 0)).await.unwrap_err();
    assert_eq!((error.unpublished.len(), error.source), (2, refusal.clone()));
    assert_eq!(connector.subscribe("stream", "topic", 0).await.err(), Some(refusal.clone()));
    assert_eq!(connector.open_group_cursor(&group).await.err(), Some(refusal.clone()));
    assert_eq!(connector.ensure_topics("stream", &[]).await, Err(refusal.clone()));
    assert_eq!(connector.topic_state(&topic).await, Err(refusal.clone()));
    assert_eq!(connector.group_offsets(&group).await, Err(refusal.clone()));
    let read = connector.read_from(&topic, PartitionId(0), Offset(0), 1).await;
    assert_eq!(read, Err(refusal));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_is_an_authentication_error() {
    let dir = tempfile::tempdir().unwrap();
    let broker = start_broker(dir.path(), 0).await;
    let mut config = remote_config(&broker);
    config.remote_password = Some(SecretString::from("not the password"));
    let remote = RemoteConnector::new();
    let error = remote.connect(&config).await.unwrap_err();
    assert!(matches!(error, ConnectorError::Auth(_)), "{error:?}");
    assert!(!error.to_string().contains("not the password"));
    assert!(!remote.is_connected());
    remote.connect(&remote_config(&broker)).await.unwrap();
    remote.ping().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unreachable_address_is_a_connection_error_and_the_next_one_is_tried() {
    let dir = tempfile::tempdir().unwrap();
    let broker = start_broker(dir.path(), 0).await;
    let mut config = remote_config(&broker);
    let reachable = std::mem::replace(&mut config.remote.addresses, vec!["127.0.0.1:1".to_owned()]);
    let remote = RemoteConnector::new();
    let error = remote.connect(&config).await.unwrap_err();
    assert!(matches!(error, ConnectorError::Connection(_)), "{error:?}");
    assert!(error.to_string().contains("127.0.0.1:1"), "{error}");
    config.remote.addresses.extend(reachable);
    remote.connect(&config).await.unwrap();
    assert!(remote.is_connected());
}

#[tokio::test]
async fn settings_that_cannot_work_are_refused() {
    let refuse = async |change: fn(&mut ConnectorConfig)| {
        let mut config = ConnectorConfig { mode: ConnectorMode::Remote, ..ConnectorConfig::default() };
        config.remote.password = "secret".to_owned();
        change(&mut config);
        let error = connector(config.mode).connect(&config).await.unwrap_err();
        assert!(matches!(error, ConnectorError::Config(_)), "{error:?}");
        error.to_string()
    };
    assert!(refuse(|config| config.remote.password.clear()).await.contains("remote.password"));
    assert!(refuse(|config| config.remote.protocol = "http".to_owned()).await.contains("remote.protocol"));
    assert!(refuse(|config| config.partitions = 0).await.contains("partitions is 0"));
    assert!(refuse(|config| config.replication_factor = 0).await.contains("replication_factor is 0"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_embedded_brokers_cannot_share_a_directory() {
    let dir = tempfile::tempdir().unwrap();
    let config = embedded_config(dir.path());
    let first = EmbeddedConnector::new();
    first.connect(&config).await.unwrap();
    let error = EmbeddedConnector::new().connect(&config).await.unwrap_err();
    assert!(matches!(error, ConnectorError::Config(_)), "{error:?}");
    first.ping().await.unwrap();
    first.shutdown().await.unwrap();
}

#[test]
fn every_code_has_a_runbook() {
    let runbooks = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/runbooks");
    for code in ConnectorError::STABLE_CODES {
        let text = std::fs::read_to_string(runbooks.join(format!("{code}.md"))).unwrap();
        assert!(text.starts_with(&format!("# {code}\n")), "{code}");
        assert!(["**Means.**", "**Look.**", "**Do.**"].iter().all(|part| text.contains(part)), "{code}");
    }
}
