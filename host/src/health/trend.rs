//! What matters over time: which partitions stand still, and how fast dead letters come. Pure.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use guesthouse_connector::{GroupAddress, GroupPosition, Offset, PartitionId};

/// Most looks that a window remembers; of more of them every second one is forgotten.
const LOOKS_MAX: usize = 1_000;

/// Since when each partition stands where it stands.
#[derive(Debug, Default)]
pub(super) struct Progress(BTreeMap<(String, PartitionId), (Option<Offset>, Instant)>);

/// A partition that stands still although messages are before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stuck {
    pub(crate) partition: PartitionId,
    pub(crate) lag: u64,
    pub(crate) since: Duration,
}

impl Progress {
    /// Takes note of where a group is, and gives back the partitions that have stood still for so long.
    pub(super) fn note(
        &mut self,
        group: &GroupAddress,
        position: &GroupPosition,
        (now, stuck_after): (Instant, Duration),
    ) -> Vec<Stuck> {
        let name = group.to_string();
        let mut stuck = Vec::new();
        for at in &position.partitions {
            let seen = self.0.entry((name.clone(), at.partition)).or_insert((at.stored, now));
            // With nothing before it, it does not stand: it has arrived.
            if seen.0 != at.stored || at.lag == 0 {
                *seen = (at.stored, now);
            }
            let since = now.saturating_duration_since(seen.1);
            if since >= stuck_after {
                stuck.push(Stuck { partition: at.partition, lag: at.lag, since });
            }
        }
        stuck
    }
}

/// How much a count has grown within a window.
#[derive(Debug, Default)]
pub(super) struct Growth(VecDeque<(Instant, u64)>);

impl Growth {
    /// Takes note of a count, and tells by how much it has grown within the window.
    pub(super) fn note(&mut self, count: u64, now: Instant, window: Duration) -> u64 {
        let is_old = |at: Instant| now.saturating_duration_since(at) >= window;
        // The last look before the window is where its growth begins.
        while self.0.get(1).is_some_and(|(at, _)| is_old(*at)) {
            self.0.pop_front();
        }
        if self.0.len() >= LOOKS_MAX {
            let mut keeps = false;
            self.0.retain(|_| {
                keeps = !keeps;
                keeps
            });
        }
        self.0.push_back((now, count));
        self.0.front().map_or(0, |(_, first)| count.saturating_sub(*first))
    }
}

#[cfg(test)]
mod tests {
    use guesthouse_connector::{PartitionPosition, TopicAddress};

    use super::*;

    const AFTER: Duration = Duration::from_secs(60);

    fn position(stored: u64, lag: u64) -> GroupPosition {
        let partition = PartitionPosition {
            partition: PartitionId(0),
            stored: Some(Offset(stored)),
            last: Some(Offset(stored + lag)),
            lag,
            member: Some(1),
        };
        GroupPosition {
            partitions: vec![partition],
            members: Vec::new(),
            lag_total: lag,
            lag_max: lag,
            complete: true,
        }
    }

    #[test]
    fn a_partition_is_stuck_when_messages_wait_and_nothing_is_stored() {
        let group = GroupAddress::new(TopicAddress::new("s", "t"), "g");
        let (mut progress, start) = (Progress::default(), Instant::now());
        let mut note = |secs, stored, lag| {
            progress.note(&group, &position(stored, lag), (start + Duration::from_secs(secs), AFTER)).len()
        };
        assert_eq!((note(0, 5, 0), note(90, 5, 0)), (0, 0), "nothing waits");
        assert_eq!((note(100, 5, 3), note(149, 5, 3)), (0, 0), "not for long");
        assert_eq!(note(150, 5, 9), 1);
        assert_eq!((note(151, 6, 8), note(210, 6, 8)), (0, 0), "it moved");
        assert_eq!(note(211, 6, 8), 1);
    }

    #[test]
    fn growth_is_what_came_within_the_window() {
        let (mut growth, start) = (Growth::default(), Instant::now());
        let mut note = |secs, count| growth.note(count, start + Duration::from_secs(secs), AFTER);
        assert_eq!((note(0, 10), note(30, 15), note(59, 20)), (0, 5, 10));
        assert_eq!((note(70, 20), note(100, 20), note(131, 20)), (10, 5, 0));
        for look in 0..5_000 {
            note(200 + look / 100, look);
        }
        assert!(growth.0.len() <= LOOKS_MAX);
    }
}
