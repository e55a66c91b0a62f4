//! What both kinds of connector have in common: a place for the link, and the trait on top of it.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;
use tokio::sync::Mutex;

use super::{IggyConnector, MessageSubscriber, PublishBatchError};
use crate::address::{GroupAddress, Offset, PartitionId, TopicAddress};
use crate::config::ConnectorConfig;
use crate::endpoint::Endpoint;
use crate::error::ConnectorError;
use crate::group::GroupCursor;
use crate::groups::{GroupMember, GroupSummary};
use crate::link::Link;
use crate::message::{OutgoingMessage, PublishRequest, ReceivedMessage};
use crate::status::ConnectionStatus;
use crate::topology::{TopicSpec, TopicState};

/// Where a kind of connector keeps its link while it is connected.
#[derive(Debug, Default)]
pub(super) struct LinkSlot {
    link: RwLock<Option<Arc<Link>>>,
    /// Held while connecting or shutting down, so that these never overlap.
    changing: Mutex<()>,
}

/// What makes a kind of connector different: where its endpoint comes from and what becomes of it.
#[async_trait]
pub(super) trait Home: Send + Sync + fmt::Debug + 'static {
    fn slot(&self) -> &LinkSlot;

    /// Called by `connect` while nothing is connected.
    async fn open(&self, config: &ConnectorConfig) -> Result<Endpoint, ConnectorError>;

    /// Called when connecting failed after [`open`](Self::open), and at shutdown after the link is closed.
    async fn close(&self) -> Result<(), ConnectorError>;
}

impl LinkSlot {
    fn current(&self) -> Option<Arc<Link>> {
        self.link.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn connected(&self) -> Result<Arc<Link>, ConnectorError> {
        self.current().ok_or(ConnectorError::NotConnected)
    }

    fn replace(&self, link: Option<Arc<Link>>) -> Option<Arc<Link>> {
        let mut current = self.link.write().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *current, link)
    }
}

#[async_trait]
impl<H: Home> IggyConnector for H {
    async fn connect(&self, config: &ConnectorConfig) -> Result<(), ConnectorError> {
        let _changing = self.slot().changing.lock().await;
        if self.slot().current().is_some() {
            return Err(ConnectorError::Config(
                "already connected, shut down before connecting again".to_owned(),
            ));
        }
        check_config(config)?;
        let endpoint = self.open(config).await?.with_timeouts(config.timeouts);
        match Link::open(endpoint, config).await {
            Ok(link) => {
                self.slot().replace(Some(Arc::new(link)));
                Ok(())
            }
            Err(error) => {
                self.close().await?;
                Err(error)
            }
        }
    }

    fn is_connected(&self) -> bool {
        let link = self.slot().current();
        link.is_some_and(|link| link.endpoint().is_answering())
    }

    fn connection_status(&self) -> ConnectionStatus {
        self.slot().current().map(|link| link.endpoint().status()).unwrap_or_default()
    }

    fn broker_troubles(&self) -> Vec<String> {
        self.slot().current().map(|link| link.endpoint().broker_troubles()).unwrap_or_default()
    }

    async fn publish(&self, request: PublishRequest) -> Result<(), ConnectorError> {
        self.slot().connected()?.publish(request).await
    }

    async fn publish_batch(
        &self,
        to: &TopicAddress,
        messages: Vec<OutgoingMessage>,
    ) -> Result<(), PublishBatchError> {
        match self.slot().connected() {
            Ok(link) => link.publish_batch(to, messages).await,
            Err(source) => Err(PublishBatchError { unpublished: messages, source }),
        }
    }

    async fn subscribe(
        &self,
        stream: &str,
        topic: &str,
        partition: u32,
    ) -> Result<Box<dyn MessageSubscriber>, ConnectorError> {
        let topic = TopicAddress::new(stream, topic);
        let link = self.slot().connected()?;
        Ok(Box::new(link.subscribe(topic, PartitionId(partition)).await?))
    }

    async fn open_group_cursor(&self, group: &GroupAddress) -> Result<GroupCursor, ConnectorError> {
        let link = self.slot().connected()?;
        GroupCursor::open(Arc::clone(link.endpoint()), group, link.poll_bounds()).await
    }

    async fn ensure_topics(&self, stream: &str, topics: &[TopicSpec]) -> Result<(), ConnectorError> {
        self.slot().connected()?.ensure_topics(stream, topics).await
    }

    async fn update_retention(&self, stream: &str, spec: &TopicSpec) -> Result<(), ConnectorError> {
        self.slot().connected()?.update_retention(stream, spec).await
    }

    async fn servers_count(&self) -> Result<usize, ConnectorError> {
        self.slot().connected()?.servers_count().await
    }

    async fn delete_topic(&self, topic: &TopicAddress) -> Result<(), ConnectorError> {
        self.slot().connected()?.delete_topic(topic).await
    }

    async fn topic_state(&self, topic: &TopicAddress) -> Result<TopicState, ConnectorError> {
        self.slot().connected()?.topic_state(topic).await
    }

    async fn group_offsets(
        &self,
        group: &GroupAddress,
    ) -> Result<Vec<(PartitionId, Option<Offset>)>, ConnectorError> {
        self.slot().connected()?.group_offsets(group).await
    }

    async fn groups(&self, topic: &TopicAddress) -> Result<Vec<GroupSummary>, ConnectorError> {
        self.slot().connected()?.groups(topic).await
    }

    async fn group_members(&self, group: &GroupAddress) -> Result<Option<Vec<GroupMember>>, ConnectorError> {
        self.slot().connected()?.group_members(group).await
    }

    async fn first_at(
        &self,
        topic: &TopicAddress,
        partition: PartitionId,
        micros: u64,
    ) -> Result<Option<Offset>, ConnectorError> {
        self.slot().connected()?.first_at(topic, partition, micros).await
    }

    async fn read_from(
        &self,
        topic: &TopicAddress,
        partition: PartitionId,
        from: Offset,
        messages_max: u32,
    ) -> Result<Vec<ReceivedMessage>, ConnectorError> {
        let link = self.slot().connected()?;
        link.read_from(topic, partition, from, messages_max).await
    }

    async fn ping(&self) -> Result<(), ConnectorError> {
        self.slot().connected()?.ping().await
    }

    async fn shutdown(&self) -> Result<(), ConnectorError> {
        let _changing = self.slot().changing.lock().await;
        if let Some(link) = self.slot().replace(None) {
            link.close().await;
        }
        self.close().await
    }
}

fn check_config(config: &ConnectorConfig) -> Result<(), ConnectorError> {
    config.batching.check()?;
    let zero = [
        ("partitions", config.partitions),
        ("replication_factor", u32::from(config.replication_factor)),
        ("poll_messages_max", config.poll_messages_max),
    ]
    .into_iter()
    .find(|(_, value)| *value == 0);
    match zero {
        Some((key, _)) => Err(ConnectorError::Config(format!("{key} is 0, expected at least 1"))),
        None => Ok(()),
    }
}
