//! Consumer groups: joining, leaving, which partitions are ours, and stored offsets.

use iggy::prelude::{Consumer, ConsumerGroupClient as _, ConsumerOffsetClient as _, Identifier, IggyError};
use iggy_binary_protocol::codes::SYNC_CONSUMER_GROUP_CODE;
use iggy_binary_protocol::requests::consumer_groups::SyncConsumerGroupRequest;
use iggy_binary_protocol::responses::consumer_groups::SyncConsumerGroupResponse;
use iggy_binary_protocol::{WireDecode as _, WireEncode as _, WireIdentifier};
use iggy_common::BinaryTransport as _;

use super::fault::Fault;
use super::{Client, Reader, Target, identifier};
use crate::address::{GroupAddress, Offset, PartitionId};
use crate::error::ConnectorError;
use crate::group::StoreOutcome;

const CODE_RESOURCE_NOT_FOUND: u32 = 20;
const CODE_GROUP_EXISTS: u32 = 5004;
const CODE_GROUP_NOT_FOUND: u32 = 5000;
const CODE_GROUP_NAME_NOT_FOUND: u32 = 5003;
const CODE_MEMBER_NOT_FOUND: u32 = 5006;
const CODE_OFFSET_NOT_FOUND: u32 = 3021;
const CODE_PARTITION_NOT_OWNED: u32 = 5009;

/// A consumer group in the form that requests carry.
#[derive(Clone, Debug)]
pub(crate) struct GroupTarget {
    pub(crate) address: GroupAddress,
    pub(crate) target: Target,
    pub(super) id: Identifier,
    consumer: Consumer,
}

/// Which partitions a member reads.
#[derive(Clone, Debug)]
pub(crate) struct GroupAssignment {
    /// Another number whenever the assignment of any member changes.
    pub(crate) generation: u64,
    pub(crate) partitions: Vec<PartitionId>,
}

impl GroupTarget {
    /// Checks the names of a group.
    pub(crate) fn new(address: &GroupAddress) -> Result<Self, ConnectorError> {
        let id = identifier("group", &address.group)?;
        Ok(Self {
            target: Target::new(&address.topic)?,
            consumer: Consumer::group(id.clone()),
            address: address.clone(),
            id,
        })
    }

    /// The reader in whose name members poll.
    pub(crate) fn reader(&self) -> Reader {
        Reader::member(&self.id)
    }
}

impl Client {
    /// Whether a group exists.
    pub(crate) async fn group_exists(&self, group: &GroupTarget) -> Result<bool, ConnectorError> {
        let Target { stream, topic, .. } = &group.target;
        let request = self.sdk.get_consumer_group(stream, topic, &group.id);
        match self.ask(request).await {
            Ok(found) => Ok(found.is_some()),
            Err(fault) if fault.code() == CODE_GROUP_NOT_FOUND => Ok(false),
            Err(fault) => Err(describe(fault, "looking up", group)),
        }
    }

    /// Creates a group unless it exists.
    pub(crate) async fn ensure_group(&self, group: &GroupTarget) -> Result<(), ConnectorError> {
        if self.group_exists(group).await? {
            return Ok(());
        }
        let Target { stream, topic, .. } = &group.target;
        let name = &group.address.group;
        match self.ask(self.sdk.create_consumer_group(stream, topic, name)).await {
            Ok(_) => Ok(()),
            Err(fault) if fault.code() == CODE_GROUP_EXISTS => Ok(()),
            Err(fault) => Err(describe(fault, "creating", group)),
        }
    }

    /// Makes this connection a member of a group; harmless when it is one.
    pub(crate) async fn join(&self, group: &GroupTarget) -> Result<(), ConnectorError> {
        let Target { stream, topic, .. } = &group.target;
        self.ask(self.sdk.join_consumer_group(stream, topic, &group.id))
            .await
            .map_err(|fault| describe(fault, "joining", group))
    }

    /// Ends the membership of this connection; harmless when it is no member.
    pub(crate) async fn leave(&self, group: &GroupTarget) -> Result<(), ConnectorError> {
        let Target { stream, topic, .. } = &group.target;
        match self.ask(self.sdk.leave_consumer_group(stream, topic, &group.id)).await {
            Ok(()) => Ok(()),
            Err(fault) if fault.code() == CODE_MEMBER_NOT_FOUND => Ok(()),
            Err(fault) => Err(describe(fault, "leaving", group)),
        }
    }

