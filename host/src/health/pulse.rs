//! The pulse of subscriptions: whether what was read is settled, and what is settled is committed.
//!
//! It is the watch behind all others. Whatever keeps a subscription from getting on, known or not, is a cause of health
//! within a stated time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::counters::Counters;
use crate::histogram::Histogram;
use crate::subscription::View;
use crate::trouble::{About, Troubles, Watch};

/// How often the figures are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A subscription, and how long it may take for one step.
#[derive(Debug)]
pub(crate) struct Pulse {
    view: Arc<View>,
    patience: Duration,
    beat: Beat,
    watch: Watch,
    retries: Watch,
}

/// What a subscription has done so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Figures {
    settled: u64,
    unsettled: u64,
    commits: u64,
    /// Attempts that ended, whatever the outcome.
    attempts: u64,
}

/// Since when nothing is settled or committed although there is something to. Pure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Beat {
    settling: Option<Still>,
    committing: Option<Still>,
    /// Messages that were settled when the last commit was seen.
    settled_at_commit: u64,
    attempting: Option<Still>,
}

/// A figure that should move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Still {
    figure: u64,
    since: Instant,
}

/// What does not get on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// Messages were read, and none of them is settled.
    Settling { unsettled: u64, since: Duration },
    /// The same, while attempts end that come to nothing.
    Retrying { unsettled: u64, since: Duration },
    /// Messages are settled, and nothing is committed.
    Committing { settled: u64, since: Duration },
}

impl Beat {
    /// Takes note of the figures now, and tells what has stood still for longer than `patience`.
    fn note(&mut self, seen: Figures, patience: Duration, now: Instant) -> Option<Standing> {
        let Figures { settled, unsettled, commits, attempts } = seen;
        let without_attempts = still(&mut self.attempting, attempts, false, now);
        // With nothing to settle, it does not stand: it has arrived.
        let since = still(&mut self.settling, settled, unsettled == 0, now);
        if self.committing.is_none_or(|still| still.figure != commits) {
            self.settled_at_commit = settled;
        }
        let uncommitted = settled.saturating_sub(self.settled_at_commit);
        let committing_since = still(&mut self.committing, commits, uncommitted == 0, now);
        if since >= patience {
            return Some(match without_attempts < patience {
                true => Standing::Retrying { unsettled, since },
                false => Standing::Settling { unsettled, since },
            });
        }
        let since = committing_since;
        (since >= patience).then_some(Standing::Committing { settled: uncommitted, since })
    }
}

/// For how long a figure has not moved, where it should.
fn still(kept: &mut Option<Still>, figure: u64, has_arrived: bool, now: Instant) -> Duration {
    let still = kept.get_or_insert(Still { figure, since: now });
    if still.figure != figure || has_arrived {
        *still = Still { figure, since: now };
    }
    now.saturating_duration_since(still.since)
}

impl Pulse {
    /// Of a subscription that may take so long for one step.
    pub(crate) fn new(view: Arc<View>, patience: Duration, troubles: &Troubles) -> Self {
        let watch = |cause| {
            troubles.watch(About {
                cause,
                subject: format!("subscription {}", view.subscription),
                consequence: "nothing is lost, and what is not committed is handled again after a restart",
            })
        };
        let (still, retries) = (watch("no_progress"), watch("only_retries"));
        Self { view, patience, beat: Beat::default(), watch: still, retries }
    }

    fn look(&mut self) {
        let figures = Figures::of(&self.view.counters.borrow());
        match self.beat.note(figures, self.patience, Instant::now()) {
            None => {
                self.watch.works();
                self.retries.works();
            }
            Some(standing @ Standing::Retrying { .. }) => {
                self.watch.works();
                self.retries.fails(&standing);
            }
            Some(standing) => {
                self.retries.works();
                self.watch.fails(&standing);
            }
        }
    }
}

impl Figures {
    fn of(counters: &Counters) -> Self {
        Self {
            settled: counters.settled,
            unsettled: counters.unsettled,
            commits: counters.commits,
            attempts: counters.attempts.values().map(Histogram::count).sum(),
        }
    }
}

