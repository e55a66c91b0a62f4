//! The settings of dispatching: how much is under way at once, and when progress is committed.

use std::collections::BTreeMap;
use std::time::Duration;

use super::bounds::Bound;
use crate::event::Tenant;

/// What a poll may bring, however little or much may be under way.
const POLL_BYTES_MIN: usize = 256 << 10;
const POLL_BYTES_MAX: usize = 16 << 20;

/// How much is under way at once, and when progress is committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DispatchSettings {
    /// Unsettled events of one partition at which polling it pauses.
    pub in_flight_events_max: usize,
    /// Bytes of unsettled events of one partition at which polling it pauses.
    pub in_flight_bytes_max: usize,
    /// Events that wait in one lane at which the partitions that bring more pause.
    pub lane: Bound,
    /// Unsettled events of one tenant in one subscription at which the partitions that bring more pause.
    pub tenant: Bound,
    /// Unsettled events of all subscriptions of a host at which all partitions pause.
    pub host: Bound,
    /// How many turns a tenant gets for one of another tenant's, where that is not one.
    pub tenant_weights: BTreeMap<Tenant, u32>,
    /// Longest time that progress stays uncommitted; longer where a subscription has more than 50 partitions, so that it
    /// makes some 500 commits a second at most.
    pub commit_interval: Duration,
    /// Settled events of one partition after which progress is committed at once.
    pub commit_events_max: u32,
    /// Most events of one poll. A poll asks for so many only while the ones before came back full, and for fewer where
    /// they would take more than [`Self::poll_bytes_max`].
    pub poll_events_max: u32,
    /// How long a stopping host goes on with what it has read.
    pub drain: Duration,
    /// How long a host goes on with what it has read of a partition that was taken away, while the broker still takes
    /// its offsets.
    pub hand_over: Duration,
}

impl Default for DispatchSettings {
    fn default() -> Self {
        Self {
            in_flight_events_max: 10_000,
            in_flight_bytes_max: 64 << 20,
            lane: Bound { events_max: 10_000, bytes_max: 64 << 20 },
            tenant: Bound { events_max: 20_000, bytes_max: 128 << 20 },
            host: Bound { events_max: 100_000, bytes_max: 512 << 20 },
            tenant_weights: BTreeMap::new(),
            commit_interval: Duration::from_millis(100),
            commit_events_max: 10_000,
            poll_events_max: 10_000,
            drain: Duration::from_secs(10),
            hand_over: Duration::from_secs(5),
        }
    }
}

impl DispatchSettings {
    /// Bytes that one poll should bring at most: a part of what may be under way of one partition.
    pub(crate) fn poll_bytes_max(&self) -> usize {
        (self.in_flight_bytes_max / 8).clamp(POLL_BYTES_MIN, POLL_BYTES_MAX)
    }

    /// The bound of one partition.
    pub(crate) fn partition(&self) -> Bound {
        Bound { events_max: self.in_flight_events_max, bytes_max: self.in_flight_bytes_max }
    }
}
