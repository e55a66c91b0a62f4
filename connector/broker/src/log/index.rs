//! The sparse index of a segment: where in the file some of its records begin. Always derived from the segment;
//! kept in a file beside a sealed one so that opening a long log does not read it all.

use iggy_binary_protocol::batch::BatchHeader;
use iggy_common::calculate_checksum;

/// Distance in bytes between two indexed records of a sealed segment, at least. A read starts at most this much
/// too early.
pub(super) const INDEX_INTERVAL_BYTES: u64 = 32 * 1024;

/// The same for the active segment, where most reads are short and at the end.
const ACTIVE_INTERVAL_BYTES: u64 = 4 * 1024;

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
        let due = self.entries.last().is_none_or(|last| position >= last.position + ACTIVE_INTERVAL_BYTES);
        if due {
            let (offset, timestamp) = (header.base_offset, header.base_timestamp);
            self.entries.push(IndexEntry { offset, timestamp, position });
        }
    }

    /// Keeps what a sealed segment needs.
    pub(super) fn thin_out(&mut self) {
        let mut due = 0;
        self.entries.retain(|entry| {
            let keep = entry.position >= due;
            if keep {
                due = entry.position + INDEX_INTERVAL_BYTES;
            }
            keep
        });
        self.entries.shrink_to_fit();
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
        let summary = Self { base_offset, next_offset, bytes, last_timestamp, index };
        summary.is_consistent().then_some(summary)
    }

    fn is_consistent(&self) -> bool {
        let entries = &self.index.entries;
        let begins =
            entries.first().is_none_or(|first| (first.offset, first.position) == (self.base_offset, 0));
        let ends = entries.last().is_none_or(|last| {
            last.offset < self.next_offset
                && last.position < self.bytes
                && last.timestamp <= self.last_timestamp
        });
        let ordered = entries.is_sorted_by(|a, b| {
            a.offset < b.offset && a.position < b.position && a.timestamp <= b.timestamp
        });
        begins && ends && ordered && self.base_offset <= self.next_offset
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(entries: &[[u64; 3]]) -> SealedSummary {
        let entry = |&[offset, timestamp, position]: &[u64; 3]| IndexEntry { offset, timestamp, position };
        let index = SparseIndex { entries: entries.iter().map(entry).collect() };
        SealedSummary { base_offset: 5, next_offset: 20, bytes: 900, last_timestamp: 70, index }
    }

    #[test]
    fn a_summary_survives_its_file_and_no_other_bytes_do() {
        let summary = summary(&[[5, 10, 0], [9, 10, 300], [19, 70, 600]]);
        let bytes = summary.encode();
        assert_eq!(SealedSummary::decode(&bytes), Some(summary));
        for at in 0..bytes.len() {
            assert_eq!(SealedSummary::decode(&bytes[..at]), None);
            let mut flipped = bytes.clone();
            flipped[at] ^= 1;
            assert_eq!(SealedSummary::decode(&flipped), None);
        }
    }

    #[test]
    fn a_summary_that_contradicts_itself_is_not_believed() {
        let wrong: [&[[u64; 3]]; 7] = [
            &[[6, 10, 0]],
            &[[5, 10, 1]],
            &[[5, 10, 0], [20, 10, 300]],
            &[[5, 10, 0], [9, 10, 900]],
            &[[5, 10, 0], [9, 71, 300]],
            &[[5, 10, 0], [9, 10, 300], [9, 10, 600]],
            &[[5, 10, 0], [9, 10, 300], [10, 9, 400]],
        ];
        for entries in wrong {
            assert_eq!(SealedSummary::decode(&summary(entries).encode()), None, "{entries:?}");
        }
    }

    #[test]
    fn thinning_out_keeps_the_first_record_and_the_distance() {
        let mut index = SparseIndex::default();
        for position in 0..40 {
            let mut header = BatchHeader::new(0, 0, 256, 1);
            header.base_offset = position;
            index.note(&header, position * ACTIVE_INTERVAL_BYTES);
        }
        index.thin_out();
        let positions: Vec<_> = index.entries.iter().map(|entry| entry.position).collect();
        assert_eq!(positions, [0, 1, 2, 3, 4].map(|step| step * INDEX_INTERVAL_BYTES));
    }
}
