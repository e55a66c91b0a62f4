//! An open way to one endpoint: a connection for reading and asking, others for publishing, and a watch over them.
//!
//! Both kinds of connector hold one of these. Group cursors have connections of their own.

mod publish;
mod read;
mod topology;

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};
use tracing::debug;

use crate::client::Client;
use crate::config::ConnectorConfig;
use crate::endpoint::Endpoint;
use crate::error::ConnectorError;
use crate::line::Line;
use crate::poll_size::PollBounds;
use crate::publisher::Publisher;
use crate::topology::TopicSpec;

use publish::PartitionCounts;

/// How often the connections are asked for a sign of life.
const WATCH_INTERVAL: Duration = Duration::from_secs(5);

/// The topic of the configuration and its stream.
#[derive(Debug)]
pub(crate) struct Home {
    pub(crate) stream: String,
    pub(crate) topic: TopicSpec,
}

/// Connections to one endpoint, and the tasks that belong to them; dropping it ends both.
#[derive(Debug)]
pub(crate) struct Link {
    endpoint: Arc<Endpoint>,
    reading: Arc<Line>,
    publisher: Publisher,
    partition_counts: PartitionCounts,
    poll_bounds: PollBounds,
    /// Made by the first [`publish`](Self::publish) to it when it does not exist.
    home: Home,
    _watch: JoinSet<()>,
}

impl Link {
    /// Opens the reading connection, which proves that the endpoint and the credentials are right.
    pub(crate) async fn open(endpoint: Endpoint, config: &ConnectorConfig) -> Result<Self, ConnectorError> {
        let endpoint = Arc::new(endpoint);
        let reading = Arc::new(Line::new(Arc::clone(&endpoint)));
        reading.client().await?;
        let publisher = Publisher::start(&endpoint, config.batching);
        let mut tasks = JoinSet::new();
        let watched = watch(Arc::clone(&reading), publisher.lines().cloned().collect());
        tasks.spawn(endpoint.workers.run("the watch over the connections to the broker", watched));
        Ok(Self {
            endpoint,
            reading,
            publisher,
            partition_counts: PartitionCounts::default(),
            poll_bounds: PollBounds {
                messages_max: config.poll_messages_max,
                bytes_max: config.poll_bytes_max,
            },
            home: Home::of(config),
            _watch: tasks,
        })
    }

    /// Where the connections go.
    pub(crate) const fn endpoint(&self) -> &Arc<Endpoint> {
        &self.endpoint
    }

    /// How much one poll asks for at most.
    pub(crate) const fn poll_bounds(&self) -> PollBounds {
        self.poll_bounds
    }

    pub(crate) async fn ping(&self) -> Result<(), ConnectorError> {
        self.client().await?.ping().await
    }

    /// Closes all connections; calls that are under way fail.
    pub(crate) async fn close(&self) {
        for line in self.publisher.lines() {
            line.close().await;
        }
        self.reading.close().await;
        self.endpoint.note_closed();
    }

    async fn client(&self) -> Result<Arc<Client>, ConnectorError> {
        self.reading.client().await
    }
}

impl Home {
    fn of(config: &ConnectorConfig) -> Self {
        let topic = TopicSpec::new(&config.topic_name, config.partitions, config.replication_factor);
        Self { stream: config.stream_name.clone(), topic }
    }
}

/// Notices that a broker went away or came back while nobody asks it anything.
async fn watch(reading: Arc<Line>, publishing: Vec<Arc<Line>>) {
    let mut ticks = interval(WATCH_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Err(error) = reading.client().await {
            debug!(%error, "the broker does not answer");
        }
        reading.check().await;
        for line in &publishing {
            line.check().await;
        }
    }
}
