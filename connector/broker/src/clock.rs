//! The clock of the wire: microseconds since the epoch.

use std::time::{SystemTime, UNIX_EPOCH};

/// Now. A clock before 1970 reads as zero.
pub(crate) fn now_micros() -> u64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_epoch.as_micros()).unwrap_or(u64::MAX)
}
