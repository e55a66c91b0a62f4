//! Sending and polling messages.

use std::sync::atomic::{AtomicU32, Ordering};

use iggy_binary_protocol::codec::read_u32_le;
use iggy_binary_protocol::codes::{FLUSH_UNSAVED_BUFFER_CODE, POLL_MESSAGES_CODE, SEND_MESSAGES_CODE};
use iggy_binary_protocol::requests::messages::{
    FlushUnsavedBufferRequest, PollMessagesRequest, SendMessagesHeader,
};
use iggy_binary_protocol::responses::messages::{
    PollMessagesResponseHeader, SendMessagesConfirmationResponse, SendMessagesResponse,
};
use iggy_binary_protocol::{WireDecode, WirePartitioning, WirePollingStrategy};
use iggy_common::{IggyErrorDiscriminants as Code, RESYNC_REQUIRED_PARTITION_SENTINEL, calculate_32};

use super::Call;
use super::group::Claim;
use super::offset::{Commit, Direction, consumer_key, store_offset};
use crate::catalog::AppendDurability;
use crate::group::Ownership;
use crate::log::{ReadFrom, Slice};
use crate::partition::{Accepted, Incoming, Partition};
use crate::store::OffsetKey;
use crate::user::TopicAction;
use crate::wire::{Payload, Refusal};

/// A batch or a read of at least this many bytes lets other connections run on another thread meanwhile.
const LARGE_BYTES: usize = 256 * 1024;
/// The next partition for messages that name none. Shared by all topics, which is balanced enough.
static NEXT_BALANCED: AtomicU32 = AtomicU32::new(0);

pub(super) async fn run(code: u32, call: &Call<'_>) -> Result<Payload, Refusal> {
    match code {
        SEND_MESSAGES_CODE => send(call).await,
        POLL_MESSAGES_CODE => poll(call),
        FLUSH_UNSAVED_BUFFER_CODE => flush(call).await,
        // The rest serves clusters of several nodes.
        _ => Err(Code::FeatureUnavailable.into()),
    }
}

/// Appends a batch and, in a topic that wants it, waits for the disk. The reply is the acknowledgement.
async fn send(call: &Call<'_>) -> Result<Payload, Refusal> {
    let (header, batch) = split(call.body)?;
    let topic = call.topic(TopicAction::Send, &header.stream_id, &header.topic_id)?;
    let partition_id = choose_partition(&header.partitioning, topic.meta.partitions_count)?;
    let partition = topic.partition(partition_id)?;
    let repeats = call.engine.repeats_in(&topic.meta.name);
    let incoming = Incoming { batch, messages: header.messages_count, sender: call.peer.sender(), repeats };
    let append = || partition.append(&call.engine.store, incoming);
    let (accepted, era) =
        if batch.len() >= LARGE_BYTES { tokio::task::block_in_place(append) } else { append() }?;
    if topic.options.append_durability() == AppendDurability::Synced {
        partition.sync(era).await?;
    }
    let confirmations = match accepted {
        Accepted::Appended(appended) => vec![SendMessagesConfirmationResponse {
            stream_id: topic.meta.stream_id,
            topic_id: topic.meta.id,
            partition_id,
            base_offset: appended.base_offset,
        }],
        // Accepted, at offsets that were confirmed before. Without a confirmation in it, the answer tells a client of
        // ours that nothing new was stored.
        Accepted::Repeated => return Ok(Payload::empty()),
    };
    Ok(Payload::of(&SendMessagesResponse { confirmations }))
}

/// Takes the body apart: a length, a header of that length, and one batch record.
fn split(body: &[u8]) -> Result<(SendMessagesHeader, &[u8]), Refusal> {
    let length = read_u32_le(body, 0)? as usize;
    let (header, batch) =
        body.get(4..).and_then(|rest| rest.split_at_checked(length)).ok_or(Code::InvalidFormat)?;
    Ok((SendMessagesHeader::decode_from(header)?, batch))
}

fn choose_partition(partitioning: &WirePartitioning, partitions_count: u32) -> Result<u32, Refusal> {
    let modulo = |number: u32| number.checked_rem(partitions_count).ok_or(Code::NoPartitions);
    Ok(match partitioning {
        WirePartitioning::PartitionId(id) => *id,
        WirePartitioning::Balanced => modulo(NEXT_BALANCED.fetch_add(1, Ordering::Relaxed))?,
        WirePartitioning::MessagesKey(key) => modulo(calculate_32(key))?,
    })
}

