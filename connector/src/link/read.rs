//! Asking and reading without a consumer group: ranges, states, stored offsets.

use std::sync::Arc;

use async_trait::async_trait;

use super::Link;
use crate::address::{GroupAddress, Offset, PartitionId, TopicAddress};
use crate::client::{FoundTopic, GroupTarget, Polled, Range, Reader, Target};
use crate::connector::MessageSubscriber;
use crate::consumer::SubscriberMessage;
use crate::error::ConnectorError;
use crate::groups::{GroupMember, GroupSummary};
use crate::message::ReceivedMessage;
use crate::poll_size::PollSize;
use crate::topology::{PartitionState, TopicState};

/// Reads one partition from its beginning.
#[derive(Debug)]
pub(crate) struct PartitionSubscriber {
    link: Arc<Link>,
    topic: TopicAddress,
    partition: PartitionId,
    next: Offset,
    size: PollSize,
    read_ahead: std::vec::IntoIter<ReceivedMessage>,
}

impl Link {
    pub(crate) async fn read_from(
        &self,
        topic: &TopicAddress,
        partition: PartitionId,
        from: Offset,
        messages_max: u32,
    ) -> Result<Vec<ReceivedMessage>, ConnectorError> {
        if messages_max == 0 {
            return Ok(Vec::new());
        }
        let target = Target::new(topic)?;
        let client = self.client().await?;
        let range = Range { from, messages_max };
        let polled = client.poll(&target, partition, &Reader::alone(), range).await?;
        match polled {
            Polled::Messages { messages, .. } => Ok(messages),
            Polled::NotOwner => Err(ConnectorError::Receive(format!(
                "partition {partition} of {topic} was refused as if it belonged to a group"
            ))),
        }
    }

    pub(crate) async fn topic_state(&self, topic: &TopicAddress) -> Result<TopicState, ConnectorError> {
        Ok(self.existing_topic(&Target::new(topic)?).await?.state())
    }

    pub(crate) async fn group_offsets(
        &self,
        group: &GroupAddress,
    ) -> Result<Vec<(PartitionId, Option<Offset>)>, ConnectorError> {
        let state = self.topic_state(&group.topic).await?;
        let group = GroupTarget::new(group)?;
        let client = self.client().await?;
        let exists = client.group_exists(&group).await?;
        let mut offsets = Vec::with_capacity(state.partitions.len());
        for PartitionState { partition, .. } in state.partitions {
            let stored = match exists {
                true => client.stored_offset(&group, partition).await?,
                false => None,
            };
            offsets.push((partition, stored));
        }
        Ok(offsets)
    }

    pub(crate) async fn groups(&self, topic: &TopicAddress) -> Result<Vec<GroupSummary>, ConnectorError> {
        let target = Target::new(topic)?;
        // Some brokers answer for a missing topic as for one without groups.
        self.existing_topic(&target).await?;
        self.client().await?.groups(&target).await
    }

    pub(crate) async fn group_members(
        &self,
        group: &GroupAddress,
    ) -> Result<Option<Vec<GroupMember>>, ConnectorError> {
        match self.client().await?.group_members(&GroupTarget::new(group)?).await {
            Err(ConnectorError::Topology(_)) => Ok(None),
            answer => answer,
        }
    }

    pub(crate) async fn first_at(
        &self,
        topic: &TopicAddress,
        partition: PartitionId,
        micros: u64,
    ) -> Result<Option<Offset>, ConnectorError> {
        self.client().await?.first_at(&Target::new(topic)?, partition, micros).await
    }

    pub(crate) async fn subscribe(
        self: Arc<Self>,
        topic: TopicAddress,
        partition: PartitionId,
    ) -> Result<PartitionSubscriber, ConnectorError> {
        let state = self.topic_state(&topic).await?;
        if !state.partitions.iter().any(|state| state.partition == partition) {
            return Err(ConnectorError::Topology(format!(
                "topic {topic} has no partition {partition}, only {} counted from 0",
                state.partitions.len()
            )));
        }
        Ok(PartitionSubscriber {
            link: self,
            topic,
            partition,
            next: Offset(0),
            size: PollSize::default(),
            read_ahead: Vec::new().into_iter(),
        })
    }

    /// What the broker knows about a topic that must exist.
    pub(super) async fn existing_topic(&self, target: &Target) -> Result<FoundTopic, ConnectorError> {
        let found = self.client().await?.topic(target).await?;
        found.ok_or_else(|| ConnectorError::Topology(format!("topic {} does not exist", target.address())))
    }
}

#[async_trait]
impl MessageSubscriber for PartitionSubscriber {
    async fn receive(&mut self) -> Result<Option<ReceivedMessage>, ConnectorError> {
        if self.read_ahead.len() == 0 {
            let asked = self.size.next(self.link.poll_bounds);
            let read = self.link.read_from(&self.topic, self.partition, self.next, asked).await?;
            self.size.learn(asked, &read);
            self.read_ahead = read.into_iter();
        }
        let message = self.read_ahead.next();
        if let Some(message) = &message {
            self.next = message.offset.next();
        }
        Ok(message)
    }

    async fn recv_with_metadata(&mut self) -> Result<Option<SubscriberMessage>, ConnectorError> {
        let message = self.receive().await?;
        Ok(message.map(|message| SubscriberMessage::of(&message, &self.topic, self.partition)))
    }
}
