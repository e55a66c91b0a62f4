//! What the stories have in common: a connector with a broker behind it, a topic, messages, and patience.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use guesthouse_broker::{Broker, BrokerConfig};
use guesthouse_connector::{
    ConnectorConfig, ConnectorMode, CursorStep, Durability, GroupAddress, GroupCursor, Headers,
    IggyConnector, Offset, OutgoingMessage, PartitionId, Partitioning, ReceivedMessage, TopicAddress,
    TopicSpec, connector,
};
use secrecy::SecretString;
use tempfile::TempDir;
use tokio::time::{Instant, sleep, timeout};

/// Long enough for a slow machine, short enough to notice that something hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The pause between two looks at something that is going to change.
pub(crate) const GLANCE: Duration = Duration::from_millis(10);

/// A connected connector and what it is connected to.
pub(crate) struct House {
    pub(crate) connector: Arc<dyn IggyConnector>,
    pub(crate) config: ConnectorConfig,
    /// A stream that nobody else uses.
    pub(crate) stream: String,
    broker: Option<Broker>,
    _dir: TempDir,
}

/// Runs a story with both kinds of connector.
macro_rules! both_kinds {
    ($($story:ident),+ $(,)?) => {
        mod embedded {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $story() {
                let house = crate::kit::House::embedded().await;
                super::$story(&house).await;
                house.close().await;
            })+
        }

        mod remote {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $story() {
                let house = crate::kit::House::remote().await;
                super::$story(&house).await;
                house.close().await;
            })+
        }
    };
}
pub(crate) use both_kinds;

impl House {
    pub(crate) async fn embedded() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = embedded_config(dir.path());
        Self::open(config, None, dir).await
    }

    pub(crate) async fn remote() -> Self {
        let dir = tempfile::tempdir().unwrap();
        if let Some(config) = outside_server() {
            return Self::open(config, None, dir).await;
        }
        let broker = start_broker(dir.path(), 0).await;
        let config = remote_config(&broker);
        Self::open(config, Some(broker), dir).await
    }

    async fn open(config: ConnectorConfig, broker: Option<Broker>, dir: TempDir) -> Self {
        let connector = connector(config.mode);
        connector.connect(&config).await.unwrap();
        let stream = format!("stories-{:016x}", rand::random::<u64>());
        Self { connector, config, stream, broker, _dir: dir }
    }

    pub(crate) async fn close(self) {
        self.connector.shutdown().await.unwrap();
        assert!(!self.connector.is_connected());
        if let Some(broker) = self.broker {
            broker.shutdown(PATIENCE).await.unwrap();
        }
    }

    /// Another connector to the same broker.
    pub(crate) async fn second_connector(&self) -> Arc<dyn IggyConnector> {
        guesthouse_connector::attach(&self.config).await.unwrap()
    }

    /// A new topic.
    pub(crate) async fn topic(&self, name: &str, partitions: u32) -> TopicAddress {
        self.connector.ensure_topics(&self.stream, &[spec(name, partitions)]).await.unwrap();
        TopicAddress::new(&self.stream, name)
    }
}

pub(crate) fn embedded_config(dir: &Path) -> ConnectorConfig {
    let mut config = ConnectorConfig::default();
    config.embedded.data_dir = dir.to_string_lossy().into_owned();
    config.embedded.tcp_port = 0;
    config
}

pub(crate) async fn start_broker(dir: &Path, port: u16) -> Broker {
    Broker::start(BrokerConfig {
        data_dir: dir.to_owned(),
        address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
        ..BrokerConfig::default()
    })
    .await
    .unwrap()
}

pub(crate) fn remote_config(broker: &Broker) -> ConnectorConfig {
    let root = broker.root_credentials();
    let mut config = ConnectorConfig { mode: ConnectorMode::Remote, ..ConnectorConfig::default() };
    config.remote.addresses = vec![broker.address().to_string()];
    config.remote.username = root.username.clone();
    config.remote_password = Some(root.password.clone());
    config
}

