//! How a dispatcher shows what it counts: what has changed since the last time, however many handlers there are.

use foldhash::{HashMap, HashSet};

use super::Dispatcher;
use super::plan::Plan;
use crate::counters::{Counters, HandlerCounters, Shown};
use crate::handler::HandlerName;
use crate::route::HandlerIndex;

/// Which handlers are to be shown anew.
#[derive(Debug, Default)]
pub(super) struct Showing {
    /// Handlers by their names.
    named: HashMap<HandlerName, HandlerIndex>,
    changed: Vec<HandlerIndex>,
    /// Whether each handler stands among those that changed.
    is_changed: Vec<bool>,
    /// Handlers that were last shown with lanes that stand still or are parked.
    standing: HashSet<HandlerIndex>,
}

impl Showing {
    /// Nothing of these handlers is shown yet.
    pub(super) fn new<'a>(names: impl Iterator<Item = &'a HandlerName>) -> Self {
        let named: HashMap<HandlerName, HandlerIndex> =
            names.enumerate().map(|(at, name)| (name.clone(), HandlerIndex(at))).collect();
        let changed: Vec<HandlerIndex> = (0..named.len()).map(HandlerIndex).collect();
        Self { is_changed: vec![true; changed.len()], named, changed, standing: HashSet::default() }
    }

    /// Something that is counted of a handler has changed.
    pub(super) fn note(&mut self, handler: HandlerIndex) {
        if let Some(is_changed) = self.is_changed.get_mut(handler.0)
            && !std::mem::replace(is_changed, true)
        {
            self.changed.push(handler);
        }
    }

    /// Takes handlers that changed, not more than so many.
    fn take_changed(&mut self, most: usize) -> Vec<HandlerIndex> {
        let left = self.changed.len().saturating_sub(most);
        let taken = self.changed.split_off(left);
        for handler in &taken {
            if let Some(is_changed) = self.is_changed.get_mut(handler.0) {
                *is_changed = false;
            }
        }
        taken
    }

    /// The handler of a name.
    pub(super) fn handler(&self, name: &str) -> Option<HandlerIndex> {
        self.named.get(name).copied()
    }
}

impl Dispatcher {
    /// Brings counters up to date that were brought up to date by this dispatcher before, or are new, but for tenants and
    /// handlers that changed beyond `most`. Tells whether there are such.
    pub(crate) fn show_counters(&mut self, shown: &mut Counters, most: usize) -> Shown {
        self.counters.show(shown, most);
        shown.unsettled = self.partitions.unsettled_events() as u64;
        shown.partitions = self.partitions.count() as u64;
        (shown.oldest_read_micros, shown.oldest_made_micros) = self.partitions.oldest();
        let paused = self.partitions.paused().into_iter();
        shown.paused_partitions = paused.map(|(why, count)| (why.as_str().to_owned(), count)).collect();

        let (blocked, parked) = (self.queues.blocked_lanes(), self.shelving.counts());
        let showing = &mut self.showing;
        let parking = parked.keys().filter_map(|name| showing.named.get(*name));
        let standing: HashSet<HandlerIndex> = blocked.keys().chain(parking).copied().collect();
        let mut changed = std::mem::replace(&mut showing.standing, standing);
        changed.extend(showing.take_changed(most));
        changed.extend(showing.standing.iter().copied());
        for handler in changed {
            let Some(plan) = self.plans.get(handler.0) else { continue };
            let name = plan.config.name.as_str();
            let (parked_lanes, parked_events, dropped_events) = parked.get(name).copied().unwrap_or_default();
            let counters = HandlerCounters {
                blocked_lanes: blocked.get(&handler).copied().unwrap_or_default(),
                parked_lanes,
                parked_events,
                dropped_events,
                ..Plan::counters(plan)
            };
            match shown.handlers.get_mut(name) {
                Some(known) => *known = counters,
                None => drop(shown.handlers.insert(name.to_owned(), counters)),
            }
        }
        let is_whole = self.showing.changed.is_empty() && !self.counters.has_unshown();
        if is_whole { Shown::All } else { Shown::InPart }
    }

    /// All that was counted so far.
    #[cfg(test)]
    pub(crate) fn counters(&mut self) -> Counters {
        self.counters.change_all();
        (0..self.plans.len()).for_each(|at| self.showing.note(HandlerIndex(at)));
        let mut counters = Counters::default();
        assert_eq!(self.show_counters(&mut counters, usize::MAX), Shown::All);
        counters
    }
}
