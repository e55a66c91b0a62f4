//! The settings of dispatching: how much is under way at once, and when progress is committed.

use std::collections::BTreeMap;
use std::time::Duration;

use super::bounds::Bound;
use crate::event::Tenant;
use crate::memory::MemoryLimit;

/// Which part of the memory may be under way.
const HOST_SHARE: u64 = 8;
/// What an event takes beside its bytes while it is under way, at most.
const EVENT_BYTES: u64 = 2 << 10;
/// What may be under way however little memory there is.
const EVENTS_MIN: u64 = 256;
const BYTES_MIN: u64 = 1 << 20;

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
    /// Bounds that follow from the memory that this process may use.
    fn default() -> Self {
        Self::within(MemoryLimit::of_process().bytes)
    }
}

impl DispatchSettings {
    /// The defaults where so many bytes may be used: an eighth of them may be under way, up to 512 MiB, and what events
    /// take beside their bytes as much again.
    pub(crate) fn within(memory_bytes: u64) -> Self {
        let host_bytes = memory_bytes / HOST_SHARE;
        let host_events = host_bytes / EVENT_BYTES;
        let bound = |events_max: u64, bytes_max: u64, share: u64| Bound {
            events_max: count(events_max.min(host_events).max(EVENTS_MIN)),
            bytes_max: count(bytes_max.min(host_bytes / share).max(BYTES_MIN)),
        };
        let partition = bound(10_000, 64 << 20, 8);
        Self {
            in_flight_events_max: partition.events_max,
            in_flight_bytes_max: partition.bytes_max,
            lane: partition,
            tenant: bound(20_000, 128 << 20, 4),
            host: bound(100_000, 512 << 20, 1),
            tenant_weights: BTreeMap::new(),
            commit_interval: Duration::from_millis(100),
            commit_events_max: 10_000,
            poll_events_max: 10_000,
            drain: Duration::from_secs(10),
            hand_over: Duration::from_secs(5),
        }
    }

    /// Bytes that one poll should bring at most: a part of what may be under way of one partition.
    pub(crate) fn poll_bytes_max(&self) -> usize {
        (self.in_flight_bytes_max / 8).clamp(POLL_BYTES_MIN, POLL_BYTES_MAX)
    }

    /// The bound of one partition.
    pub(crate) fn partition(&self) -> Bound {
        Bound { events_max: self.in_flight_events_max, bytes_max: self.in_flight_bytes_max }
    }
}

fn count(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_follow_from_the_memory_there_is() {
        let bounds = |memory_bytes| {
            let settings = DispatchSettings::within(memory_bytes);
            let of = |bound: Bound| (bound.events_max, bound.bytes_max >> 20);
            [settings.partition(), settings.lane, settings.tenant, settings.host].map(of)
        };
        let most = [(10_000, 64), (10_000, 64), (20_000, 128), (100_000, 512)];
        assert_eq!([bounds(4 << 30), bounds(64 << 30)], [most; 2]);
        assert_eq!(bounds(512 << 20), [(10_000, 8), (10_000, 8), (20_000, 16), (32_768, 64)]);
        assert_eq!(bounds(64 << 20), [(4_096, 1), (4_096, 1), (4_096, 2), (4_096, 8)]);
        assert_eq!(bounds(0), [(256, 1); 4]);
    }

    #[test]
    fn a_poll_brings_a_part_of_what_may_be_under_way() {
        assert_eq!(DispatchSettings::within(4 << 30).poll_bytes_max(), 8 << 20);
        assert_eq!(DispatchSettings::within(512 << 20).poll_bytes_max(), 1 << 20);
    }
}