/// The server that the environment names, if any.
pub(crate) fn outside_server() -> Option<ConnectorConfig> {
    let text = std::env::var("GUESTHOUSE_TEST_IGGY").ok()?;
    let (user, address) = text.rsplit_once('@').expect("user:password@host:port");
    let (username, password) = user.split_once(':').expect("user:password@host:port");
    let mut config = ConnectorConfig { mode: ConnectorMode::Remote, ..ConnectorConfig::default() };
    config.remote.addresses = vec![address.to_owned()];
    config.remote.username = username.to_owned();
    config.remote_password = Some(SecretString::from(password));
    Some(config)
}

pub(crate) fn spec(name: &str, partitions: u32) -> TopicSpec {
    TopicSpec {
        name: name.to_owned(),
        partitions,
        replication_factor: 1,
        durability: Durability::Persisted,
        age_max: None,
        size_bytes_max: None,
    }
}

pub(crate) fn message(id: u128, partition: Partitioning) -> OutgoingMessage {
    OutgoingMessage { id, partition, payload: Bytes::from(format!("message {id}")), headers: Headers::new() }
}

/// Messages with these ids for one partition.
pub(crate) fn batch(ids: impl IntoIterator<Item = u128>, partition: u32) -> Vec<OutgoingMessage> {
    let partition = PartitionId(partition);
    ids.into_iter().map(|id| message(id, Partitioning::Partition(partition))).collect()
}

pub(crate) fn ids(messages: &[ReceivedMessage]) -> Vec<u128> {
    messages.iter().map(|message| message.id).collect()
}

/// Publishes again and again until everything is confirmed.
pub(crate) async fn publish_stubbornly(
    connector: &dyn IggyConnector,
    topic: &TopicAddress,
    mut messages: Vec<OutgoingMessage>,
) {
    let deadline = Instant::now() + PATIENCE;
    while let Err(error) = connector.publish_batch(topic, messages).await {
        assert!(error.source.is_transient() && Instant::now() < deadline, "{:?}", error.source);
        messages = error.unpublished;
        sleep(GLANCE).await;
    }
}

/// Everything in one partition.
pub(crate) async fn read_all(
    connector: &dyn IggyConnector,
    topic: &TopicAddress,
    partition: u32,
) -> Vec<ReceivedMessage> {
    let mut all: Vec<ReceivedMessage> = Vec::new();
    loop {
        let from = all.last().map_or(Offset(0), |last| last.offset.next());
        let some = connector.read_from(topic, PartitionId(partition), from, 100).await.unwrap();
        if some.is_empty() {
            return all;
        }
        all.extend(some);
    }
}

pub(crate) async fn open_cursor(connector: &dyn IggyConnector, group: &GroupAddress) -> GroupCursor {
    connector.open_group_cursor(group).await.unwrap()
}

/// Steps until one satisfies, and answers it; waits a little whenever nothing is there.
pub(crate) async fn step_until(
    cursor: &mut GroupCursor,
    mut satisfies: impl FnMut(&CursorStep) -> bool,
) -> CursorStep {
    let stepping = async {
        loop {
            let step = cursor.step(|_| true).await.unwrap();
            if satisfies(&step) {
                return step;
            }
            if step == CursorStep::Empty {
                sleep(GLANCE).await;
            }
        }
    };
    timeout(PATIENCE, stepping).await.expect("the step that was waited for never came")
}

/// Reads until this many messages were read, and answers their ids in order.
pub(crate) async fn read_ids(cursor: &mut GroupCursor, count: usize) -> Vec<u128> {
    let mut read = Vec::new();
    step_until(cursor, |step| {
        if let CursorStep::Messages { messages, .. } = step {
            read.extend(ids(messages));
        }
        read.len() >= count
    })
    .await;
    read
}

/// Repeats something until it answers true.
pub(crate) async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds().await {
        assert!(Instant::now() < deadline, "never happened: {what}");
        sleep(GLANCE).await;
    }
}
