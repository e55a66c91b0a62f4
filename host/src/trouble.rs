//! What of the host itself does not work now: its stores, its files, its commits. Each is a cause of health by its name.
//!
//! Whoever uses such a thing keeps a [`Watch`] over it and says after each use whether it worked. The log gets one line
//! when that changes, however often the thing is used in between; health and the counters see all of them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long health keeps telling of what happened once and is over.
pub(crate) const TOLD_FOR: Duration = Duration::from_secs(15 * 60);

/// Things that can be told at once; of more, the oldest that are over go first.
const TOLD_MAX: usize = 256;

/// Everything that does not work now, or did not a moment ago. Clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Troubles(Arc<Mutex<Told>>);

#[derive(Debug, Default)]
struct Told {
    by_subject: BTreeMap<(&'static str, String), Trouble>,
    /// How often each cause was met.
    counts: BTreeMap<&'static str, u64>,
}

#[derive(Debug)]
struct Trouble {
    reason: String,
    /// None while it lasts.
    told_until: Option<Instant>,
}

/// One thing that may fail.
#[derive(Debug)]
pub(crate) struct Watch {
    troubles: Troubles,
    about: About,
    /// Whether it failed last; read before each lock.
    is_failing: AtomicBool,
    condition: Mutex<Condition>,
}

/// What a [`Watch`] is kept over.
#[derive(Debug, Clone)]
pub(crate) struct About {
    /// The cause of health.
    pub(crate) cause: &'static str,
    /// The thing, for people.
    pub(crate) subject: String,
    /// What it means while it fails, and what happens next.
    pub(crate) consequence: &'static str,
}

/// Whether a thing works, and what is to be said about that. Pure.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
enum Condition {
    #[default]
    Works,
    Fails {
        since: Instant,
        failures: u64,
    },
}

/// What changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    None,
    Began,
    Ended { lasted: Duration, failures: u64 },
}

impl Condition {
    fn fails(&mut self, now: Instant) -> Change {
        match self {
            Self::Works => {
                *self = Self::Fails { since: now, failures: 1 };
                Change::Began
            }
            Self::Fails { failures, .. } => {
                *failures = failures.saturating_add(1);
                Change::None
            }
        }
    }

    fn works(&mut self, now: Instant) -> Change {
        match std::mem::take(self) {
            Self::Works => Change::None,
            Self::Fails { since, failures } => {
                Change::Ended { lasted: now.saturating_duration_since(since), failures }
            }
        }
    }
}

impl Troubles {
    /// Keeps watch over a thing that works so far.
    pub(crate) fn watch(&self, about: About) -> Watch {
        let troubles = self.clone();
        Watch { troubles, about, is_failing: AtomicBool::new(false), condition: Mutex::default() }
    }

    /// Tells health for [`TOLD_FOR`] of something that happened and is over. The log is the caller's business.
    pub(crate) fn happened(&self, cause: &'static str, subject: &str, reason: String) {
        let now = Instant::now();
        let mut told = self.told();
        *told.counts.entry(cause).or_default() += 1;
        told.put((cause, subject.to_owned()), Trouble { reason, told_until: Some(now + TOLD_FOR) }, now);
    }

    /// The cause of everything that is to be told now, with its reason.
    pub(crate) fn now(&self) -> Vec<(&'static str, String)> {
        let now = Instant::now();
        let mut told = self.told();
        told.by_subject.retain(|_, trouble| trouble.told_until.is_none_or(|until| until > now));
        told.by_subject.iter().map(|((cause, _), trouble)| (*cause, trouble.reason.clone())).collect()
    }

