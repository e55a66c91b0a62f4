//! Reads the parked topics of a configuration, as far as they still matter.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context;
use guesthouse_connector::{
    ConnectorError, IggyConnector, Offset, PartitionId, PartitionState, TopicAddress,
};

use crate::config::{Config, SubscriptionConfig};
use crate::identity::LaneName;
use crate::parked::{Content, ParkedEvent, ParkedLane, ParkedLanes, Record, read_back};

/// Events by the offsets in their source, of each lane.
type EventsByLane = BTreeMap<LaneName, BTreeMap<Offset, ParkedEvent>>;

/// A parked lane, and where it was found.
#[derive(Debug)]
pub(super) struct FoundLane {
    pub(super) name: LaneName,
    pub(super) lane: ParkedLane,
    pub(super) group: String,
    /// The source topic.
    pub(super) topic: String,
    pub(super) parked: TopicAddress,
    pub(super) partition: PartitionId,
    /// Its events by their offsets in the source, if the lane was asked for by name.
    pub(super) events: BTreeMap<Offset, ParkedEvent>,
}

/// Finds the lanes of these names that are parked or blocked now, with their events; without names all lanes, without events.
pub(super) async fn read_lanes(
    connector: &dyn IggyConnector,
    config: &Config,
    wanted: &BTreeSet<LaneName>,
) -> anyhow::Result<Vec<FoundLane>> {
    let mut found = Vec::new();
    let parking = config.topics_with_parking();
    for subscription in &config.subscriptions {
        for topic in subscription.topics.iter().filter(|topic| parking.contains(topic.as_str())) {
            read_topic(connector, config, (subscription, topic), wanted, &mut found).await?;
        }
    }
    Ok(found)
}

async fn read_topic(
    connector: &dyn IggyConnector,
    config: &Config,
    (subscription, topic): (&SubscriptionConfig, &str),
    wanted: &BTreeSet<LaneName>,
    found: &mut Vec<FoundLane>,
) -> anyhow::Result<()> {
    let parked = TopicAddress::new(config.connector.stream_name.as_str(), config.parked_topic(topic));
    let cannot_read = || format!("cannot read the parked events of {parked}");
    let state = match connector.topic_state(&parked).await {
        // No host has made it yet.
        Err(ConnectorError::Topology(_)) => return Ok(()),
        state => state.with_context(cannot_read)?,
    };
    for partition in state.partitions {
        let (lanes, mut events) =
            read_partition(connector, &parked, partition, (&subscription.group, wanted))
                .await
                .with_context(cannot_read)?;
        let held = lanes
            .blocked()
            .chain(lanes.held())
            .filter(|(name, _)| wanted.is_empty() || wanted.contains(name));
        for (name, lane) in held {
            let mut events = events.remove(&name).unwrap_or_default();
            events.retain(|source, _| lane.holds(*source));
            found.push(FoundLane {
                name,
                lane: lane.clone(),
                group: subscription.group.clone(),
                topic: topic.to_owned(),
                parked: parked.clone(),
                partition: partition.partition,
                events,
            });
        }
    }
    Ok(())
}

async fn read_partition(
    connector: &dyn IggyConnector,
    parked: &TopicAddress,
    partition: PartitionState,
    (group, wanted): (&str, &BTreeSet<LaneName>),
) -> Result<(ParkedLanes, EventsByLane), ConnectorError> {
    let (mut lanes, mut events) = (ParkedLanes::default(), EventsByLane::new());
    // Nothing is read from the source here.
    lanes.source_read(Offset(u64::MAX));
    let visit = |record: Record| {
        lanes.apply(&record);
        if let Content::Event(name, event) = record.content
            && wanted.contains(&name)
        {
            events.entry(name).or_default().insert(event.source, event);
        }
    };
    read_back(connector, parked, partition, group, visit).await?;
    Ok((lanes, events))
}
