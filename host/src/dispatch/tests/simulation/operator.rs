//! The operator of a life, who releases and drops lanes at any time, and does not always know the latest.

use rand::seq::IndexedRandom;

use super::shelf;
use super::world::World;
use super::*;
use crate::identity::LaneName;
use crate::parked::{Action, Dropped, Head, Standing};

impl World {
    /// A command about some lane.
    pub(super) fn command(&mut self) {
        let shelves = self.broker.partitions.iter().enumerate();
        let lanes = shelves.flat_map(|(at, partition)| {
            partition.shelf.lanes().into_iter().map(move |(name, _, head)| (at, name, head))
        });
        let lanes: Vec<(usize, LaneName, Offset)> = lanes.collect();
        let Some((at, name, head)) = lanes.choose(&mut self.random).copied() else { return };
        let action = match self.random.random_range(0..8) {
            0 => Action::Release(Head::Skip),
            1 => Action::Drop(Dropped::First),
            2 => Action::Drop(Dropped::All),
            _ => Action::Release(Head::Retry),
        };
        let head = if self.random.random_ratio(1, 12) { head.next() } else { head };
        self.order(at, name, (head, action));
    }

    /// Releases every lane that waits for it.
    pub(super) fn release_all(&mut self) {
        for at in 0..self.broker.partitions.len() {
            for (name, standing, head) in self.broker.partitions[at].shelf.lanes() {
                if matches!(standing, Standing::Held | Standing::Waiting { .. }) {
                    self.order(at, name, (head, Action::Release(Head::Retry)));
                }
            }
        }
    }

    fn order(&mut self, at: usize, name: LaneName, (head, action): (Offset, Action)) {
        if !self.broker.is_up {
            return;
        }
        let partition = self.setting.key(at).partition;
        let message = shelf::command(name, head, action, (partition, self.random.random()));
        let applied = self.broker.shelve(at, &message, &mut self.oracle);
        self.trace.note(format_args!("command about {name} at {head} of {at}: {action:?}, {applied:?}"));
    }
}
