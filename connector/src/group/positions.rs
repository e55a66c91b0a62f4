//! Which partitions a member reads and how far it is in each: decisions without I/O or a clock.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

use super::Assignment;
use crate::address::{Offset, PartitionId};

/// How long a partition must be seen to end before our position until we believe that it lost messages. Some servers
/// show a partition as empty for a moment after they started.
const END_BELIEVED_AFTER: Duration = Duration::from_secs(5);

/// The partitions of one member.
#[derive(Debug, Default)]
pub(super) struct Positions {
    /// What the group says is ours.
    target: BTreeSet<PartitionId>,
    /// What the caller was told is its own.
    owned: BTreeMap<PartitionId, Position>,
    /// What the caller was told is its own and has to be told is not.
    given_up: Vec<PartitionId>,
    /// Partitions that turned out to end before our position, with their last offset.
    shortened: BTreeMap<PartitionId, Offset>,
    last_polled: Option<PartitionId>,
}

#[derive(Clone, Copy, Debug)]
struct Position {
    next: Offset,
    /// The stored offset as far as this member knows.
    stored: Option<Offset>,
    ends_early_since: Option<Instant>,
}

impl Positions {
    /// Takes over what the group says is ours.
    pub(super) fn set_target(&mut self, partitions: impl IntoIterator<Item = PartitionId>) {
        self.target = partitions.into_iter().collect();
    }

    /// Names the partitions that were given up or are no longer ours; each is named once.
    pub(super) fn take_revoked(&mut self) -> Vec<PartitionId> {
        let target = &self.target;
        let lost = self.owned.extract_if(.., |partition, _| !target.contains(partition));
        self.given_up.extend(lost.map(|(partition, _)| partition));
        std::mem::take(&mut self.given_up)
    }

    /// Gives up everything and names it.
    pub(super) fn take_all(&mut self) -> Vec<PartitionId> {
        self.target.clear();
        self.take_revoked()
    }

    /// The partitions that are ours but were not begun yet.
    pub(super) fn gained(&self) -> Vec<PartitionId> {
        let owned = &self.owned;
        self.target.iter().filter(|partition| !owned.contains_key(partition)).copied().collect()
    }

    /// Begins a gained partition after the stored offset.
    pub(super) fn begin(&mut self, partition: PartitionId, stored: Option<Offset>) -> Assignment {
        let mut next = stored.map_or(Offset(0), Offset::next);
        if let Some(last) = self.shortened.remove(&partition)
            && last.next() < next
        {
            // Offset zero may be the last offset or stand for an empty partition; reading one message twice is harmless.
            next = if last == Offset(0) { last } else { last.next() };
        }
        let position = Position { next, stored, ends_early_since: None };
        self.owned.insert(partition, position);
        Assignment { partition, next }
    }

    /// Gives up a partition that is still ours, so that it is begun anew.
    pub(super) fn give_up(&mut self, partition: PartitionId) {
        if self.owned.remove(&partition).is_some() {
            self.given_up.push(partition);
        }
    }

    /// The owned partitions with the stored offsets that this member knows of.
    pub(super) fn known_offsets(&self) -> Vec<(PartitionId, Option<Offset>)> {
        let known = self.owned.iter();
        known.map(|(partition, position)| (*partition, position.stored)).collect()
    }

    /// Remembers an offset that this member stored.
    pub(super) fn note_stored(&mut self, partition: PartitionId, offset: Offset) {
        if let Some(position) = self.owned.get_mut(&partition) {
            position.stored = Some(offset);
        }
    }

    /// The owned partitions that are wanted, beginning after the one polled last.
    pub(super) fn in_turn(&self, wants: impl Fn(PartitionId) -> bool) -> Vec<PartitionId> {
        let wanted = self.owned.keys().copied().filter(|partition| wants(*partition));
        let (mut later, mut turns): (Vec<_>, Vec<_>) =
            wanted.partition(|partition| Some(*partition) <= self.last_polled);
        turns.append(&mut later);
        turns
    }

    /// Where to poll a partition next; remembers that it had its turn. `None` when it is not owned.
    pub(super) fn take_turn(&mut self, partition: PartitionId) -> Option<Offset> {
        let position = self.owned.get(&partition)?;
        self.last_polled = Some(partition);
        Some(position.next)
    }

    /// Moves on behind the last message that was read.
    pub(super) fn advance(&mut self, partition: PartitionId, last: Offset) {
        if let Some(position) = self.owned.get_mut(&partition) {
            position.next = last.next();
            position.ends_early_since = None;
        }
    }

