//! The circuit breaker: pauses what fails at most of its attempts, and lets it go on once a single event proves
//! that it can.
//!
//! It is told outcomes and time. While nothing fails it keeps nothing, so the healthy pay nothing for it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::event::Tenant;
use crate::outcome::Outcome;
use crate::sandbox::Answer;

/// When a handler counts as failing, and what follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BreakerPolicy {
    /// Attempts, counted from a failed one, that are looked at together. At least 1.
    pub attempts_min: u32,
    /// Share of them that must have failed, in percent from 1 to 100. Failed are attempts that end in a trap, a
    /// timeout, or a limit that was run into; what a guest rejects or wants to retry is none of that.
    pub failing_share_percent: u32,
    /// How long a failing handler is paused before a single event is tried. Doubles with each one that fails.
    pub cool_down: Duration,
    /// Longest pause.
    pub cool_down_max: Duration,
    /// What happens to a failing handler.
    pub on_failing: OnFailing,
}

/// What happens to a handler that fails at most of its attempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFailing {
    /// It is paused, and its events wait.
    Pause,
    /// It goes on, and its events become dead letters by its retry policy.
    DeadLetter,
}

impl Default for BreakerPolicy {
    fn default() -> Self {
        Self {
            attempts_min: 20,
            failing_share_percent: 80,
            cool_down: Duration::from_secs(10),
            cool_down_max: Duration::from_secs(5 * 60),
            on_failing: OnFailing::Pause,
        }
    }
}

/// How many calls a breaker lets through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Passage {
    /// None.
    Closed,
    /// One, of one event.
    Single,
    /// All.
    Open,
}

/// What a breaker went over to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// It pauses until then.
    Paused { until: Instant, pause: Duration },
    /// It waits for one event to prove itself.
    Probing,
    /// All is well again.
    Running,
}

/// Attempts that ended, the faults of the guest apart from the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Tally {
    pub(crate) failed: u32,
    pub(crate) fine: u32,
}

