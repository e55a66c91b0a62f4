//! The verdict: what the host does about an outcome. One pure function.

use std::time::Duration;

use crate::outcome::Outcome;
use crate::retry::{OnFault, RetryPolicy};

/// How long a lane rests after a fault of the host's own.
pub(crate) const HOST_FAULT_WAIT: Duration = Duration::from_millis(500);

/// What the host does about a failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Run the event again after this wait; the attempt counts.
    RetryAfter(Duration),
    /// Run the event again after this wait; the attempt does not count, for it was not the event's fault.
    GiveBackFor(Duration),
    /// Give the event up.
    DeadLetter,
}

/// What was tried before the outcome that is judged.
#[derive(Debug, Clone, Copy)]
pub(crate) struct History {
    /// Attempts that count, the judged one included.
    pub(crate) attempts: u32,
    /// Time since the first attempt failed.
    pub(crate) age: Duration,
}

/// Judges the outcome of a failed attempt. `jitter` is a fair draw from `0.0..1.0`.
pub(crate) fn judge(outcome: &Outcome, history: History, policy: &RetryPolicy, jitter: f64) -> Verdict {
    let again = |wish| {
        let exhausted = history.attempts >= policy.attempts_max;
        let too_old = policy.age_max.is_some_and(|age_max| history.age >= age_max);
        if exhausted || too_old {
            Verdict::DeadLetter
        } else {
            Verdict::RetryAfter(policy.backoff(history.attempts, wish, jitter))
        }
    };
    let fault = |on_fault| match on_fault {
        OnFault::Retry => again(None),
        OnFault::DeadLetter => Verdict::DeadLetter,
    };
    match outcome {
        Outcome::Retry { after, .. } => again(*after),
        Outcome::Trapped { .. } => fault(policy.on_trap),
        Outcome::TimedOut { .. } => fault(policy.on_timeout),
        Outcome::OutOfMemory { .. } | Outcome::LimitExceeded { .. } => fault(policy.on_limit),
        Outcome::HostFault { .. } => Verdict::GiveBackFor(HOST_FAULT_WAIT),
        // A finished attempt is settled before it comes here; giving it up loses nothing and says so.
        Outcome::Reject { .. }
        | Outcome::Undecodable { .. }
        | Outcome::HostCrash { .. }
        | Outcome::EmitRefused { .. }
        | Outcome::Done(_) => Verdict::DeadLetter,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::TrapCode;

    fn history(attempts: u32) -> History {
        History { attempts, age: Duration::ZERO }
    }

    fn judged(outcome: &Outcome, attempts: u32) -> Verdict {
        judge(outcome, history(attempts), &RetryPolicy::default(), 1.0)
    }

    fn retry() -> Outcome {
        Outcome::Retry { after: None, reason: String::new() }
    }

    #[test]
    fn a_retry_waits_longer_each_time_and_ends() {
        assert_eq!(judged(&retry(), 1), Verdict::RetryAfter(Duration::from_millis(200)));
        assert_eq!(judged(&retry(), 4), Verdict::RetryAfter(Duration::from_millis(1600)));
        assert_eq!(judged(&retry(), 5), Verdict::DeadLetter);
    }

    #[test]
    fn what_cannot_succeed_is_given_up_at_once() {
        assert_eq!(judged(&Outcome::Reject { reason: String::new() }, 1), Verdict::DeadLetter);
        assert_eq!(
            judged(&Outcome::Undecodable { code: "x", reason: String::new() }, 1),
            Verdict::DeadLetter
        );
        assert_eq!(judged(&Outcome::HostCrash { deaths: 3 }, 3), Verdict::DeadLetter);
    }

    #[test]
    fn a_fault_of_the_host_never_counts() {
        let fault = Outcome::HostFault { reason: String::new() };
        assert_eq!(judged(&fault, 1_000), Verdict::GiveBackFor(HOST_FAULT_WAIT));
    }

    #[test]
    fn the_policy_decides_about_faults_of_the_guest() {
        let trapped = Outcome::Trapped { code: TrapCode::Unreachable, reason: String::new() };
        assert!(matches!(judged(&trapped, 1), Verdict::RetryAfter(_)));
        let strict = RetryPolicy { on_trap: OnFault::DeadLetter, ..RetryPolicy::default() };
        assert_eq!(judge(&trapped, history(1), &strict, 1.0), Verdict::DeadLetter);
    }

    #[test]
    fn an_event_too_old_is_given_up() {
        let policy = RetryPolicy { age_max: Some(Duration::from_secs(60)), ..RetryPolicy::default() };
        let old = History { attempts: 2, age: Duration::from_secs(60) };
        assert_eq!(judge(&retry(), old, &policy, 1.0), Verdict::DeadLetter);
    }
}