    /// Notes where an empty poll saw the partition end. If that has been before our position for long enough, gives the
    /// partition up, so that it is begun anew where it ends, and answers true.
    pub(super) fn note_end(&mut self, partition: PartitionId, last: Offset, now: Instant) -> bool {
        let Some(position) = self.owned.get_mut(&partition) else {
            return false;
        };
        if last.next() >= position.next {
            position.ends_early_since = None;
            return false;
        }
        let since = *position.ends_early_since.get_or_insert(now);
        if now.duration_since(since) < END_BELIEVED_AFTER {
            return false;
        }
        self.shortened.insert(partition, last);
        self.give_up(partition);
        true
    }

    /// The owned partitions.
    pub(super) fn owned(&self) -> impl Iterator<Item = PartitionId> {
        self.owned.keys().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(partitions: impl IntoIterator<Item = u32>) -> Vec<PartitionId> {
        partitions.into_iter().map(PartitionId).collect()
    }

    fn owning(partitions: impl IntoIterator<Item = u32> + Clone) -> Positions {
        let mut positions = Positions::default();
        positions.set_target(ids(partitions.clone()));
        for partition in ids(partitions) {
            positions.begin(partition, None);
        }
        positions
    }

    #[test]
    fn a_change_of_the_target_revokes_and_gains_the_difference() {
        let mut positions = owning(0..4);
        positions.set_target(ids([2, 3, 7]));
        assert_eq!(positions.take_revoked(), ids([0, 1]));
        assert_eq!(positions.take_revoked(), []);
        assert_eq!(positions.gained(), ids([7]));
        positions.begin(PartitionId(7), Some(Offset(41)));
        assert_eq!(positions.gained(), []);
        assert_eq!(positions.take_turn(PartitionId(7)), Some(Offset(42)));
        assert_eq!(positions.take_all(), ids([2, 3, 7]));
    }

    #[test]
    fn wanted_partitions_take_turns() {
        let mut positions = owning(0..4);
        assert_eq!(positions.in_turn(|_| true), ids([0, 1, 2, 3]));
        positions.take_turn(PartitionId(1));
        assert_eq!(positions.in_turn(|_| true), ids([2, 3, 0, 1]));
        assert_eq!(positions.in_turn(|id| id.0 % 2 == 1), ids([3, 1]));
        assert_eq!(positions.take_turn(PartitionId(9)), None);
    }

    #[test]
    fn a_partition_that_is_given_up_is_named_once_and_begun_anew() {
        let mut positions = owning(0..2);
        positions.note_stored(PartitionId(1), Offset(5));
        assert_eq!(positions.known_offsets(), [(PartitionId(0), None), (PartitionId(1), Some(Offset(5)))]);
        positions.give_up(PartitionId(1));
        positions.give_up(PartitionId(1));
        positions.set_target(ids([1]));
        assert_eq!(positions.take_revoked(), ids([1, 0]));
        assert_eq!(positions.gained(), ids([1]));
        assert_eq!(positions.begin(PartitionId(1), Some(Offset(9))).next, Offset(10));
    }

    #[test]
    fn reading_moves_on_behind_the_last_message() {
        let mut positions = owning(0..1);
        positions.advance(PartitionId(0), Offset(9));
        assert_eq!(positions.take_turn(PartitionId(0)), Some(Offset(10)));
    }

    #[test]
    fn a_partition_that_ends_early_for_long_is_begun_anew_where_it_ends() {
        let partition = PartitionId(0);
        let mut positions = owning(0..1);
        positions.advance(partition, Offset(99));
        let start = Instant::now();
        assert!(!positions.note_end(partition, Offset(99), start));
        assert!(!positions.note_end(partition, Offset(5), start));
        assert!(!positions.note_end(partition, Offset(5), start + Duration::from_secs(4)));
        assert!(positions.note_end(partition, Offset(5), start + END_BELIEVED_AFTER));
        assert_eq!(positions.take_revoked(), [partition]);
        assert_eq!(positions.gained(), [partition]);
        let assignment = positions.begin(partition, Some(Offset(90)));
        assert_eq!(assignment.next, Offset(6));
    }

    #[test]
    fn an_empty_partition_is_begun_at_its_beginning() {
        let partition = PartitionId(0);
        let mut positions = owning(0..1);
        positions.advance(partition, Offset(99));
        let start = Instant::now();
        positions.note_end(partition, Offset(0), start);
        assert!(positions.note_end(partition, Offset(0), start + END_BELIEVED_AFTER));
        assert_eq!(positions.begin(partition, Some(Offset(99))).next, Offset(0));
    }
}
