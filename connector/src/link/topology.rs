//! Making a stream look as it should: creates what is missing, checks what exists.

use tracing::{info, warn};

use super::Link;
use crate::address::TopicAddress;
use crate::client::{Client, FoundTopic, Target};
use crate::error::ConnectorError;
use crate::topology::TopicSpec;

impl Link {
    pub(crate) async fn ensure_topics(
        &self,
        stream: &str,
        topics: &[TopicSpec],
    ) -> Result<(), ConnectorError> {
        let client = self.client().await?;
        client.ensure_stream(stream).await?;
        for spec in topics {
            ensure_topic(&client, stream, spec).await?;
        }
        Ok(())
    }

    pub(crate) async fn delete_topic(&self, topic: &TopicAddress) -> Result<(), ConnectorError> {
        let target = Target::new(topic)?;
        match self.client().await?.delete_topic(&target).await {
            Ok(()) => info!(%topic, "topic deleted"),
            Err(ConnectorError::Topology(_)) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

async fn ensure_topic(client: &Client, stream: &str, spec: &TopicSpec) -> Result<(), ConnectorError> {
    let target = Target::new(&TopicAddress::new(stream, &spec.name))?;
    check_spec(&target, spec)?;
    if let Some(found) = client.topic(&target).await? {
        return check_topic(&target, spec, &found);
    }
    client.create_topic(&target, spec).await?;
    info!(topic = %target.address(), partitions = spec.partitions, "topic created");
    // Somebody else may have been faster, with other ideas.
    match client.topic(&target).await? {
        Some(found) => check_topic(&target, spec, &found),
        None => Err(ConnectorError::Topology(format!(
            "topic {} does not exist although it was created",
            target.address()
        ))),
    }
}

fn check_spec(target: &Target, spec: &TopicSpec) -> Result<(), ConnectorError> {
    if spec.partitions == 0 || spec.replication_factor == 0 {
        return Err(ConnectorError::Topology(format!(
            "topic {} is to have {} partitions and {} copies, expected at least one of each",
            target.address(),
            spec.partitions,
            spec.replication_factor
        )));
    }
    Ok(())
}

fn check_topic(target: &Target, spec: &TopicSpec, found: &FoundTopic) -> Result<(), ConnectorError> {
    let (found_count, expected_count) = (found.partitions_count(), spec.partitions);
    if found_count != expected_count {
        return Err(ConnectorError::Topology(format!(
            "topic {} has {found_count} partitions, expected {expected_count}; keys would move to other partitions, \
             so set the configured number to {found_count} or move the events to a new topic",
            target.address()
        )));
    }
    if let Some(mismatch) = found.retention_mismatch(spec) {
        warn!(topic = %target.address(), "{mismatch}; the existing topic is left as it is");
    }
    Ok(())
}
