//! Putting a group somewhere else, while nobody reads in its name.

use std::time::Duration;

use serde::Serialize;
use tokio::time::timeout;
use tracing::info;

use super::ConsumerGroupManager;
use crate::address::{GroupAddress, Offset, PartitionId};
use crate::error::ConnectorError;
use crate::group::{CursorStep, GroupCursor, StoreOutcome};
use crate::topology::PartitionState;

/// How long the broker may take to give all partitions to the one member that resets.
const ASSIGNMENT_PATIENCE: Duration = Duration::from_secs(60);

/// The pause between two looks at the assignment.
const ASSIGNMENT_PAUSE: Duration = Duration::from_millis(50);

/// Where a group is to go on reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResetTo {
    /// At the first message.
    Beginning,
    /// After the last message.
    End,
    /// At this offset.
    Offset(Offset),
    /// At the first message that the broker stored at or after this time, in microseconds since the Unix epoch.
    Time(u64),
}

/// Where a group goes on reading in one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct NewPosition {
    /// Which partition.
    pub partition: PartitionId,
    /// What was to be read next before.
    pub from: Offset,
    /// What is to be read next now.
    pub to: Offset,
}

impl ConsumerGroupManager {
    /// What [`reset`](Self::reset) would do. Changes nothing.
    ///
    /// # Errors
    ///
    /// As [`reset`](Self::reset), except for what concerns members.
    pub async fn plan_reset(
        &self,
        group: &GroupAddress,
        to: ResetTo,
        only: Option<PartitionId>,
    ) -> Result<Vec<NewPosition>, ConnectorError> {
        let partitions = self.connector.topic_state(&group.topic).await?.partitions;
        let stored = self.connector.group_offsets(group).await?;
        let wanted = |state: &&PartitionState| only.is_none_or(|only| only == state.partition);
        let mut plan = Vec::with_capacity(partitions.len());
        for state in partitions.iter().filter(wanted) {
            let found = stored.iter().find(|(partition, _)| *partition == state.partition);
            let from = found.and_then(|(_, stored)| *stored).map_or(Offset(0), Offset::next);
            let to = self.target(group, to, state).await?;
            plan.push(NewPosition { partition: state.partition, from, to });
        }
        match (plan.is_empty(), only) {
            (true, Some(partition)) => Err(ConnectorError::Topology(format!(
                "topic {} has no partition {partition}, only {} counted from 0",
                group.topic,
                partitions.len()
            ))),
            _ => Ok(plan),
        }
    }

    /// Lets a group go on somewhere else, in one partition or in all, and answers where. Going back means that
    /// messages are handled again; going forward, that they never are.
    ///
    /// # Errors
    ///
    /// [`ConnectorError::Topology`] when the topic or the partition does not exist, the offset lies behind the end, or
    /// the group has members: they would store their own offsets over it.
    pub async fn reset(
        &self,
        group: &GroupAddress,
        to: ResetTo,
        only: Option<PartitionId>,
    ) -> Result<Vec<NewPosition>, ConnectorError> {
        let members = self.members(group).await?.unwrap_or_default();
        if !members.is_empty() {
            return Err(ConnectorError::Topology(format!(
                "group {group} has {} members, who would store their own offsets; stop them first",
                members.len()
            )));
        }
        let plan = self.plan_reset(group, to, only).await?;
        // Only a member may store and delete the offsets of a group.
        let mut cursor = self.connector.open_group_cursor(group).await?;
        let stored = store_all(&mut cursor, group, &plan).await;
        let left = cursor.leave().await;
        stored?;
        left?;
        info!(%group, ?plan, "group reset");
        Ok(plan)
    }

    /// The next offset of a partition after a reset.
    async fn target(
        &self,
        group: &GroupAddress,
        to: ResetTo,
        state: &PartitionState,
    ) -> Result<Offset, ConnectorError> {
        let end = state.last_offset.map_or(Offset(0), Offset::next);
        match to {
            ResetTo::Beginning => Ok(Offset(0)),
            ResetTo::End => Ok(end),
            ResetTo::Offset(offset) if offset <= end => Ok(offset),
            ResetTo::Offset(offset) => Err(ConnectorError::Topology(format!(
                "offset {offset} lies behind the end of partition {} of {}, which is {end}",
                state.partition, group.topic
            ))),
            ResetTo::Time(micros) => {
                let first = self.connector.first_at(&group.topic, state.partition, micros).await?;
                Ok(first.unwrap_or(end))
            }
        }
    }
}

async fn store_all(
    cursor: &mut GroupCursor,
    group: &GroupAddress,
    plan: &[NewPosition],
) -> Result<(), ConnectorError> {
    let taken = async {
        while !plan.iter().all(|position| cursor.assignment().any(|id| id == position.partition)) {
            if cursor.step(|_| false).await? == CursorStep::Empty {
                tokio::time::sleep(ASSIGNMENT_PAUSE).await;
            }
        }
        Ok::<_, ConnectorError>(())
    };
    timeout(ASSIGNMENT_PATIENCE, taken).await.map_err(|_| {
        ConnectorError::Timeout(format!(
            "the broker did not give the partitions of group {group} away within {ASSIGNMENT_PATIENCE:?}"
        ))
    })??;
    for NewPosition { partition, from, to } in plan {
        // A group without a stored offset begins at the beginning; there is no offset before the first.
        let Some(last) = to.0.checked_sub(1) else {
            if *from != Offset(0) {
                cursor.delete_offset(*partition).await?;
            }
            continue;
        };
        if cursor.store_offset(*partition, Offset(last)).await? == StoreOutcome::NotOwner {
            return Err(ConnectorError::Topology(format!(
                "partition {partition} of group {group} was taken by another member meanwhile; stop it first"
            )));
        }
    }
    Ok(())
}
