//! The commits that a poller owes the broker: what was asked for last, and what was refused and is tried again. Pure.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use guesthouse_connector::{Offset, PartitionId};

use crate::dispatch::partitions::AssignmentId;

/// The bounds of the waits after a commit that failed.
const WAIT_FIRST: Duration = Duration::from_millis(500);
const WAIT_LONGEST: Duration = Duration::from_secs(10);

/// An offset to store, under the assignment in which its event was settled.
pub(super) type Owing = (PartitionId, AssignmentId, Offset);

/// One offset for each partition at most: a newer one takes the place of an older one.
#[derive(Debug, Default)]
pub(super) struct OwedCommits {
    waiting: BTreeMap<PartitionId, Owed>,
    rest: Option<Rest>,
}

#[derive(Debug, Clone, Copy)]
struct Owed {
    assignment: AssignmentId,
    offset: Offset,
    /// Since when something of the partition is owed.
    since: Instant,
}

#[derive(Debug, Clone, Copy)]
struct Rest {
    until: Instant,
    wait: Duration,
}

/// Whether a rest after a failure is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Urgency {
    /// It is.
    InTime,
    /// It is not: there is no later.
    Last,
}

impl OwedCommits {
    /// Takes over what is asked for.
    pub(super) fn add(
        &mut self,
        asked: impl IntoIterator<Item = (PartitionId, (AssignmentId, Offset))>,
        now: Instant,
    ) {
        for (partition, (assignment, offset)) in asked {
            let since = self.waiting.get(&partition).map_or(now, |owed| owed.since);
            self.waiting.insert(partition, Owed { assignment, offset, since });
        }
    }

    /// Forgets what belongs to no current assignment: it says nothing about the progress of who reads it now.
    pub(super) fn retain(&mut self, is_current: impl Fn(PartitionId, AssignmentId) -> bool) {
        self.waiting.retain(|partition, owed| is_current(*partition, owed.assignment));
    }

    /// What is to be stored now. It stays owed until [`Self::paid`].
    pub(super) fn due(&self, urgency: Urgency, now: Instant) -> Vec<Owing> {
        let rests = self.rest.is_some_and(|rest| now < rest.until);
        if rests && urgency == Urgency::InTime {
            return Vec::new();
        }
        self.waiting.iter().map(|(partition, owed)| (*partition, owed.assignment, owed.offset)).collect()
    }

    /// The offset of a partition is stored, or is not to be stored any more.
    pub(super) fn paid(&mut self, partition: PartitionId) {
        self.waiting.remove(&partition);
        if self.waiting.is_empty() {
            self.rest = None;
        }
    }

    /// A try failed: the next one comes after a rest, which doubles with each.
    pub(super) fn failed(&mut self, now: Instant) {
        let wait = self.rest.map_or(WAIT_FIRST, |rest| (rest.wait * 2).min(WAIT_LONGEST));
        self.rest = Some(Rest { until: now + wait, wait });
    }

    /// Partitions of which something is owed, and for how long the oldest of it is.
    pub(super) fn owed(&self, now: Instant) -> Option<(usize, Duration)> {
        let oldest = self.waiting.values().map(|owed| owed.since).min()?;
        Some((self.waiting.len(), now.saturating_duration_since(oldest)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(partition: u32, offset: u64) -> (PartitionId, (AssignmentId, Offset)) {
        (PartitionId(partition), (AssignmentId(1), Offset(offset)))
    }

    fn owing(partition: u32, offset: u64) -> Owing {
        (PartitionId(partition), AssignmentId(1), Offset(offset))
    }

    #[test]
    fn a_refused_commit_is_tried_again_with_the_newest_offset_after_rests_that_double() {
        let (mut owed, start) = (OwedCommits::default(), Instant::now());
        owed.add([asked(0, 5), asked(1, 7)], start);
        assert_eq!(owed.due(Urgency::InTime, start), [owing(0, 5), owing(1, 7)]);
        owed.paid(PartitionId(1));
        owed.failed(start);
        let later = start + WAIT_FIRST;
        owed.add([asked(0, 9)], later);
        assert_eq!(owed.due(Urgency::InTime, later - Duration::from_millis(1)), []);
        assert_eq!(owed.due(Urgency::Last, start), [owing(0, 9)]);
        assert_eq!(owed.due(Urgency::InTime, later), [owing(0, 9)]);
        assert_eq!(owed.owed(later), Some((1, WAIT_FIRST)), "it is owed since the first one");
        owed.failed(later);
        assert_eq!(owed.due(Urgency::InTime, later + WAIT_FIRST), []);
        assert_eq!(owed.due(Urgency::InTime, later + WAIT_FIRST * 2), [owing(0, 9)]);
        owed.paid(PartitionId(0));
        assert_eq!(owed.owed(later), None);
        owed.add([asked(0, 10)], later);
        assert_eq!(owed.due(Urgency::InTime, later), [owing(0, 10)], "a rest ends with what it was for");
    }

    #[test]
    fn what_another_reads_now_is_not_owed() {
        let (mut owed, start) = (OwedCommits::default(), Instant::now());
        owed.add([asked(0, 5), asked(1, 7)], start);
        owed.retain(|partition, assignment| (partition, assignment) == (PartitionId(1), AssignmentId(1)));
        assert_eq!(owed.due(Urgency::Last, start), [owing(1, 7)]);
    }

    #[test]
    fn rests_are_bounded() {
        let (mut owed, start) = (OwedCommits::default(), Instant::now());
        owed.add([asked(0, 5)], start);
        (0..100).for_each(|_| owed.failed(start));
        assert_eq!(owed.due(Urgency::InTime, start + WAIT_LONGEST), [owing(0, 5)]);
    }
}
