//! Consumer groups while the broker runs: who is a member, and which partitions each member owns. A pure state
//! machine; memberships end with the connection and are not stored. When a member joins, partitions move to it as
//! soon as their owners have committed what they were given; when one leaves, they move at once.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

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

/// What a connection may do with a partition of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ownership {
    /// The partition is assigned to it: it may read and commit.
    Owner,
    /// The partition goes to another member once what was read is committed: it may commit, and read no more.
    Leaving,
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
    /// The partitions that the member may read, in order.
    pub(crate) partitions: Vec<u32>,
}

/// One partition as the group sees it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Slot {
    /// Who may commit. `None` only while the group has no members.
    owner: Option<MemberId>,
    /// The last offset that the owner was given and has not committed.
    in_flight: Option<u64>,
    /// Until when the owner may finish; set while another member waits for the partition.
    leaves_at: Option<Instant>,
}

/// One group.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Group {
    generation: u64,
    /// The members with the partitions that are meant for them. An owner that has messages in hand keeps a
    /// partition from its next one for a while.
    members: BTreeMap<MemberId, BTreeSet<u32>>,
    slots: Vec<Slot>,
}

impl Group {
    fn join(&mut self, member: MemberId, partitions_count: u32, leaves_at: Instant) {
        if self.members.contains_key(&member) && self.slots.len() == partitions_count as usize {
            return;
        }
        self.members.entry(member).or_default();
        self.resize(partitions_count, leaves_at);
    }

    /// What a member had in hand when it leaves cannot be finished: its partitions go to the others at once.
    fn leave(&mut self, member: MemberId, leaves_at: Instant) -> Result<(), NotMember> {
        self.members.remove(&member).ok_or(NotMember)?;
        for slot in &mut self.slots {
            if slot.owner == Some(member) {
                *slot = Slot::default();
            }
        }
        self.rebalance(leaves_at);
        Ok(())
    }

    fn resize(&mut self, partitions_count: u32, leaves_at: Instant) {
        self.slots.resize(partitions_count as usize, Slot::default());
        self.rebalance(leaves_at);
    }

    /// Shares the partitions out evenly. A member keeps what it has up to its share, so that as few partitions
    /// as possible change hands; what is left over is dealt out in turn.
    fn rebalance(&mut self, leaves_at: Instant) {
        let shares = self.shares();
        let mut free: BTreeSet<u32> = (0..).take(self.slots.len()).collect();
        let partitions_count = self.slots.len();
        for (member, meant) in &mut self.members {
            meant.retain(|partition| (*partition as usize) < partitions_count);
            while meant.len() > shares.get(member).copied().unwrap_or(0) {
                meant.pop_last();
            }
            free.retain(|partition| !meant.contains(partition));
        }
        for (member, meant) in &mut self.members {
            while meant.len() < shares.get(member).copied().unwrap_or(0) {
                let Some(partition) = free.pop_first() else { break };
                meant.insert(partition);
            }
        }
        self.hand_over(leaves_at);
        self.generation += 1;
    }

    /// Gives partitions to the members they are meant for, unless their owners have messages in hand. Those may
    /// finish, until `leaves_at` if they were not told before. Answers how many changed hands.
    fn hand_over(&mut self, leaves_at: Instant) -> u64 {
        let mut changed = 0;
        for (member, meant) in &self.members {
            for partition in meant {
                let Some(slot) = self.slots.get_mut(*partition as usize) else { continue };
                if slot.owner == Some(*member) {
                    slot.leaves_at = None;
                } else if slot.owner.is_some() && slot.in_flight.is_some() {
                    slot.leaves_at.get_or_insert(leaves_at);
                } else {
                    *slot = Slot { owner: Some(*member), ..Slot::default() };
                    changed += 1;
                }
            }
        }
        changed
    }

    /// Takes partitions from owners that did not finish in time.
    fn expire(&mut self, now: Instant) {
        let late = self.slots.iter_mut().filter(|slot| slot.leaves_at.is_some_and(|end| end <= now));
        let mut some_late = false;
        for slot in late {
            slot.in_flight = None;
            some_late = true;
        }
        if some_late {
            self.generation += self.hand_over(now);
        }
    }

    /// How many partitions each member gets. The larger shares go to those that own most already.
    fn shares(&self) -> HashMap<MemberId, usize> {
        let mut by_load: Vec<(usize, MemberId)> =
            self.members.iter().map(|(member, meant)| (meant.len(), *member)).collect();
        by_load.sort_by_key(|(meant, _)| Reverse(*meant));
        let members = by_load.len().max(1);
        let (share, larger_shares) = (self.slots.len() / members, self.slots.len() % members);
        let of = |(at, (_, member))| (member, share + usize::from(at < larger_shares));
        by_load.into_iter().enumerate().map(of).collect()
    }

    fn assignment(&self, member: MemberId) -> Option<Assignment> {
        let meant = self.members.get(&member)?.iter().copied();
        let partitions = meant.filter(|partition| self.ownership(member, *partition) == Ownership::Owner);
        Some(Assignment { generation: self.generation, partitions: partitions.collect() })
    }

    fn ownership(&self, member: MemberId, partition_id: u32) -> Ownership {
        let Some(meant) = self.members.get(&member) else { return Ownership::NotMember };
        let slot = self.slots.get(partition_id as usize);
        if slot.is_none_or(|slot| slot.owner != Some(member)) {
            return Ownership::NotOwner;
        }
        if meant.contains(&partition_id) { Ownership::Owner } else { Ownership::Leaving }
    }