fn poll(call: &Call<'_>) -> Result<Payload, Refusal> {
    let request: PollMessagesRequest = call.decode()?;
    let topic = call.topic(TopicAction::Poll, &request.stream_id, &request.topic_id)?;
    let partition_id = request.partition_id.unwrap_or(0);
    let claim = Claim::of(&topic, &request.consumer, partition_id)?;
    if claim.is_some_and(|claim| claim.ownership(call) != Ownership::Owner) {
        return Ok(Payload::of(&resync()));
    }
    let partition = topic.partition(partition_id)?;
    let key = OffsetKey {
        stream_id: topic.meta.stream_id,
        topic_id: topic.meta.id,
        partition_id,
        consumer: consumer_key(&topic, &request.consumer)?,
    };
    let stored = call.engine.store.offset(key);
    let slice = read(call, partition, start_of(&request, stored), request.count)?;
    let news = slice.last_offset.filter(|last| stored.is_none_or(|stored| stored < *last));
    if let (Some(claim), Some(last_offset)) = (claim, news)
        && claim.polled(call, last_offset) != Ownership::Owner
    {
        return Ok(Payload::of(&resync()));
    }
    if let (true, Some(offset)) = (request.auto_commit, slice.last_offset) {
        store_offset(call, &topic, Commit { key, offset, claim, direction: Direction::Forward })?;
    }
    let header = PollMessagesResponseHeader {
        partition_id,
        current_offset: partition.bounds()?.next_offset.saturating_sub(1),
        messages_count: slice.messages,
    };
    Ok(Payload::with_records(&header, slice.records))
}

fn read(call: &Call<'_>, partition: &Partition, from: ReadFrom, count: u32) -> Result<Slice, Refusal> {
    if count == 0 {
        return Err(Code::InvalidMessagesCount.into());
    }
    partition.read(from, count, call.engine.limits.poll_bytes_max)
}

/// Where the messages that the client wants begin.
fn start_of(request: &PollMessagesRequest, stored: Option<u64>) -> ReadFrom {
    let WirePollingStrategy { kind, value } = request.strategy;
    match kind {
        strategy::OFFSET => ReadFrom::Offset(value),
        strategy::TIMESTAMP => ReadFrom::Timestamp(value),
        strategy::LAST => ReadFrom::Last(request.count),
        strategy::NEXT => ReadFrom::Offset(stored.map_or(0, |offset| offset.saturating_add(1))),
        // First; the codec lets no other kind through.
        _ => ReadFrom::Offset(0),
    }
}

/// Kinds of polling strategies on the wire.
mod strategy {
    pub(super) const OFFSET: u8 = 1;
    pub(super) const TIMESTAMP: u8 = 2;
    pub(super) const LAST: u8 = 4;
    pub(super) const NEXT: u8 = 5;
}

/// The answer that makes a group member ask for its partitions again.
fn resync() -> PollMessagesResponseHeader {
    PollMessagesResponseHeader {
        partition_id: RESYNC_REQUIRED_PARTITION_SENTINEL,
        current_offset: 0,
        messages_count: 0,
    }
}

/// Waits until what was appended to a partition is on the disk.
async fn flush(call: &Call<'_>) -> Result<Payload, Refusal> {
    let request: FlushUnsavedBufferRequest = call.decode()?;
    let topic = call.topic(TopicAction::Send, &request.stream_id, &request.topic_id)?;
    let partition = topic.partition(request.partition_id)?;
    partition.sync(partition.era()?).await?;
    Ok(Payload::empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_turns_choose_an_existing_partition() {
        let key = WirePartitioning::MessagesKey(b"tenant".to_vec());
        assert_eq!(choose_partition(&key, 5).unwrap(), calculate_32(b"tenant") % 5);
        let chosen: Vec<u32> =
            (0..4).map(|_| choose_partition(&WirePartitioning::Balanced, 4).unwrap()).collect();
        let mut sorted = chosen.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, [0, 1, 2, 3]);
        assert!(choose_partition(&WirePartitioning::Balanced, 0).is_err());
    }

    #[test]
    fn a_send_body_that_is_cut_anywhere_is_refused() {
        let header = SendMessagesHeader {
            stream_id: iggy_binary_protocol::WireIdentifier::numeric(1),
            topic_id: iggy_binary_protocol::WireIdentifier::numeric(2),
            partitioning: WirePartitioning::PartitionId(0),
            messages_count: 1,
        };
        let encoded = iggy_binary_protocol::WireEncode::to_bytes(&header);
        let mut body = u32::try_from(encoded.len()).unwrap().to_le_bytes().to_vec();
        body.extend_from_slice(&encoded);
        for length in 0..body.len() {
            assert!(split(&body[..length]).is_err(), "cut at {length}");
        }
        assert_eq!(split(&body).unwrap(), (header, [].as_slice()));
    }
}
