//! Consumer groups.

use std::time::Instant;

use iggy_binary_protocol::codes::{
    CREATE_CONSUMER_GROUP_CODE, DELETE_CONSUMER_GROUP_CODE, GET_CONSUMER_GROUP_CODE,
    GET_CONSUMER_GROUPS_CODE, JOIN_CONSUMER_GROUP_CODE, LEAVE_CONSUMER_GROUP_CODE, SYNC_CONSUMER_GROUP_CODE,
};
use iggy_binary_protocol::requests::consumer_groups::{
    CreateConsumerGroupRequest, DeleteConsumerGroupRequest, GetConsumerGroupRequest,
    GetConsumerGroupsRequest, JoinConsumerGroupRequest, LeaveConsumerGroupRequest, SyncConsumerGroupRequest,
};
use iggy_binary_protocol::responses::consumer_groups::{
    ConsumerGroupDetailsResponse, ConsumerGroupMemberResponse, ConsumerGroupResponse,
    GetConsumerGroupsResponse, SyncConsumerGroupResponse,
};
use iggy_binary_protocol::{KIND_CONSUMER_GROUP, WireConsumer, WireName};
use iggy_common::IggyErrorDiscriminants as Code;

use super::{Call, change, numeric};
use crate::catalog::Topic;
use crate::group::{GroupKey, NotMember, Ownership};
use crate::store::GroupMeta;
use crate::user::TopicAction;
use crate::wire::{Payload, Refusal};

pub(super) fn run(code: u32, mut call: Call<'_>) -> Result<Payload, Refusal> {
    match code {
        GET_CONSUMER_GROUP_CODE => get(&call),
        GET_CONSUMER_GROUPS_CODE => list(&call),
        CREATE_CONSUMER_GROUP_CODE => change(|| create(&call)),
        DELETE_CONSUMER_GROUP_CODE => change(|| delete(&call)),
        JOIN_CONSUMER_GROUP_CODE => join(&mut call),
        LEAVE_CONSUMER_GROUP_CODE => leave(&mut call),
        SYNC_CONSUMER_GROUP_CODE => sync(&call),
        _ => Err(Code::InvalidCommand.into()),
    }
}

fn get(call: &Call<'_>) -> Result<Payload, Refusal> {
    let request: GetConsumerGroupRequest = call.decode()?;
    let topic = call.topic(TopicAction::Read, &request.stream_id, &request.topic_id)?;
    match topic.group(&request.group_id) {
        Ok(group) => Ok(Payload::of(&details(call, &topic, group)?)),
        Err(_) => Ok(Payload::empty()),
    }
}

fn list(call: &Call<'_>) -> Result<Payload, Refusal> {
    let request: GetConsumerGroupsRequest = call.decode()?;
    let topic = call.topic(TopicAction::Read, &request.stream_id, &request.topic_id)?;
    let groups: Result<Vec<_>, Refusal> =
        topic.groups.iter().map(|group| Ok(details(call, &topic, group)?.group)).collect();
    Ok(Payload::of(&GetConsumerGroupsResponse { groups: groups? }))
}

fn create(call: &Call<'_>) -> Result<Payload, Refusal> {
    let request: CreateConsumerGroupRequest = call.decode()?;
    let topic = call.topic(TopicAction::Read, &request.stream_id, &request.topic_id)?;
    let (stream_id, topic_id) = (numeric(topic.meta.stream_id), numeric(topic.meta.id));
    let catalog = &call.engine.catalog;
    let group = catalog.create_group(&stream_id, &topic_id, &request.name)?;
    let topic = catalog.topic(&stream_id, &topic_id)?;
    Ok(Payload::of(&details(call, &topic, &group)?))
}

fn delete(call: &Call<'_>) -> Result<Payload, Refusal> {
    let request: DeleteConsumerGroupRequest = call.decode()?;
    let topic = call.topic(TopicAction::Read, &request.stream_id, &request.topic_id)?;
    let (stream_id, topic_id) = (numeric(topic.meta.stream_id), numeric(topic.meta.id));
    let group = call.engine.catalog.delete_group(&stream_id, &topic_id, &request.group_id)?;
    let gone = key_of(&group);
    call.engine.groups().delete(|key| *key == gone);
    Ok(Payload::empty())
}

fn join(call: &mut Call<'_>) -> Result<Payload, Refusal> {
    let request: JoinConsumerGroupRequest = call.decode()?;
    // Looked up under the lock: partitions that are added meanwhile are shared out after this.
    let mut groups = call.engine.groups();
    let topic = call.topic(TopicAction::Read, &request.stream_id, &request.topic_id)?;
    let key = key_of(topic.group(&request.group_id)?);
    groups.join(key, call.peer.id, topic.meta.partitions_count, Instant::now());
    call.peer.is_member = true;
    Ok(Payload::empty())
}

