//! Partitions and their segments.

use std::time::Instant;

use iggy_binary_protocol::MAX_PARTITIONS_PER_REQUEST;
use iggy_binary_protocol::codes::{CREATE_PARTITIONS_CODE, DELETE_PARTITIONS_CODE, DELETE_SEGMENTS_CODE};
use iggy_binary_protocol::requests::partitions::{CreatePartitionsRequest, DeletePartitionsRequest};
use iggy_binary_protocol::requests::segments::DeleteSegmentsRequest;
use iggy_common::IggyErrorDiscriminants as Code;

use super::{Call, change, numeric};
use crate::catalog::Topic;
use crate::user::TopicAction;
use crate::wire::{Payload, Refusal};

pub(super) fn run(code: u32, call: &Call<'_>) -> Result<Payload, Refusal> {
    match code {
        CREATE_PARTITIONS_CODE => change(|| create(call)),
        DELETE_PARTITIONS_CODE => change(|| delete(call)),
        DELETE_SEGMENTS_CODE => change(|| delete_segments(call)),
        _ => Err(Code::InvalidCommand.into()),
    }
}

fn create(call: &Call<'_>) -> Result<Payload, Refusal> {
    let request: CreatePartitionsRequest = call.decode()?;
    require_count(request.partitions_count)?;
    let topic = call.topic(TopicAction::Manage, &request.stream_id, &request.topic_id)?;
    let (stream_id, topic_id) = (numeric(topic.meta.stream_id), numeric(topic.meta.id));
    let catalog = &call.engine.catalog;
    let topic = catalog.create_partitions(&stream_id, &topic_id, request.partitions_count)?;
    rebalance(call, &topic);
    Ok(Payload::empty())
}

fn delete(call: &Call<'_>) -> Result<Payload, Refusal> {
    let request: DeletePartitionsRequest = call.decode()?;
    require_count(request.partitions_count)?;
    let topic = call.topic(TopicAction::Manage, &request.stream_id, &request.topic_id)?;
    let (stream_id, topic_id) = (numeric(topic.meta.stream_id), numeric(topic.meta.id));
    let catalog = &call.engine.catalog;
    let topic = catalog.delete_partitions(&stream_id, &topic_id, request.partitions_count)?;
    rebalance(call, &topic);
    Ok(Payload::empty())
}

fn delete_segments(call: &Call<'_>) -> Result<Payload, Refusal> {
    let request: DeleteSegmentsRequest = call.decode()?;
    let topic = call.topic(TopicAction::Manage, &request.stream_id, &request.topic_id)?;
    topic.partition(request.partition_id)?.delete_segments(request.segments_count)?;
    Ok(Payload::empty())
}

fn require_count(count: u32) -> Result<(), Refusal> {
    if (1..=MAX_PARTITIONS_PER_REQUEST).contains(&count) {
        Ok(())
    } else {
        Err(Code::TooManyPartitions.into())
    }
}

fn rebalance(call: &Call<'_>, topic: &Topic) {
    let meta = &topic.meta;
    call.engine.groups().resize(meta.stream_id, meta.id, meta.partitions_count, Instant::now());
}
