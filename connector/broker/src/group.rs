//! Consumer groups while the broker runs: who is a member, and which partitions each member owns. A pure state
//! machine; memberships end with the connection and are not stored.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};

#[cfg(test)]
mod tests;

/// A member is a connection; this is the connection's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct MemberId(pub(crate) u32);

/// Names a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct GroupKey {
    pub(crate) stream_id: u32,
    pub(crate) topic_id: u32,
    pub(crate) group_id: u32,
}

/// Whether a member may read or commit a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ownership {
    /// The partition is assigned to the member.
    Owner,
    /// The partition belongs to another member, or to none.
    NotOwner,
    /// The connection is no member of the group.
    NotMember,
}

/// The connection is no member of the group it wants to leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotMember;

/// What a member is told when it asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Assignment {
    /// Grows with every change of the group.
    pub(crate) generation: u64,
    /// The member's partitions, in order.
    pub(crate) partitions: Vec<u32>,
}

/// One group.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Group {
    generation: u64,
    partitions_count: u32,
    members: BTreeMap<MemberId, BTreeSet<u32>>,
}

impl Group {
    fn join(&mut self, member: MemberId, partitions_count: u32) {
        if self.members.contains_key(&member) && self.partitions_count == partitions_count {
            return;
        }
        self.members.entry(member).or_default();
        self.partitions_count = partitions_count;
        self.rebalance();
    }

    fn leave(&mut self, member: MemberId) -> Result<(), NotMember> {
        self.members.remove(&member).ok_or(NotMember)?;
        self.rebalance();
        Ok(())
    }

    fn resize(&mut self, partitions_count: u32) {
        self.partitions_count = partitions_count;
        self.rebalance();
    }

    /// Shares the partitions out evenly. A member keeps what it has up to its share, so that as few partitions
    /// as possible change hands; what is left over is dealt out in turn.
    fn rebalance(&mut self) {
        self.generation += 1;
        let shares = self.shares();
        let mut free: BTreeSet<u32> = (0..self.partitions_count).collect();
        for (member, owned) in &mut self.members {
            owned.retain(|partition| *partition < self.partitions_count);
            while owned.len() > shares.get(member).copied().unwrap_or(0) {
                owned.pop_last();
            }
            free.retain(|partition| !owned.contains(partition));
        }
        for (member, owned) in &mut self.members {
            while owned.len() < shares.get(member).copied().unwrap_or(0) {
                let Some(partition) = free.pop_first() else { break };
                owned.insert(partition);
            }
        }
    }

    /// How many partitions each member gets. The larger shares go to those that own most already.
    fn shares(&self) -> HashMap<MemberId, usize> {
        let mut by_load: Vec<(usize, MemberId)> =
            self.members.iter().map(|(member, owned)| (owned.len(), *member)).collect();
        by_load.sort_by_key(|(owned, _)| Reverse(*owned));
        let members = by_load.len().max(1);
        let (share, larger_shares) =
            (self.partitions_count as usize / members, self.partitions_count as usize % members);
        let of = |(at, (_, member))| (member, share + usize::from(at < larger_shares));
        by_load.into_iter().enumerate().map(of).collect()
    }

    fn assignment(&self, member: MemberId) -> Option<Assignment> {
        let partitions = self.members.get(&member)?.iter().copied().collect();
        Some(Assignment { generation: self.generation, partitions })
    }

    fn ownership(&self, member: MemberId, partition_id: u32) -> Ownership {
        match self.members.get(&member) {
            Some(owned) if owned.contains(&partition_id) => Ownership::Owner,
            Some(_) => Ownership::NotOwner,
            None => Ownership::NotMember,
        }
    }
}

/// All groups that have had a member since the start.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    groups: HashMap<GroupKey, Group>,
}

impl Groups {
    /// Makes the connection a member. Joining again changes nothing.
    pub(crate) fn join(&mut self, key: GroupKey, member: MemberId, partitions_count: u32) {
        self.groups.entry(key).or_default().join(member, partitions_count);
    }

    /// Ends a membership.
    pub(crate) fn leave(&mut self, key: GroupKey, member: MemberId) -> Result<(), NotMember> {
        self.groups.get_mut(&key).ok_or(NotMember)?.leave(member)
    }

    /// Ends all memberships of a connection.
    pub(crate) fn leave_all(&mut self, member: MemberId) {
        for group in self.groups.values_mut() {
            // Most groups do not have it as a member.
            let _not_member = group.leave(member);
        }
    }

    /// Adapts the groups of a topic to its new number of partitions.
    pub(crate) fn resize(&mut self, stream_id: u32, topic_id: u32, partitions_count: u32) {
        for (key, group) in &mut self.groups {
            if key.stream_id == stream_id && key.topic_id == topic_id {
                group.resize(partitions_count);
            }
        }
    }

    /// Forgets the groups that `is_gone` names.
    pub(crate) fn delete(&mut self, is_gone: impl Fn(&GroupKey) -> bool) {
        self.groups.retain(|key, _| !is_gone(key));
    }

    /// What a member owns; `None` when the connection is no member.
    pub(crate) fn assignment(&self, key: GroupKey, member: MemberId) -> Option<Assignment> {
        self.groups.get(&key)?.assignment(member)
    }

    /// Whether a connection owns a partition.
    pub(crate) fn ownership(&self, key: GroupKey, member: MemberId, partition_id: u32) -> Ownership {
        self.groups.get(&key).map_or(Ownership::NotMember, |group| group.ownership(member, partition_id))
    }

    /// The members of a group with their partitions.
    pub(crate) fn members(&self, key: GroupKey) -> Vec<(MemberId, Vec<u32>)> {
        let Some(group) = self.groups.get(&key) else { return Vec::new() };
        let members = group.members.iter();
        members.map(|(member, owned)| (*member, owned.iter().copied().collect())).collect()
    }

    /// The groups a connection is a member of, in order.
    pub(crate) fn of_member(&self, member: MemberId) -> Vec<GroupKey> {
        let joined = self.groups.iter().filter(|(_, group)| group.members.contains_key(&member));
        let mut keys: Vec<GroupKey> = joined.map(|(key, _)| *key).collect();
        keys.sort_unstable();
        keys
    }
}
