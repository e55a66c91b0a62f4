//! The dedup window: for how long a handler remembers that it has handled an event.

use std::time::Duration;

/// For how many events and how long a handler remembers, for each tenant, what it has handled; whichever ends first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DedupWindow {
    /// The last so many events of a tenant, 1 to [`Self::EVENTS_MAX`].
    pub events_max: u32,
    /// What was handled less than this ago, by the clock of the host.
    pub age_max: Option<Duration>,
}

impl DedupWindow {
    /// The widest window, in events.
    pub const EVENTS_MAX: u32 = 1_000_000;

    /// The oldest stamp that is within the window, in microseconds since 1970. An event is stamped when it is
    /// handled.
    pub(crate) fn oldest(&self, now_micros: u64) -> u64 {
        let age_micros = self.age_max.map(|age| u64::try_from(age.as_micros()).unwrap_or(u64::MAX));
        age_micros.map_or(0, |age| now_micros.saturating_sub(age).saturating_add(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_ends_with_its_age_if_it_has_one() {
        let window = DedupWindow { events_max: 1, age_max: None };
        assert_eq!(window.oldest(u64::MAX), 0);
        let window = DedupWindow { age_max: Some(Duration::from_micros(10)), ..window };
        assert_eq!([window.oldest(3), window.oldest(10), window.oldest(30)], [1, 1, 21]);
        let window = DedupWindow { age_max: Some(Duration::MAX), ..window };
        assert_eq!(window.oldest(30), 1);
    }
}