    /// How often each cause was met since the start.
    pub(crate) fn counts(&self) -> BTreeMap<&'static str, u64> {
        self.told().counts.clone()
    }

    /// The same, for those who keep it longer.
    pub(crate) fn counts_by_name(&self) -> BTreeMap<String, u64> {
        self.told().counts.iter().map(|(cause, count)| ((*cause).to_owned(), *count)).collect()
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        // Every change under the lock leaves it whole, so a panic cannot leave half of one.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Told {
    fn put(&mut self, key: (&'static str, String), trouble: Trouble, now: Instant) {
        self.by_subject.insert(key, trouble);
        if self.by_subject.len() > TOLD_MAX {
            let over = self.by_subject.iter().filter(|(_, trouble)| trouble.told_until.is_some());
            let first = over.min_by_key(|(_, trouble)| trouble.told_until.unwrap_or(now));
            if let Some(key) = first.map(|(key, _)| key.clone()) {
                self.by_subject.remove(&key);
            }
        }
    }
}

impl Watch {
    /// It worked. Costs one look at an atomic while nothing is wrong.
    pub(crate) fn works(&self) {
        if !self.is_failing() {
            return;
        }
        let mut condition = self.condition();
        let change = condition.works(Instant::now());
        self.is_failing.store(false, Ordering::Release);
        let About { cause, subject, .. } = &self.about;
        self.troubles.told().by_subject.remove(&(*cause, subject.clone()));
        drop(condition);
        // Without a lock: a log may take its time.
        if let Change::Ended { lasted, failures } = change {
            let lasted = humantime::format_duration(Duration::from_secs(lasted.as_secs()));
            tracing::warn!("{subject} works again after {lasted} and {failures} failures");
        }
    }

    /// It failed. The reason is made only when it is new or health has to be told.
    pub(crate) fn fails(&self, reason: &dyn fmt::Display) {
        let mut condition = self.condition();
        let change = condition.fails(Instant::now());
        self.is_failing.store(true, Ordering::Release);
        let About { cause, subject, consequence } = &self.about;
        let mut told = self.troubles.told();
        *told.counts.entry(cause).or_default() += 1;
        if change != Change::Began {
            return;
        }
        let reason = format!("{subject}: {reason}; {consequence}");
        let trouble = Trouble { reason: reason.clone(), told_until: None };
        told.put((cause, subject.clone()), trouble, Instant::now());
        drop((told, condition));
        tracing::error!(cause, "{reason}");
    }

    /// Whether it failed the last time.
    pub(crate) fn is_failing(&self) -> bool {
        self.is_failing.load(Ordering::Acquire)
    }

    fn condition(&self) -> MutexGuard<'_, Condition> {
        // It is replaced as a whole.
        self.condition.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Watch {
    /// What is gone is no trouble any more.
    fn drop(&mut self) {
        let About { cause, subject, .. } = &self.about;
        if self.is_failing() {
            self.troubles.told().by_subject.remove(&(*cause, subject.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn about(subject: &str) -> About {
        About { cause: "state_unwritable", subject: subject.to_owned(), consequence: "it is tried again" }
    }

    #[test]
    fn only_changes_are_said_and_every_failure_counts() {
        let (mut condition, start) = (Condition::default(), Instant::now());
        assert_eq!(condition.works(start), Change::None);
        assert_eq!(condition.fails(start), Change::Began);
        assert_eq!(condition.fails(start), Change::None);
        let lasted = Duration::from_secs(9);
        assert_eq!(condition.works(start + lasted), Change::Ended { lasted, failures: 2 });
        assert_eq!(condition.works(start + lasted), Change::None);
    }

    #[test]
    fn a_trouble_is_told_while_it_lasts_and_counted_for_good() {
        let troubles = Troubles::default();
        let (one, other) = (troubles.watch(about("one")), troubles.watch(about("other")));
        one.works();
        assert_eq!(troubles.now(), []);
        one.fails(&"no space");
        one.fails(&"no space");
        other.fails(&"gone");
        let told = |text: &str| ("state_unwritable", text.to_owned());
        let both = [told("one: no space; it is tried again"), told("other: gone; it is tried again")];
        assert_eq!(troubles.now(), both);
        one.works();
        assert_eq!(troubles.now(), both[1..]);
        drop(other);
        assert_eq!((troubles.now(), troubles.counts()), (Vec::new(), [("state_unwritable", 3)].into()));
    }

    #[test]
    fn what_happened_once_is_told_for_a_while_and_does_not_pile_up() {
        let troubles = Troubles::default();
        for partition in 0..2 * TOLD_MAX {
            troubles.happened("group_went_back", &format!("{partition:04}"), partition.to_string());
        }
        assert_eq!(troubles.now().len(), TOLD_MAX);
        assert_eq!(troubles.counts()["group_went_back"], 2 * TOLD_MAX as u64);
        let later = Instant::now() + TOLD_FOR;
        troubles.told().by_subject.retain(|_, trouble| trouble.told_until.is_some_and(|until| until > later));
        assert_eq!(troubles.now(), [], "all of it ends");
    }
}
