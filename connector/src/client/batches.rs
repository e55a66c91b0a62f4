//! The answer to a poll, taken apart and compared with its checksums. The SDK reads it without.

use bytes::Bytes;
use iggy_binary_protocol::WireError;
use iggy_binary_protocol::batch::{BatchHeader, decode_batch_slice};

use crate::address::{Offset, PartitionId};
use crate::headers::RawHeaders;
use crate::message::ReceivedMessage;

/// Bytes before the batches: partition, last offset and the number of messages.
const PREFIX_BYTES: usize = 16;

/// What an answer says before its batches, and the messages in them.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) partition: u32,
    pub(super) last_offset: u64,
    pub(super) messages: Vec<ReceivedMessage>,
}

/// An answer that is not what the broker stored.
#[derive(Debug, thiserror::Error)]
pub(super) enum Corrupt {
    #[error("the answer is {0} bytes long, expected at least {PREFIX_BYTES}")]
    Short(usize),
    #[error("a batch of messages is damaged: {0}")]
    Batch(#[from] WireError),
    #[error("it brings messages of partition {found}, expected {expected}")]
    Partition { found: u64, expected: PartitionId },
    #[error("the offsets or times of a batch are beyond all numbers")]
    Beyond,
}

/// Reads an answer about a partition. Nothing is copied.
///
/// # Errors
/// When any byte of a message or of a batch is not what its checksum says.
pub(super) fn read(answer: &Bytes, expected: PartitionId) -> Result<Answer, Corrupt> {
    let short = || Corrupt::Short(answer.len());
    let (partition, rest) = answer.split_first_chunk().ok_or_else(short)?;
    let (last_offset, _) = rest.split_first_chunk().ok_or_else(short)?;
    let mut batches = answer.get(PREFIX_BYTES..).ok_or_else(short)?;
    let mut messages = Vec::new();
    while !batches.is_empty() {
        let batch = decode_batch_slice(batches)?;
        if batch.header.partition_id != u64::from(expected.0) {
            return Err(Corrupt::Partition { found: batch.header.partition_id, expected });
        }
        for message in batch.iter() {
            let header = &message.header;
            let (offset, origin) =
                place(&batch.header, header.offset_delta, header.timestamp_delta).ok_or(Corrupt::Beyond)?;
            messages.push(ReceivedMessage {
                id: header.id,
                offset,
                timestamp_micros: batch.header.base_timestamp,
                origin_timestamp_micros: origin,
                headers: RawHeaders(answer.slice_ref(message.user_headers)),
                payload: answer.slice_ref(message.payload),
            });
        }
        batches = batches.get(batch.header.total_size()..).unwrap_or_default();
    }
    let (partition, last_offset) = (u32::from_le_bytes(*partition), u64::from_le_bytes(*last_offset));
    Ok(Answer { partition, last_offset, messages })
}

/// Offset and time of origin of a message.
fn place(batch: &BatchHeader, offset_delta: u32, timestamp_delta: u32) -> Option<(Offset, u64)> {
    let offset = batch.base_offset.checked_add(u64::from(offset_delta))?;
    let origin = batch.origin_timestamp.checked_add(u64::from(timestamp_delta))?;
    Some((Offset(offset), origin))
}
