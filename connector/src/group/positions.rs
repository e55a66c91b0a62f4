//! Which partitions a member reads and how far it is in each: decisions without I/O or a clock.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::time::Duration;

use tokio::time::Instant;

use super::Assignment;
use crate::address::{Offset, PartitionId};
use crate::message::ReceivedMessage;
use crate::poll_size::{PollBounds, PollSize};

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
    /// Partitions whose offsets went back: they are begun at the beginning of what the broker holds now.
    went_back: BTreeSet<PartitionId>,
    /// Partitions that the group took from us on this connection, with the offset that was stored then as far as this
    /// member knows. The broker may still take our last offsets.
    lingering: BTreeMap<PartitionId, Option<Offset>>,
    /// The last stored offset that this member ever knew of in each partition.
    remembered: BTreeMap<PartitionId, Offset>,
    last_polled: Option<PartitionId>,
    /// Whether what is owned may be something else than what is ours.
    is_unsettled: bool,
}

#[derive(Clone, Copy, Debug)]
struct Position {
    next: Offset,
    /// The stored offset as far as this member knows.
    stored: Option<Offset>,
    /// Whether it goes on from where somebody stopped, so that nothing may be missing before the next message.
    continues: bool,
    /// The offset that was stored before, when the one that is stored now lies before it.
    stored_before: Option<Offset>,
    /// Messages that were told to be gone end here.
    told_gone: Option<Offset>,
    /// Since when the partition is seen to have nothing from our position on although it ends behind it.
    empty_since: Option<Instant>,
    ends_early: Option<EarlyEnd>,
    poll_size: PollSize,
}

/// A partition was seen to end before our position.
#[derive(Clone, Copy, Debug)]
struct EarlyEnd {
    since: Instant,
    last: Offset,
}

/// What the offset of a message says about those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Messages from here on, up to it, are gone.
    Gone { from: Offset },
    /// Messages from it on, up to here, were handled before.
    HandledBefore { until: Offset },
}

/// Offsets of a partition that went back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct WayBack {
    /// What was to be read next.
    pub(super) expected: Offset,
    /// The last offset that the partition had instead.
    pub(super) last: Offset,
}

impl Positions {
    /// Takes over what the group says is ours.
    pub(super) fn set_target(&mut self, partitions: impl IntoIterator<Item = PartitionId>) {
        let target: BTreeSet<PartitionId> = partitions.into_iter().collect();
        self.is_unsettled |= target != self.target;
        self.target = target;
    }

    /// Names the partitions that were given up or are no longer ours; each is named once.
    pub(super) fn take_revoked(&mut self) -> Vec<PartitionId> {
        if !self.is_unsettled {
            return Vec::new();
        }
        let target = &self.target;
        let lost = self.owned.extract_if(.., |partition, _| !target.contains(partition));
        for (partition, position) in lost {
            self.lingering.insert(partition, position.stored);
            self.given_up.push(partition);
        }
        std::mem::take(&mut self.given_up)
    }

    /// Gives up everything, because the membership has ended, and names it.
    pub(super) fn take_all(&mut self) -> Vec<PartitionId> {
        self.set_target([]);
        let all = self.take_revoked();
        self.lingering.clear();
        all
    }

    /// Whether an offset of a partition may be offered to the broker: it is ours, or was until the group took it from
    /// us. Which of the latter it still takes is the broker's decision.
    pub(super) fn may_store(&self, partition: PartitionId) -> bool {
        self.owned.contains_key(&partition) || self.lingering.contains_key(&partition)
    }

    /// The partitions that are ours but were not begun yet.
    pub(super) fn gained(&mut self) -> Vec<PartitionId> {
        if !self.is_unsettled {
            return Vec::new();
        }
        let owned = &self.owned;
        let is_new = |partition: &&PartitionId| !owned.contains_key(partition);
        let gained: Vec<PartitionId> = self.target.iter().filter(is_new).copied().collect();
        self.is_unsettled = !gained.is_empty() || !self.given_up.is_empty();
        gained
    }

    /// Begins a gained partition after the stored offset.
    pub(super) fn begin(&mut self, partition: PartitionId, stored: Option<Offset>) -> Assignment {
        let has_gone_back = self.went_back.remove(&partition);
        let stored = stored.filter(|_| !has_gone_back);
        self.lingering.remove(&partition);
        let next = stored.map_or(Offset(0), Offset::next);
        let before = self.remembered.remove(&partition);
        self.remembered.extend(stored.map(|stored| (partition, stored)));
        let position = Position {
            next,
            stored,
            continues: stored.is_some(),
            // Offsets that went back with their messages say nothing any more.
            stored_before: before.filter(|before| !has_gone_back && stored.is_none_or(|now| now < *before)),
            told_gone: None,
            empty_since: None,
            ends_early: None,
            poll_size: PollSize::default(),
        };
        self.owned.insert(partition, position);
        Assignment { partition, next }
    }

