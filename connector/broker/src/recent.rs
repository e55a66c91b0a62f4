//! The window of message ids that a partition has seen lately. A batch whose ids were all appended before is a
//! client's retry after a lost answer, and appending it again would duplicate it.
//!
//! A connection handles one request after another. Whoever sends the same ids in a new request on the connection that
//! appended them has therefore been answered there, and means a second copy. A repetition from another connection is a retry, and
//! so is one under the number of a request that was answered before.
//!
//! A repetition from another connection may also be another client's, which means it: the protocol does not tell the two
//! apart. A client draws a new random id for each login, also for the one after its connection broke; the number of the
//! session and those of its requests begin anew with it; the user is often the same for all programs, and so is the
//! address. What is left are the ids of the messages, which their senders choose to be told apart by. So two clients that
//! send the same ids in turn count as retries of each other, each is told so by an answer without offsets, the counter of
//! the topic says how many messages that were, and [`BrokerConfig::repeats_stored_in`](crate::BrokerConfig) ends it for a topic.

use std::hash::BuildHasher as _;

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use iggy_binary_protocol::WireError;
use iggy_binary_protocol::batch::{BatchIntegrity, decode_batch_slice_with};

use crate::group::MemberId;

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
    /// Who was answered for the id at the same place of the ring; [`NOBODY`] after a restart.
    senders: Vec<MemberId>,
    next: u16,
    /// Where each id of the ring stands in it last.
    places: HashTable<u16>,
    hasher: RandomState,
}

const _: () = assert!(WINDOW_IDS <= u16::MAX as usize, "a place fits in 16 bits");

/// The sender of messages that a restart found in the log, and of a request that comes again under its old number.
/// Nobody is never answered. Connections count from one.
pub(crate) const NOBODY: MemberId = MemberId(0);

impl RecentIds {
    /// Remembers ids that `sender` had appended, oldest first. Zero stands for "no id".
    pub(crate) fn extend(&mut self, ids: impl IntoIterator<Item = u128>, sender: MemberId) {
        for id in ids.into_iter().filter(|id| *id != 0) {
            self.remember(id, sender);
        }
    }

    /// Whether a batch of these ids is a retry: each of them was appended before, and for at least one of them
    /// `sender` was not answered. False when there are no ids, or one of them is zero. `sender` is answered now, so that
    /// the next batch of the same ids on its connection is none.
    pub(crate) fn take_retry(&mut self, ids: &[u128], sender: MemberId) -> bool {
        let is_retry = !ids.is_empty()
            && ids.iter().all(|id| self.place_of(*id).is_some())
            && (sender == NOBODY || ids.iter().any(|id| self.answered_for(*id) != Some(sender)));
        if is_retry {
            for id in ids {
                if let Some(answered) = self.place_of(*id).and_then(|place| self.senders.get_mut(place)) {
                    *answered = sender;
                }
            }
        }
        is_retry
    }

    fn answered_for(&self, id: u128) -> Option<MemberId> {
        self.senders.get(self.place_of(id)?).copied()
    }

    fn place_of(&self, id: u128) -> Option<usize> {
        let is_id = |place: &u16| self.ring.get(usize::from(*place)) == Some(&id);
        self.places.find(self.hasher.hash_one(id), is_id).map(|place| usize::from(*place))
    }

    fn remember(&mut self, id: u128, sender: MemberId) {
        let place = self.make_place();
        if let Some(answered) = self.senders.get_mut(usize::from(place)) {
            *answered = sender;
        }
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
            None => {
                self.ring.push(0);
                self.senders.push(NOBODY);
            }
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

    const A: MemberId = MemberId(1);
    const B: MemberId = MemberId(2);

    impl RecentIds {
        /// Whether all of them are in the window, without an answer to anybody.
        fn knows(&self, ids: &[u128]) -> bool {
            !ids.is_empty() && ids.iter().all(|id| self.place_of(*id).is_some())
        }
    }

    #[test]
    fn who_was_answered_and_sends_again_means_it() {
        let mut recent = RecentIds::default();
        recent.extend([1, 2, 3], A);
        assert!(!recent.take_retry(&[1, 2, 3], A), "it was answered on this connection");
        assert!(recent.take_retry(&[1, 2, 3], B), "the answer to another connection was lost");
        assert!(!recent.take_retry(&[1, 2, 3], B), "by now it was answered here, too");
        assert!(recent.take_retry(&[1, 2, 3], A));
    }

    #[test]
    fn a_batch_with_anything_new_is_no_retry() {
        let mut recent = RecentIds::default();
        recent.extend([1, 2], A);
        assert!(!recent.take_retry(&[1, 4], B));
        assert!(!recent.take_retry(&[], B));
        assert!(!recent.take_retry(&[1, 0], B));
        assert!(recent.take_retry(&[1, 2], B));
    }

    #[test]
    fn a_request_under_an_old_number_is_a_retry() {
        let mut recent = RecentIds::default();
        recent.extend([1], A);
        assert!(recent.take_retry(&[1], NOBODY));
        assert!(recent.take_retry(&[1], NOBODY));
    }

    #[test]
    fn what_a_restart_found_belongs_to_nobody() {
        let mut recent = RecentIds::default();
        recent.extend([1], NOBODY);
        assert!(recent.take_retry(&[1], A));
        assert!(!recent.take_retry(&[1], A));
    }

    #[test]
    fn a_batch_is_known_only_when_all_its_ids_are() {
        let mut recent = RecentIds::default();
        recent.extend([1, 2, 3], NOBODY);
        assert!(recent.knows(&[3, 1]));
        assert!(!recent.knows(&[1, 4]));
        assert!(!recent.knows(&[]));
    }

    #[test]
    fn messages_without_an_id_are_never_known() {
        let mut recent = RecentIds::default();
        recent.extend([0, 0], A);
        assert!(!recent.knows(&[0]));
        assert!(recent.ring.is_empty());
    }

    #[test]
    fn the_window_forgets_the_oldest_and_counts_repeats() {
        let mut recent = RecentIds::default();
        recent.extend([7, 8], NOBODY);
        recent.extend([7], NOBODY);
        let later = u128::try_from(WINDOW_IDS).unwrap();
        recent.extend(1_000..1_000 + later - 1, NOBODY);
        assert!(recent.knows(&[7]), "its second copy is still inside");
        assert!(!recent.knows(&[8]));
        recent.extend([5], NOBODY);
        assert!(!recent.knows(&[7]));
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
            assert_eq!(recent.knows(&[id]), list.contains(&id), "id {id} after {} others", list.len());
            recent.extend([id], NOBODY);
            list.push_back(id);
            if list.len() > WINDOW_IDS {
                list.pop_front();
            }
        }
    }
}