fn leave(call: &mut Call<'_>) -> Result<Payload, Refusal> {
    let request: LeaveConsumerGroupRequest = call.decode()?;
    let topic = call.topic(TopicAction::Read, &request.stream_id, &request.topic_id)?;
    let key = key_of(topic.group(&request.group_id)?);
    let mut groups = call.engine.groups();
    groups.leave(key, call.peer.id, Instant::now()).map_err(|NotMember| Code::ConsumerGroupMemberNotFound)?;
    call.peer.is_member = !groups.of_member(call.peer.id).is_empty();
    Ok(Payload::empty())
}

/// The partitions of the caller. To one who is no member the answer is empty, whyever that is: clients ask with every
/// heartbeat, also for groups that were deleted meanwhile.
fn sync(call: &Call<'_>) -> Result<Payload, Refusal> {
    let request: SyncConsumerGroupRequest = call.decode()?;
    let topic = call.topic(TopicAction::Read, &request.stream_id, &request.topic_id);
    let Ok(key) = topic.and_then(|topic| Ok(key_of(topic.group(&request.group_id)?))) else {
        return Ok(Payload::empty());
    };
    let assignment = call.engine.groups().assignment(key, call.peer.id, Instant::now());
    let response = assignment.map(|assignment| SyncConsumerGroupResponse {
        generation: assignment.generation,
        partitions: assignment.partitions,
    });
    Ok(Payload::of_option(response.as_ref()))
}

/// One partition of a group, as the caller deals with it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Claim {
    group: GroupKey,
    partition_id: u32,
}

impl Claim {
    /// The partition that a consumer means; `None` when the consumer is no group.
    pub(super) fn of(
        topic: &Topic,
        consumer: &WireConsumer,
        partition_id: u32,
    ) -> Result<Option<Self>, Refusal> {
        if consumer.kind != KIND_CONSUMER_GROUP {
            return Ok(None);
        }
        Ok(Some(Self { group: key_of(topic.consumer_group(&consumer.id)?), partition_id }))
    }

    /// What the caller may do with it.
    pub(super) fn ownership(self, call: &Call<'_>) -> Ownership {
        let claimed = (self.group, self.partition_id);
        call.engine.groups().ownership(claimed, call.peer.id, Instant::now())
    }

    /// Goes on only if the caller may commit.
    pub(super) fn require_commit(self, call: &Call<'_>) -> Result<(), Refusal> {
        match self.ownership(call) {
            Ownership::Owner | Ownership::Leaving => Ok(()),
            Ownership::NotOwner => Err(Code::ConsumerGroupPartitionNotOwned.into()),
            Ownership::NotMember => Err(Code::ConsumerGroupMemberNotFound.into()),
        }
    }

    /// Notes that the caller gets messages up to this offset, if it still may.
    pub(super) fn polled(self, call: &Call<'_>, last_offset: u64) -> Ownership {
        let claimed = (self.group, self.partition_id);
        call.engine.groups().polled(claimed, call.peer.id, last_offset, Instant::now())
    }

    /// Notes that an offset was stored.
    pub(super) fn committed(self, call: &Call<'_>, offset: u64) {
        let claimed = (self.group, self.partition_id);
        call.engine.groups().committed(claimed, offset, Instant::now());
    }
}

fn key_of(group: &GroupMeta) -> GroupKey {
    GroupKey { stream_id: group.stream_id, topic_id: group.topic_id, group_id: group.id }
}

fn details(
    call: &Call<'_>,
    topic: &Topic,
    group: &GroupMeta,
) -> Result<ConsumerGroupDetailsResponse, Refusal> {
    let members = call.engine.groups().members(key_of(group), Instant::now());
    let member = |(id, partitions): (crate::group::MemberId, Vec<u32>)| ConsumerGroupMemberResponse {
        id: id.0,
        partitions_count: u32::try_from(partitions.len()).unwrap_or(u32::MAX),
        partitions,
    };
    let members: Vec<_> = members.into_iter().map(member).collect();
    let header = ConsumerGroupResponse {
        id: group.id,
        partitions_count: topic.meta.partitions_count,
        members_count: u32::try_from(members.len()).unwrap_or(u32::MAX),
        name: WireName::new(group.name.as_str())?,
    };
    Ok(ConsumerGroupDetailsResponse { group: header, members })
}
