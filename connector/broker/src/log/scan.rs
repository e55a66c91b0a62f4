//! Reads a segment from its start and verifies every record, to learn where its good part ends.

use std::fs::File;

use iggy_binary_protocol::batch::{
    BATCH_HEADER_SIZE, BATCH_MESSAGE_HEADER_SIZE, BatchHeader, BatchMessageHeader, decode_batch_slice,
};
use iggy_common::calculate_checksum;

use super::record::MESSAGE_BYTES_MIN;
use super::segment::Segment;
use super::{LogError, file};

const CHUNK_BYTES: u64 = 1024 * 1024;

/// A message's checksum stands in front of what it covers.
const CHECKSUM_BYTES: usize = 8;

/// What stands behind the good part of a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Tail {
    /// Nothing.
    Clean,
    /// Zeros, as they are preallocated.
    Zeros,
    /// The beginning of a record that was never finished, and perhaps zeros.
    Torn,
    /// Bytes that no interrupted write of ours leaves behind.
    Damaged(String),
}

/// Reads `file` and notes its good records in `segment`, which must be empty. `file_bytes` is the file's length.
pub(super) fn scan(segment: &mut Segment, file: &File, file_bytes: u64) -> Result<Tail, LogError> {
    let mut window = Window { file, file_bytes, start: 0, held: Vec::new() };
    let path = segment.path.clone();
    let failed = LogError::io("read segment", &path);
    while segment.bytes < file_bytes {
        let bytes = window.record_at(segment.bytes).map_err(&failed)?;
        match verify(bytes, segment.next_offset) {
            Ok(header) => segment.note(&header),
            Err(reason) => {
                let left = window.content_bytes_from(segment.bytes).map_err(&failed)?;
                let bytes = window.record_at(segment.bytes).map_err(&failed)?;
                return Ok(classify(bytes, segment.next_offset, left, reason));
            }
        }
    }
    Ok(Tail::Clean)
}

/// An offset above every one that the bytes behind the good part of a segment can have held.
pub(super) fn offset_beyond_damage(segment: &Segment, file_bytes: u64) -> u64 {
    let unreadable = file_bytes.saturating_sub(segment.bytes);
    segment.next_offset.saturating_add(unreadable.div_ceil(MESSAGE_BYTES_MIN))
}

fn verify(bytes: &[u8], expected_offset: u64) -> Result<BatchHeader, String> {
    let header = decode_batch_slice(bytes).map_err(|error| error.to_string())?.header;
    let messages = u64::from(header.message_count);
    let is_due = header.base_offset == expected_offset && messages > 0;
    if !is_due || expected_offset.checked_add(messages).is_none() {
        let base_offset = header.base_offset;
        return Err(format!(
            "{messages} messages from offset {base_offset} on stand where {expected_offset} is due"
        ));
    }
    Ok(header)
}

/// Tells an unfinished record from a spoilt one: a write that stops leaves a beginning and nothing else but zeros. Only
/// the first `left` bytes count, behind them are zeros.
fn classify(bytes: &[u8], expected_offset: u64, left: u64, reason: String) -> Tail {
    if left == 0 {
        return Tail::Zeros;
    }
    if left < BATCH_HEADER_SIZE as u64 {
        return Tail::Torn;
    }
    let bytes = usize::try_from(left).ok().and_then(|left| bytes.get(..left)).unwrap_or(bytes);
    match BatchHeader::decode(bytes) {
        Ok(header) if header.base_offset == expected_offset && header.batch_length > left => {
            let frames = bytes.get(BATCH_HEADER_SIZE..).unwrap_or_default();
            if is_beginning(frames, header.message_count) { Tail::Torn } else { Tail::Damaged(reason) }
        }
        _ => Tail::Damaged(reason),
    }
}

/// Whether `frames` are some whole messages and part of another. If all are there, or one is spoilt, then the length
/// of the record lies.
fn is_beginning(mut frames: &[u8], messages: u32) -> bool {
    for _ in 0..messages {
        if frames.len() < BATCH_MESSAGE_HEADER_SIZE {
            return true;
        }
        let Ok(header) = BatchMessageHeader::decode(frames) else { return false };
        let Some((frame, rest)) = frames.split_at_checked(header.total_size()) else { return true };
        if frame.get(CHECKSUM_BYTES..).map(calculate_checksum) != Some(header.checksum) {
            return false;
        }
        frames = rest;
    }
    false
}

/// A moving view of a file, so that small records do not cost a system call each.
struct Window<'f> {
    file: &'f File,
    file_bytes: u64,
    start: u64,
    held: Vec<u8>,
}

impl Window<'_> {
    /// All bytes of the record at `position` that the file has, perhaps more.
    fn record_at(&mut self, position: u64) -> std::io::Result<&[u8]> {
        self.hold(position, BATCH_HEADER_SIZE as u64)?;
        if let Ok(header) = BatchHeader::decode(self.from(position)) {
            self.hold(position, header.batch_length)?;
        }
        Ok(self.from(position))
    }

    /// How many bytes from `start` on are left without the zeros at the end of the file.
    fn content_bytes_from(&mut self, start: u64) -> std::io::Result<u64> {
        let (mut position, mut end) = (start, start);
        while position < self.file_bytes {
            self.hold(position, CHUNK_BYTES)?;
            let held = self.from(position);
            if let Some(last) = held.iter().rposition(|byte| *byte != 0) {
                end = position + last as u64 + 1;
            }
            position += held.len() as u64;
        }
        Ok(end - start)
    }

    fn from(&self, position: u64) -> &[u8] {
        let skipped = usize::try_from(position.saturating_sub(self.start)).unwrap_or(usize::MAX);
        self.held.get(skipped..).unwrap_or_default()
    }

    /// Makes sure that `bytes` from `position` on are held, as far as the file goes.
    fn hold(&mut self, position: u64, bytes: u64) -> std::io::Result<()> {
        let end = position.saturating_add(bytes).min(self.file_bytes);
        if self.start <= position && end <= self.start + self.held.len() as u64 {
            return Ok(());
        }
        let end = end.max(position + CHUNK_BYTES).min(self.file_bytes);
        self.start = position;
        self.held.clear();
        let length = usize::try_from(end - position).map_err(std::io::Error::other)?;
        file::read_into(self.file, position, length, &mut self.held)
    }
}
