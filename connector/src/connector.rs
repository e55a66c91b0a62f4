//! The connector: one open way to Iggy, whether the broker runs in this process or elsewhere.

mod embedded;
mod remote;
mod slot;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use guesthouse_broker::RootCredentials;
use secrecy::SecretString;

use crate::address::{GroupAddress, Offset, PartitionId, TopicAddress};
use crate::config::{ConnectorConfig, ConnectorMode, EmbeddedCredentials, RemoteConnectorConfig};
use crate::consumer::{ConsumerCursor, GroupConsumer, SubscriberMessage};
use crate::endpoint::Endpoint;
use crate::error::ConnectorError;
use crate::group::GroupCursor;
use crate::groups::{GroupMember, GroupSummary};
use crate::message::{OutgoingMessage, PublishRequest, ReceivedMessage};
use crate::status::ConnectionStatus;
use crate::topology::{TopicSpec, TopicState};

pub use embedded::EmbeddedConnector;
pub use remote::RemoteConnector;

/// A connection to Iggy, shared by everything in a process that publishes, reads or asks.
///
/// [`connect`](Self::connect) is called once, before anything else, and [`shutdown`](Self::shutdown) once, after
/// everything else; all other methods may be called from any task at any time and from many at once. Every call ends
/// within the configured timeouts. A lost connection is opened again by the next call that needs it.
///
/// Dropping the future of a call gives up waiting for the answer; a write may still happen.
#[async_trait]
pub trait IggyConnector: Send + Sync + fmt::Debug + 'static {
    /// Opens the connection; in embedded mode it starts the broker first.
    ///
    /// # Errors
    ///
    /// [`ConnectorError::Config`] for settings that cannot work, [`ConnectorError::Auth`] for wrong credentials,
    /// [`ConnectorError::Connection`] or [`ConnectorError::Timeout`] when no broker answers.
    async fn connect(&self, config: &ConnectorConfig) -> Result<(), ConnectorError>;

    /// Whether the broker answered the last time somebody asked it something; a ping asks every few seconds.
    fn is_connected(&self) -> bool;

    /// How the way to the broker is doing: where it goes, since when it is lost and why.
    fn connection_status(&self) -> ConnectionStatus;

    /// What the embedded broker cannot do at the moment, a line for each trouble and five at most: its data directory is
    /// gone, or a partition does not serve. Empty for brokers elsewhere. Blocks on a look at two inodes for each partition.
    fn broker_troubles(&self) -> Vec<String> {
        Vec::new()
    }

    /// Publishes one message and waits until it is confirmed. The configured topic is created if it does not exist.
    ///
    /// # Errors
    ///
    /// See [`publish_batch`](Self::publish_batch).
    async fn publish(&self, request: PublishRequest) -> Result<(), ConnectorError>;

    /// Publishes messages to one topic and waits until they are confirmed. Messages of one partition keep their order.
    ///
    /// # Errors
    ///
    /// Gives back the messages that are not confirmed, in their order, with the reason. Some of them may have arrived
    /// nevertheless: a caller that tries again keeps their ids.
    async fn publish_batch(
        &self,
        to: &TopicAddress,
        messages: Vec<OutgoingMessage>,
    ) -> Result<(), PublishBatchError>;

    /// Opens a reader of one partition that starts at its beginning and leaves no trace in the broker.
    ///
    /// # Errors
    ///
    /// [`ConnectorError::Topology`] when the stream, topic or partition does not exist.
    async fn subscribe(
        &self,
        stream: &str,
        topic: &str,
        partition: u32,
    ) -> Result<Box<dyn MessageSubscriber>, ConnectorError>;

    /// Opens a member of a consumer group that hands out one message at a time; creates the group if it does not exist.
    /// [`open_group_cursor`](Self::open_group_cursor) is the faster way, for those who keep account of offsets.
    ///
    /// # Errors
    ///
    /// As [`open_group_cursor`](Self::open_group_cursor).
    async fn open_consumer_group(
        &self,
        stream: &str,
        topic: &str,
        group_name: &str,
    ) -> Result<Box<dyn ConsumerCursor>, ConnectorError> {
        let group = GroupAddress::new(TopicAddress::new(stream, topic), group_name);
        Ok(Box::new(GroupConsumer::start(self.open_group_cursor(&group).await?, &group)))
    }

    /// Opens a connection of its own for a new member of a consumer group; creates the group if it does not exist.
    ///
    /// # Errors
    ///
    /// [`ConnectorError::Topology`] when the topic does not exist; otherwise as [`connect`](Self::connect).
    async fn open_group_cursor(&self, group: &GroupAddress) -> Result<GroupCursor, ConnectorError>;

    /// Creates the stream and the topics that are missing and checks those that exist.
    ///
    /// # Errors
    ///
    /// [`ConnectorError::Topology`] when an existing topic has another number of partitions.
    async fn ensure_topics(&self, stream: &str, topics: &[TopicSpec]) -> Result<(), ConnectorError>;

    /// [`ensure_topics`](Self::ensure_topics) for topics that are all alike and keep their messages for ever.
    ///
    /// # Errors
    ///
    /// As [`ensure_topics`](Self::ensure_topics).
    async fn ensure_topology(
        &self,
        stream: &str,
        topics: &[&str],
        partitions: u32,
        replication_factor: u8,
    ) -> Result<(), ConnectorError> {
        let spec = |name: &&str| TopicSpec::new(*name, partitions, replication_factor);
        self.ensure_topics(stream, &topics.iter().map(spec).collect::<Vec<_>>()).await
    }

    /// Lets an existing topic keep its messages as long and as many as `spec` says; nothing else is changed. Messages
    /// beyond a shorter retention go for good.
    ///
    /// # Errors
    ///
    /// [`ConnectorError::Topology`] when the topic does not exist, [`ConnectorError::Iggy`] when the broker refuses:
    /// a topic must be allowed to grow to one segment at least.
    async fn update_retention(&self, stream: &str, spec: &TopicSpec) -> Result<(), ConnectorError>;

    /// How many servers the cluster has; one when the broker is alone.
    ///
    /// # Errors
    ///
    /// As [`ping`](Self::ping).
    async fn servers_count(&self) -> Result<usize, ConnectorError>;

    /// Deletes a topic with all its messages, groups and stored offsets; harmless when it does not exist.
    ///
    /// # Errors
    ///
    /// [`ConnectorError::Auth`] when the user may not delete topics; otherwise as [`ping`](Self::ping).
    async fn delete_topic(&self, topic: &TopicAddress) -> Result<(), ConnectorError>;

    /// How much each partition of a topic holds.
    ///
    /// # Errors
    ///
    /// [`ConnectorError::Topology`] when the topic does not exist.
    async fn topic_state(&self, topic: &TopicAddress) -> Result<TopicState, ConnectorError>;

    /// The last offset that a group stored in each partition; `None` where it stored none.
    ///
    /// # Errors
    ///
    /// [`ConnectorError::Topology`] when the topic does not exist. A group that does not exist has stored nothing.
    async fn group_offsets(
        &self,
        group: &GroupAddress,
    ) -> Result<Vec<(PartitionId, Option<Offset>)>, ConnectorError>;

    /// The groups of a topic, by name.
    ///
    /// # Errors
    ///
    /// [`ConnectorError::Topology`] when the topic does not exist.
    async fn groups(&self, topic: &TopicAddress) -> Result<Vec<GroupSummary>, ConnectorError>;

    /// The members of a group, by id; `None` when the group does not exist.
    ///
    /// # Errors
    ///
    /// As [`ping`](Self::ping).
    async fn group_members(&self, group: &GroupAddress) -> Result<Option<Vec<GroupMember>>, ConnectorError>;

    /// The first message of a partition that the broker stored at or after a time, in microseconds since the Unix
    /// epoch; `None` when there is none.
    ///
    /// # Errors
    ///
    /// [`ConnectorError::Topology`] when the topic or the partition does not exist.
    async fn first_at(
        &self,
        topic: &TopicAddress,
        partition: PartitionId,
        micros: u64,
    ) -> Result<Option<Offset>, ConnectorError>;

    /// Reads messages of one partition from an offset on, without any consumer state. An empty answer means that
    /// nothing is there now.
    ///
    /// # Errors
    ///
    /// [`ConnectorError::Topology`] when the topic or the partition does not exist.
    async fn read_from(
        &self,
        topic: &TopicAddress,
        partition: PartitionId,
        from: Offset,
        messages_max: u32,
    ) -> Result<Vec<ReceivedMessage>, ConnectorError>;

    /// Asks the broker for a sign of life.
    ///
    /// # Errors
    ///
    /// Fails when none comes.
    async fn ping(&self) -> Result<(), ConnectorError>;

    /// Closes the connection; in embedded mode it stops the broker afterwards. Group cursors should have left before.
    ///
    /// # Errors
    ///
    /// Fails when the embedded broker could not stop in order. What it confirmed is safe nevertheless.
    async fn shutdown(&self) -> Result<(), ConnectorError>;
}

