//! How far a group is: what it stored, held against what the partitions hold. Pure.

use serde::Serialize;

use super::GroupMember;
use crate::address::{Offset, PartitionId};
use crate::topology::PartitionState;

/// How far a group is in a topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GroupPosition {
    /// How far it is in each partition, ordered by id.
    pub partitions: Vec<PartitionPosition>,
    /// Who reads.
    pub members: Vec<GroupMember>,
    /// How many messages it has before it in all partitions.
    pub lag_total: u64,
    /// How many it has before it in the partition where it has most.
    pub lag_max: u64,
    /// Whether everything was read while nothing but messages came: the same members, the same partitions, and no
    /// stored offset behind the end of its partition.
    pub complete: bool,
}

/// How far a group is in a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct PartitionPosition {
    /// Which partition.
    pub partition: PartitionId,
    /// The last offset that it stored; `None` when it stored none.
    pub stored: Option<Offset>,
    /// The last offset that the partition holds; `None` while it holds none.
    pub last: Option<Offset>,
    /// How many messages are there that it has not settled.
    pub lag: u64,
    /// Who reads it; `None` when nobody does.
    pub member: Option<u32>,
}

/// What the broker showed in one look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Look {
    pub(super) members: Vec<GroupMember>,
    pub(super) partitions: Vec<PartitionState>,
}

impl GroupPosition {
    /// Puts together the looks before and after the stored offsets were read. Lag counts up to the later look.
    pub(super) fn of(before: &Look, stored: &[(PartitionId, Option<Offset>)], after: Look) -> Self {
        let Look { members, partitions } = after;
        let position = |state: &PartitionState| {
            let found = stored.iter().find(|(partition, _)| *partition == state.partition);
            PartitionPosition {
                partition: state.partition,
                stored: found.and_then(|(_, stored)| *stored),
                last: state.last_offset,
                lag: lag(state, found.and_then(|(_, stored)| *stored)),
                member: owner(&members, state.partition),
            }
        };
        let positions: Vec<_> = partitions.iter().map(position).collect();
        let ids = |states: &[PartitionState]| states.iter().map(|state| state.partition).collect::<Vec<_>>();
        let complete = before.members == members
            && ids(&before.partitions) == ids(&partitions)
            && stored.iter().map(|(partition, _)| *partition).eq(ids(&partitions))
            && !positions.iter().any(PartitionPosition::is_ahead);
        Self {
            lag_total: positions.iter().fold(0, |total, position| position.lag.saturating_add(total)),
            lag_max: positions.iter().map(|position| position.lag).max().unwrap_or_default(),
            partitions: positions,
            members,
            complete,
        }
    }
}

impl PartitionPosition {
    /// Whether the group stored more than the partition ever held: the broker forgot messages, or the topic was made
    /// anew.
    fn is_ahead(&self) -> bool {
        self.last.is_some() && self.stored > self.last
    }
}

/// Messages have consecutive offsets and go from the front, so what is there and not settled is the smaller of the two.
fn lag(state: &PartitionState, stored: Option<Offset>) -> u64 {
    let Some(last) = state.last_offset else { return 0 };
    let unsettled = match stored {
        Some(stored) => last.0.saturating_sub(stored.0),
        None => last.0.saturating_add(1),
    };
    unsettled.min(state.messages_count)
}

fn owner(members: &[GroupMember], partition: PartitionId) -> Option<u32> {
    members.iter().find(|member| member.partitions.contains(&partition)).map(|member| member.id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(partition: u32, messages_count: u64, last: Option<u64>) -> PartitionState {
        PartitionState { partition: PartitionId(partition), messages_count, last_offset: last.map(Offset) }
    }

    fn look(partitions: impl Into<Vec<PartitionState>>, owned: impl IntoIterator<Item = u32>) -> Look {
        let partitions_of = owned.into_iter().map(PartitionId).collect();
        Look {
            partitions: partitions.into(),
            members: vec![GroupMember { id: 7, partitions: partitions_of }],
        }
    }

    fn stored(offsets: &[Option<u64>]) -> Vec<(PartitionId, Option<Offset>)> {
        (0..).map(PartitionId).zip(offsets.iter().map(|offset| offset.map(Offset))).collect()
    }

    #[test]
    fn lag_is_what_is_there_and_not_settled() {
        let states = [
            state(0, 10, Some(9)),
            state(1, 10, Some(9)),
            state(2, 10, Some(99)),
            state(3, 0, None),
            state(4, 10, Some(9)),
        ];
        let seen = look(states, 0..3);
        let position =
            GroupPosition::of(&seen, &stored(&[Some(4), None, Some(3), Some(5), Some(9)]), seen.clone());
        let lags: Vec<_> = position.partitions.iter().map(|position| position.lag).collect();
        assert_eq!(lags, [5, 10, 10, 0, 0]);
        assert_eq!((position.lag_total, position.lag_max, position.complete), (25, 10, true));
        let members: Vec<_> = position.partitions.iter().map(|position| position.member).collect();
        assert_eq!(members, [Some(7), Some(7), Some(7), None, None]);
    }

    #[test]
    fn a_snapshot_of_what_changed_meanwhile_is_not_complete() {
        let seen = look([state(0, 1, Some(0))], [0]);
        let complete = |before: &Look, offsets: &[Option<u64>]| {
            GroupPosition::of(before, &stored(offsets), seen.clone()).complete
        };
        assert!(complete(&seen, &[None]));
        assert!(complete(&look([state(0, 0, None)], [0]), &[None]));
        assert!(!complete(&look([state(0, 1, Some(0))], []), &[None]));
        assert!(!complete(&look([state(0, 1, Some(0)), state(1, 0, None)], [0]), &[None]));
        assert!(!complete(&seen, &[None, None]));
        assert!(!complete(&seen, &[Some(5)]));
    }
}