    /// Gives up a partition that is still ours, so that it is begun anew.
    pub(super) fn give_up(&mut self, partition: PartitionId) {
        if self.owned.remove(&partition).is_some() {
            self.given_up.push(partition);
            self.is_unsettled = true;
        }
    }

    /// The owned partitions with the stored offsets that this member knows of.
    pub(super) fn known_offsets(&self) -> Vec<(PartitionId, Option<Offset>)> {
        let known = self.owned.iter();
        known.map(|(partition, position)| (*partition, position.stored)).collect()
    }

    /// Remembers an offset that was stored in an earlier life of this member.
    pub(super) fn remember(&mut self, partition: PartitionId, offset: Offset) {
        let known = self.remembered.entry(partition).or_insert(offset);
        *known = (*known).max(offset);
    }

    /// Remembers an offset that this member stored.
    pub(super) fn note_stored(&mut self, partition: PartitionId, offset: Offset) {
        self.remembered.insert(partition, offset);
        if let Some(position) = self.owned.get_mut(&partition) {
            position.stored = Some(offset);
        } else if let Some(stored) = self.lingering.get_mut(&partition) {
            *stored = Some(offset);
        }
    }

    /// The stored offset of a partition that was taken from us, as far as this member knows; none when it is ours or
    /// none of ours.
    pub(super) fn stored_when_taken(&self, partition: PartitionId) -> Option<Option<Offset>> {
        self.lingering.get(&partition).filter(|_| !self.owned.contains_key(&partition)).copied()
    }

    /// Another member has stored an offset of a partition that was taken from us: ours count no more.
    pub(super) fn let_go(&mut self, partition: PartitionId) {
        self.lingering.remove(&partition);
    }

    /// The owned and wanted partition whose turn it is: the next one after the one polled last. Costs the same however
    /// many are owned, where most of them are wanted.
    pub(super) fn next_in_turn(&self, wants: &impl Fn(PartitionId) -> bool) -> Option<PartitionId> {
        let wanted = |partition: &PartitionId| wants(*partition);
        let Some(last) = self.last_polled else { return self.owned.keys().copied().find(wanted) };
        let later = self.owned.range((Bound::Excluded(last), Bound::Unbounded));
        later.chain(self.owned.range(..=last)).map(|(partition, _)| *partition).find(wanted)
    }

    /// Where to poll a partition next; remembers that it had its turn. `None` when it is not owned.
    pub(super) fn take_turn(&mut self, partition: PartitionId) -> Option<Offset> {
        let position = self.owned.get(&partition)?;
        self.last_polled = Some(partition);
        Some(position.next)
    }

    /// How many messages the next poll of a partition asks for.
    pub(super) fn poll_size(&self, partition: PartitionId, bounds: PollBounds) -> u32 {
        let size = self.owned.get(&partition).map(|position| position.poll_size);
        size.unwrap_or_default().next(bounds)
    }

    /// Takes note of what a poll brought that asked for so many messages.
    pub(super) fn note_poll(&mut self, partition: PartitionId, asked: u32, messages: &[ReceivedMessage]) {
        if let Some(position) = self.owned.get_mut(&partition) {
            position.poll_size.learn(asked, messages);
        }
    }

    /// Moves on behind the messages that were read, and tells what the first of them says about those before it.
    pub(super) fn advance(&mut self, partition: PartitionId, first: Offset, last: Offset) -> Option<Found> {
        let position = self.owned.get_mut(&partition)?;
        let (unhandled, before) = (position.unhandled(), position.stored_before.take());
        position.next = last.next();
        position.continues = true;
        (position.ends_early, position.empty_since) = (None, None);
        match (before, unhandled) {
            (Some(before), _) if first <= before => Some(Found::HandledBefore { until: before.next() }),
            (_, Some(from)) if first > from => Some(Found::Gone { from }),
            _ => None,
        }
    }

