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

use super::{Call, group};
use crate::catalog::Topic;
use crate::group::Ownership;
use crate::store::{ConsumerKey, OffsetDurability, OffsetKey};
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

/// A lower offset than the stored one is taken: clients go back on purpose.
fn store(call: &Call<'_>) -> Result<Payload, Refusal> {
    let request: StoreConsumerOffsetRequest = call.decode()?;
    let topic = call.topic(TopicAction::Poll, &request.stream_id, &request.topic_id)?;
    let key = offset_key(&topic, &request.consumer, request.partition_id)?;
    if request.offset >= topic.partition(key.partition_id)?.bounds()?.next_offset {
        return Err(Code::InvalidOffset.into());
    }
    if request.consumer.kind == KIND_CONSUMER_GROUP {
        match group::ownership(call, &topic, &request.consumer.id, key.partition_id)? {
            Ownership::Owner => {}
            Ownership::NotOwner => return Err(Code::ConsumerGroupPartitionNotOwned.into()),
            Ownership::NotMember => return Err(Code::ConsumerGroupMemberNotFound.into()),
        }
    }
    store_offset(call, &topic, key, request.offset)?;
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

/// Stores an offset as durably as the topic wants.
pub(super) fn store_offset(
    call: &Call<'_>,
    topic: &Topic,
    key: OffsetKey,
    offset: u64,
) -> Result<(), Refusal> {
    let store = &call.engine.store;
    if store.offset(key).is_none() && store.offsets_count() >= call.engine.limits.offsets_max {
        return Err(Code::TooManyConsumerOffsets.into());
    }
    match topic.options.offset_durability() {
        OffsetDurability::Written => Ok(store.put_offset(key, offset)?),
        durability @ OffsetDurability::Synced => {
            super::change(|| Ok(store.put_offsets(&[(key, offset)], durability)?))
        }
    }
}

/// Whose offsets are meant. A consumer that calls itself by a name is known by the hash of it.
pub(super) fn consumer_key(topic: &Topic, consumer: &WireConsumer) -> Result<ConsumerKey, Refusal> {
    if consumer.kind == KIND_CONSUMER_GROUP {
        return Ok(ConsumerKey::Group(topic.group(&consumer.id)?.id));
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
