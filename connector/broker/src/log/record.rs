//! One batch record: checked when it arrives, stamped before it is written, and cut to the messages asked for
//! when it is read.

use iggy_binary_protocol::WireError;
use iggy_binary_protocol::batch::{
    BATCH_HEADER_SIZE, BATCH_MESSAGE_HEADER_SIZE, BatchHeader, BatchIntegrity, BatchRef,
    calculate_batch_checksum, decode_batch_slice, decode_batch_slice_with,
};

use iggy_common::{MAX_PAYLOAD_SIZE, MAX_USER_HEADERS_SIZE};

use super::AppendError;

/// The smallest space a message takes in a record.
pub(super) const MESSAGE_BYTES_MIN: u64 = BATCH_MESSAGE_HEADER_SIZE as u64;

/// What the log decides about a record.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stamp {
    pub(super) partition_id: u32,
    pub(super) base_offset: u64,
    pub(super) base_timestamp: u64,
}

/// Verifies that `bytes` are exactly one batch of `expected_messages` messages with right checksums, none of which is
/// larger than a message may be.
pub(super) fn check(bytes: &[u8], expected_messages: u32) -> Result<BatchRef<'_>, AppendError> {
    let batch = decode_batch_slice(bytes).map_err(refuse)?;
    if batch.header.batch_length != bytes.len() as u64 {
        return Err(AppendError::InvalidBatch("bytes follow the batch".to_owned()));
    }
    if batch.message_count() == 0 || batch.message_count() != expected_messages {
        return Err(AppendError::InvalidBatch(format!(
            "it holds {} messages where {expected_messages} were announced (at least 1)",
            batch.message_count()
        )));
    }
    let numbered = batch.iter().zip(0..).all(|(message, index)| message.header.offset_delta == index);
    if !numbered {
        return Err(AppendError::InvalidBatch("offset deltas do not count up from 0".to_owned()));
    }
    check_sizes(&batch)?;
    Ok(batch)
}

/// Verifies that every message keeps to Iggy's limits.
fn check_sizes(batch: &BatchRef<'_>) -> Result<(), AppendError> {
    for message in batch.iter() {
        match message.header {
            header if header.payload_length > MAX_PAYLOAD_SIZE => {
                return Err(AppendError::LargePayload(header.payload_length));
            }
            header if header.user_headers_length > MAX_USER_HEADERS_SIZE => {
                return Err(AppendError::LargeHeaders(header.user_headers_length));
            }
            _ => {}
        }
    }
    Ok(())
}

fn refuse(error: WireError) -> AppendError {
    match error {
        WireError::InvalidMessageChecksum { .. } => AppendError::InvalidMessage(error.to_string()),
        other => AppendError::InvalidBatch(other.to_string()),
    }
}

/// The header of `batch` as it is stored.
pub(super) fn stamped(batch: &BatchRef<'_>, stamp: Stamp) -> BatchHeader {
    let mut header = batch.header;
    header.partition_id = u64::from(stamp.partition_id);
    header.base_offset = stamp.base_offset;
    header.base_timestamp = stamp.base_timestamp;
    header.batch_checksum = calculate_batch_checksum(&header, batch.blob());
    header
}

/// A header in bytes.
pub(super) fn encode(header: &BatchHeader) -> [u8; BATCH_HEADER_SIZE] {
    let mut bytes = [0; BATCH_HEADER_SIZE];
    header.encode_into(&mut bytes);
    bytes
}

/// Ids of the messages in `records`, which must be whole.
pub(super) fn ids(mut records: &[u8]) -> Vec<u128> {
    let mut ids = Vec::new();
    while let Ok(batch) = decode_batch_slice_with(records, BatchIntegrity::LayoutOnly) {
        ids.extend(batch.iter().map(|message| message.header.id));
        records = records.get(batch.header.total_size()..).unwrap_or_default();
    }
    ids
}

/// How much a reader still takes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Budget {
    pub(super) messages: u32,
    pub(super) bytes: usize,
}

/// The part of a record that a reader takes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part {
    /// Its header: the stored one when the part is the whole record.
    pub(super) header: BatchHeader,
    /// Where its frames begin in the blob of the record.
    pub(super) start: usize,
    /// Where they end.
    pub(super) end: usize,
    /// Offset of its last message.
    pub(super) last_offset: u64,
}

/// The messages of `batch` from offset `from` on that fit the budget; `None` when there are none. The first one
/// may exceed the bytes of the budget when `must_take` is [`MustTake::One`].
pub(super) fn part(batch: &BatchRef<'_>, from: u64, budget: Budget, must_take: MustTake) -> Option<Part> {
    let skipped = usize::try_from(from.saturating_sub(batch.header.base_offset)).ok()?;
    let mut taken = Taken::default();
    for framed in batch.iter_with_offsets().skip(skipped) {
        let start = taken.bounds.map_or(framed.start, |(start, _)| start);
        let fits = BATCH_HEADER_SIZE + (framed.end - start) <= budget.bytes
            || (taken.messages == 0 && must_take == MustTake::One);
        if taken.messages == budget.messages || !fits {
            break;
        }
        taken = Taken {
            bounds: Some((start, framed.end)),
            messages: taken.messages + 1,
            last_delta: framed.message.header.offset_delta,
        };
    }
    let (start, end) = taken.bounds?;
    let mut header = batch.header;
    if taken.messages != header.message_count {
        header.message_count = taken.messages;
        header.batch_length = (BATCH_HEADER_SIZE + end - start) as u64;
        header.batch_checksum = calculate_batch_checksum(&header, batch.blob().get(start..end)?);
    }
    Some(Part {
        header,
        start,
        end,
        last_offset: header.base_offset.saturating_add(u64::from(taken.last_delta)),
    })
}

/// Whether a reader needs a message even beyond its budget of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MustTake {
    One,
    None,
}

#[derive(Debug, Clone, Copy, Default)]
struct Taken {
    bounds: Option<(usize, usize)>,
    messages: u32,
    last_delta: u32,
}
