//! Reading as a member of a consumer group: membership, assignment, positions and offsets.

use std::time::Duration;

use crate::address::{Offset, PartitionId};
use crate::error::ConnectorError;
use crate::message::ReceivedMessage;

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
    /// These partitions are no longer this member's; offsets of them can no longer be stored.
    Revoked(Vec<PartitionId>),
    /// Messages of one partition, in order, at least one.
    Messages {
        /// Which partition.
        partition: PartitionId,
        /// The messages.
        messages: Vec<ReceivedMessage>,
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

/// A member of a consumer group with a connection of its own, owned by one task.
#[derive(Debug)]
pub struct GroupCursor {
    partitions: Vec<PartitionId>,
}

impl GroupCursor {
    /// Does the next thing that is due: joins, keeps the membership alive, or polls one partition.
    ///
    /// Partitions for which `wants` answers false are not polled. Nothing is committed by polling.
    ///
    /// # Errors
    ///
    /// Only for what waiting does not mend: wrong credentials, or a topic or group that is missing. Calling again
    /// tries again.
    pub async fn step(
        &mut self,
        wants: impl Fn(PartitionId) -> bool + Send,
    ) -> Result<CursorStep, ConnectorError> {
        tokio::task::yield_now().await;
        drop(wants);
        Err(ConnectorError::NotConnected)
    }

    /// Stores the offset of the last settled message of a partition.
    ///
    /// # Errors
    ///
    /// Fails when the broker cannot be reached or refuses; whether the offset is stored is then unknown.
    pub async fn store_offset(
        &mut self,
        partition: PartitionId,
        offset: Offset,
    ) -> Result<StoreOutcome, ConnectorError> {
        tokio::task::yield_now().await;
        Err(ConnectorError::Iggy(format!("offset {offset} of partition {partition} cannot be stored yet")))
    }

    /// The partitions that this member reads now.
    pub fn assignment(&self) -> impl Iterator<Item = PartitionId> {
        self.partitions.iter().copied()
    }

    /// Leaves the group, so that others take over at once, and closes the connection.
    ///
    /// # Errors
    ///
    /// Fails when the broker cannot be reached; it then notices the closed connection by itself.
    pub async fn leave(self) -> Result<(), ConnectorError> {
        tokio::task::yield_now().await;
        Err(ConnectorError::NotConnected)
    }
}
