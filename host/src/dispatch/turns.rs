//! Whose turn it is in one pool: tenants take turns by their weights, and the queues of a tenant take turns inside it.
//!
//! A tenant gets as many turns in a row as its weight says, and then all others come before it does again. A turn
//! costs the same however many tenants wait.

use std::collections::VecDeque;

use foldhash::{HashMap, HashMapExt};

use crate::event::Tenant;

/// The queues that have something to run.
#[derive(Debug)]
pub(super) struct Turns {
    ring: VecDeque<Tenant>,
    /// Of the tenants in the ring, and of those that have left it with turns to spare.
    shares: HashMap<Tenant, Share>,
    queues: usize,
}

#[derive(Debug, Default)]
struct Share {
    queues: VecDeque<usize>,
    /// Turns that are left until the others come.
    credit: u32,
    /// Queues in a row that could not use their turn, since [`Turns::begin`].
    passed_over: usize,
    in_ring: bool,
}

impl Default for Turns {
    fn default() -> Self {
        Self { ring: VecDeque::new(), shares: HashMap::new(), queues: 0 }
    }
}

impl Turns {
    /// Queues that wait for their turn.
    pub(super) fn queues(&self) -> usize {
        self.queues
    }

    /// A queue has something to run.
    pub(super) fn enter(&mut self, tenant: &Tenant, queue: usize) {
        self.queues += 1;
        if !self.shares.contains_key(tenant) {
            self.shares.insert(tenant.clone(), Share::default());
        }
        let Some(share) = self.shares.get_mut(tenant) else { return };
        share.queues.push_back(queue);
        if share.in_ring {
            return;
        }
        (share.in_ring, share.passed_over) = (true, 0);
        // One whose queue was in a guest meanwhile goes on where it was.
        if share.credit == 0 {
            self.ring.push_back(tenant.clone());
        } else {
            self.begin();
            self.ring.push_front(tenant.clone());
        }
    }

    /// Begins a round in which every queue is passed over at most once before all others were.
    pub(super) fn begin(&mut self) {
        // Of the others none is in the middle of its queues.
        if let Some(share) = self.front() {
            share.passed_over = 0;
        }
    }

    /// Takes out the queue whose turn it is. What came of it must be told by [`Self::called`], [`Self::passed_over`] or
    /// [`Self::dropped`] before anybody else's turn.
    pub(super) fn take(&mut self) -> Option<usize> {
        let share = self.shares.get_mut(self.ring.front()?)?;
        let queue = share.queues.pop_front()?;
        self.queues -= 1;
        Some(queue)
    }

    /// The queue used the turn of its tenant, of this weight.
    pub(super) fn called(&mut self, weight: u32) {
        let Some(share) = self.front() else { return };
        share.passed_over = 0;
        share.credit = if share.credit == 0 { weight } else { share.credit }.saturating_sub(1);
        if share.credit == 0 && !share.queues.is_empty() {
            self.ring.rotate_left(1);
        }
        self.dropped();
    }

    /// The queue could not use the turn and waits for another one; its tenant keeps its own while others of its queues
    /// may use it.
    pub(super) fn passed_over(&mut self, queue: usize) {
        self.queues += 1;
        let Some(share) = self.front() else { return };
        share.queues.push_back(queue);
        share.passed_over += 1;
        self.dropped();
    }

    /// No queue of the tenant can use the turn: all of them wait for another one. Tells how many they are.
    pub(super) fn tenant_passed_over(&mut self, queue: usize) -> usize {
        self.queues += 1;
        let Some(share) = self.front() else { return 1 };
        share.queues.push_front(queue);
        share.passed_over = 0;
        let queues = share.queues.len();
        self.ring.rotate_left(1);
        queues
    }

    /// The queue did not need its turn and is gone.
    pub(super) fn dropped(&mut self) {
        let Some(share) = self.front() else { return };
        if share.queues.is_empty() {
            self.leave_ring();
        } else if share.passed_over >= share.queues.len() {
            share.passed_over = 0;
            self.ring.rotate_left(1);
        }
    }

    /// A queue is elsewhere from now on.
    pub(super) fn remove(&mut self, tenant: &Tenant, queue: usize) {
        let Some(share) = self.shares.get_mut(tenant) else { return };
        let before = share.queues.len();
        share.queues.retain(|other| *other != queue);
        self.queues -= before - share.queues.len();
        if share.in_ring && share.queues.is_empty() {
            let at = self.ring.iter().position(|other| other == tenant);
            self.ring.rotate_left(at.unwrap_or_default());
            self.leave_ring();
            self.ring.rotate_right(at.unwrap_or_default().min(self.ring.len()));
        }
    }

    fn front(&mut self) -> Option<&mut Share> {
        self.shares.get_mut(self.ring.front()?)
    }