/// A reader of one partition, owned by one task.
#[async_trait]
pub trait MessageSubscriber: Send + Sync {
    /// The payload of the next message; `None` when nothing is there now. Ask again later.
    ///
    /// # Errors
    ///
    /// Fails when the broker cannot be reached; the position is kept and the next call goes on from it.
    async fn recv(&mut self) -> Result<Option<Vec<u8>>, ConnectorError> {
        Ok(self.receive().await?.map(|message| message.payload.to_vec()))
    }

    /// The next message as it is stored; `None` when nothing is there now. Ask again later.
    ///
    /// # Errors
    ///
    /// See [`recv`](Self::recv).
    async fn receive(&mut self) -> Result<Option<ReceivedMessage>, ConnectorError>;

    /// The next message and where it comes from; `None` when nothing is there now. Ask again later.
    ///
    /// # Errors
    ///
    /// See [`recv`](Self::recv).
    async fn recv_with_metadata(&mut self) -> Result<Option<SubscriberMessage>, ConnectorError>;

    /// Refuses: a reader of one partition belongs to no group, and so has nobody to acknowledge to.
    ///
    /// # Errors
    ///
    /// Always [`ConnectorError::Subscribe`]; [`ConsumerCursor::acknowledge`] is what keeps a position.
    async fn ack(&mut self, _ack_token: &str) -> Result<(), ConnectorError> {
        Err(ConnectorError::Subscribe(
            "a reader of one partition has no position to keep; open a consumer group to acknowledge"
                .to_owned(),
        ))
    }
}

