//! The window of message ids that a partition has seen lately. A batch whose ids were all appended before is a
//! client's retry, and appending it again would duplicate it.

use std::hash::BuildHasher as _;

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use iggy_binary_protocol::WireError;
use iggy_binary_protocol::batch::{BatchIntegrity, decode_batch_slice_with};

/// How many ids are remembered per partition.
pub(crate) const WINDOW_IDS: usize = 8_192;

/// The ids of the messages appended last, up to [`WINDOW_IDS`].
///
/// The table holds places instead of ids, and so stays in the processor's cache when several partitions are appended
/// to in turn. A map from ids to their counts takes three times the memory, and per message three times as long with
/// one partition (28 ns here) and more than ten times with eight.
#[derive(Debug, Default)]
pub(crate) struct RecentIds {
    /// Once it is full, the oldest id stands at `next`.
    ring: Vec<u128>,
    next: u16,
    /// Where each id of the ring stands in it last.
    places: HashTable<u16>,
    hasher: RandomState,
}

const _: () = assert!(WINDOW_IDS <= u16::MAX as usize, "a place fits in 16 bits");

impl RecentIds {
    /// Remembers appended ids, oldest first. Zero stands for "no id".
    pub(crate) fn extend(&mut self, ids: impl IntoIterator<Item = u128>) {
        for id in ids.into_iter().filter(|id| *id != 0) {
            self.remember(id);
        }
    }

    /// Whether every one of `ids` was appended before. False when there is none, or one of them is zero.
    pub(crate) fn contains_all(&self, ids: &[u128]) -> bool {
        !ids.is_empty() && ids.iter().all(|id| self.contains(*id))
    }

    fn contains(&self, id: u128) -> bool {
        let is_id = |place: &u16| self.ring.get(usize::from(*place)) == Some(&id);
        self.places.find(self.hasher.hash_one(id), is_id).is_some()
    }

    fn remember(&mut self, id: u128) {
        let place = self.make_place();
        let Self { ring, places, hasher, .. } = self;
        let is_id = |other: &u16| ring.get(usize::from(*other)) == Some(&id);
        let hash_of =
            |other: &u16| hasher.hash_one(ring.get(usize::from(*other)).copied().unwrap_or_default());
        match places.entry(hasher.hash_one(id), is_id, hash_of) {
            Entry::Occupied(mut last) => *last.get_mut() = place,
            Entry::Vacant(free) => drop(free.insert(place)),
        }
        if let Some(slot) = ring.get_mut(usize::from(place)) {
            *slot = id;
        }
    }

    /// A place that no id has: a new one, or that of the oldest id, which is forgotten.
    fn make_place(&mut self) -> u16 {
        let place = self.next;
        self.next = if usize::from(place) + 1 == WINDOW_IDS { 0 } else { place + 1 };
        match self.ring.get(usize::from(place)) {
            None => self.ring.push(0),
            Some(oldest) => {
                // When the id came again later, its place is another by now.
                let last = self.places.find_entry(self.hasher.hash_one(*oldest), |other| *other == place);
                drop(last.map(|last| last.remove()));
            }
        }
        place
    }
}

/// The ids in a batch record, one per message. Only the layout is checked; the log checks the rest.
pub(crate) fn ids_of(batch: &[u8]) -> Result<Vec<u128>, WireError> {
    let batch = decode_batch_slice_with(batch, BatchIntegrity::LayoutOnly)?;
    Ok(batch.iter().map(|message| message.header.id).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_known_only_when_all_its_ids_are() {
        let mut recent = RecentIds::default();
        recent.extend([1, 2, 3]);
        assert!(recent.contains_all(&[3, 1]));
        assert!(!recent.contains_all(&[1, 4]));
        assert!(!recent.contains_all(&[]));
    }

    #[test]
    fn messages_without_an_id_are_never_known() {
        let mut recent = RecentIds::default();
        recent.extend([0, 0]);
        assert!(!recent.contains_all(&[0]));
        assert!(recent.ring.is_empty());
    }

    #[test]
    fn the_window_forgets_the_oldest_and_counts_repeats() {
        let mut recent = RecentIds::default();
        recent.extend([7, 8]);
        recent.extend([7]);
        let later = u128::try_from(WINDOW_IDS).unwrap();
        recent.extend(1_000..1_000 + later - 1);
        assert!(recent.contains_all(&[7]), "its second copy is still inside");
        assert!(!recent.contains_all(&[8]));
        recent.extend([5]);
        assert!(!recent.contains_all(&[7]));
        assert_eq!(recent.ring.len(), WINDOW_IDS);
        assert_eq!(recent.places.len(), WINDOW_IDS);
    }

    #[test]
    fn the_window_is_that_of_a_plain_list() {
        let mut recent = RecentIds::default();
        let mut list = std::collections::VecDeque::new();
        // Ids that come again while they are in the window, at its edge, and when they have left it.
        let ids = (0..2 * WINDOW_IDS).map(|n| u128::try_from(n * n % 12_289 + 1).unwrap());
        for id in ids {
            assert_eq!(recent.contains_all(&[id]), list.contains(&id), "id {id} after {} others", list.len());
            recent.extend([id]);
            list.push_back(id);
            if list.len() > WINDOW_IDS {
                list.pop_front();
            }
        }
    }
}
