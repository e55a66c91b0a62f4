//! Released lanes that wait for others to be done, each once, in the order in which they came.

use std::collections::{BTreeSet, VecDeque};

use crate::dispatch::partitions::PartitionKey;
use crate::identity::LaneName;

/// A lane of a partition.
type Lane = (PartitionKey, LaneName);

/// The lanes that wait.
#[derive(Debug, Default)]
pub(super) struct LaneQueue {
    order: VecDeque<Lane>,
    waiting: BTreeSet<Lane>,
}

impl LaneQueue {
    /// Adds a lane at the end, unless it waits already.
    pub(super) fn push(&mut self, lane: Lane) {
        if self.waiting.insert(lane) {
            self.order.push_back(lane);
        }
    }

    /// Takes the lane that has waited for longest.
    pub(super) fn pop(&mut self) -> Option<Lane> {
        let lane = self.order.pop_front()?;
        self.waiting.remove(&lane);
        Some(lane)
    }

    /// Forgets the lanes of a partition.
    pub(super) fn revoke(&mut self, partition: PartitionKey) {
        self.order.retain(|(other, _)| *other != partition);
        self.waiting.retain(|(other, _)| *other != partition);
    }
}

#[cfg(test)]
mod tests {
    use guesthouse_connector::PartitionId;

    use super::*;
    use crate::dispatch::partitions::TopicIndex;

    #[test]
    fn a_lane_waits_once_and_keeps_its_place() {
        let partition = |number| PartitionKey { topic: TopicIndex(0), partition: PartitionId(number) };
        let lane = |number, name: &str| (partition(number), name.parse().unwrap());
        let (first, second, other) =
            (lane(0, "00000000000000aa"), lane(0, "00000000000000bb"), lane(1, "00000000000000aa"));
        let mut queue = LaneQueue::default();
        for pushed in [first, second, first, other, second] {
            queue.push(pushed);
        }
        assert_eq!(queue.pop(), Some(first));
        queue.push(first);
        assert_eq!((queue.pop(), queue.pop(), queue.pop()), (Some(second), Some(other), Some(first)));
        queue.push(first);
        queue.push(other);
        queue.revoke(partition(0));
        queue.push(first);
        assert_eq!((queue.pop(), queue.pop(), queue.pop()), (Some(other), Some(first), None));
    }
}
