//! Consumer offsets.

use iggy_binary_protocol::codes::{
    DELETE_CONSUMER_OFFSET_CODE, GET_CONSUMER_OFFSET_CODE, STORE_CONSUMER_OFFSET_CODE,
};
use iggy_binary_protocol::requests::consumer_offsets::{
    DeleteConsumerOffsetRequest, GetConsumerOffsetRequest, StoreConsumerOffsetRequest,
};
use iggy_binary_protocol::responses::consumer_offsets::ConsumerOffsetResponse;
use iggy_binary_protocol::{KIND_CONSUMER_GROUP, WireConsumer, WireIdentifier};
use iggy_common::{IggyErrorDiscriminants as Code, calculate_32};

use super::Call;
use super::group::Claim;
use crate::catalog::Topic;
use crate::store::{ConsumerKey, OffsetDurability, OffsetKey, StoreError};
use crate::user::TopicAction;
use crate::wire::{Payload, Refusal};

pub(super) fn run(code: u32, call: &Call<'_>) -> Result<Payload, Refusal> {
    match code {
        GET_CONSUMER_OFFSET_CODE => get(call),
        STORE_CONSUMER_OFFSET_CODE => store(call),
        DELETE_CONSUMER_OFFSET_CODE => delete(call),
        // Where offsets live in a cluster of several nodes.
        _ => Err(Code::FeatureUnavailable.into()),
    }
}

fn get(call: &Call<'_>) -> Result<Payload, Refusal> {
    let request: GetConsumerOffsetRequest = call.decode()?;
    let topic = call.topic(TopicAction::Poll, &request.stream_id, &request.topic_id)?;
    let key = offset_key(&topic, &request.consumer, request.partition_id)?;
    let bounds = topic.partition(key.partition_id)?.bounds()?;
    let stored = call.engine.store.offset(key).map(|stored_offset| ConsumerOffsetResponse {
        partition_id: key.partition_id,
        current_offset: bounds.next_offset.saturating_sub(1),
        stored_offset,
    });
    Ok(Payload::of_option(stored.as_ref()))
}

fn store(call: &Call<'_>) -> Result<Payload, Refusal> {
    let request: StoreConsumerOffsetRequest = call.decode()?;
    let topic = call.topic(TopicAction::Poll, &request.stream_id, &request.topic_id)?;
    let key = offset_key(&topic, &request.consumer, request.partition_id)?;
    if request.offset >= topic.partition(key.partition_id)?.bounds()?.next_offset {
        return Err(Code::InvalidOffset.into());
    }
    let claim = Claim::of(&topic, &request.consumer, key.partition_id)?;
    let commit = Commit { key, offset: request.offset, claim, direction: Direction::Any };
    store_offset(call, &topic, commit)?;
    Ok(Payload::empty())
}

fn delete(call: &Call<'_>) -> Result<Payload, Refusal> {
    let request: DeleteConsumerOffsetRequest = call.decode()?;
    let topic = call.topic(TopicAction::Poll, &request.stream_id, &request.topic_id)?;
    let key = offset_key(&topic, &request.consumer, request.partition_id)?;
    topic.partition(key.partition_id)?;
    if !call.engine.store.delete_offset(key)? {
        return Err(Code::ConsumerOffsetNotFound.into());
    }
    Ok(Payload::empty())
}

/// An offset to be stored.
#[derive(Debug, Clone, Copy)]
pub(super) struct Commit {
    pub(super) key: OffsetKey,
    pub(super) offset: u64,
    /// What a member of a group must hold to store it.
    pub(super) claim: Option<Claim>,
    pub(super) direction: Direction,
}

/// Where a stored offset may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    /// Back as well: clients do that on purpose.
    Any,
    /// Only on; a lower one is let alone.
    Forward,
}

/// Why an offset was not stored.
enum Unstored {
    Behind,
    Refused(Refusal),
}

/// Stores an offset as durably as the topic wants. The claim is checked in one step with the write: the next owner
/// of the partition never sees the offset of one who lost it change.
pub(super) fn store_offset(call: &Call<'_>, topic: &Topic, commit: Commit) -> Result<(), Refusal> {
    let store = &call.engine.store;
    let Commit { key, offset, claim, direction } = commit;
    if store.offset(key).is_none() && store.offsets_count() >= call.engine.limits.offsets_max {
        return Err(Code::TooManyConsumerOffsets.into());
    }
    let check = |stored: Option<u64>| {
        if direction == Direction::Forward && stored.is_some_and(|stored| stored >= offset) {
            return Err(Unstored::Behind);
        }
        claim.map_or(Ok(()), |claim| claim.require_commit(call)).map_err(Unstored::Refused)
    };
    let put = |durability| store.put_offset_if(key, offset, durability, check);
    let stored = match topic.options.offset_durability() {
        OffsetDurability::Written => put(OffsetDurability::Written),
        OffsetDurability::Synced => tokio::task::block_in_place(|| put(OffsetDurability::Synced)),
    };
    match stored {
        Ok(()) => claim.map_or((), |claim| claim.committed(call, offset)),
        Err(Unstored::Behind) => {}
        Err(Unstored::Refused(refusal)) => return Err(refusal),
    }
    Ok(())
}

impl From<StoreError> for Unstored {
    fn from(error: StoreError) -> Self {
        Self::Refused(error.into())
    }
}

/// Whose offsets are meant. A consumer that calls itself by a name is known by the hash of it.
pub(super) fn consumer_key(topic: &Topic, consumer: &WireConsumer) -> Result<ConsumerKey, Refusal> {
    if consumer.kind == KIND_CONSUMER_GROUP {
        return Ok(ConsumerKey::Group(topic.consumer_group(&consumer.id)?.id));
    }
    Ok(ConsumerKey::Consumer(match &consumer.id {
        WireIdentifier::Numeric(id) => *id,
        WireIdentifier::String(name) => calculate_32(name.as_bytes()),
    }))
}

fn offset_key(
    topic: &Topic,
    consumer: &WireConsumer,
    partition_id: Option<u32>,
) -> Result<OffsetKey, Refusal> {
    Ok(OffsetKey {
        stream_id: topic.meta.stream_id,
        topic_id: topic.meta.id,
        partition_id: partition_id.unwrap_or(0),
        consumer: consumer_key(topic, consumer)?,
    })
}
