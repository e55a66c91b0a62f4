//! The pauses of one handler: its breaker, and one for each tenant whose events failed lately.
//!
//! A tenant whose events always fail pauses its own share alone; the handler as a whole is paused when it fails
//! for several.

use std::time::Instant;

use foldhash::{HashMap, HashMapExt};

use super::breaker::{Breaker, BreakerPolicy, Change, OnFailing, Passage, Tally};
use crate::event::Tenant;

/// Tenants of a handler that are looked at one by one; the failures of more of them count for the handler alone.
const TENANTS_MAX: usize = 10_000;

/// Who is paused or goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Whose {
    /// The handler, for all tenants.
    Handler,
    /// The handler, for one tenant.
    Tenant(Tenant),
}

/// Whether a call is to prove something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    Usual,
    Probe,
}

/// The breakers of a handler.
#[derive(Debug)]
pub(crate) struct Pauses {
    policy: BreakerPolicy,
    handler: Breaker,
    tenants: HashMap<Tenant, Breaker>,
}

impl Pauses {
    /// Nothing is paused.
    pub(crate) fn new(policy: BreakerPolicy) -> Self {
        Self { handler: Breaker::of_many(&policy), policy, tenants: HashMap::new() }
    }

    /// How many calls of a tenant may begin now.
    pub(crate) fn passage(&self, tenant: &Tenant) -> Passage {
        let own = self.tenants.get(tenant).map_or(Passage::Open, Breaker::passage);
        own.min(self.handler.passage())
    }

    /// A call of a tenant began, as [`Self::passage`] allowed.
    pub(crate) fn call_began(&mut self, tenant: &Tenant) -> Purpose {
        if self.passage(tenant) == Passage::Open {
            return Purpose::Usual;
        }
        self.handler.call_began();
        if let Some(own) = self.tenants.get_mut(tenant) {
            own.call_began();
        }
        Purpose::Probe
    }

    /// A call of a tenant ended, in this many attempts.
    pub(crate) fn call_ended(
        &mut self,
        tenant: &Tenant,
        purpose: Purpose,
        tally: Tally,
        now: Instant,
    ) -> Vec<(Whose, Change)> {
        if self.policy.on_failing == OnFailing::DeadLetter {
            return Vec::new();
        }
        if tally.failed > 0 {
            self.watch(tenant);
        }
        let Self { policy, handler, tenants } = self;
        let end = |breaker: &mut Breaker| {
            let proved = (purpose == Purpose::Probe).then(|| breaker.probe_ended(policy, tally, now));
            proved.flatten().or_else(|| breaker.call_ended(policy, tenant, tally, now))
        };
        let mut changes = Vec::new();
        changes.extend(end(handler).map(|change| (Whose::Handler, change)));
        if let Some(own) = tenants.get_mut(tenant) {
            changes.extend(end(own).map(|change| (Whose::Tenant(tenant.clone()), change)));
            if own.is_blank() {
                tenants.remove(tenant);
            }
        }
        changes
    }

    /// Time went by.
    pub(crate) fn wake(&mut self, now: Instant) -> Vec<(Whose, Change)> {
        let mut changes = Vec::new();
        changes.extend(self.handler.wake(now).map(|change| (Whose::Handler, change)));
        for (tenant, breaker) in &mut self.tenants {
            changes.extend(breaker.wake(now).map(|change| (Whose::Tenant(tenant.clone()), change)));
        }
        changes
    }

    /// When the handler last went on for a tenant after a pause.
    pub(crate) fn resumed(&self, tenant: &Tenant) -> Option<Instant> {
        self.handler.resumed().max(self.tenants.get(tenant).and_then(Breaker::resumed))
    }

    /// Whether the handler is paused for all tenants.
    pub(crate) fn is_paused(&self) -> bool {
        self.handler.is_paused()
    }

    /// How often the handler was paused for all tenants.
    pub(crate) fn pauses(&self) -> u64 {
        self.handler.pauses()
    }

    /// For how many tenants it is paused by their own failures.
    pub(crate) fn paused_tenants(&self) -> usize {
        self.tenants.values().filter(|breaker| breaker.is_paused()).count()
    }

    fn watch(&mut self, tenant: &Tenant) {
        if self.tenants.contains_key(tenant) {
            return;
        }
        if self.tenants.len() >= TENANTS_MAX {
            self.tenants.retain(|_, breaker| !breaker.is_healthy());
        }
        if self.tenants.len() < TENANTS_MAX {
            self.tenants.insert(tenant.detached(), Breaker::of_one(&self.policy));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAILED: Tally = Tally { failed: 1, fine: 0 };
    const FINE: Tally = Tally { failed: 0, fine: 1 };

    fn tenant(name: &str) -> Tenant {
        Tenant::Named(name.into())
    }

    fn fail(pauses: &mut Pauses, of: &str, times: usize, now: Instant) {
        for _ in 0..times {
            let purpose = pauses.call_began(&tenant(of));
            pauses.call_ended(&tenant(of), purpose, FAILED, now);
        }
    }

    #[test]
    fn a_failing_tenant_waits_alone() {
        let now = Instant::now();
        let mut pauses = Pauses::new(BreakerPolicy::default());
        fail(&mut pauses, "a", 20, now);
        let passages = ["a", "b"].map(|name| pauses.passage(&tenant(name)));
        assert_eq!(passages, [Passage::Closed, Passage::Open]);
        assert_eq!((pauses.is_paused(), pauses.paused_tenants()), (false, 1));
    }

    #[test]
    fn a_handler_that_fails_for_several_waits_for_one_probe() {
        let now = Instant::now();
        let mut pauses = Pauses::new(BreakerPolicy::default());
        fail(&mut pauses, "a", 10, now);
        fail(&mut pauses, "b", 10, now);
        assert_eq!(pauses.passage(&tenant("c")), Passage::Closed);
        let now = now + BreakerPolicy::default().cool_down;
        assert_eq!(pauses.wake(now), [(Whose::Handler, Change::Probing)]);
        let purpose = pauses.call_began(&tenant("c"));
        assert_eq!(purpose, Purpose::Probe);
        assert_eq!(pauses.passage(&tenant("a")), Passage::Closed);
        let changes = pauses.call_ended(&tenant("c"), purpose, FINE, now);
        assert_eq!(changes, [(Whose::Handler, Change::Running)]);
        assert_eq!(pauses.resumed(&tenant("a")), Some(now));
    }

    #[test]
    fn a_handler_may_ask_not_to_be_paused() {
        let policy = BreakerPolicy { on_failing: OnFailing::DeadLetter, ..BreakerPolicy::default() };
        let mut pauses = Pauses::new(policy);
        fail(&mut pauses, "a", 1_000, Instant::now());
        assert_eq!(pauses.passage(&tenant("a")), Passage::Open);
    }
}
