//! The clock of the wire, in microseconds since the epoch, that leaps of the wall clock do not move.
//!
//! Retention, expiry and windows of time drop things for good, so they must not believe a wall clock that jumps for
//! a minute. [`steady_micros`] compares the wall clock with the one that counts from the boot and cannot be set. A
//! leap that the latter did not see is told at once and believed only after it has lasted for [`BELIEVED_AFTER`];
//! until then time goes on from before the leap. Whether a wall clock is right when the process starts nobody can tell
//! by the clock alone: the broker compares it with when it last ran, see [`Start`].

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

/// How long a wall clock must keep a leap before the leap is believed.
pub const BELIEVED_AFTER: Duration = Duration::from_secs(3600);

/// How far the two clocks may drift apart between two readings, because somebody corrects one of them. More is a leap.
const LEAP_MIN: Duration = Duration::from_secs(60);

/// How the wall clock of a start compares with the time of the last run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Start {
    /// Little time went by, or there is nothing to compare with.
    Plausible,
    /// So much time went by, or the clock is wrong.
    Ahead { micros: u64 },
    /// The clock is wrong, or was wrong at the last run.
    Behind { micros: u64 },
}

/// The clock of this process.
static PROCESS: Mutex<Option<SteadyClock>> = Mutex::new(None);

/// Both clocks at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Reading {
    /// The wall clock, in microseconds since the epoch.
    wall_micros: u64,
    /// Time since the boot, in which the machine may have slept.
    since_boot: Duration,
}

/// A wall clock whose leaps are not believed at once. Pure: readings go in.
#[derive(Debug)]
struct SteadyClock {
    /// The last reading that was believed.
    anchor: Reading,
    leap: Option<Leap>,
}

/// A leap that is not believed yet.
#[derive(Debug, Clone, Copy)]
struct Leap {
    /// The last reading that agreed with the leap.
    last: Reading,
    /// When the first reading of it was taken.
    since_boot: Duration,
}

/// What a reading changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    /// The wall clock leapt by so much, forward or back.
    Leapt { micros: i64 },
    /// It is back where it should be.
    Returned,
    /// It kept its leap for so long that the leap is believed.
    Believed { micros: i64 },
}

/// Now, in microseconds since the epoch, by a wall clock whose leaps are not believed at once. Logs each leap.
pub fn steady_micros() -> u64 {
    let now = Reading::now();
    let mut clock = PROCESS.lock().unwrap_or_else(PoisonError::into_inner);
    let clock = clock.get_or_insert_with(|| SteadyClock::new(now));
    let (micros, change) = clock.read(now);
    match change {
        None => {}
        Some(Change::Leapt { micros }) => tracing::warn!(
            seconds = micros / 1_000_000,
            believed_after_seconds = BELIEVED_AFTER.as_secs(),
            "the wall clock leapt and the time since the boot did not; nothing expires because of the leap for now"
        ),
        Some(Change::Returned) => tracing::warn!("the wall clock is back where it was before it leapt"),
        Some(Change::Believed { micros }) => tracing::warn!(
            seconds = micros / 1_000_000,
            "the wall clock has kept its leap for an hour and is believed from now on"
        ),
    }
    micros
}

/// Lets time go on from `last_micros`, which the wall clock is behind, until the wall clock has kept that for
/// [`BELIEVED_AFTER`].
pub(crate) fn go_on_from(last_micros: u64) {
    let mut clock = PROCESS.lock().unwrap_or_else(PoisonError::into_inner);
    *clock = Some(SteadyClock::going_on(last_micros, Reading::now()));
}

/// Time since the boot of the machine, in which it may have slept.
pub(crate) fn since_boot() -> Duration {
    Reading::now().since_boot
}

