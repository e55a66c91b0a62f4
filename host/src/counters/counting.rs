//! What a dispatcher counts, and what of it changed since others were last shown it.
//!
//! Tenants and handlers are many: showing costs what those do that had events, not what all of them would.

use std::collections::BTreeMap;

use foldhash::{HashMap, HashMapExt, HashSet};

use super::{Counters, OTHER_TENANTS, TENANTS_MAX, TenantCounters};
use crate::dispatch::Handled;
use crate::event::Tenant;
use crate::handler::HandlerName;
use crate::outcome::OutcomeKind;

/// The counters of one dispatcher while it counts.
#[derive(Debug, Default)]
pub(crate) struct Counting {
    /// What is not counted by tenant or by handler.
    pub(crate) sums: Counters,
    tenants: TenantCounts,
    dead_letters: BTreeMap<String, BTreeMap<String, u64>>,
    /// Names in `dead_letters` that changed since they were last shown.
    dead_letters_changed: HashSet<String>,
}

/// The counters of tenants, found without a walk along their names.
#[derive(Debug)]
struct TenantCounts {
    places: HashMap<Tenant, usize>,
    counts: Vec<Count>,
    /// Places that changed since they were last shown.
    changed: Vec<usize>,
    /// Where those beyond the bound are counted together, once there are any.
    others: Option<usize>,
    tenants_max: usize,
}

#[derive(Debug)]
struct Count {
    name: String,
    counters: TenantCounters,
    is_changed: bool,
}

impl Default for TenantCounts {
    fn default() -> Self {
        Self {
            places: HashMap::new(),
            counts: Vec::new(),
            changed: Vec::new(),
            others: None,
            tenants_max: TENANTS_MAX,
        }
    }
}

impl Counting {
    /// Brings what is shown up to date, but for the handlers, and for tenants that changed beyond `most`. The same `shown`
    /// must be given each time.
    pub(crate) fn show(&mut self, shown: &mut Counters, most: usize) {
        let mut tenants = std::mem::take(&mut shown.tenants);
        let mut dead_letters = std::mem::take(&mut shown.dead_letters);
        let handlers = std::mem::take(&mut shown.handlers);
        self.tenants.show(&mut tenants, most);
        for name in self.dead_letters_changed.drain() {
            if let Some(counts) = self.dead_letters.get(&name) {
                dead_letters.insert(name, counts.clone());
            }
        }
        *shown = Counters { tenants, dead_letters, handlers, ..self.sums.clone() };
    }

    /// Whether tenants are left that changed and were not shown.
    pub(crate) fn has_unshown(&self) -> bool {
        !self.tenants.changed.is_empty()
    }

    /// Has all be shown the next time.
    #[cfg(test)]
    pub(crate) fn change_all(&mut self) {
        self.dead_letters_changed = self.dead_letters.keys().cloned().collect();
        self.tenants.changed = (0..self.tenants.counts.len()).collect();
    }

    pub(crate) fn undecodable(&mut self) {
        self.sums.received += 1;
        self.sums.undecodable += 1;
        self.dead_letter("(decode)", OutcomeKind::Undecodable);
    }

    pub(crate) fn handled(&mut self, tenant: &Tenant, handled: Handled, emits: usize) {
        let counters = self.tenants.of(tenant);
        *counters.of_mut(handled) += 1;
        counters.emitted += emits as u64;
    }

    /// Many events of a tenant were handled now, without emits.
    pub(crate) fn handled_quietly(&mut self, tenant: &Tenant, events: u64) {
        if events > 0 {
            self.tenants.of(tenant).handled += events;
        }
    }

    /// What was counted as handled was not, because its emits were refused.
    pub(crate) fn handled_after_all_not(&mut self, tenant: &Tenant, handled: Handled, emits: usize) {
        let counters = self.tenants.of(tenant);
        let count = counters.of_mut(handled);
        *count = count.saturating_sub(1);
        counters.emitted = counters.emitted.saturating_sub(emits as u64);
    }

    pub(crate) fn retried(&mut self, tenant: &Tenant) {
        self.tenants.of(tenant).retried += 1;
    }

    pub(crate) fn dead(&mut self, tenant: &Tenant, handler: &HandlerName, outcome: OutcomeKind) {
        *self.tenants.of(tenant).dead_letters.entry(outcome.as_str().to_owned()).or_default() += 1;
        self.dead_letter(handler.as_str(), outcome);
    }

    fn dead_letter(&mut self, of: &str, outcome: OutcomeKind) {
        let by_outcome = self.dead_letters.entry(of.to_owned()).or_default();
        *by_outcome.entry(outcome.as_str().to_owned()).or_default() += 1;
        if !self.dead_letters_changed.contains(of) {
            self.dead_letters_changed.insert(of.to_owned());
        }
    }
}

