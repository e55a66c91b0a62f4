//! Consumer groups as a tool looks at them: which there are, who reads, and what came when.

use iggy::prelude::{
    Consumer, ConsumerGroupClient as _, ConsumerGroupDetails, MessageClient as _, PollingStrategy,
};

use super::{Client, GroupTarget, Target};
use crate::address::{Offset, PartitionId};
use crate::error::ConnectorError;
use crate::groups::{GroupMember, GroupSummary};

const CODE_GROUP_NOT_FOUND: u32 = 5000;

impl Client {
    /// The groups of a topic, by name.
    pub(crate) async fn groups(&self, topic: &Target) -> Result<Vec<GroupSummary>, ConnectorError> {
        let found = self.ask(self.sdk.get_consumer_groups(&topic.stream, &topic.topic)).await;
        let found =
            found.map_err(|fault| fault.describe(format_args!("listing groups of {}", topic.address)))?;
        let summary = |group: iggy::prelude::ConsumerGroup| GroupSummary {
            group: group.name,
            members_count: group.members_count,
        };
        let mut groups: Vec<_> = found.into_iter().map(summary).collect();
        groups.sort_by(|left, right| left.group.cmp(&right.group));
        Ok(groups)
    }

    /// The members of a group, by id; `None` when it does not exist.
    pub(crate) async fn group_members(
        &self,
        group: &GroupTarget,
    ) -> Result<Option<Vec<GroupMember>>, ConnectorError> {
        let Target { stream, topic, .. } = &group.target;
        match self.ask(self.sdk.get_consumer_group(stream, topic, &group.id)).await {
            Ok(found) => Ok(found.map(members)),
            Err(fault) if fault.code() == CODE_GROUP_NOT_FOUND => Ok(None),
            Err(fault) => Err(fault.describe(format_args!("looking up group {}", group.address))),
        }
    }

    /// The first message of a partition that the broker stored at or after a time; `None` when there is none.
    pub(crate) async fn first_at(
        &self,
        topic: &Target,
        partition: PartitionId,
        micros: u64,
    ) -> Result<Option<Offset>, ConnectorError> {
        let strategy = PollingStrategy::timestamp(micros.into());
        let consumer = Consumer::default();
        let request = self.sdk.poll_messages(
            &topic.stream,
            &topic.topic,
            Some(partition.0),
            &consumer,
            &strategy,
            1,
            false,
        );
        let polled = self.ask(request).await;
        let polled = polled.map_err(|fault| {
            fault.describe(format_args!("searching partition {partition} of {} by time", topic.address))
        })?;
        Ok(polled.messages.first().map(|message| Offset(message.header.offset)))
    }
}

fn members(group: ConsumerGroupDetails) -> Vec<GroupMember> {
    let member = |member: iggy::prelude::ConsumerGroupMember| GroupMember {
        id: member.id,
        partitions: member.partitions.into_iter().map(PartitionId).collect(),
    };
    let mut members: Vec<_> = group.members.into_iter().map(member).collect();
    for member in &mut members {
        member.partitions.sort();
    }
    members.sort_by_key(|member| member.id);
    members
}