impl Start {
    /// Compares the time of the last run, zero when it is not known, with the present. A distance that would be a leap is
    /// one back; forward, less than [`BELIEVED_AFTER`] is plausible.
    pub(crate) fn of(last_micros: u64, now_micros: u64) -> Self {
        let ahead = now_micros.saturating_sub(last_micros);
        let behind = last_micros.saturating_sub(now_micros);
        if u128::from(behind) >= LEAP_MIN.as_micros() {
            Self::Behind { micros: behind }
        } else if last_micros > 0 && u128::from(ahead) >= BELIEVED_AFTER.as_micros() {
            Self::Ahead { micros: ahead }
        } else {
            Self::Plausible
        }
    }
}

impl Reading {
    fn now() -> Self {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let boot = clock_gettime(ClockId::Boottime);
        Self { wall_micros: micros_of(wall), since_boot: Duration::try_from(boot).unwrap_or_default() }
    }

    /// What the wall clock should say at `later`.
    fn expected(self, later: Self) -> u64 {
        let elapsed = later.since_boot.saturating_sub(self.since_boot);
        self.wall_micros.saturating_add(micros_of(elapsed))
    }

    /// By how much the wall clock at `later` is ahead of what it should say.
    fn ahead(self, later: Self) -> i64 {
        let (said, expected) = (later.wall_micros, self.expected(later));
        let difference = i64::try_from(said.abs_diff(expected)).unwrap_or(i64::MAX);
        if said >= expected { difference } else { -difference }
    }

    fn agrees_with(self, later: Self) -> bool {
        u128::from(self.ahead(later).unsigned_abs()) < LEAP_MIN.as_micros()
    }
}

impl SteadyClock {
    fn new(now: Reading) -> Self {
        Self { anchor: now, leap: None }
    }

    /// A clock whose time goes on from `last_micros`, though the wall clock says something else.
    fn going_on(last_micros: u64, now: Reading) -> Self {
        let anchor = Reading { wall_micros: last_micros, ..now };
        Self { anchor, leap: Some(Leap { last: now, since_boot: now.since_boot }) }
    }

    /// The time at a reading, and what the reading changed.
    fn read(&mut self, now: Reading) -> (u64, Option<Change>) {
        if self.anchor.agrees_with(now) {
            self.anchor = now;
            return (now.wall_micros, self.leap.take().map(|_| Change::Returned));
        }
        let micros = self.anchor.ahead(now);
        let known = self.leap.filter(|leap| leap.last.agrees_with(now));
        let Some(leap) = known else {
            self.leap = Some(Leap { last: now, since_boot: now.since_boot });
            return (self.anchor.expected(now), Some(Change::Leapt { micros }));
        };
        if now.since_boot.saturating_sub(leap.since_boot) < BELIEVED_AFTER {
            self.leap = Some(Leap { last: now, ..leap });
            return (self.anchor.expected(now), None);
        }
        *self = Self::new(now);
        (now.wall_micros, Some(Change::Believed { micros }))
    }
}

