//! What the host says it counted: the report file, as far as the demo needs it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::Deserialize;

/// Counters of a host since it started.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct Report {
    pub(crate) received: u64,
    pub(crate) settled: u64,
    pub(crate) unsettled: u64,
    pub(crate) undecodable: u64,
    pub(crate) partitions: u64,
    pub(crate) tenants: BTreeMap<String, Tenant>,
    pub(crate) handlers: BTreeMap<String, Handler>,
}

/// Counters of one handler.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct Handler {
    pub(crate) parked_events: u64,
}

/// Counters of one tenant, or of several together.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct Tenant {
    pub(crate) received: u64,
    pub(crate) deliveries: u64,
    pub(crate) handled: u64,
    pub(crate) retried: u64,
    pub(crate) emitted: u64,
    pub(crate) dead_letters: BTreeMap<String, u64>,
}

impl Report {
    /// The report as it stands now; none while there is none.
    pub(crate) fn read(path: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(path).ok()?).ok()
    }

    /// Whether so many messages were read, and all of them are settled.
    pub(crate) fn has_settled(&self, messages: u64) -> bool {
        self.settled >= messages && self.unsettled == 0
    }

    /// All tenants together.
    pub(crate) fn total(&self) -> Tenant {
        self.tenants.values().fold(Tenant::default(), Tenant::plus)
    }

    /// Events that are parked.
    pub(crate) fn parked_events(&self) -> u64 {
        self.handlers.values().map(|handler| handler.parked_events).sum()
    }

    /// Dead letters of tenants and of messages that nobody could read.
    pub(crate) fn dead(&self) -> u64 {
        self.total().dead() + self.undecodable
    }
}

impl Tenant {
    /// Deliveries that were given up.
    pub(crate) fn dead(&self) -> u64 {
        self.dead_letters.values().sum()
    }

    /// Deliveries that were given up after one of these outcomes.
    pub(crate) fn dead_with(&self, outcomes: &[&str]) -> u64 {
        outcomes.iter().filter_map(|outcome| self.dead_letters.get(*outcome)).sum()
    }

    fn plus(mut self, other: &Self) -> Self {
        self.received += other.received;
        self.deliveries += other.deliveries;
        self.handled += other.handled;
        self.retried += other.retried;
        self.emitted += other.emitted;
        for (outcome, count) in &other.dead_letters {
            *self.dead_letters.entry(outcome.clone()).or_default() += count;
        }
        self
    }
}
