//! Which partitions have something to be decided on, so that a decision costs what has changed, not what is held.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

use super::partitions::PartitionKey;

/// Commits of one subscription in a second, about: with many partitions each is committed less often than its interval
/// says, for every commit is a request.
const COMMITS_PER_SECOND: u32 = 500;

/// The partitions that wait to be looked at.
#[derive(Debug, Default)]
pub(super) struct Agenda {
    /// Those whose load has changed since it was last decided whether they are polled.
    touched: Vec<PartitionKey>,
    /// Those with enough progress to be committed at once.
    full: Vec<PartitionKey>,
    /// When the progress of others is due.
    timed: BinaryHeap<Reverse<(Instant, PartitionKey)>>,
    /// Those that are handed over.
    leaving: Vec<PartitionKey>,
}

/// Where a partition stands on the agenda.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Listed {
    touched: bool,
    full: bool,
    timed: bool,
}

impl Agenda {
    /// The load of a partition has changed.
    pub(super) fn touch(&mut self, key: PartitionKey, listed: &mut Listed) {
        if !std::mem::replace(&mut listed.touched, true) {
            self.touched.push(key);
        }
    }

    /// A partition has progress to commit, at the latest then.
    pub(super) fn commit_by(&mut self, key: PartitionKey, listed: &mut Listed, at: Instant) {
        if !std::mem::replace(&mut listed.timed, true) {
            self.timed.push(Reverse((at, key)));
        }
    }

    /// A partition has progress to commit at once.
    pub(super) fn commit_now(&mut self, key: PartitionKey, listed: &mut Listed) {
        if !std::mem::replace(&mut listed.full, true) {
            self.full.push(key);
        }
    }

    /// A partition is handed over from now on.
    pub(super) fn leave(&mut self, key: PartitionKey) {
        if !self.leaving.contains(&key) {
            self.leaving.push(key);
        }
    }

    /// A partition is no longer held, or anew. What else stands here of it leads to a look that finds nothing.
    pub(super) fn forget(&mut self, key: PartitionKey) {
        self.leaving.retain(|other| *other != key);
    }

    /// The partitions that are handed over.
    pub(super) fn leaving(&self) -> &[PartitionKey] {
        &self.leaving
    }

    /// Takes the partitions whose polling is to be decided; each must be told by [`Listed::not_touched`].
    pub(super) fn take_touched(&mut self) -> Vec<PartitionKey> {
        std::mem::take(&mut self.touched)
    }

    /// Takes the partitions that may have something to commit now; each must be told by [`Listed::not_committing`].
    pub(super) fn take_commits(&mut self, now: Instant) -> Vec<PartitionKey> {
        let mut due = std::mem::take(&mut self.full);
        while let Some(Reverse((_, key))) = self.timed.peek().copied().filter(|Reverse((at, _))| *at <= now) {
            self.timed.pop();
            due.push(key);
        }
        due.extend(&self.leaving);
        due
    }
}

impl Listed {
    /// It no longer stands among those whose load has changed.
    pub(super) fn not_touched(&mut self) {
        self.touched = false;
    }

    /// It no longer stands among those with progress.
    pub(super) fn not_committing(&mut self) {
        (self.full, self.timed) = (false, false);
    }
}

/// How often each of so many partitions is committed, when the configuration says how often one is.
pub(super) fn commit_interval(configured: Duration, partitions: usize) -> Duration {
    let all = Duration::from_secs(1) / COMMITS_PER_SECOND * u32::try_from(partitions).unwrap_or(u32::MAX);
    configured.max(all)
}

#[cfg(test)]
mod tests {
    use guesthouse_connector::PartitionId;

    use super::super::partitions::TopicIndex;
    use super::*;

    fn key(partition: u32) -> PartitionKey {
        PartitionKey { topic: TopicIndex(0), partition: PartitionId(partition) }
    }

    #[test]
    fn a_partition_is_named_once_however_often_it_changes() {
        let (mut agenda, mut listed) = (Agenda::default(), Listed::default());
        let start = Instant::now();
        for _ in 0..3 {
            agenda.touch(key(1), &mut listed);
            agenda.commit_by(key(1), &mut listed, start);
        }
        assert_eq!((agenda.take_touched(), agenda.take_touched()), (vec![key(1)], vec![]));
        assert_eq!((agenda.take_commits(start), agenda.take_commits(start)), (vec![key(1)], vec![]));
        listed.not_committing();
        agenda.commit_by(key(1), &mut listed, start + Duration::from_secs(1));
        assert_eq!(agenda.take_commits(start), []);
        agenda.commit_now(key(1), &mut listed);
        assert_eq!(agenda.take_commits(start), [key(1)]);
    }

    #[test]
    fn those_that_leave_are_looked_at_until_they_are_gone() {
        let mut agenda = Agenda::default();
        agenda.leave(key(1));
        agenda.leave(key(1));
        for _ in 0..2 {
            assert_eq!(agenda.take_commits(Instant::now()), [key(1)]);
        }
        agenda.forget(key(1));
        assert!(agenda.leaving().is_empty());
    }

    #[test]
    fn many_partitions_are_committed_less_often_each() {
        let configured = Duration::from_millis(100);
        let interval = |partitions| commit_interval(configured, partitions);
        assert_eq!([1, 50, 1_000].map(interval), [100, 100, 2_000].map(Duration::from_millis));
    }
}
