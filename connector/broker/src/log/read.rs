//! Collects the records of a poll reply: from the first message asked for until the reply is full or the log
//! ends. Every record is verified before it is served; the first and the last one are cut to size in place.

use std::fs::File;

use bytes::Bytes;
use iggy_binary_protocol::batch::{BATCH_HEADER_SIZE, BatchHeader, decode_batch_slice};

use super::index::INDEX_INTERVAL_BYTES;
use super::record::{self, Budget, MustTake, Part};
use super::segment::Segment;
use super::{LogError, Slice, file};

/// A reply under construction.
#[derive(Debug)]
pub(super) struct Reply {
    /// `begin..end` is what the reply will hold; beyond `end` stands what was read too much.
    buffer: Vec<u8>,
    begin: usize,
    end: usize,
    left: Budget,
    messages: u32,
    last_offset: Option<u64>,
}

/// Whether a reply can take more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Room {
    Left,
    Full,
}

/// Walks over the records of one segment.
struct Walk<'s> {
    segment: &'s Segment,
    file: &'s File,
    /// File position of the record that begins at the end of the reply.
    position: u64,
    /// Where the walk can stop.
    stop: u64,
    /// The offset that the next record must begin with.
    due: u64,
}

impl Reply {
    /// An empty reply that will take so many messages and bytes.
    pub(super) fn new(messages_max: u32, bytes_max: u32) -> Self {
        let bytes = usize::try_from(bytes_max).unwrap_or(usize::MAX);
        let left = Budget { messages: messages_max, bytes };
        Self { buffer: Vec::new(), begin: 0, end: 0, left, messages: 0, last_offset: None }
    }

    /// Takes messages of `segment` from offset `from` on.
    pub(super) fn take(&mut self, segment: &Segment, file: &File, from: u64) -> Result<Room, LogError> {
        let from = from.max(segment.base_offset);
        let start = segment.index.before_offset(from);
        let wanted_end = from.saturating_add(u64::from(self.left.messages));
        let mut walk = Walk {
            segment,
            file,
            position: start.map_or(0, |entry| entry.position),
            stop: segment.index.position_beyond(wanted_end).unwrap_or(segment.bytes),
            due: start.map_or(segment.base_offset, |entry| entry.offset),
        };
        self.buffer.truncate(self.end);
        let likely =
            walk.stop.saturating_sub(walk.position).min(self.left.bytes as u64 + INDEX_INTERVAL_BYTES);
        self.hold(&walk, likely)?;
        while walk.position < walk.stop {
            if self.take_record(&mut walk, from)? == Room::Full {
                return Ok(Room::Full);
            }
        }
        if walk.stop == segment.bytes && walk.due < segment.next_offset {
            return Err(segment.damaged(walk.position, format!("it ends before offset {}", walk.due)));
        }
        Ok(if self.left.messages == 0 { Room::Full } else { Room::Left })
    }

    /// Whether anything was taken.
    pub(super) fn is_empty(&self) -> bool {
        self.messages == 0
    }

    /// The finished reply.
    pub(super) fn finish(mut self) -> Slice {
        self.buffer.truncate(self.end);
        let records = Bytes::from(self.buffer).slice(self.begin..);
        Slice { records, messages: self.messages, last_offset: self.last_offset }
    }

    fn take_record(&mut self, walk: &mut Walk<'_>, from: u64) -> Result<Room, LogError> {
        let header = self.header(walk)?;
        let length = header.total_size();
        let next_due = walk.due.saturating_add(u64::from(header.message_count));
        if next_due > from {
            if !self.is_empty() && self.left.bytes < length {
                return Ok(Room::Full);
            }
            self.hold(walk, header.batch_length)?;
            let Some(part) = self.part(walk, from)? else { return Ok(Room::Full) };
            self.accept(&part);
            if part.last_offset.saturating_add(1) < next_due {
                return Ok(Room::Full);
            }
        } else {
            self.skip(length);
        }
        walk.position += header.batch_length;
        walk.due = next_due;
        Ok(if self.left.messages == 0 { Room::Full } else { Room::Left })
    }

