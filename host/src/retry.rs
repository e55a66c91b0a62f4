//! The retry policy: how often and when a failed event is tried again.

use std::time::Duration;

/// When and how often a failed event is tried again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Attempts in all, the first one included. At least 1.
    pub attempts_max: u32,
    /// Longest wait before the second attempt; doubles for each further one. Never zero.
    pub backoff_min: Duration,
    /// Longest wait of all.
    pub backoff_max: Duration,
    /// Longest wait that is spent in memory; an event that must wait longer is parked meanwhile, with its lane. An Iggy
    /// server takes a partition away by force 30 seconds after it asked for it, so less than that.
    pub in_memory_max: Duration,
    /// Age, counted from the first attempt, after which an event is not tried again.
    pub age_max: Option<Duration>,
    /// Whether a trap is tried again.
    pub on_trap: OnFault,
    /// Whether a timeout is tried again.
    pub on_timeout: OnFault,
    /// Whether running out of memory or into another limit is tried again.
    pub on_limit: OnFault,
}

/// What follows a fault of the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFault {
    /// Try again by the policy.
    Retry,
    /// Put the event into the dead letter queue at once.
    DeadLetter,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            attempts_max: 5,
            backoff_min: Duration::from_millis(200),
            backoff_max: Duration::from_secs(20),
            in_memory_max: Duration::from_secs(20),
            age_max: None,
            on_trap: OnFault::Retry,
            on_timeout: OnFault::Retry,
            on_limit: OnFault::Retry,
        }
    }
}

impl RetryPolicy {
    /// The wait before the next attempt after `attempts` failed ones: exponential with full jitter. `jitter` is
    /// a fair draw from `0.0..1.0`. Never shorter than a tenth of [`Self::backoff_min`], so that no event burns
    /// its attempts in a spin. A guest's own wish is honoured between that floor and [`Self::backoff_max`].
    pub fn backoff(&self, attempts: u32, wish: Option<Duration>, jitter: f64) -> Duration {
        let floor = (self.backoff_min / 10).max(Duration::from_millis(1));
        let ceiling = self.backoff_max.max(floor);
        if let Some(wish) = wish {
            return wish.clamp(floor, ceiling);
        }
        let doublings = attempts.saturating_sub(1).min(20);
        let longest = self.backoff_min.saturating_mul(1 << doublings).min(ceiling);
        longest.mul_f64(jitter.clamp(0.0, 1.0)).max(floor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_doubles_up_to_its_ceiling() {
        let policy = RetryPolicy::default();
        let longest = |attempts| policy.backoff(attempts, None, 1.0);
        assert_eq!(longest(1), Duration::from_millis(200));
        assert_eq!(longest(2), Duration::from_millis(400));
        assert_eq!(longest(4), Duration::from_millis(1600));
        assert_eq!(longest(60), Duration::from_secs(20));
    }

    #[test]
    fn backoff_is_never_zero() {
        let policy = RetryPolicy::default();
        assert_eq!(policy.backoff(1, None, 0.0), Duration::from_millis(20));
        assert_eq!(policy.backoff(1, Some(Duration::ZERO), 0.5), Duration::from_millis(20));
    }

    #[test]
    fn a_guests_wish_is_bounded() {
        let policy = RetryPolicy::default();
        assert_eq!(policy.backoff(1, Some(Duration::from_secs(2)), 0.0), Duration::from_secs(2));
        assert_eq!(policy.backoff(1, Some(Duration::from_secs(3600)), 0.0), Duration::from_secs(20));
    }
}
