//! Topics.

use iggy_binary_protocol::codes::{
    CREATE_TOPIC_CODE, DELETE_TOPIC_CODE, GET_TOPIC_CODE, GET_TOPICS_CODE, PURGE_TOPIC_CODE,
    UPDATE_TOPIC_CODE,
};
use iggy_binary_protocol::requests::topics::{
    CreateTopicRequest, DeleteTopicRequest, GetTopicRequest, GetTopicsRequest, PurgeTopicRequest,
    UpdateTopicRequest,
};
use iggy_binary_protocol::responses::streams::TopicHeader;
use iggy_binary_protocol::responses::topics::{GetTopicResponse, GetTopicsResponse, PartitionResponse};
use iggy_binary_protocol::{MAX_PARTITIONS_PER_REQUEST, WireName};
use iggy_common::IggyErrorDiscriminants as Code;

use super::{Call, change, numeric};
use crate::catalog::{Topic, TopicOptions, TopicUpdate};
use crate::user::{StreamAction, TopicAction};
use crate::wire::{Payload, Refusal};

pub(super) fn run(code: u32, call: &Call<'_>) -> Result<Payload, Refusal> {
    match code {
        GET_TOPIC_CODE => get(call),
        GET_TOPICS_CODE => list(call),
        CREATE_TOPIC_CODE => change(|| create(call)),
        UPDATE_TOPIC_CODE => change(|| update(call)),
        DELETE_TOPIC_CODE => change(|| delete(call)),
        PURGE_TOPIC_CODE => change(|| purge(call)),
        _ => Err(Code::InvalidCommand.into()),
    }
}

fn get(call: &Call<'_>) -> Result<Payload, Refusal> {
    let request: GetTopicRequest = call.decode()?;
    match call.topic(TopicAction::Read, &request.stream_id, &request.topic_id) {
        Ok(topic) => Ok(Payload::of(&details(&topic)?)),
        Err(Refusal::Code(Code::StreamIdNotFound | Code::TopicIdNotFound)) => Ok(Payload::empty()),
        Err(refusal) => Err(refusal),
    }
}

fn list(call: &Call<'_>) -> Result<Payload, Refusal> {
    let request: GetTopicsRequest = call.decode()?;
    let stream = match call.stream(StreamAction::ListTopics, &request.stream_id) {
        Err(Refusal::Code(Code::StreamIdNotFound)) => {
            return Ok(Payload::of(&GetTopicsResponse { topics: Vec::new() }));
        }
        stream => stream?,
    };
    let topics: Result<Vec<_>, Refusal> = stream.topics.iter().map(|topic| topic_header(topic)).collect();
    Ok(Payload::of(&GetTopicsResponse { topics: topics? }))
}

fn create(call: &Call<'_>) -> Result<Payload, Refusal> {
    let request: CreateTopicRequest = call.decode()?;
    // Looked at before anything else, as on Iggy's server.
    TopicOptions::require_known(&request.options)?;
    if request.partitions_count > MAX_PARTITIONS_PER_REQUEST {
        return Err(Code::TooManyPartitions.into());
    }
    let catalog = &call.engine.catalog;
    let options = TopicOptions::new(request.options, catalog.segment_bytes_default())?;
    let stream = call.stream(StreamAction::CreateTopic, &request.stream_id)?;
    let stream_id = numeric(stream.meta.id);
    let topic = catalog.create_topic(&stream_id, &request.name, request.partitions_count, options)?;
    Ok(Payload::of(&details(&topic)?))
}

fn update(call: &Call<'_>) -> Result<Payload, Refusal> {
    let request: UpdateTopicRequest = call.decode()?;
    TopicOptions::require_update(&request.options)?;
    let update = TopicUpdate { name: &request.name, options: &request.options };
    let topic = call.topic(TopicAction::Manage, &request.stream_id, &request.topic_id)?;
    call.engine.catalog.update_topic(&numeric(topic.meta.stream_id), &numeric(topic.meta.id), &update)?;
    Ok(Payload::empty())
}

fn delete(call: &Call<'_>) -> Result<Payload, Refusal> {
    let request: DeleteTopicRequest = call.decode()?;
    let topic = call.topic(TopicAction::Manage, &request.stream_id, &request.topic_id)?;
    let topic = call.engine.catalog.delete_topic(&numeric(topic.meta.stream_id), &numeric(topic.meta.id))?;
    let gone = (topic.meta.stream_id, topic.meta.id);
    call.engine.groups().delete(|key| (key.stream_id, key.topic_id) == gone);
    Ok(Payload::empty())
}

fn purge(call: &Call<'_>) -> Result<Payload, Refusal> {
    let request: PurgeTopicRequest = call.decode()?;
    let topic = call.topic(TopicAction::Manage, &request.stream_id, &request.topic_id)?;
    call.engine.catalog.purge_topic(&topic)?;
    Ok(Payload::empty())
}

/// How much is stored.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Extent {
    pub(super) bytes: u64,
    pub(super) messages: u64,
}

impl Extent {
    pub(super) fn of(topic: &Topic) -> Result<Self, Refusal> {
        let mut extent = Self::default();
        for partition in &topic.partitions {
            let bounds = partition.extent();
            extent.add(&Self { bytes: bounds.bytes, messages: bounds.messages });
        }
        Ok(extent)
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.bytes += other.bytes;
        self.messages += other.messages;
    }
}

/// A topic as replies show it in lists.
pub(super) fn topic_header(topic: &Topic) -> Result<TopicHeader, Refusal> {
    let extent = Extent::of(topic)?;
    Ok(TopicHeader {
        id: topic.meta.id,
        created_at: topic.meta.created_at_micros,
        partitions_count: topic.meta.partitions_count,
        message_expiry: topic.options.wire_expiry(),
        compression_algorithm: topic.options.wire_compression(),
        max_topic_size: topic.options.wire_bytes_max(),
        size_bytes: extent.bytes,
        messages_count: extent.messages,
        name: WireName::new(topic.meta.name.as_str())?,
        options: topic.options.explicit.clone(),
        derived_options: topic.options.derived.clone(),
    })
}

fn details(topic: &Topic) -> Result<GetTopicResponse, Refusal> {
    let mut partitions = Vec::with_capacity(topic.partitions.len());
    for (id, partition) in (0..).zip(&topic.partitions) {
        let bounds = partition.extent();
        partitions.push(PartitionResponse {
            id,
            created_at: topic.meta.created_at_micros,
            segments_count: bounds.segments,
            current_offset: bounds.next_offset.saturating_sub(1),
            size_bytes: bounds.bytes,
            messages_count: bounds.messages,
        });
    }
    Ok(GetTopicResponse { topic: topic_header(topic)?, partitions })
}
