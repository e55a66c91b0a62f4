//! Where a dispatcher shows its counters. It never waits long for those who look.

use std::sync::{PoisonError, RwLock, RwLockReadGuard, TryLockError};
use std::time::{Duration, Instant};

use super::Counters;

/// How often counters are shown.
const SHOWN_EVERY: Duration = Duration::from_millis(250);

/// Showing takes at most one part in so many of the time.
const SHARE: u32 = 20;

/// Tenants, and handlers, that are shown at a time, so that what is handled meanwhile waits for a moment only. Where
/// more have events the others follow soon.
pub(crate) const SHOWN_MAX: usize = 1_000;

/// Whether all is shown that changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shown {
    All,
    InPart,
}

/// How long those who look may keep a dispatcher from showing newer counters.
const LOOKED_AT_MAX: Duration = Duration::from_secs(1);

/// The counters of a subscription as others may see them.
#[derive(Debug, Default)]
pub(crate) struct CountersBoard(RwLock<Counters>);

/// When counters are due to be shown.
#[derive(Debug)]
pub(crate) struct ShowTimes {
    due: Instant,
}

impl CountersBoard {
    /// Looks at the counters. The dispatcher waits for whoever keeps them for longer than a second.
    pub(crate) fn borrow(&self) -> RwLockReadGuard<'_, Counters> {
        // Numbers of half a change are the worst that a panic leaves.
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the counters, waiting for those who look at them.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut Counters) -> T) -> T {
        change(&mut self.0.write().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes the counters when it is time to, unless somebody looks at them just now.
    pub(crate) fn change_when_due(&self, times: &mut ShowTimes, change: impl FnOnce(&mut Counters) -> Shown) {
        let began = Instant::now();
        let late = match began.checked_duration_since(times.due) {
            Some(late) => late,
            None => return,
        };
        let shown = match self.0.try_write() {
            Ok(mut counters) => change(&mut counters),
            Err(TryLockError::Poisoned(poisoned)) => change(&mut poisoned.into_inner()),
            Err(TryLockError::WouldBlock) if late < LOOKED_AT_MAX => return,
            Err(TryLockError::WouldBlock) => self.change(change),
        };
        times.shown(shown, began, Instant::now());
    }
}

impl ShowTimes {
    /// Due at once.
    pub(crate) fn new() -> Self {
        Self { due: Instant::now() }
    }

    fn shown(&mut self, shown: Shown, began: Instant, ended: Instant) {
        let least = if shown == Shown::All { SHOWN_EVERY } else { Duration::ZERO };
        self.due = ended + least.max(ended.saturating_duration_since(began) * SHARE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_who_looks_holds_up_what_is_shown() {
        let (board, mut times) = (CountersBoard::default(), ShowTimes::new());
        let looking = board.borrow();
        let mut show = |settled| {
            board.change_when_due(&mut times, |counters| {
                counters.settled = settled;
                Shown::All
            });
        };
        show(1);
        assert_eq!(looking.settled, 0);
        drop(looking);
        show(1);
        show(2);
        assert_eq!(board.borrow().settled, 1, "the second time was not due yet");
        board.change(|counters| counters.settled = 3);
        assert_eq!(board.borrow().settled, 3);
    }

    #[test]
    fn what_takes_long_is_shown_less_often() {
        let mut times = ShowTimes::new();
        let began = Instant::now();
        let ended = began + Duration::from_millis(100);
        times.shown(Shown::All, began, ended);
        assert_eq!(times.due, ended + Duration::from_secs(2));
        times.shown(Shown::All, began, began);
        assert_eq!(times.due, began + SHOWN_EVERY);
        times.shown(Shown::InPart, began, began + Duration::from_millis(1));
        assert_eq!(times.due, began + Duration::from_millis(21), "the rest follows soon");
    }
}
