//! The sections `metrics` and `health`.

use std::net::SocketAddr;
use std::time::Duration;

use super::section::Section;
use super::value::{duration, number};
use crate::health::HealthSettings;

/// Asking more often would burden the broker more than it tells.
const EVERY_MIN: Duration = Duration::from_millis(100);

pub(super) fn metrics_listen(section: &Section<'_>) -> Option<SocketAddr> {
    section.optional("listen", |text| {
        text.parse().map_err(|_| "expected an address and a port, such as 127.0.0.1:9100".to_owned())
    })
}

pub(super) fn health(section: &Section<'_>) -> HealthSettings {
    let default = HealthSettings::default();
    HealthSettings {
        every: section.value("every", default.every, every),
        lag_max: section.value("lag_max", default.lag_max, number(0..=u64::MAX)),
        dead_letters_max: section.value("dead_letters_max", default.dead_letters_max, number(0..=u64::MAX)),
        dead_letters_window: section.value("dead_letters_window", default.dead_letters_window, duration),
        stuck_after: section.value("stuck_after", default.stuck_after, duration),
        progress_within: section.value("progress_within", default.progress_within, duration),
    }
}

fn every(text: &str) -> Result<Duration, String> {
    let every = duration(text)?;
    if every >= EVERY_MIN { Ok(every) } else { Err(format!("expected a time of at least {EVERY_MIN:?}")) }
}