impl TenantCounts {
    fn of(&mut self, tenant: &Tenant) -> &mut TenantCounters {
        let place = match self.places.get(tenant) {
            Some(place) => *place,
            None => self.enter(tenant),
        };
        let count = self.counts.get_mut(place).expect("places are of counts, and none is ever removed");
        if !count.is_changed {
            count.is_changed = true;
            self.changed.push(place);
        }
        &mut count.counters
    }

    fn enter(&mut self, tenant: &Tenant) -> usize {
        if self.places.len() < self.tenants_max {
            let place = self.add(tenant.as_str());
            self.places.insert(tenant.detached(), place);
            return place;
        }
        if let Some(others) = self.others {
            return others;
        }
        let others = self.add(OTHER_TENANTS);
        self.others = Some(others);
        others
    }

    fn add(&mut self, name: &str) -> usize {
        let count = Count { name: name.to_owned(), counters: TenantCounters::default(), is_changed: false };
        self.counts.push(count);
        self.counts.len() - 1
    }

    fn show(&mut self, shown: &mut BTreeMap<String, TenantCounters>, most: usize) {
        let left = self.changed.len().saturating_sub(most);
        for place in self.changed.drain(left..) {
            let Some(count) = self.counts.get_mut(place) else { continue };
            count.is_changed = false;
            match shown.get_mut(&count.name) {
                Some(known) => known.clone_from(&count.counters),
                None => drop(shown.insert(count.name.clone(), count.counters.clone())),
            }
        }
    }
}

/// Events that came one after another and are of one tenant, so that its name is looked up once.
#[derive(Debug, Default)]
pub(crate) struct Arrivals {
    of: Option<Tenant>,
    received: u64,
    deliveries: u64,
}

impl Arrivals {
    /// An event came that so many handlers want.
    pub(crate) fn add(&mut self, tenant: &Tenant, deliveries: usize, counting: &mut Counting) {
        counting.sums.received += 1;
        if deliveries == 0 {
            counting.sums.unmatched += 1;
            counting.sums.settled += 1;
        }
        if self.of.as_ref() != Some(tenant) {
            std::mem::replace(self, Self { of: Some(tenant.clone()), ..Self::default() }).count_in(counting);
        }
        self.received += 1;
        self.deliveries += deliveries as u64;
    }

    /// Counts what came for its tenant.
    pub(crate) fn count_in(self, counting: &mut Counting) {
        let Some(tenant) = self.of else { return };
        let counters = counting.tenants.of(&tenant);
        counters.received += self.received;
        counters.deliveries += self.deliveries;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant(name: &str) -> Tenant {
        Tenant::Named(name.to_owned().into())
    }

    #[test]
    fn only_what_changed_is_shown_again() {
        let (mut counting, mut shown) = (Counting::default(), Counters::default());
        counting.retried(&tenant("a"));
        counting.retried(&tenant("b"));
        counting.show(&mut shown, usize::MAX);
        assert_eq!((shown.tenants["a"].retried, shown.tenants["b"].retried), (1, 1));
        counting.retried(&tenant("b"));
        assert_eq!(counting.tenants.changed.len(), 1);
        counting.dead(&tenant("b"), &HandlerName::new("h").unwrap(), OutcomeKind::Reject);
        counting.sums.settled = 3;
        counting.show(&mut shown, usize::MAX);
        assert_eq!((shown.tenants["a"].retried, shown.tenants["b"].retried, shown.settled), (1, 2, 3));
        assert_eq!(shown.dead_letters["h"]["reject"], 1);
        assert!(counting.tenants.changed.is_empty() && counting.dead_letters_changed.is_empty());
    }

    #[test]
    fn many_changes_are_shown_in_portions() {
        let (mut counting, mut shown) = (Counting::default(), Counters::default());
        ["a", "b", "c"].iter().for_each(|name| counting.retried(&tenant(name)));
        counting.show(&mut shown, 2);
        assert_eq!((shown.tenants.len(), counting.has_unshown()), (2, true));
        counting.show(&mut shown, 2);
        assert_eq!((shown.tenants.len(), counting.has_unshown()), (3, false));
    }

    #[test]
    fn tenants_beyond_the_bound_are_counted_together() {
        let (mut counting, mut shown) = (Counting::default(), Counters::default());
        counting.tenants.tenants_max = 1;
        ["a", "b", "c", "a"].iter().for_each(|name| counting.retried(&tenant(name)));
        counting.show(&mut shown, usize::MAX);
        let counts: Vec<_> =
            shown.tenants.iter().map(|(name, counters)| (name.as_str(), counters.retried)).collect();
        assert_eq!(counts, [(OTHER_TENANTS, 2), ("a", 2)]);
    }
}
