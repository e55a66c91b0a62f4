//! What the host keeps for one guest.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use crate::event::{Event, Tenant};
use crate::sandbox::AdmittedComponent;
use crate::sandbox::http::Desk;
use crate::sandbox::keyvalue::Session;
use crate::sandbox::memory::MemoryMeter;
use crate::sandbox::output::Output;
use crate::sandbox::stop::GuestStop;

/// The data of a guest's store.
#[derive(Debug)]
pub(super) struct GuestState {
    pub(super) memory: MemoryMeter,
    pub(super) output: Output,
    /// Absent unless the component uses HTTP.
    pub(super) http: Option<Box<Desk>>,
    pub(super) time: FrozenTime,
    pub(super) seed: (u64, u64),
    /// The state of its handler and tenant, while it handles an event and may use state.
    pub(super) session: Option<Box<Session>>,
}

impl GuestState {
    /// What a guest that is about to start is given.
    pub(super) fn new(component: &AdmittedComponent, tenant: &Tenant) -> Self {
        let spec = &component.spec;
        Self {
            memory: MemoryMeter::new(spec.limits.memory_bytes_max),
            output: Output::new(spec, tenant),
            http: component.http.as_ref().map(|access| Box::new(Desk::new(access))),
            time: FrozenTime::new(),
            seed: rand::random(),
            session: None,
        }
    }

    /// Gets ready for a call with events of which this is the first.
    pub(super) fn begin_call(&mut self, first: &Arc<Event>, events: usize) {
        self.memory.begin_call();
        self.output.begin_call(first, events);
        self.time.begin_call();
        if let Some(desk) = &mut self.http {
            desk.begin_event();
        }
    }

    /// Writes out what the guest said, and forgets what it still held of the call.
    pub(super) fn end_call(&mut self) {
        self.output.end_call();
        if let Some(desk) = &mut self.http {
            desk.end_event();
        }
    }

    /// The guest's HTTP.
    ///
    /// # Errors
    /// When it has none; nothing of HTTP is linked then, so no guest sees this.
    pub(super) fn desk(&mut self) -> Result<&mut Desk, GuestStop> {
        self.http.as_deref_mut().ok_or(GuestStop::Misuse("has no HTTP"))
    }
}

/// Time as a guest sees it: whole milliseconds, read when it first looks in a call and standing still until the
/// next one. It is enough to date things, and useless to measure the host with.
#[derive(Debug)]
pub(super) struct FrozenTime {
    born: Instant,
    seen: Option<(Duration, u64)>,
}

/// How coarse a guest's time is.
pub(super) const TIME_RESOLUTION: Duration = Duration::from_millis(1);

impl FrozenTime {
    pub(super) fn new() -> Self {
        Self { born: Instant::now(), seen: None }
    }

    /// Lets the time move on to the next look.
    pub(super) fn begin_call(&mut self) {
        self.seen = None;
    }

    /// Time since 1970.
    pub(super) fn since_1970(&mut self) -> Duration {
        self.look().0
    }

    /// Nanoseconds since the guest was born.
    pub(super) fn monotonic_nanos(&mut self) -> u64 {
        self.look().1
    }

    fn look(&mut self) -> (Duration, u64) {
        *self.seen.get_or_insert_with(|| {
            let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            let age = coarse(self.born.elapsed());
            (coarse(since_1970), u64::try_from(age.as_nanos()).unwrap_or(u64::MAX))
        })
    }
}

fn coarse(time: Duration) -> Duration {
    let finer_nanos = time.subsec_nanos() % TIME_RESOLUTION.subsec_nanos();
    time.saturating_sub(Duration::from_nanos(finer_nanos.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guests_time_is_coarse_and_stands_still_within_a_call() {
        let mut time = FrozenTime::new();
        let (wall, monotonic) = (time.since_1970(), time.monotonic_nanos());
        assert!(wall > Duration::from_secs(1_600_000_000));
        assert_eq!(wall.subsec_nanos() % 1_000_000, 0);
        assert_eq!(monotonic % 1_000_000, 0);
        assert_eq!((time.since_1970(), time.monotonic_nanos()), (wall, monotonic));
    }
}
