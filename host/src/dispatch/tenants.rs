//! How much of each tenant is under way in one subscription: events that were read and are not settled.

use foldhash::{HashMap, HashMapExt};
use slab::Slab;

use super::bounds::{Bound, Gauge};
use super::partitions::Place;
use crate::event::Tenant;
use crate::ledger::TenantSlot;

/// Tenants that are kept with nothing under way, so that their next event finds its gauge again.
const IDLE_TENANTS_MAX: usize = 65_536;

/// The gauges of all tenants with something under way.
#[derive(Debug)]
pub(crate) struct TenantGauges {
    bound: Bound,
    gauges: Slab<(Tenant, Gauge)>,
    slots: HashMap<Tenant, usize>,
}

impl TenantGauges {
    /// Nothing is under way.
    pub(crate) fn new(bound: Bound) -> Self {
        Self { bound, gauges: Slab::new(), slots: HashMap::new() }
    }

    /// Adds an event of a tenant. Gives its place back if that has to wait from now on.
    pub(crate) fn add(&mut self, tenant: &Tenant, bytes: usize, from: Place) -> (TenantSlot, Option<Place>) {
        let slot = match self.slots.get(tenant) {
            Some(slot) => *slot,
            None => {
                let tenant = tenant.detached();
                let slot = self.gauges.insert((tenant.clone(), Gauge::default()));
                self.slots.insert(tenant, slot);
                slot
            }
        };
        let stopped = self.gauges.get_mut(slot).and_then(|(_, gauge)| gauge.add(bytes, from, self.bound));
        (TenantSlot(slot), stopped)
    }

    /// Removes an event that was added, and gives back the places that need not wait any more.
    pub(crate) fn remove(&mut self, TenantSlot(slot): TenantSlot, bytes: usize) -> Vec<Place> {
        let Some((_, gauge)) = self.gauges.get_mut(slot) else { return Vec::new() };
        let freed = gauge.remove(bytes, self.bound);
        if gauge.is_empty() && self.gauges.len() > IDLE_TENANTS_MAX {
            let (tenant, _) = self.gauges.remove(slot);
            self.slots.remove(&tenant);
        }
        freed
    }
}
