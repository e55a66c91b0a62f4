//! Making a stream look as it should: creates what is missing, checks what exists.

use tracing::{info, warn};

use super::Link;
use crate::address::TopicAddress;
use crate::client::{Client, FoundTopic, Target};
use crate::error::ConnectorError;
use crate::topology::{Remedy, TopicSpec};

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

    pub(crate) async fn update_retention(
        &self,
        stream: &str,
        spec: &TopicSpec,
    ) -> Result<(), ConnectorError> {
        let target = Target::new(&TopicAddress::new(stream, &spec.name))?;
        self.client().await?.update_retention(&target, spec).await?;
        info!(topic = %target.address(), "retention changed");
        Ok(())
    }

    pub(crate) async fn servers_count(&self) -> Result<usize, ConnectorError> {
        self.client().await?.servers_count().await
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

/// Refuses what keys would suffer from, and names everything else that differs.
fn check_topic(target: &Target, spec: &TopicSpec, found: &FoundTopic) -> Result<(), ConnectorError> {
    for difference in spec.differences(&found.state(), None) {
        match difference.remedy {
            Remedy::Move => {
                return Err(ConnectorError::Topology(format!("topic {}: {difference}", target.address())));
            }
            Remedy::Apply | Remedy::Cluster => {
                warn!(topic = %target.address(), "{difference}; the topic is left as it is until its topology is applied");
            }
        }
    }
    Ok(())
}
