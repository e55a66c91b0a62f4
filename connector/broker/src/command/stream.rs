//! Streams.

use iggy_binary_protocol::codes::{
    CREATE_STREAM_CODE, DELETE_STREAM_CODE, GET_STREAM_CODE, GET_STREAMS_CODE, PURGE_STREAM_CODE,
    UPDATE_STREAM_CODE,
};
use iggy_binary_protocol::requests::streams::{
    CreateStreamRequest, DeleteStreamRequest, GetStreamRequest, PurgeStreamRequest, UpdateStreamRequest,
};
use iggy_binary_protocol::responses::streams::{GetStreamResponse, GetStreamsResponse, StreamResponse};
use iggy_binary_protocol::{WireName, WireOptions};
use iggy_common::IggyErrorDiscriminants as Code;

use super::topic::{Extent, topic_header};
use super::{Call, change, numeric};
use crate::catalog::Stream;
use crate::user::{Action, StreamAction};
use crate::wire::{Payload, Refusal};

pub(super) fn run(code: u32, call: &Call<'_>) -> Result<Payload, Refusal> {
    match code {
        GET_STREAM_CODE => get(call),
        GET_STREAMS_CODE => list(call),
        CREATE_STREAM_CODE => change(|| create(call)),
        UPDATE_STREAM_CODE => change(|| update(call)),
        DELETE_STREAM_CODE => change(|| delete(call)),
        PURGE_STREAM_CODE => change(|| purge(call)),
        _ => Err(Code::InvalidCommand.into()),
    }
}

fn get(call: &Call<'_>) -> Result<Payload, Refusal> {
    let request: GetStreamRequest = call.decode()?;
    match call.stream(StreamAction::Read, &request.stream_id) {
        Ok(stream) => Ok(Payload::of(&details(&stream)?)),
        Err(Refusal::Code(Code::StreamIdNotFound)) => Ok(Payload::empty()),
        Err(refusal) => Err(refusal),
    }
}

fn list(call: &Call<'_>) -> Result<Payload, Refusal> {
    call.require(Action::ListStreams)?;
    let streams = call.engine.catalog.streams();
    let streams: Result<Vec<_>, Refusal> = streams.iter().map(|stream| response(stream)).collect();
    Ok(Payload::of(&GetStreamsResponse { streams: streams? }))
}

fn create(call: &Call<'_>) -> Result<Payload, Refusal> {
    let request: CreateStreamRequest = call.decode()?;
    call.require(Action::CreateStream)?;
    require_no_options(&request.options)?;
    let stream = call.engine.catalog.create_stream(&request.name)?;
    Ok(Payload::of(&details(&stream)?))
}

fn update(call: &Call<'_>) -> Result<Payload, Refusal> {
    let request: UpdateStreamRequest = call.decode()?;
    require_no_options(&request.options)?;
    let stream = call.stream(StreamAction::Manage, &request.stream_id)?;
    call.engine.catalog.rename_stream(&numeric(stream.meta.id), &request.name)?;
    Ok(Payload::empty())
}

fn delete(call: &Call<'_>) -> Result<Payload, Refusal> {
    let request: DeleteStreamRequest = call.decode()?;
    let stream = call.stream(StreamAction::Manage, &request.stream_id)?;
    let stream_id = call.engine.catalog.delete_stream(&numeric(stream.meta.id))?;
    call.engine.groups().delete(|key| key.stream_id == stream_id);
    Ok(Payload::empty())
}

fn purge(call: &Call<'_>) -> Result<Payload, Refusal> {
    let request: PurgeStreamRequest = call.decode()?;
    let stream = call.stream(StreamAction::Manage, &request.stream_id)?;
    for topic in stream.topics.iter() {
        call.engine.catalog.purge_topic(topic)?;
    }
    Ok(Payload::empty())
}

/// Streams have no options, and one that is stored without effect would be a lie.
fn require_no_options(options: &WireOptions) -> Result<(), Refusal> {
    if options.is_empty() { Ok(()) } else { Err(Code::UnsupportedOptionKey.into()) }
}

fn details(stream: &Stream) -> Result<GetStreamResponse, Refusal> {
    let topics: Result<Vec<_>, Refusal> = stream.topics.iter().map(|topic| topic_header(topic)).collect();
    Ok(GetStreamResponse { stream: response(stream)?, topics: topics? })
}

fn response(stream: &Stream) -> Result<StreamResponse, Refusal> {
    let mut extent = Extent::default();
    for topic in stream.topics.iter() {
        extent.add(&Extent::of(topic)?);
    }
    Ok(StreamResponse {
        id: stream.meta.id,
        created_at: stream.meta.created_at_micros,
        topics_count: u32::try_from(stream.topics.len()).unwrap_or(u32::MAX),
        size_bytes: extent.bytes,
        messages_count: extent.messages,
        name: WireName::new(stream.meta.name.as_str())?,
        options: WireOptions::empty(),
    })
}
