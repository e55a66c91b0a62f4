//! How a host and its broker fare.
//!
//! An [`observer`] asks the broker every few seconds what the host cannot know by itself, [`trend`]s are kept of what
//! matters over time, and [`judge`] says what all of it means. `health_check` and its like, under the names that the
//! platform gives this module, ask a broker once.

pub(crate) mod judge;
pub(crate) mod observer;
pub(crate) mod pulse;
mod trend;

use std::time::Duration;

pub use guesthouse_connector::{HealthCheck, HealthCheckResult, HealthStatus, health_check};

pub(crate) use self::judge::{CAUSES, Facts, Findings, STARTING, SubscriptionFacts};
pub(crate) use self::observer::{Observation, Observer};

/// What is taken for a sign of trouble.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthSettings {
    /// How often the broker is asked.
    pub every: Duration,
    /// Messages that a subscription may have before it in one topic.
    pub lag_max: u64,
    /// Dead letters that a subscription may make within the window.
    pub dead_letters_max: u64,
    /// The window.
    pub dead_letters_window: Duration,
    /// How long a partition with messages before it may stand still.
    pub stuck_after: Duration,
    /// How long a subscription may have messages in hand and settle none, or settle messages and commit nothing, beyond
    /// what its slowest handler may take.
    pub progress_within: Duration,
}

impl Default for HealthSettings {
    fn default() -> Self {
        Self {
            every: Duration::from_secs(10),
            lag_max: 100_000,
            dead_letters_max: 100,
            dead_letters_window: Duration::from_secs(300),
            stuck_after: Duration::from_secs(300),
            progress_within: Duration::from_secs(30),
        }
    }
}
