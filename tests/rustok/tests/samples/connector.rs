//! Goal: the samples of the platform's documents do what they say, under the platform's names.
//! Method: run them as they are, the port included; where the port is taken they are skipped, and that is said.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use guesthouse_broker::{Broker, BrokerConfig};
use rustok_iggy_connector::{
    ConnectorConfig, ConnectorError, ConnectorMode, ConsumerCursor, EmbeddedConnector, IggyConnector,
    MessageSubscriber, PublishRequest, RemoteConnector, TopicAddress,
};
use secrecy::SecretString;

/// The port that the samples name.
const SAMPLE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8090);

const STOP_PATIENCE: Duration = Duration::from_secs(30);

/// The configuration that the transport's document prints.
const EVENTS: &str = r#"events:
  transport: iggy
  iggy:
    mode: embedded  # or "remote"
    serialization: json  # or "bincode"
    topology:
      stream_name: rustok
      domain_partitions: 8
      replication_factor: 1
    embedded:
      data_dir: ./data/iggy
      tcp_port: 8090
      http_port: 3000
    remote:
      addresses:
        - "127.0.0.1:8090"
      protocol: tcp
      username: rustok
      password: ${IGGY_PASSWORD}
      tls_enabled: false
    retention:
      domain_max_age_days: 30
      domain_max_size_gb: 10
      system_max_age_days: 7
      dlq_max_age_days: 365
"#;

/// One test, because both samples name the same port.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_connectors_samples_publish_what_they_say() {
    if TcpListener::bind(SAMPLE).is_err() {
        eprintln!("SKIPPED: the samples name {SAMPLE}, which somebody else uses");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let broker = start_broker(dir.path()).await;
    run(env!("CARGO_BIN_EXE_connector-remote"), dir.path()).await;
    assert_published(RemoteConnector::new(), &remote_config()).await;
    broker.shutdown(STOP_PATIENCE).await.unwrap();

    let dir = tempfile::tempdir().unwrap();
    run(env!("CARGO_BIN_EXE_connector-embedded"), dir.path()).await;
    let mut config = ConnectorConfig::default();
    config.embedded.data_dir = dir.path().join("data/iggy").to_string_lossy().into_owned();
    config.embedded.tcp_port = 0;
    assert_published(EmbeddedConnector::new(), &config).await;

    let dir = tempfile::tempdir().unwrap();
    run(env!("CARGO_BIN_EXE_transport-basic"), dir.path()).await;
    assert!(dir.path().join("data/iggy").is_dir(), "the broker of the transport's sample ran here");
}

#[test]
fn the_printed_configuration_loads_in_both_modes() {
    let environment = [("IGGY_PASSWORD".into(), "p:a@s?s&w=o/r#d%".into())];
    let load = |text: &str| rustok_iggy::Config::parse(text, Path::new(""), environment.clone()).unwrap();
    let embedded = load(EVENTS).connector;
    assert_eq!(embedded.mode, ConnectorMode::Embedded);
    assert_eq!((embedded.partitions, embedded.replication_factor), (8, 1));
    let remote = load(&EVENTS.replace("mode: embedded", "mode: remote"));
    assert_eq!(remote.connector.mode, ConnectorMode::Remote);
    assert!(!format!("{remote:?} {}", remote.to_yaml_masked()).contains("p:a@s"));
}

/// The traits and errors as the documents print them.
#[test]
fn the_interface_has_the_printed_shape() {
    fn is_thread_safe<T: Send + Sync + 'static + ?Sized>() {}
    fn is_sendable<T: Send + ?Sized>() {}
    is_thread_safe::<dyn IggyConnector>();
    is_thread_safe::<ConnectorError>();
    is_sendable::<dyn MessageSubscriber>();
    is_sendable::<dyn ConsumerCursor>();
    let request = PublishRequest::new("stream", "topic", "partition-key", b"payload".to_vec(), "event-id");
    assert_eq!((request.stream.as_str(), request.event_id.as_str()), ("stream", "event-id"));
    let request = PublishRequest::simple("partition-key", b"payload".to_vec(), "event-id");
    assert_eq!((request.stream.as_str(), request.topic.as_str()), ("rustok", "domain"));
}

async fn run(program: &'static str, dir: &Path) {
    let mut command = Command::new(program);
    command.current_dir(dir);
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

async fn start_broker(dir: &Path) -> Broker {
    let config = BrokerConfig {
        data_dir: dir.to_owned(),
        address: SAMPLE,
        root_username: "rustok".to_owned(),
        root_password: Some(SecretString::from("secret")),
        ..BrokerConfig::default()
    };
    Broker::start(config).await.unwrap()
}

fn remote_config() -> ConnectorConfig {
    let mut config = ConnectorConfig { mode: ConnectorMode::Remote, ..ConnectorConfig::default() };
    config.remote.password = "secret".to_owned();
    config
}

/// The topic was made with eight partitions, and the message lies where the platform's hash puts its key.
async fn assert_published(connector: impl IggyConnector, config: &ConnectorConfig) {
    connector.connect(config).await.unwrap();
    let state = connector.topic_state(&TopicAddress::new("rustok", "domain")).await.unwrap();
    let counts: Vec<_> = state.partitions.iter().map(|state| state.messages_count).collect();
    assert_eq!(counts, [0, 0, 0, 0, 0, 1, 0, 0]);
    let mut subscriber = connector.subscribe("rustok", "domain", 5).await.unwrap();
    assert_eq!(subscriber.recv().await.unwrap().as_deref(), Some(&b"Hello, Iggy!"[..]));
    connector.shutdown().await.unwrap();
}
