//! A handler: a named binding of a component to tenants and event types, with its limits and policies.

use std::borrow::Borrow;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::dedup::DedupWindow;
use crate::dispatch::BreakerPolicy;
use crate::lane::OrderBy;
use crate::retry::RetryPolicy;
use crate::route::{Pattern, TenantScope};
use crate::sandbox::{Grants, GuestLimits, Isolation};

/// The name of a handler: 1 to 63 of `[a-z0-9-]`, starting with a letter or digit.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HandlerName(Arc<str>);

/// A handler's name that breaks the rule.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a handler name: expected 1 to 63 of a-z, 0-9 and '-', starting with a letter or digit")]
pub struct InvalidHandlerName(String);

impl HandlerName {
    /// Checks and takes a name.
    ///
    /// # Errors
    /// When it is empty, too long, or has another character.
    pub fn new(name: &str) -> Result<Self, InvalidHandlerName> {
        let allowed = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
        let fits = (1..=63).contains(&name.len()) && !name.starts_with('-') && name.bytes().all(allowed);
        if fits { Ok(Self(name.into())) } else { Err(InvalidHandlerName(name.to_owned())) }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for HandlerName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for HandlerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What happens to an event that a handler gave up on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailurePolicy {
    /// Put the event into the dead letter queue and go on with the lane.
    Skip,
    /// Put the event into the dead letter queue and park the later events of its lane, in order, until an operator
    /// releases or drops them.
    Park,
    /// Put the event into the dead letter queue and stop the lane there. The event is not settled: it runs again, and
    /// the lane goes on if it succeeds, once the host is restarted or its partition is assigned anew.
    Block,
}

/// A handler as configured, after all checks.
#[derive(Debug, Clone)]
pub struct HandlerConfig {
    /// Its name.
    pub name: HandlerName,
    /// File of its component.
    pub component: PathBuf,
    /// Version of the component, as its operator names it. Dead letters carry it.
    pub version: Option<String>,
    /// Name of the subscription that feeds it.
    pub subscription: String,
    /// Whose events it gets.
    pub tenants: TenantScope,
    /// Which event types it gets.
    pub events: Vec<Pattern>,
    /// Which of its events run in order.
    pub order_by: OrderBy,
    /// What it may call.
    pub grants: Grants,
    /// How much it may use.
    pub limits: GuestLimits,
    /// How long a guest lives.
    pub isolation: Isolation,
    /// When a failed event is tried again.
    pub retry: RetryPolicy,
    /// When it is paused because most of its attempts fail.
    pub breaker: BreakerPolicy,
    /// What happens to an event that is given up on.
    pub on_failure: FailurePolicy,
    /// Topics it may publish to besides the ones for its emits' types.
    pub emit_topics: Vec<String>,
    /// For how long it remembers which events it has handled, so that it handles none twice; not at all when absent.
    pub dedup: Option<DedupWindow>,
    /// Most events of one guest call.
    pub batch_max: u32,
    /// How long guests of this handler may take per event before the batch is made smaller.
    pub batch_time_target: Duration,
}

impl HandlerConfig {
    /// Whether its lanes may be parked.
    pub(crate) fn may_park(&self) -> bool {
        self.on_failure == FailurePolicy::Park || self.retry.backoff_max > self.retry.in_memory_max
    }

    /// Whether it is kept on record which events it has handled.
    pub(crate) fn keeps_marks(&self) -> bool {
        self.grants.state || self.dedup.is_some()
    }

    /// Whether lanes of it can stop until an operator lets them go on, by a command in a parked topic.
    pub(crate) fn may_stop(&self) -> bool {
        self.may_park() || self.on_failure == FailurePolicy::Block
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_lead_astray() {
        for name in ["a", "0", "order-totals", &"x".repeat(63)] {
            assert_eq!(HandlerName::new(name).unwrap().as_str(), name);
        }
        for name in [
            "",
            "-a",
            "A",
            "a_b",
            "../../x",
            "%2e%2e",
            "a/b",
            "a\\b",
            "a.b",
            "a b",
            "a\0",
            "а",
            &"x".repeat(64),
        ] {
            assert!(HandlerName::new(name).is_err(), "{name}");
        }
    }
}