    /// Notes that a poll from our position on found nothing, although the partition was seen to end at `last`. Tells when
    /// that has been so for long enough to be believed: which messages are gone that nobody had handled, up to the end.
    pub(super) fn note_nothing(
        &mut self,
        partition: PartitionId,
        last: Offset,
        now: Instant,
    ) -> Option<Offset> {
        let position = self.owned.get_mut(&partition)?;
        let from = position.unhandled().filter(|from| *from < last.next() && position.next < last.next());
        let Some(from) = from else {
            position.empty_since = None;
            return None;
        };
        // A message may have come between the poll and the look at the end; the next poll finds it.
        let since = *position.empty_since.get_or_insert(now);
        if now.duration_since(since) < END_BELIEVED_AFTER {
            return None;
        }
        position.told_gone = Some(last.next());
        position.empty_since = None;
        Some(from)
    }

    /// Notes where an empty poll saw the partition end. Tells when that has been before our position for long enough to
    /// be believed.
    pub(super) fn note_end(&mut self, partition: PartitionId, last: Offset, now: Instant) -> Option<WayBack> {
        let position = self.owned.get_mut(&partition)?;
        if last.next() >= position.next {
            position.ends_early = None;
            return None;
        }
        let early = position.ends_early.get_or_insert(EarlyEnd { since: now, last });
        early.last = last;
        let is_believed = now.duration_since(early.since) >= END_BELIEVED_AFTER;
        is_believed.then_some(WayBack { expected: position.next, last })
    }

    /// Tells whether messages at our position are new ones under old offsets: the partition was just seen to end before
    /// it. One that was seen empty may have been about to start.
    pub(super) fn note_messages(&self, partition: PartitionId) -> Option<WayBack> {
        let position = self.owned.get(&partition)?;
        let early = position.ends_early.filter(|early| early.last > Offset(0))?;
        Some(WayBack { expected: position.next, last: early.last })
    }

    /// Gives up a partition whose offsets went back, so that it is begun at the beginning of what is there now.
    pub(super) fn begin_again(&mut self, partition: PartitionId) {
        self.went_back.insert(partition);
        self.give_up(partition);
    }

    /// How many partitions are owned.
    pub(super) fn count(&self) -> usize {
        self.owned.len()
    }

    /// The owned partitions.
    pub(super) fn owned(&self) -> impl Iterator<Item = PartitionId> {
        self.owned.keys().copied()
    }
}

impl Position {
    /// The first message that nobody of the group has handled, where that is known.
    fn unhandled(&self) -> Option<Offset> {
        let handled = match self.stored_before {
            Some(before) => Some(before.next()),
            None => self.continues.then_some(self.next),
        };
        handled.max(self.told_gone.filter(|_| handled.is_some()))
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
        let mut turns = |wants: &dyn Fn(PartitionId) -> bool, count: usize| -> Vec<PartitionId> {
            let turn = |_| {
                let next = positions.next_in_turn(&wants)?;
                positions.take_turn(next).map(|_| next)
            };
            (0..count).filter_map(turn).collect()
        };
        assert_eq!(turns(&|_| true, 6), ids([0, 1, 2, 3, 0, 1]));
        assert_eq!(turns(&|id| id.0 % 2 == 1, 3), ids([3, 1, 3]));
        assert_eq!(turns(&|_| false, 1), []);
        assert_eq!(positions.take_turn(PartitionId(9)), None);
        assert_eq!(Positions::default().next_in_turn(&|_| true), None);
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
        assert_eq!(positions.advance(PartitionId(0), Offset(5), Offset(9)), None, "nobody read before");
        assert_eq!(positions.take_turn(PartitionId(0)), Some(Offset(10)));
        assert_eq!(positions.advance(PartitionId(0), Offset(10), Offset(12)), None);
    }

    #[test]
    fn messages_that_are_missing_before_the_next_one_are_noticed() {
        let mut positions = owning(0..1);
        positions.begin(PartitionId(0), Some(Offset(9)));
        let gone = |from| Some(Found::Gone { from: Offset(from) });
        assert_eq!(positions.advance(PartitionId(0), Offset(15), Offset(20)), gone(10));
        assert_eq!(positions.advance(PartitionId(0), Offset(30), Offset(30)), gone(21));
    }

    #[test]
    fn offsets_are_offered_for_what_is_ours_or_was_taken_by_the_group() {
        let mut positions = owning(0..3);
        positions.set_target(ids([2]));
        positions.take_revoked();
        positions.begin_again(PartitionId(2));
        assert_eq!([0, 1, 2].map(|id| positions.may_store(PartitionId(id))), [true, true, false]);
        positions.take_all();
        assert_eq!([0, 1, 2].map(|id| positions.may_store(PartitionId(id))), [false; 3]);
    }

