//! Time as a guest sees it. It stands still within a call: enough to date things, useless to measure the host with.

use std::time::{Duration, Instant, SystemTime};

use crate::event::Event;
use crate::sandbox::Grants;

/// How coarse a guest's time is.
pub(super) const TIME_RESOLUTION: Duration = Duration::from_millis(1);

/// A guest's clocks.
#[derive(Debug)]
pub(super) enum GuestClock {
    /// With the grant `clocks`: the host's time in whole milliseconds, read when the guest first looks in a call.
    Host {
        /// When the guest's steady clock stood at zero.
        born: Instant,
        /// Time since 1970 and nanoseconds since its birth, once it has looked.
        seen: Option<(Duration, u64)>,
    },
    /// Without it: the time of the event, or of the first one of a batch, so that an event is handled in the same
    /// way whenever it is. 1970 while the guest starts; the steady clock stands at zero.
    OfEvent {
        /// Time since 1970.
        since_1970: Duration,
    },
}

impl GuestClock {
    /// The clocks of a guest that is about to start.
    pub(super) fn new(grants: &Grants) -> Self {
        match grants.clocks {
            true => Self::Host { born: Instant::now(), seen: None },
            false => Self::OfEvent { since_1970: Duration::ZERO },
        }
    }

    /// Lets the time move on for a call with events of which this is the first.
    pub(super) fn begin_call(&mut self, first: &Event) {
        match self {
            Self::Host { seen, .. } => *seen = None,
            Self::OfEvent { since_1970 } => *since_1970 = Duration::from_micros(first.timestamp_micros),
        }
    }

    /// Time since 1970.
    pub(super) fn since_1970(&mut self) -> Duration {
        match self {
            Self::Host { born, seen } => look(*born, seen).0,
            Self::OfEvent { since_1970 } => *since_1970,
        }
    }

    /// What the steady clock shows, in nanoseconds.
    pub(super) fn monotonic_nanos(&mut self) -> u64 {
        match self {
            Self::Host { born, seen } => look(*born, seen).1,
            Self::OfEvent { .. } => 0,
        }
    }
}

fn look(born: Instant, seen: &mut Option<(Duration, u64)>) -> (Duration, u64) {
    *seen.get_or_insert_with(|| {
        let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let age = coarse(born.elapsed());
        (coarse(since_1970), u64::try_from(age.as_nanos()).unwrap_or(u64::MAX))
    })
}

fn coarse(time: Duration) -> Duration {
    let finer_nanos = time.subsec_nanos() % TIME_RESOLUTION.subsec_nanos();
    time.saturating_sub(Duration::from_nanos(finer_nanos.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::fixtures::event;

    #[test]
    fn the_hosts_time_is_coarse_and_stands_still_within_a_call() {
        let mut clock = GuestClock::new(&Grants { clocks: true, ..Grants::default() });
        let (wall, monotonic) = (clock.since_1970(), clock.monotonic_nanos());
        assert!(wall > Duration::from_secs(1_600_000_000));
        assert_eq!(wall.subsec_nanos() % 1_000_000, 0);
        assert_eq!(monotonic % 1_000_000, 0);
        assert_eq!((clock.since_1970(), clock.monotonic_nanos()), (wall, monotonic));
    }

    #[test]
    fn without_the_grant_time_is_that_of_the_event() {
        let mut clock = GuestClock::new(&Grants::default());
        assert_eq!((clock.since_1970(), clock.monotonic_nanos()), (Duration::ZERO, 0));
        clock.begin_call(&event("e1", "shop-a"));
        assert_eq!((clock.since_1970(), clock.monotonic_nanos()), (Duration::from_secs(1_700_000_000), 0));
    }
}