    /// Takes the first tenant out of the ring. It is remembered as long as it has turns to spare, which only those with
    /// a weight of their own have.
    fn leave_ring(&mut self) {
        let Some(tenant) = self.ring.pop_front() else { return };
        match self.shares.get_mut(&tenant) {
            Some(share) if share.credit > 0 => share.in_ring = false,
            _ => drop(self.shares.remove(&tenant)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant(name: &str) -> Tenant {
        Tenant::Named(name.to_owned().into())
    }

    /// Takes turns of queues that always have more to run, and tells how often each of them had one.
    fn counts(turns: &mut Turns, weights: &[u32], names: &[&str], taken: usize) -> Vec<usize> {
        let mut counts = vec![0; names.len()];
        for _ in 0..taken {
            let queue = turns.take().unwrap();
            counts[queue] += 1;
            turns.enter(&tenant(names[queue]), queue);
            turns.called(weights[queue]);
        }
        counts
    }

    #[test]
    fn turns_are_shared_by_weight_however_many_queues_a_tenant_has() {
        let names = ["a", "b", "b", "b"];
        let mut turns = Turns::default();
        for (queue, name) in names.iter().enumerate() {
            turns.enter(&tenant(name), queue);
        }
        assert_eq!(counts(&mut turns, &[1; 4], &names, 60), [30, 10, 10, 10]);
        assert_eq!(counts(&mut turns, &[3, 1, 1, 1], &names, 120), [90, 10, 10, 10]);
        assert_eq!(turns.queues(), 4);
    }

    #[test]
    fn a_tenant_goes_on_with_its_turns_after_its_only_queue_was_in_a_guest() {
        let mut turns = Turns::default();
        turns.enter(&tenant("a"), 0);
        turns.enter(&tenant("b"), 1);
        let mut order = Vec::new();
        for _ in 0..8 {
            let queue = turns.take().unwrap();
            let (name, weight) = [("a", 3), ("b", 1)][queue];
            turns.called(weight);
            order.push(name);
            // The call ends before the next turn.
            turns.enter(&tenant(name), queue);
        }
        assert_eq!(order.concat(), "aaabaaab");
    }

    #[test]
    fn every_queue_is_asked_whoever_was_interrupted_before() {
        let mut turns = Turns::default();
        for (queue, name) in ["a", "a", "a", "b", "b"].iter().enumerate() {
            turns.enter(&tenant(name), queue);
        }
        turns.enter(&tenant("c"), 5);
        turns.remove(&tenant("c"), 5);
        let queue = turns.take().unwrap();
        turns.passed_over(queue);
        turns.begin();
        let mut asked = Vec::new();
        for _ in 0..turns.queues() {
            let queue = turns.take().unwrap();
            asked.push(queue);
            turns.passed_over(queue);
        }
        asked.sort_unstable();
        assert_eq!(asked, [0, 1, 2, 3, 4]);
    }

    #[test]
    fn one_that_drops_out_costs_the_others_no_turn() {
        let mut turns = Turns::default();
        for (queue, name) in ["a", "a", "b"].iter().enumerate() {
            turns.enter(&tenant(name), queue);
        }
        turns.begin();
        assert_eq!(turns.take(), Some(0));
        turns.passed_over(0);
        assert_eq!(turns.take(), Some(1));
        turns.dropped();
        assert_eq!(turns.take(), Some(2), "the other tenant is next, for all queues of the first were asked");
    }

    #[test]
    fn a_tenant_that_can_use_no_turn_is_passed_over_at_once() {
        let mut turns = Turns::default();
        for (queue, name) in ["a", "a", "a", "b"].iter().enumerate() {
            turns.enter(&tenant(name), queue);
        }
        turns.begin();
        assert_eq!(turns.take(), Some(0));
        assert_eq!((turns.tenant_passed_over(0), turns.queues()), (3, 4));
        assert_eq!(turns.take(), Some(3));
        turns.passed_over(3);
        assert_eq!(turns.take(), Some(0), "it keeps its place among its own");
    }

    #[test]
    fn those_who_cannot_use_their_turn_hold_up_nobody_and_keep_their_queues() {
        let mut turns = Turns::default();
        turns.enter(&tenant("a"), 0);
        turns.enter(&tenant("a"), 1);
        turns.enter(&tenant("b"), 2);
        let mut seen = Vec::new();
        for _ in 0..turns.queues() {
            let queue = turns.take().unwrap();
            seen.push(queue);
            turns.passed_over(queue);
        }
        assert_eq!((seen, turns.queues()), (vec![0, 1, 2], 3));
        turns.remove(&tenant("b"), 2);
        turns.remove(&tenant("a"), 0);
        assert_eq!((turns.take(), turns.queues()), (Some(1), 0));
        turns.dropped();
        assert_eq!((turns.take(), turns.ring.len(), turns.shares.len()), (None, 0, 0));
    }
}
