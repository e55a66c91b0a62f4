//! Reading as a member of a consumer group: membership, assignment, positions and offsets.

mod cursor;
mod positions;

use std::time::Duration;

use crate::address::{Offset, PartitionId};
use crate::error::ConnectorError;
use crate::message::ReceivedMessage;

pub use cursor::GroupCursor;

/// A partition that this member now reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// Which partition.
    pub partition: PartitionId,
    /// The offset that is read next: the one after the stored offset, or zero when none is stored.
    pub next: Offset,
}

/// What one step of a [`GroupCursor`] found.
#[derive(Clone, Debug, PartialEq)]
pub enum CursorStep {
    /// These partitions are this member's from now on.
    Assigned(Vec<Assignment>),
    /// These partitions are no longer this member's: nothing more is read of them. Of those that the group took away the
    /// broker may still take offsets, see [`GroupCursor::may_store`].
    Revoked(Vec<PartitionId>),
    /// Messages of one partition, in order, at least one.
    Messages {
        /// Which partition.
        partition: PartitionId,
        /// The messages.
        messages: Vec<ReceivedMessage>,
    },
    /// Messages of a partition expired or were purged before they were read: those from one offset on, up to another one,
    /// which is the next that is read.
    Expired {
        /// Which partition.
        partition: PartitionId,
        /// The first message that is gone.
        from: Offset,
        /// The first one that is there.
        until: Offset,
    },
    /// The stored offset of a partition went back, because the group was deleted or put back or its topic was made anew:
    /// messages from one offset on, up to another one, had been handled and are read again.
    Repeated {
        /// Which partition.
        partition: PartitionId,
        /// The first message that is read again.
        from: Offset,
        /// The first one that was not handled before.
        until: Offset,
    },
    /// The offsets of a partition went back: the broker forgot messages, or the topic was purged. The partition is
    /// revoked by the next step and then begun at the beginning of what is there now; its stored offset is deleted.
    WentBack {
        /// Which partition.
        partition: PartitionId,
        /// What was to be read next.
        expected: Offset,
        /// The last offset that the partition has instead; zero also when it is empty.
        last: Offset,
    },
    /// Nothing is there in any wanted partition; the caller waits a little before the next step.
    Empty,
    /// The connection is lost. All partitions were revoked by a step before; the next step waits and connects again.
    Disconnected {
        /// Why.
        error: ConnectorError,
        /// How long the next step waits before it tries.
        wait: Duration,
    },
}

/// What became of an offset that was to be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreOutcome {
    /// It is stored.
    Stored,
    /// The partition is no longer this member's; the next owner reads from what was stored before.
    NotOwner,
}
