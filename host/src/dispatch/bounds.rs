//! Bounds: how much may be under way until the partitions that bring more are not polled further.
//!
//! Polling stops at a bound and goes on at half of it. Nothing else stops: what was read is handled and committed.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use foldhash::HashSet;

use super::partitions::Place;

/// Most events, and most bytes of their payloads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bound {
    /// Most events.
    pub events_max: usize,
    /// Most bytes.
    pub bytes_max: usize,
}

impl Bound {
    /// Whether something is full that was, or was not, before.
    pub(crate) fn is_full(self, load: Load, before: bool) -> bool {
        let Self { events_max, bytes_max } = self;
        match before {
            false => load.events >= events_max || load.bytes >= bytes_max,
            true => load.events > events_max / 2 || load.bytes > bytes_max / 2,
        }
    }
}

/// How much is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Load {
    pub(crate) events: usize,
    pub(crate) bytes: usize,
}

/// How much of one lane or tenant is under way, and the partitions that wait until it is less.
#[derive(Debug, Default)]
pub(crate) struct Gauge {
    load: Load,
    waiting: HashSet<Place>,
}

impl Gauge {
    /// Adds an event. Gives its place back if that has to wait from now on.
    pub(crate) fn add(&mut self, bytes: usize, from: Place, bound: Bound) -> Option<Place> {
        self.load.events += 1;
        self.load.bytes += bytes;
        (bound.is_full(self.load, false) && self.waiting.insert(from)).then_some(from)
    }

    /// Removes an event that was added, and gives back the places that need not wait any more.
    pub(crate) fn remove(&mut self, bytes: usize, bound: Bound) -> Vec<Place> {
        self.load.events = self.load.events.saturating_sub(1);
        self.load.bytes = self.load.bytes.saturating_sub(bytes);
        let goes_on = !self.waiting.is_empty() && !bound.is_full(self.load, true);
        if goes_on { self.waiting.drain().collect() } else { Vec::new() }
    }

    /// Whether nothing is under way.
    pub(crate) fn is_empty(&self) -> bool {
        self.load.events == 0
    }
}

/// How much is under way in all subscriptions of a host together.
#[derive(Debug)]
pub(crate) struct HostLoad {
    bound: Bound,
    events: AtomicUsize,
    bytes: AtomicUsize,
    full: AtomicBool,
}

impl HostLoad {
    /// Nothing is under way.
    pub(crate) fn new(bound: Bound) -> Self {
        Self { bound, events: AtomicUsize::new(0), bytes: AtomicUsize::new(0), full: AtomicBool::new(false) }
    }

    /// Adds an event.
    pub(crate) fn add(&self, bytes: usize) {
        let events = self.events.fetch_add(1, Ordering::Relaxed) + 1;
        let bytes = self.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.look(Load { events, bytes });
    }

    /// Removes what was added.
    pub(crate) fn remove(&self, load: Load) {
        let events = self.events.fetch_sub(load.events, Ordering::Relaxed).saturating_sub(load.events);
        let bytes = self.bytes.fetch_sub(load.bytes, Ordering::Relaxed).saturating_sub(load.bytes);
        self.look(Load { events, bytes });
    }

    /// Whether nothing more should be read. Of two changes at once either may be seen last; the next one corrects it.
    pub(crate) fn is_full(&self) -> bool {
        let load =
            Load { events: self.events.load(Ordering::Relaxed), bytes: self.bytes.load(Ordering::Relaxed) };
        self.look(load)
    }

    fn look(&self, load: Load) -> bool {
        let before = self.full.load(Ordering::Relaxed);
        let full = self.bound.is_full(load, before);
        if full != before {
            self.full.store(full, Ordering::Relaxed);
        }
        full
    }
}

#[cfg(test)]
mod tests {
    use guesthouse_connector::PartitionId;

    use super::*;
    use crate::dispatch::partitions::{AssignmentId, PartitionKey, TopicIndex};

    const BOUND: Bound = Bound { events_max: 4, bytes_max: 100 };

    fn place(partition: u32) -> Place {
        let partition = PartitionKey { topic: TopicIndex(0), partition: PartitionId(partition) };
        Place { partition, assignment: AssignmentId(1) }
    }

    #[test]
    fn those_who_bring_more_than_fits_wait_until_half_of_it_is_gone() {
        let mut gauge = Gauge::default();
        let stopped: Vec<_> = [1, 2, 1, 1, 2, 1].map(|from| gauge.add(1, place(from), BOUND)).into();
        assert_eq!(stopped, [None, None, None, Some(place(1)), Some(place(2)), None]);
        let freed: Vec<_> = (0..6).map(|_| gauge.remove(1, BOUND).len()).collect();
        assert_eq!(freed, [0, 0, 0, 2, 0, 0]);
        assert!(gauge.is_empty());
    }

    #[test]
    fn one_large_event_fills_it_too() {
        let mut gauge = Gauge::default();
        assert_eq!(gauge.add(100, place(1), BOUND), Some(place(1)));
        assert_eq!(gauge.remove(100, BOUND), [place(1)]);
    }

    #[test]
    fn a_host_is_full_until_half_of_it_is_gone() {
        let host = HostLoad::new(BOUND);
        let filled: Vec<_> = (0..5).map(|_| (host.add(1), host.is_full()).1).collect();
        assert_eq!(filled, [false, false, false, true, true]);
        let one = Load { events: 1, bytes: 1 };
        let emptied: Vec<_> = (0..5).map(|_| (host.remove(one), host.is_full()).1).collect();
        assert_eq!(emptied, [true, true, false, false, false]);
    }
}
