//! A handler as the dispatcher knows it: its configuration, and what it has learned about it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::breaker::{Change, Passage};
use super::notices::Notices;
use super::pace::Pace;
use super::pauses::{Pauses, Whose};
use crate::counters::{HandlerCounters, HandlerState};
use crate::event::Tenant;
use crate::handler::HandlerConfig;
use crate::outcome::OutcomeKind;
use crate::sandbox::{Isolation, Pool};

/// A handler with what the dispatcher learns about it.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) config: Arc<HandlerConfig>,
    pub(super) pool: Pool,
    pub(super) pace: Pace,
    pub(super) pauses: Pauses,
    /// Attempts that ended, by outcome.
    pub(super) attempts: BTreeMap<OutcomeKind, u64>,
    pub(super) notices: Notices,
}

impl Plan {
    pub(super) fn new(config: Arc<HandlerConfig>, pool: Pool) -> Self {
        let pace = match pool {
            Pool::Computing => Pace::new(config.batch_max, config.batch_time_target),
            Pool::Waiting => Pace::cautious(config.batch_max, config.batch_time_target),
        };
        let pauses = Pauses::new(config.breaker.clone());
        Self { config, pool, pace, pauses, attempts: BTreeMap::new(), notices: Notices::default() }
    }

    /// Whether a tenant's calls are made one at a time: those that change the same state would only be in each
    /// other's way, and of copies of an event that run at the same time none would know of the other.
    pub(super) fn calls_alone(&self) -> bool {
        self.config.keeps_marks()
    }

    /// Whether lanes of it may be parked.
    pub(super) fn parks(&self) -> bool {
        self.config.may_park()
    }

    pub(super) fn may_call(&self, tenant: &Tenant) -> bool {
        self.pauses.passage(tenant) != Passage::Closed
    }

    pub(super) fn batch_size(&self, tenant: &Tenant) -> usize {
        match self.config.isolation {
            Isolation::Reuse if self.pauses.passage(tenant) == Passage::Open => self.pace.batch_size(),
            Isolation::Reuse | Isolation::Fresh => 1,
        }
    }

    pub(super) fn counters(&self) -> HandlerCounters {
        HandlerCounters {
            state: if self.pauses.is_paused() { HandlerState::Paused } else { HandlerState::Running },
            pauses: self.pauses.pauses(),
            paused_tenants: self.pauses.paused_tenants() as u64,
            blocked_lanes: 0,
            parked_lanes: 0,
            parked_events: 0,
            dropped_events: 0,
            attempts: self.attempts.iter().map(|(kind, count)| (kind.as_str().to_owned(), *count)).collect(),
        }
    }
}

/// Logs that a handler pauses or goes on.
pub(super) fn tell(config: &HandlerConfig, whose: &Whose, change: Change) {
    let handler = &config.name;
    let tenant = match whose {
        Whose::Handler => "all",
        Whose::Tenant(tenant) => tenant.as_str(),
    };
    match change {
        Change::Paused { pause, .. } => {
            tracing::error!(%handler, tenant, ?pause, "most attempts fail: the handler is paused, its events wait");
        }
        Change::Probing => {
            tracing::info!(%handler, tenant, "the paused handler is tried with one event");
        }
        Change::Running => tracing::info!(%handler, tenant, "the paused handler goes on"),
    }
}