fn micros_of(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: u64 = 1_800_000_000_000_000;
    const MINUTE: u64 = 60_000_000;
    const DAYS_32: u64 = 32 * 24 * 60 * MINUTE;

    /// A reading so many microseconds after the start, by a wall clock that stands off by `off`.
    fn at(since_start: u64, off: i64) -> Reading {
        Reading {
            wall_micros: (START + since_start).saturating_add_signed(off),
            since_boot: Duration::from_micros(since_start),
        }
    }

    #[test]
    fn a_wall_clock_that_is_corrected_a_little_is_followed() {
        let mut clock = SteadyClock::new(at(0, 0));
        for (minute, off) in [(1, 0), (2, 30_000_000), (3, 59_000_000), (4, 20_000_000)] {
            let now = at(minute * MINUTE, off);
            assert_eq!(clock.read(now), (now.wall_micros, None));
        }
    }

    #[test]
    fn a_leap_of_a_minute_moves_nothing() {
        let mut clock = SteadyClock::new(at(0, 0));
        let off = i64::try_from(DAYS_32).unwrap();
        let leapt = Some(Change::Leapt { micros: off });
        assert_eq!(clock.read(at(MINUTE, off)), (START + MINUTE, leapt));
        assert_eq!(clock.read(at(2 * MINUTE, off)), (START + 2 * MINUTE, None));
        assert_eq!(clock.read(at(3 * MINUTE, 0)), (START + 3 * MINUTE, Some(Change::Returned)));
        assert_eq!(clock.read(at(4 * MINUTE, 0)), (START + 4 * MINUTE, None));
    }

    #[test]
    fn time_goes_on_when_the_wall_clock_leaps_back() {
        let mut clock = SteadyClock::new(at(0, 0));
        let off = -i64::try_from(DAYS_32).unwrap();
        assert_eq!(clock.read(at(MINUTE, off)).0, START + MINUTE);
        assert_eq!(clock.read(at(2 * MINUTE, off)).0, START + 2 * MINUTE);
    }

    #[test]
    fn a_leap_that_lasts_for_an_hour_is_believed() {
        let mut clock = SteadyClock::new(at(0, 0));
        let off = i64::try_from(DAYS_32).unwrap();
        for minute in 1..=60 {
            assert_eq!(clock.read(at(minute * MINUTE, off)).0, START + minute * MINUTE);
        }
        let now = at(61 * MINUTE, off);
        assert_eq!(clock.read(now), (now.wall_micros, Some(Change::Believed { micros: off })));
        let later = at(62 * MINUTE, off);
        assert_eq!(clock.read(later), (later.wall_micros, None));
    }

    #[test]
    fn a_second_leap_begins_the_hour_anew() {
        let mut clock = SteadyClock::new(at(0, 0));
        let off = i64::try_from(DAYS_32).unwrap();
        clock.read(at(MINUTE, off));
        clock.read(at(59 * MINUTE, 2 * off));
        assert_eq!(clock.read(at(62 * MINUTE, 2 * off)).0, START + 62 * MINUTE);
        assert_eq!(clock.read(at(120 * MINUTE, 2 * off)).1, Some(Change::Believed { micros: 2 * off }));
    }

    #[test]
    fn a_start_is_compared_with_the_last_run() {
        let hour = 60 * MINUTE;
        for (last, now, start) in [
            (0, START, Start::Plausible),
            (START, START + hour - 1, Start::Plausible),
            (START, START + hour, Start::Ahead { micros: hour }),
            (START, START - MINUTE + 1, Start::Plausible),
            (START, START - MINUTE, Start::Behind { micros: MINUTE }),
            (START, START - DAYS_32, Start::Behind { micros: DAYS_32 }),
        ] {
            assert_eq!(Start::of(last, now), start, "{last} {now}");
        }
    }

    #[test]
    fn time_goes_on_from_the_last_run_until_a_clock_behind_it_is_set_right_or_believed() {
        let off = i64::try_from(DAYS_32).unwrap();
        let mut clock = SteadyClock::going_on(START, at(0, -off));
        assert_eq!(clock.read(at(MINUTE, -off)), (START + MINUTE, None));
        let right = at(2 * MINUTE, 0);
        assert_eq!(clock.read(right), (right.wall_micros, Some(Change::Returned)));

        let mut clock = SteadyClock::going_on(START, at(0, -off));
        let now = at(60 * MINUTE, -off);
        assert_eq!(clock.read(now), (now.wall_micros, Some(Change::Believed { micros: -off })));
    }

    #[test]
    fn a_machine_that_slept_did_not_leap() {
        let mut clock = SteadyClock::new(at(0, 0));
        let awake = at(DAYS_32, 0);
        assert_eq!(clock.read(awake), (awake.wall_micros, None));
    }

    #[test]
    fn the_clock_of_the_process_is_the_wall_clock() {
        let wall = Reading::now().wall_micros;
        assert!(steady_micros().abs_diff(wall) < MINUTE);
    }
}
