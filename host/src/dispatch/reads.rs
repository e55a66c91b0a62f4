//! When the events of a partition were read, remembered once for all events of a read.

use std::collections::VecDeque;

use crate::ledger::Entry;

/// The reads that have events in a ledger, oldest first.
#[derive(Debug, Default)]
pub(super) struct Reads(VecDeque<(Entry, u64)>);

impl Reads {
    /// Events are read at this time, in microseconds since 1970, and the first one gets this place. Forgets the reads
    /// all of whose events are before `oldest`.
    pub(super) fn note(&mut self, first: Entry, unix_micros: u64, oldest: Option<Entry>) {
        let oldest = oldest.unwrap_or(first);
        while self.0.get(1).is_some_and(|(next, _)| *next <= oldest) {
            self.0.pop_front();
        }
        self.0.push_back((first, unix_micros));
    }

    /// When the event of a place was read.
    pub(super) fn time_of(&self, entry: Entry) -> Option<u64> {
        let after = self.0.partition_point(|(first, _)| *first <= entry);
        self.0.get(after.checked_sub(1)?).map(|(_, unix_micros)| *unix_micros)
    }
}

#[cfg(test)]
mod tests {
    use guesthouse_connector::Offset;

    use super::*;
    use crate::ledger::{Entering, Ledger};

    #[test]
    fn the_time_of_each_read_is_kept_while_its_events_are_open() {
        let (mut ledger, mut reads) = (Ledger::default(), Reads::default());
        let mut entries = Vec::new();
        for read in 0..4 {
            reads.note(ledger.next(), 100 + read, ledger.oldest().map(|(entry, _)| entry));
            for offset in 0..3 {
                let event =
                    Entering { offset: Offset(read * 3 + offset), parts: 1, bytes: 1, origin_micros: 0 };
                entries.push(ledger.enter(event, None));
            }
        }
        let times: Vec<_> = entries.iter().map(|entry| reads.time_of(*entry).unwrap()).collect();
        assert_eq!(times, [100, 100, 100, 101, 101, 101, 102, 102, 102, 103, 103, 103]);
        for entry in entries.drain(..7) {
            ledger.settle_part(entry);
        }
        reads.note(ledger.next(), 104, ledger.oldest().map(|(entry, _)| entry));
        assert_eq!((reads.0.len(), reads.time_of(entries[0])), (3, Some(102)));
    }
}