/// Some messages of a batch are not confirmed.
#[derive(Debug, thiserror::Error)]
#[error("{} messages are not confirmed", unpublished.len())]
pub struct PublishBatchError {
    /// These, in the order in which they were given.
    pub unpublished: Vec<OutgoingMessage>,
    /// The first reason.
    pub source: ConnectorError,
}

/// A connector of the given kind, not connected yet.
#[must_use]
pub fn connector(mode: ConnectorMode) -> Arc<dyn IggyConnector> {
    match mode {
        ConnectorMode::Embedded => Arc::new(EmbeddedConnector::new()),
        ConnectorMode::Remote => Arc::new(RemoteConnector::new()),
    }
}

/// Checks what can be known of a configuration before anything is opened. [`IggyConnector::connect`] decides by the
/// same code.
///
/// # Errors
///
/// [`ConnectorError::Config`] that names the setting and what it should be.
pub fn check_config(config: &ConnectorConfig) -> Result<(), ConnectorError> {
    match (config.mode, &config.embedded_credentials) {
        (ConnectorMode::Remote, _) => Endpoint::remote(config).map(drop),
        (ConnectorMode::Embedded, EmbeddedCredentials { username, password: Some(password), .. }) => {
            let root = RootCredentials { username: username.clone(), password: password.clone() };
            root.check("the configuration").map_err(|error| ConnectorError::Config(error.to_string()))
        }
        (ConnectorMode::Embedded, EmbeddedCredentials { password: None, .. }) => Ok(()),
    }
}

/// A connected connector for a tool that works beside a running host: it joins the broker that already runs on the
/// data directory, and starts one only if there is none. In remote mode it just connects.
///
/// # Errors
///
/// As [`IggyConnector::connect`]; [`ConnectorError::Auth`] when the running broker's password cannot be read.
pub async fn attach(config: &ConnectorConfig) -> Result<Arc<dyn IggyConnector>, ConnectorError> {
    let config = match config.mode {
        ConnectorMode::Embedded => joined(config)?,
        ConnectorMode::Remote => config.clone(),
    };
    let connector = connector(config.mode);
    connector.connect(&config).await?;
    Ok(connector)
}

/// The configuration that reaches the broker on the data directory, if one runs there.
fn joined(config: &ConnectorConfig) -> Result<ConnectorConfig, ConnectorError> {
    let data_dir = config.embedded.persistent.then(|| Path::new(&config.embedded.data_dir));
    let Some(running) = data_dir.and_then(guesthouse_broker::running) else {
        return Ok(config.clone());
    };
    let mut joined = config.clone();
    joined.mode = ConnectorMode::Remote;
    joined.remote = RemoteConnectorConfig {
        addresses: vec![running.address.to_string()],
        username: running.username,
        ..RemoteConnectorConfig::default()
    };
    let configured = &config.embedded_credentials;
    (joined.remote_password, joined.remote_password_file) =
        match (&configured.password, running.password_file) {
            (Some(password), _) => (Some(password.clone()), configured.password_file.clone()),
            (None, Some(file)) => (Some(read_password(&file)?), Some(file)),
            (None, None) => {
                return Err(ConnectorError::Auth(format!(
                    "the broker running on {} has a configured password, configure the same one",
                    config.embedded.data_dir
                )));
            }
        };
    Ok(joined)
}

fn read_password(file: &Path) -> Result<SecretString, ConnectorError> {
    match std::fs::read_to_string(file) {
        Ok(text) => Ok(SecretString::from(text.trim_end())),
        Err(error) => {
            Err(ConnectorError::Auth(format!("password of the running broker: {}: {error}", file.display())))
        }
    }
}