    /// The header of the next record, checked as far as needed to step over it.
    fn header(&mut self, walk: &Walk<'_>) -> Result<BatchHeader, LogError> {
        self.hold(walk, BATCH_HEADER_SIZE as u64)?;
        let bytes = self.buffer.get(self.end..).unwrap_or_default();
        let header = BatchHeader::decode(bytes)
            .map_err(|error| walk.segment.damaged(walk.position, error.to_string()))?;
        let left = walk.segment.bytes - walk.position;
        if header.base_offset != walk.due || header.message_count == 0 || header.batch_length > left {
            let reason = format!("no record with offset {} begins here", walk.due);
            return Err(walk.segment.damaged(walk.position, reason));
        }
        Ok(header)
    }

    /// Verifies the next record and chooses what to take of it.
    fn part(&self, walk: &Walk<'_>, from: u64) -> Result<Option<Part>, LogError> {
        let bytes = self.buffer.get(self.end..).unwrap_or_default();
        let batch = decode_batch_slice(bytes)
            .map_err(|error| walk.segment.damaged(walk.position, error.to_string()))?;
        let must_take = if self.is_empty() { MustTake::One } else { MustTake::None };
        Ok(record::part(&batch, from, self.left, must_take))
    }

    /// Moves the end of the reply behind `part` of the next record. Its header goes right in front of its first
    /// frame, over frames not asked for. Only the first record of a reply begins late, so the reply stays in one
    /// piece.
    fn accept(&mut self, part: &Part) {
        let begin = self.end + part.start;
        if self.is_empty() {
            self.begin = begin;
        }
        if let Some(head) = self.buffer.get_mut(begin..begin + BATCH_HEADER_SIZE) {
            part.header.encode_into(head);
        }
        self.end += BATCH_HEADER_SIZE + part.end;
        self.left.messages -= part.header.message_count;
        self.left.bytes = self.left.bytes.saturating_sub(part.header.total_size());
        self.messages += part.header.message_count;
        self.last_offset = Some(part.last_offset);
    }

    /// Steps over a record in front of the first message asked for.
    fn skip(&mut self, length: usize) {
        self.end += length;
        if self.end > self.buffer.len() {
            self.buffer.clear();
            self.end = 0;
        }
        self.begin = self.end;
    }

    /// Makes sure that `bytes` from the walk's position on are held.
    fn hold(&mut self, walk: &Walk<'_>, bytes: u64) -> Result<(), LogError> {
        let held = self.buffer.len().saturating_sub(self.end);
        let missing = usize::try_from(bytes).unwrap_or(usize::MAX).saturating_sub(held);
        if missing == 0 {
            return Ok(());
        }
        file::read_into(walk.file, walk.position + held as u64, missing, &mut self.buffer).map_err(|error| {
            match error.kind() {
                std::io::ErrorKind::UnexpectedEof => {
                    walk.segment.damaged(walk.position, "the file ends here")
                }
                _ => LogError::io("read segment", &walk.segment.path)(error),
            }
        })
    }
}

/// The offset of the first record of `segment` appended at `timestamp` or later, else the offset behind its end.
pub(super) fn offset_at(segment: &Segment, file: &File, timestamp: u64) -> Result<u64, LogError> {
    let Some(start) = segment.index.before_timestamp(timestamp) else { return Ok(segment.next_offset) };
    let (mut position, mut due) = (start.position, start.offset);
    let mut reply = Reply::new(0, 0);
    while position < segment.bytes {
        reply.buffer.clear();
        let header = reply.header(&Walk { segment, file, position, stop: segment.bytes, due })?;
        if header.base_timestamp >= timestamp {
            return Ok(header.base_offset);
        }
        position += header.batch_length;
        due = due.saturating_add(u64::from(header.message_count));
    }
    Ok(segment.next_offset)
}
