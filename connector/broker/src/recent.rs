//! The window of message ids that a partition has seen lately. A batch whose ids were all appended before is a
//! client's retry, and appending it again would duplicate it.

use std::collections::{HashMap, VecDeque};

use iggy_binary_protocol::WireError;
use iggy_binary_protocol::batch::{BatchIntegrity, decode_batch_slice_with};

/// How many ids are remembered per partition.
pub(crate) const WINDOW_IDS: usize = 8_192;

/// The ids of the messages appended last, up to [`WINDOW_IDS`].
#[derive(Debug, Default)]
pub(crate) struct RecentIds {
    order: VecDeque<u128>,
    /// How often each id stands in `order`.
    counts: HashMap<u128, u32>,
}

impl RecentIds {
    /// Remembers appended ids, oldest first. Zero stands for "no id".
    pub(crate) fn extend(&mut self, ids: impl IntoIterator<Item = u128>) {
        for id in ids.into_iter().filter(|id| *id != 0) {
            if self.order.len() == WINDOW_IDS {
                self.forget_oldest();
            }
            self.order.push_back(id);
            *self.counts.entry(id).or_default() += 1;
        }
    }

    /// Whether every one of `ids` was appended before. False when there is none, or one of them is zero.
    pub(crate) fn contains_all(&self, ids: &[u128]) -> bool {
        !ids.is_empty() && ids.iter().all(|id| self.counts.contains_key(id))
    }

    fn forget_oldest(&mut self) {
        let Some(id) = self.order.pop_front() else { return };
        if let Some(count) = self.counts.get_mut(&id) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&id);
            }
        }
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
        assert!(recent.order.is_empty());
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
        assert_eq!(recent.order.len(), WINDOW_IDS);
        assert_eq!(recent.counts.len(), WINDOW_IDS);
    }
}
