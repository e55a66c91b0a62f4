//! The sparse index of a segment: where in the file some of its records begin. Always derived from the segment;
//! kept in a file beside a sealed one so that opening a long log does not read it all.

use iggy_binary_protocol::batch::BatchHeader;
use iggy_common::calculate_checksum;

/// Distance in bytes between two indexed records, at least. A read starts at most this much too early.
pub(super) const INDEX_INTERVAL_BYTES: u64 = 32 * 1024;

const MAGIC: u64 = u64::from_le_bytes(*b"GHINDEX1");
const WORD_BYTES: usize = 8;
const HEAD_WORDS: usize = 5;

/// A record's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct IndexEntry {
    /// Offset of its first message.
    pub(super) offset: u64,
    /// Its base timestamp.
    pub(super) timestamp: u64,
    /// Byte position in the segment.
    pub(super) position: u64,
}

/// Places of records, in order of all three fields.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct SparseIndex {
    entries: Vec<IndexEntry>,
}

/// What the file beside a sealed segment says about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SealedSummary {
    pub(super) base_offset: u64,
    pub(super) next_offset: u64,
    pub(super) bytes: u64,
    pub(super) last_timestamp: u64,
    pub(super) index: SparseIndex,
}

impl SparseIndex {
    /// Takes note of the record that begins at `position`.
    pub(super) fn note(&mut self, header: &BatchHeader, position: u64) {
        let due = self.entries.last().is_none_or(|last| position >= last.position + INDEX_INTERVAL_BYTES);
        if due {
            let (offset, timestamp) = (header.base_offset, header.base_timestamp);
            self.entries.push(IndexEntry { offset, timestamp, position });
        }
    }

    /// The last indexed record that begins at or before `offset`.
    pub(super) fn before_offset(&self, offset: u64) -> Option<IndexEntry> {
        self.last_where(|entry| entry.offset <= offset)
    }

    /// The last indexed record older than `timestamp`, else the first one.
    pub(super) fn before_timestamp(&self, timestamp: u64) -> Option<IndexEntry> {
        self.last_where(|entry| entry.timestamp < timestamp).or(self.entries.first().copied())
    }

    /// The first indexed position with no offset below `end` behind it.
    pub(super) fn position_beyond(&self, end: u64) -> Option<u64> {
        let at = self.entries.partition_point(|entry| entry.offset < end);
        self.entries.get(at).map(|entry| entry.position)
    }

    fn last_where(&self, holds: impl Fn(&IndexEntry) -> bool) -> Option<IndexEntry> {
        let count = self.entries.partition_point(holds);
        count.checked_sub(1).and_then(|at| self.entries.get(at)).copied()
    }
}

impl SealedSummary {
    /// The content of the index file.
    pub(super) fn encode(&self) -> Vec<u8> {
        let head = [MAGIC, self.base_offset, self.next_offset, self.bytes, self.last_timestamp];
        let entries = self.index.entries.iter().flat_map(|e| [e.offset, e.timestamp, e.position]);
        let mut bytes: Vec<u8> = head.into_iter().chain(entries).flat_map(u64::to_le_bytes).collect();
        let checksum = calculate_checksum(&bytes);
        bytes.extend_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// Reads an index file; `None` when anything about it is wrong.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (content, checksum) = bytes.split_last_chunk::<WORD_BYTES>()?;
        if calculate_checksum(content) != u64::from_le_bytes(*checksum) {
            return None;
        }
        let (words, rest) = content.as_chunks::<WORD_BYTES>();
        let words: Vec<u64> = words.iter().map(|word| u64::from_le_bytes(*word)).collect();
        let (&[magic, base_offset, next_offset, bytes, last_timestamp], entries) =
            words.split_first_chunk::<HEAD_WORDS>()?;
        let (entries, surplus) = entries.as_chunks::<3>();
        if magic != MAGIC || !rest.is_empty() || !surplus.is_empty() {
            return None;
        }
        let entry = |&[offset, timestamp, position]: &[u64; 3]| IndexEntry { offset, timestamp, position };
        let index = SparseIndex { entries: entries.iter().map(entry).collect() };
        Some(Self { base_offset, next_offset, bytes, last_timestamp, index })
    }
}