    fn polled(&mut self, member: MemberId, partition_id: u32, last_offset: u64) -> Ownership {
        let ownership = self.ownership(member, partition_id);
        if ownership == Ownership::Owner
            && let Some(slot) = self.slots.get_mut(partition_id as usize)
        {
            slot.in_flight = slot.in_flight.max(Some(last_offset));
        }
        ownership
    }

    fn committed(&mut self, partition_id: u32, offset: u64, now: Instant) {
        let Some(slot) = self.slots.get_mut(partition_id as usize) else { return };
        if slot.in_flight.is_some_and(|last_offset| last_offset <= offset) {
            slot.in_flight = None;
            if slot.leaves_at.is_some() {
                self.generation += self.hand_over(now);
            }
        }
    }

    fn owned(&self, member: MemberId) -> Vec<u32> {
        let slots = (0..).zip(&self.slots);
        slots.filter(|(_, slot)| slot.owner == Some(member)).map(|(partition, _)| partition).collect()
    }
}

/// All groups that have had a member since the start. Every call brings the time and counts with it: an owner that
/// did not finish in time loses its partition with the next call about its group.
#[derive(Debug)]
pub(crate) struct Groups {
    groups: HashMap<GroupKey, Group>,
    /// How long an owner may finish what it has in hand when another member waits.
    hand_over_time_max: Duration,
}

impl Groups {
    /// No groups yet.
    pub(crate) fn new(hand_over_time_max: Duration) -> Self {
        Self { groups: HashMap::new(), hand_over_time_max }
    }

    /// Makes the connection a member. Joining again changes nothing.
    pub(crate) fn join(&mut self, key: GroupKey, member: MemberId, partitions_count: u32, now: Instant) {
        let leaves_at = now + self.hand_over_time_max;
        let group = self.groups.entry(key).or_default();
        group.expire(now);
        group.join(member, partitions_count, leaves_at);
    }

    /// Ends a membership.
    pub(crate) fn leave(&mut self, key: GroupKey, member: MemberId, now: Instant) -> Result<(), NotMember> {
        let leaves_at = now + self.hand_over_time_max;
        self.at(key, now).ok_or(NotMember)?.leave(member, leaves_at)
    }

    /// Ends all memberships of a connection.
    pub(crate) fn leave_all(&mut self, member: MemberId, now: Instant) {
        let leaves_at = now + self.hand_over_time_max;
        for group in self.groups.values_mut() {
            // Most groups do not have it as a member.
            let _not_member = group.leave(member, leaves_at);
        }
    }

    /// Adapts the groups of a topic to its new number of partitions.
    pub(crate) fn resize(&mut self, stream_id: u32, topic_id: u32, partitions_count: u32, now: Instant) {
        let leaves_at = now + self.hand_over_time_max;
        for (key, group) in &mut self.groups {
            if key.stream_id == stream_id && key.topic_id == topic_id {
                group.resize(partitions_count, leaves_at);
            }
        }
    }

    /// Forgets the groups that `is_gone` names.
    pub(crate) fn delete(&mut self, is_gone: impl Fn(&GroupKey) -> bool) {
        self.groups.retain(|key, _| !is_gone(key));
    }

    /// What a member may read; `None` when the connection is no member.
    pub(crate) fn assignment(&mut self, key: GroupKey, member: MemberId, now: Instant) -> Option<Assignment> {
        self.at(key, now)?.assignment(member)
    }

    /// What a connection may do with a partition.
    pub(crate) fn ownership(
        &mut self,
        (key, partition_id): (GroupKey, u32),
        member: MemberId,
        now: Instant,
    ) -> Ownership {
        self.at(key, now).map_or(Ownership::NotMember, |group| group.ownership(member, partition_id))
    }

    /// Notes that messages up to `last_offset` go to a member that has not committed them, if it still may read
    /// them. Only [`Ownership::Owner`] may be given the messages.
    pub(crate) fn polled(
        &mut self,
        (key, partition_id): (GroupKey, u32),
        member: MemberId,
        last_offset: u64,
        now: Instant,
    ) -> Ownership {
        let group = self.at(key, now);
        group.map_or(Ownership::NotMember, |group| group.polled(member, partition_id, last_offset))
    }

    /// Notes that an offset was stored, which may be what the next owner of the partition waits for.
    pub(crate) fn committed(&mut self, (key, partition_id): (GroupKey, u32), offset: u64, now: Instant) {
        if let Some(group) = self.at(key, now) {
            group.committed(partition_id, offset, now);
        }
    }

    /// The members of a group with the partitions that they own.
    pub(crate) fn members(&mut self, key: GroupKey, now: Instant) -> Vec<(MemberId, Vec<u32>)> {
        let Some(group) = self.at(key, now) else { return Vec::new() };
        group.members.keys().map(|member| (*member, group.owned(*member))).collect()
    }

    /// The groups a connection is a member of, in order.
    pub(crate) fn of_member(&self, member: MemberId) -> Vec<GroupKey> {
        let joined = self.groups.iter().filter(|(_, group)| group.members.contains_key(&member));
        let mut keys: Vec<GroupKey> = joined.map(|(key, _)| *key).collect();
        keys.sort_unstable();
        keys
    }

    fn at(&mut self, key: GroupKey, now: Instant) -> Option<&mut Group> {
        let group = self.groups.get_mut(&key)?;
        group.expire(now);
        Some(group)
    }
}