impl Tally {
    /// Counts an attempt by its answer, where none means handled.
    pub(crate) fn add(&mut self, answer: Option<&Answer>) {
        match answer {
            Some(Answer::Ended(Outcome::HostFault { .. }) | Answer::NotRun | Answer::DoneBefore(_)) => {}
            Some(Answer::Ended(outcome)) if outcome.is_fault_of_guest() => self.failed += 1,
            Some(Answer::Ended(_)) | None => self.fine += 1,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Running,
    Paused { until: Instant },
    Probing(Probe),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Probe {
    Awaited,
    UnderWay,
}

/// The breaker of a handler, or of one tenant's share of it.
#[derive(Debug)]
pub(crate) struct Breaker {
    phase: Phase,
    recent: Recent,
    /// The last pause, for the next one to be longer.
    pause: Duration,
    resumed: Option<Instant>,
    pauses: u64,
}

impl Breaker {
    /// A breaker that no single tenant can make pause.
    pub(crate) fn of_many(policy: &BreakerPolicy) -> Self {
        Self::new(policy.attempts_min, policy.attempts_min.div_ceil(2))
    }

    /// A breaker for a single tenant.
    pub(crate) fn of_one(policy: &BreakerPolicy) -> Self {
        Self::new(policy.attempts_min, policy.attempts_min)
    }

    fn new(attempts_max: u32, of_one_tenant_max: u32) -> Self {
        let count = |count: u32| usize::try_from(count.max(1)).unwrap_or(usize::MAX);
        Self {
            phase: Phase::Running,
            recent: Recent {
                attempts: VecDeque::new(),
                failed: 0,
                attempts_max: count(attempts_max),
                of_one_tenant_max: count(of_one_tenant_max),
            },
            pause: Duration::ZERO,
            resumed: None,
            pauses: 0,
        }
    }

    /// How many calls may begin now.
    pub(crate) fn passage(&self) -> Passage {
        match self.phase {
            Phase::Running => Passage::Open,
            Phase::Paused { .. } | Phase::Probing(Probe::UnderWay) => Passage::Closed,
            Phase::Probing(Probe::Awaited) => Passage::Single,
        }
    }

    /// Whether it does not run as usual.
    pub(crate) fn is_paused(&self) -> bool {
        self.phase != Phase::Running
    }

    /// Whether it remembers nothing that a new one would not know.
    pub(crate) fn is_blank(&self) -> bool {
        self.is_healthy() && self.pauses == 0
    }

    /// Whether it runs and nothing failed lately.
    pub(crate) fn is_healthy(&self) -> bool {
        self.phase == Phase::Running && self.recent.attempts.is_empty()
    }

    /// How often it paused.
    pub(crate) fn pauses(&self) -> u64 {
        self.pauses
    }

    /// When it last went on after a pause.
    pub(crate) fn resumed(&self) -> Option<Instant> {
        self.resumed
    }

    /// A call began. One that had a [`Passage::Single`] is the probe.
    pub(crate) fn call_began(&mut self) {
        if self.phase == Phase::Probing(Probe::Awaited) {
            self.phase = Phase::Probing(Probe::UnderWay);
        }
    }

    /// A call ended that had a [`Passage::Open`]. What began before a pause and ends in it changes nothing.
    pub(crate) fn call_ended(
        &mut self,
        policy: &BreakerPolicy,
        tenant: &Tenant,
        tally: Tally,
        now: Instant,
    ) -> Option<Change> {
        if self.phase != Phase::Running {
            return None;
        }
        self.recent.add(tenant, tally);
        let is_failing = self.recent.is_failing(policy.failing_share_percent);
        is_failing.then(|| self.pause_for(policy.cool_down, now))
    }

    /// A call ended that had a [`Passage::Single`]. Without a tally it proved nothing.
    pub(crate) fn probe_ended(
        &mut self,
        policy: &BreakerPolicy,
        tally: Tally,
        now: Instant,
    ) -> Option<Change> {
        if self.phase != Phase::Probing(Probe::UnderWay) {
            return None;
        }
        Some(match tally {
            Tally { failed: 1.., .. } => {
                let longer = self.pause.saturating_mul(2).clamp(policy.cool_down, policy.cool_down_max);
                self.pause_for(longer.max(policy.cool_down), now)
            }
            Tally { fine: 1.., .. } => {
                self.phase = Phase::Running;
                self.resumed = Some(now);
                Change::Running
            }
            Tally { .. } => {
                self.phase = Phase::Probing(Probe::Awaited);
                Change::Probing
            }
        })
    }

    /// Time went by.
    pub(crate) fn wake(&mut self, now: Instant) -> Option<Change> {
        let over = matches!(self.phase, Phase::Paused { until } if until <= now);
        over.then(|| {
            self.phase = Phase::Probing(Probe::Awaited);
            Change::Probing
        })
    }

    fn pause_for(&mut self, pause: Duration, now: Instant) -> Change {
        let until = now + pause;
        self.phase = Phase::Paused { until };
        self.pause = pause;
        self.pauses += 1;
        self.recent.clear();
        Change::Paused { until, pause }
    }
}

/// The attempts since one failed, up to a bound.
#[derive(Debug)]
struct Recent {
    attempts: VecDeque<(Tenant, Ended)>,
    failed: usize,
    attempts_max: usize,
    /// Most of them that one tenant accounts for; its older ones give way to its newer ones.
    of_one_tenant_max: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    Fine,
    Failed,
}

impl Recent {
    fn add(&mut self, tenant: &Tenant, tally: Tally) {
        let most = u32::try_from(self.attempts_max).unwrap_or(u32::MAX);
        for _ in 0..tally.failed.min(most) {
            self.push(tenant, Ended::Failed);
        }
        for _ in 0..tally.fine.min(most) {
            if self.failed == 0 {
                return;
            }
            self.push(tenant, Ended::Fine);
        }
    }

    fn push(&mut self, tenant: &Tenant, ended: Ended) {
        let own = self.attempts.iter().filter(|(other, _)| other == tenant).count();
        if own >= self.of_one_tenant_max {
            let oldest = self.attempts.iter().position(|(other, _)| other == tenant);
            self.forget(oldest.unwrap_or_default());
        } else if self.attempts.len() >= self.attempts_max {
            self.forget(0);
        }
        self.failed += usize::from(ended == Ended::Failed);
        self.attempts.push_back((tenant.clone(), ended));
        if self.failed == 0 {
            self.clear();
        }
    }

    fn forget(&mut self, at: usize) {
        if let Some((_, Ended::Failed)) = self.attempts.remove(at) {
            self.failed -= 1;
        }
    }

    fn is_failing(&self, share_percent: u32) -> bool {
        let share = usize::try_from(share_percent).unwrap_or(usize::MAX);
        self.attempts.len() >= self.attempts_max && self.failed * 100 >= share * self.attempts.len()
    }

    fn clear(&mut self) {
        self.attempts.clear();
        self.failed = 0;
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

    fn end(breaker: &mut Breaker, of: &str, tally: Tally, now: Instant) -> Option<Change> {
        breaker.call_ended(&BreakerPolicy::default(), &tenant(of), tally, now)
    }

    /// A breaker of one tenant that has just paused.
    fn paused(now: Instant) -> Breaker {
        let mut breaker = Breaker::of_one(&BreakerPolicy::default());
        for _ in 0..19 {
            assert_eq!(end(&mut breaker, "a", FAILED, now), None);
        }
        let pause = Duration::from_secs(10);
        assert_eq!(end(&mut breaker, "a", FAILED, now), Some(Change::Paused { until: now + pause, pause }));
        breaker
    }

    #[test]
    fn it_pauses_when_most_of_enough_attempts_failed() {
        let now = Instant::now();
        let mut breaker = Breaker::of_one(&BreakerPolicy::default());
        for _ in 0..100 {
            assert_eq!(end(&mut breaker, "a", Tally { failed: 3, fine: 1 }, now), None, "three in four");
        }
        assert_eq!(end(&mut breaker, "a", Tally { failed: 0, fine: 1_000 }, now), None);
        assert!(breaker.is_blank(), "what succeeds long enough is forgotten");
        assert_eq!(paused(now).passage(), Passage::Closed);
    }

    #[test]
    fn a_probe_decides_and_each_failed_one_costs_a_longer_pause() {
        let (policy, mut now) = (BreakerPolicy::default(), Instant::now());
        let mut breaker = paused(now);
        for seconds in [20, 40, 80, 160, 300, 300] {
            assert_eq!(breaker.wake(now), None);
            now += policy.cool_down_max;
            assert_eq!(breaker.wake(now), Some(Change::Probing));
            assert_eq!(breaker.passage(), Passage::Single);
            breaker.call_began();
            assert_eq!(breaker.passage(), Passage::Closed);
            let pause = Duration::from_secs(seconds);
            let paused = Change::Paused { until: now + pause, pause };
            assert_eq!(breaker.probe_ended(&policy, FAILED, now), Some(paused));
        }
        now += policy.cool_down_max;
        breaker.wake(now);
        breaker.call_began();
        assert_eq!(breaker.probe_ended(&policy, Tally::default(), now), Some(Change::Probing));
        breaker.call_began();
        assert_eq!(breaker.probe_ended(&policy, FINE, now), Some(Change::Running));
        assert!(breaker.is_healthy());
    }

    #[test]
    fn what_began_before_a_pause_changes_nothing() {
        let now = Instant::now();
        let mut breaker = paused(now);
        assert_eq!(end(&mut breaker, "a", FINE, now), None);
        assert_eq!(breaker.passage(), Passage::Closed);
    }

    #[test]
    fn no_tenant_pauses_the_others() {
        let now = Instant::now();
        let mut breaker = Breaker::of_many(&BreakerPolicy::default());
        for _ in 0..1_000 {
            assert_eq!(end(&mut breaker, "a", FAILED, now), None);
        }
        for _ in 0..9 {
            assert_eq!(end(&mut breaker, "b", FAILED, now), None);
        }
        assert!(end(&mut breaker, "c", FAILED, now).is_some());
    }
}