impl std::fmt::Display for Standing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let time = |since: &Duration| humantime::format_duration(Duration::from_secs(since.as_secs()));
        match self {
            Self::Settling { unsettled, since } => {
                write!(f, "none of {unsettled} messages that were read was settled for {}", time(since))
            }
            Self::Retrying { unsettled, since } => {
                let time = time(since);
                write!(
                    f,
                    "none of {unsettled} messages that were read was settled for {time}: all that was tried is retried"
                )
            }
            Self::Committing { settled, since } => {
                write!(f, "{settled} messages were settled and nothing committed for {}", time(since))
            }
        }
    }
}

/// Looks at all of them every second, until it is dropped; never ends by itself.
pub(crate) async fn run(mut pulses: Vec<Pulse>) {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        pulses.iter_mut().for_each(Pulse::look);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);

    /// Notes figures at seconds, and gives back what stood still at the last of them.
    fn standing(seen: &[(u64, [u64; 3])]) -> Option<Standing> {
        let seen: Vec<_> = seen.iter().map(|(second, figures)| (*second, *figures, 0)).collect();
        standing_with_attempts(&seen)
    }

    fn standing_with_attempts(seen: &[(u64, [u64; 3], u64)]) -> Option<Standing> {
        let (mut beat, start) = (Beat::default(), Instant::now());
        let mut standing = None;
        for (second, [settled, unsettled, commits], attempts) in seen.iter().copied() {
            let figures = Figures { settled, unsettled, commits, attempts };
            standing = beat.note(figures, PATIENCE, start + Duration::from_secs(second));
        }
        standing
    }

    #[test]
    fn what_was_read_must_be_settled_in_time() {
        let since = PATIENCE;
        assert_eq!(standing(&[(0, [5, 3, 1]), (29, [5, 4, 1])]), None);
        let stands = Some(Standing::Settling { unsettled: 9, since });
        assert_eq!(standing(&[(0, [5, 3, 1]), (30, [5, 9, 1])]), stands);
        assert_eq!(standing(&[(0, [5, 3, 1]), (29, [6, 3, 2]), (58, [6, 3, 2])]), None, "a slow one gets on");
        assert_eq!(standing(&[(0, [5, 0, 1]), (90, [5, 0, 1])]), None, "nothing is there to be settled");
        assert_eq!(standing(&[(0, [5, 0, 1]), (89, [5, 0, 1]), (90, [5, 7, 1])]), None, "it has just begun");
    }

    #[test]
    fn what_is_only_retried_is_told_apart_from_what_stands_still() {
        let retried = Standing::Retrying { unsettled: 3, since: PATIENCE };
        let seen = [(0, [5, 3, 1], 7), (20, [5, 3, 1], 8), (30, [5, 3, 1], 8)];
        assert_eq!(standing_with_attempts(&seen), Some(retried));
        let stands = Standing::Settling { unsettled: 3, since: PATIENCE * 2 };
        let seen = [(0, [5, 3, 1], 7), (20, [5, 3, 1], 8), (60, [5, 3, 1], 8)];
        assert_eq!(standing_with_attempts(&seen), Some(stands));
    }

    #[test]
    fn what_is_settled_must_be_committed_in_time() {
        let commits = |second, settled, commits| (second, [settled, 0, commits]);
        assert_eq!(standing(&[commits(0, 0, 0), commits(1, 9, 0), commits(29, 12, 0)]), None);
        let stands = Some(Standing::Committing { settled: 12, since: PATIENCE });
        assert_eq!(standing(&[commits(0, 0, 0), commits(1, 9, 0), commits(30, 12, 0)]), stands);
        assert_eq!(
            standing(&[commits(0, 0, 0), commits(1, 9, 1), commits(90, 9, 1)]),
            None,
            "all is committed"
        );
        let late = [commits(0, 0, 0), commits(1, 9, 0), commits(2, 9, 1), commits(90, 9, 1)];
        assert_eq!(standing(&late), None, "the commit was seen later than what it is for");
    }
}
