//! Consumer groups from outside: who is in them, how far they are, and putting them back.

mod position;
mod reset;

use std::sync::Arc;

use serde::Serialize;

use crate::address::{GroupAddress, PartitionId, TopicAddress};
use crate::connector::IggyConnector;
use crate::error::ConnectorError;

pub use position::{GroupPosition, PartitionPosition};
pub use reset::{NewPosition, ResetTo};

use position::Look;

/// A consumer group and how many members it has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GroupSummary {
    /// Its name within the topic.
    pub group: String,
    /// How many members it has.
    pub members_count: u32,
}

/// A member of a consumer group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GroupMember {
    /// The number by which the broker knows its connection.
    pub id: u32,
    /// The partitions that it reads.
    pub partitions: Vec<PartitionId>,
}

/// Looks after the consumer groups of a broker.
#[derive(Clone, Debug)]
pub struct ConsumerGroupManager {
    connector: Arc<dyn IggyConnector>,
}

impl ConsumerGroupManager {
    /// A manager that uses this connection.
    #[must_use]
    pub fn new(connector: Arc<dyn IggyConnector>) -> Self {
        Self { connector }
    }

    /// The groups of a topic, by name.
    ///
    /// # Errors
    ///
    /// [`ConnectorError::Topology`] when the topic does not exist.
    pub async fn list(&self, topic: &TopicAddress) -> Result<Vec<GroupSummary>, ConnectorError> {
        self.connector.groups(topic).await
    }

    /// The members of a group; `None` when the group does not exist.
    ///
    /// # Errors
    ///
    /// As [`IggyConnector::ping`].
    pub async fn members(&self, group: &GroupAddress) -> Result<Option<Vec<GroupMember>>, ConnectorError> {
        self.connector.group_members(group).await
    }

    /// How far a group is in every partition. A group that does not exist stands at the beginning.
    ///
    /// # Errors
    ///
    /// [`ConnectorError::Topology`] when the topic does not exist.
    pub async fn position(&self, group: &GroupAddress) -> Result<GroupPosition, ConnectorError> {
        let before = self.look(group).await?;
        let stored = self.connector.group_offsets(group).await?;
        let after = self.look(group).await?;
        Ok(GroupPosition::of(&before, &stored, after))
    }

    async fn look(&self, group: &GroupAddress) -> Result<Look, ConnectorError> {
        let members = self.connector.group_members(group).await?.unwrap_or_default();
        let partitions = self.connector.topic_state(&group.topic).await?.partitions;
        Ok(Look { members, partitions })
    }
}