    /// The partitions that this member reads and the number of the assignment; `None` when it is no member (any more).
    pub(crate) async fn sync(&self, group: &GroupTarget) -> Result<Option<GroupAssignment>, ConnectorError> {
        let request = sync_request(group).map_err(|fault| describe(fault, "syncing", group))?;
        let sent = self.sdk.send_raw_with_response(SYNC_CONSUMER_GROUP_CODE, request.to_bytes());
        let body = self.ask(sent).await.map_err(|fault| describe(fault, "syncing", group))?;
        if body.is_empty() {
            return Ok(None);
        }
        match SyncConsumerGroupResponse::decode(&body) {
            Ok((assignment, _)) => Ok(Some(GroupAssignment {
                generation: assignment.generation,
                partitions: assignment.partitions.into_iter().map(PartitionId).collect(),
            })),
            Err(error) => {
                Err(ConnectorError::Receive(format!("assignment of group {}: {error}", group.address)))
            }
        }
    }

    /// The last offset that a group stored in a partition.
    pub(crate) async fn stored_offset(
        &self,
        group: &GroupTarget,
        partition: PartitionId,
    ) -> Result<Option<Offset>, ConnectorError> {
        let Target { stream, topic, .. } = &group.target;
        let request = self.sdk.get_consumer_offset(&group.consumer, stream, topic, Some(partition.0));
        match self.ask(request).await {
            Ok(found) => Ok(found.map(|offset| Offset(offset.stored_offset))),
            Err(fault) => Err(describe(fault, "reading the offset of", group)),
        }
    }

    /// Deletes the offset that a group stored in a partition; harmless when there is none.
    pub(crate) async fn delete_offset(
        &self,
        group: &GroupTarget,
        partition: PartitionId,
    ) -> Result<(), ConnectorError> {
        let Target { stream, topic, .. } = &group.target;
        let request = self.sdk.delete_consumer_offset(&group.consumer, stream, topic, Some(partition.0));
        match self.ask(request).await {
            Ok(()) => Ok(()),
            Err(fault) if fault.code() == CODE_OFFSET_NOT_FOUND => Ok(()),
            Err(fault) => Err(describe(fault, "deleting the offset of", group)),
        }
    }

    /// Stores an offset of a partition that this member owns.
    pub(crate) async fn store_offset(
        &self,
        group: &GroupTarget,
        partition: PartitionId,
        offset: Offset,
    ) -> Result<StoreOutcome, ConnectorError> {
        let Target { stream, topic, .. } = &group.target;
        let request =
            self.sdk.store_consumer_offset(&group.consumer, stream, topic, Some(partition.0), offset.0);
        match self.ask(request).await {
            Ok(()) => Ok(StoreOutcome::Stored),
            Err(fault) if refuses_owner(&fault) => Ok(StoreOutcome::NotOwner),
            Err(fault) => Err(describe(fault, "storing an offset of", group)),
        }
    }
}

/// Which code says "not yours" differs from server to server.
fn refuses_owner(fault: &Fault) -> bool {
    matches!(
        fault.code(),
        CODE_PARTITION_NOT_OWNED
            | CODE_MEMBER_NOT_FOUND
            | CODE_GROUP_NOT_FOUND
            | CODE_GROUP_NAME_NOT_FOUND
            | CODE_RESOURCE_NOT_FOUND
    )
}

fn sync_request(group: &GroupTarget) -> Result<SyncConsumerGroupRequest, Fault> {
    let named =
        |name: &str| WireIdentifier::named(name).map_err(|_| Fault::new(IggyError::InvalidIdentifier));
    Ok(SyncConsumerGroupRequest {
        stream_id: named(&group.address.topic.stream)?,
        topic_id: named(&group.address.topic.topic)?,
        group_id: named(&group.address.group)?,
    })
}

fn describe(fault: Fault, doing: &str, group: &GroupTarget) -> ConnectorError {
    fault.describe(format_args!("{doing} group {}", group.address))
}