    #[test]
    fn a_partition_that_ends_early_for_long_is_begun_at_its_beginning() {
        let partition = PartitionId(0);
        let mut positions = owning(0..1);
        positions.advance(partition, Offset(0), Offset(99));
        let start = Instant::now();
        assert_eq!(positions.note_end(partition, Offset(99), start), None);
        assert_eq!(positions.note_end(partition, Offset(5), start), None);
        assert_eq!(positions.note_end(partition, Offset(5), start + Duration::from_secs(4)), None);
        let back = positions.note_end(partition, Offset(5), start + END_BELIEVED_AFTER);
        assert_eq!(back, Some(WayBack { expected: Offset(100), last: Offset(5) }));
        positions.begin_again(partition);
        assert_eq!(positions.take_revoked(), [partition]);
        assert_eq!(positions.gained(), [partition]);
        assert_eq!(positions.begin(partition, Some(Offset(90))).next, Offset(0));
        assert_eq!(positions.advance(partition, Offset(3), Offset(5)), None, "it began anew");
    }

    #[test]
    fn a_partition_that_overtakes_us_from_behind_has_gone_back_too() {
        let partition = PartitionId(0);
        let mut positions = owning(0..1);
        positions.advance(partition, Offset(0), Offset(99));
        assert_eq!(positions.note_messages(partition), None);
        positions.note_end(partition, Offset(0), Instant::now());
        assert_eq!(positions.note_messages(partition), None, "it may only have been starting");
        positions.note_end(partition, Offset(7), Instant::now());
        let back = WayBack { expected: Offset(100), last: Offset(7) };
        assert_eq!(positions.note_messages(partition), Some(back));
    }

    #[test]
    fn a_group_that_was_deleted_or_put_back_reads_again_what_it_had_handled() {
        let partition = PartitionId(0);
        let mut positions = owning(0..1);
        positions.note_stored(partition, Offset(99));
        positions.give_up(partition);
        assert_eq!(positions.begin(partition, None).next, Offset(0));
        let again = Some(Found::HandledBefore { until: Offset(100) });
        assert_eq!(positions.advance(partition, Offset(0), Offset(49)), again);
        assert_eq!(positions.advance(partition, Offset(50), Offset(120)), None, "it is told once");
        positions.note_stored(partition, Offset(120));
        positions.give_up(partition);
        positions.begin(partition, Some(Offset(59)));
        let again = Some(Found::HandledBefore { until: Offset(121) });
        assert_eq!(positions.advance(partition, Offset(60), Offset(70)), again);
        positions.give_up(partition);
        positions.begin(partition, Some(Offset(400)));
        assert_eq!(positions.advance(partition, Offset(401), Offset(401)), None, "another member read on");
    }

    #[test]
    fn what_was_purged_while_the_member_was_away_is_gone() {
        let partition = PartitionId(0);
        let mut positions = Positions::default();
        positions.set_target([partition]);
        positions.remember(partition, Offset(99));
        positions.begin(partition, None);
        let gone = Some(Found::Gone { from: Offset(100) });
        assert_eq!(positions.advance(partition, Offset(300), Offset(301)), gone);

        let mut empty = Positions::default();
        empty.remember(partition, Offset(99));
        empty.begin(partition, None);
        let start = Instant::now();
        assert_eq!(empty.note_nothing(partition, Offset(299), start), None);
        assert_eq!(empty.note_nothing(partition, Offset(299), start + Duration::from_secs(4)), None);
        let believed = start + END_BELIEVED_AFTER;
        assert_eq!(empty.note_nothing(partition, Offset(299), believed), Some(Offset(100)));
        assert_eq!(empty.note_nothing(partition, Offset(299), believed + END_BELIEVED_AFTER), None);
        assert_eq!(empty.advance(partition, Offset(300), Offset(300)), None, "it was told");

        let mut running = owning(0..1);
        running.advance(partition, Offset(0), Offset(9));
        running.note_nothing(partition, Offset(29), start);
        assert_eq!(running.note_nothing(partition, Offset(29), believed), Some(Offset(10)));
        assert_eq!(
            running.advance(partition, Offset(35), Offset(35)),
            Some(Found::Gone { from: Offset(30) })
        );
    }

    #[test]
    fn a_new_group_misses_nothing() {
        let partition = PartitionId(0);
        let (mut positions, start) = (owning(0..1), Instant::now());
        assert_eq!(positions.note_nothing(partition, Offset(0), start), None);
        assert_eq!(positions.note_nothing(partition, Offset(0), start + END_BELIEVED_AFTER), None);
        assert_eq!(positions.note_nothing(partition, Offset(50), start), None);
        assert_eq!(positions.note_nothing(partition, Offset(50), start + END_BELIEVED_AFTER), None);
        assert_eq!(positions.advance(partition, Offset(70), Offset(70)), None);
    }
}
