//! The topics that a host wants, compared with and brought to a broker.

use std::sync::Arc;

use serde::Serialize;

use super::{DOMAIN_TOPIC, Difference, MODULE_BUILD_TOPIC, Remedy, SYSTEM_TOPIC, TopicSpec, TopicState};
use crate::address::TopicAddress;
use crate::connector::IggyConnector;
use crate::error::ConnectorError;

/// Looks after the topics of one stream.
#[derive(Clone, Debug)]
pub struct TopologyManager {
    connector: Arc<dyn IggyConnector>,
    stream: String,
    topics: Vec<TopicSpec>,
}

/// A topic that should be there, and how it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TopicReport {
    /// Its name within the stream.
    pub topic: String,
    /// How it is; `None` when it does not exist.
    pub state: Option<TopicState>,
    /// How it differs from what it should be; empty for one that does not exist.
    pub differences: Vec<Difference>,
}

impl TopologyManager {
    /// A manager of these topics. Nothing is asked or changed yet.
    #[must_use]
    pub fn new(
        connector: Arc<dyn IggyConnector>,
        stream: impl Into<String>,
        topics: impl Into<Vec<TopicSpec>>,
    ) -> Self {
        Self { connector, stream: stream.into(), topics: topics.into() }
    }

    /// The stream.
    #[must_use]
    pub fn stream(&self) -> &str {
        &self.stream
    }

    /// The stream, as the platform asks for it.
    #[expect(clippy::unused_async, reason = "the platform awaits it")]
    pub async fn stream_name(&self) -> String {
        self.stream.clone()
    }

    /// The topic for all events that have no other.
    #[expect(clippy::unused_async, reason = "the platform awaits it")]
    pub async fn domain_topic(&self) -> String {
        DOMAIN_TOPIC.to_owned()
    }

    /// The topic for events about indexes and builds.
    #[expect(clippy::unused_async, reason = "the platform awaits it")]
    pub async fn system_topic(&self) -> String {
        SYSTEM_TOPIC.to_owned()
    }

    /// The topic for modules that are to be built.
    #[expect(clippy::unused_async, reason = "the platform awaits it")]
    pub async fn module_build_topic(&self) -> String {
        MODULE_BUILD_TOPIC.to_owned()
    }

    /// Whether every topic is as it should be now. Asks the broker; one that does not answer has none.
    pub async fn is_initialized(&self) -> bool {
        self.report().await.is_ok_and(|topics| topics.iter().all(TopicReport::is_as_expected))
    }

    /// How every topic is, and how that differs from what it should be. Changes nothing.
    ///
    /// # Errors
    ///
    /// As [`IggyConnector::ping`]. A topic that does not exist is no error.
    pub async fn report(&self) -> Result<Vec<TopicReport>, ConnectorError> {
        let servers_count = self.connector.servers_count().await?;
        let mut reports = Vec::with_capacity(self.topics.len());
        for spec in &self.topics {
            let address = TopicAddress::new(&self.stream, &spec.name);
            let state = match self.connector.topic_state(&address).await {
                Ok(state) => Some(state),
                Err(ConnectorError::Topology(_)) => None,
                Err(error) => return Err(error),
            };
            let differences =
                state.as_ref().map(|state| spec.differences(state, Some(servers_count))).unwrap_or_default();
            reports.push(TopicReport { topic: spec.name.clone(), state, differences });
        }
        Ok(reports)
    }

    /// Creates what is missing and changes what can be changed, and reports how the topics are afterwards. Messages
    /// beyond a shorter retention go for good.
    ///
    /// # Errors
    ///
    /// As [`IggyConnector::ensure_topics`] and [`IggyConnector::update_retention`]. Nothing is changed when a topic
    /// has another number of partitions.
    pub async fn apply(&self) -> Result<Vec<TopicReport>, ConnectorError> {
        let before = self.report().await?;
        for report in &before {
            if let Some(difference) = report.differences.iter().find(|found| found.remedy == Remedy::Move) {
                let address = TopicAddress::new(&self.stream, &report.topic);
                return Err(ConnectorError::Topology(format!("topic {address}: {difference}")));
            }
        }
        self.connector.ensure_topics(&self.stream, &self.topics).await?;
        for (spec, report) in self.topics.iter().zip(before) {
            if report.differences.iter().any(|difference| difference.remedy == Remedy::Apply) {
                self.connector.update_retention(&self.stream, spec).await?;
            }
        }
        self.report().await
    }
}

impl TopicReport {
    /// Whether the topic exists as it should be.
    #[must_use]
    pub fn is_as_expected(&self) -> bool {
        self.state.is_some() && self.differences.is_empty()
    }
}
