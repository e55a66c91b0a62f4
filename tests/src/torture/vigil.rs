//! Whether the health of hosts told the truth, judged over all that was read of it. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

/// How long health may call a host healthy while nothing is settled or committed although events wait. It is what
/// [`STUCK_AFTER`] and [`OBSERVED_EVERY`] promise, and as much again for a machine that has other work.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// How long a partition with messages before it may stand still; the hosts are configured so.
pub const STUCK_AFTER: Duration = Duration::from_secs(10);

/// How often hosts ask the broker how far they are; they are configured so.
pub const OBSERVED_EVERY: Duration = Duration::from_secs(1);

/// Two readings farther apart than this say nothing about the time between them.
const GAP_MAX: Duration = Duration::from_secs(5);

/// One reading of a host's health.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// The life of a host, counted from zero.
    pub life: usize,
    /// When, since some beginning.
    pub at: Duration,
    /// What the host said.
    pub told: Told,
}

/// What a host said when it was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// Nothing, where it should have answered.
    Nothing,
    /// Nothing, where it cannot answer: it is frozen, or may not open a connection.
    NothingWithReason,
    /// That all is well.
    Healthy(Figures),
    /// That something is wrong, with so many named causes.
    Unwell {
        /// Their names.
        causes: Vec<String>,
    },
}

/// How far a host is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Figures {
    /// Events that it has settled.
    pub settled: u64,
    /// Commits of it that the broker took.
    pub commits: usize,
    /// Whether events wait for it.
    pub waits: bool,
}

/// What was read, in sum.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
pub struct Readings {
    /// How often hosts were asked.
    pub asked: usize,
    /// How often they named a cause.
    pub unwell: usize,
    /// How often they named each cause.
    pub causes: BTreeMap<String, usize>,
    /// How often they did not answer.
    pub silent: usize,
    /// The longest time without progress in which a host with waiting events was called healthy, in milliseconds.
    pub quiet_max_millis: u64,
}

impl Readings {
    /// Takes those of another run in.
    pub fn add(&mut self, other: &Self) {
        self.asked += other.asked;
        self.unwell += other.unwell;
        self.silent += other.silent;
        for (cause, times) in &other.causes {
            *self.causes.entry(cause.clone()).or_default() += times;
        }
        self.quiet_max_millis = self.quiet_max_millis.max(other.quiet_max_millis);
    }
}

/// A value that did not change, and since when.
#[derive(Debug, Clone, Copy)]
struct Standstill<T> {
    value: T,
    since: Duration,
}

#[derive(Debug, Default)]
struct Life {
    last: Option<Duration>,
    silent_since: Option<Duration>,
    settled: Option<Standstill<u64>>,
    commits: Option<Standstill<usize>>,
}

/// Sums the readings up, and tells where they are not true.
pub fn judge(readings: &[Reading]) -> (Readings, Vec<String>) {
    let (mut sum, mut violations) = (Readings::default(), Vec::new());
    let mut lives: BTreeMap<usize, Life> = BTreeMap::new();
    for reading in readings {
        lives.entry(reading.life).or_default().read(reading, &mut sum, &mut violations);
    }
    (sum, violations)
}

impl Life {
    fn read(
        &mut self,
        Reading { life, at, told }: &Reading,
        sum: &mut Readings,
        violations: &mut Vec<String>,
    ) {
        sum.asked += 1;
        if self.last.replace(*at).is_some_and(|last| *at - last > GAP_MAX) {
            self.forget();
        }
        match told {
            Told::NothingWithReason => {
                sum.silent += 1;
                self.forget();
            }
            Told::Nothing => {
                sum.silent += 1;
                let since = self.silent_since.unwrap_or(*at);
                self.forget();
                self.silent_since = Some(since);
                if *at - since >= DEADLINE {
                    violations.push(format!("H-2 silent: life {life} did not answer for {DEADLINE:?}"));
                    self.forget();
                }
            }
            Told::Unwell { causes } => {
                sum.unwell += 1;
                self.forget();
                for cause in causes {
                    *sum.causes.entry(cause.clone()).or_default() += 1;
                }
                if causes.is_empty() {
                    violations.push(format!("H-3 no cause: life {life} at {at:?} is unwell for no reason"));
                }
            }
            Told::Healthy(Figures { waits: false, .. }) => self.forget(),
            Told::Healthy(figures) => {
                self.silent_since = None;
                let stands = [
                    ("settled", stands(&mut self.settled, figures.settled, *at)),
                    ("committed", stands(&mut self.commits, figures.commits, *at)),
                ];
                for (what, time) in stands {
                    let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
                    sum.quiet_max_millis = sum.quiet_max_millis.max(millis);
                    if time >= DEADLINE {
                        violations.push(format!(
                            "H-1 healthy: life {life} at {at:?} has {what} nothing for {time:?} although events wait"
                        ));
                        self.forget();
                    }
                }
            }
        }
    }

    fn forget(&mut self) {
        (self.silent_since, self.settled, self.commits) = (None, None, None);
    }
}

/// How long a value has not changed.
fn stands<T: PartialEq + Copy>(standstill: &mut Option<Standstill<T>>, value: T, at: Duration) -> Duration {
    match standstill {
        Some(Standstill { value: before, since }) if *before == value => at - *since,
        _ => {
            *standstill = Some(Standstill { value, since: at });
            Duration::ZERO
        }
    }
}
