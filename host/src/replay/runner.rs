//! Runs one replay: reads, publishes, keeps the record, and looks for requests in between.

use std::sync::Arc;
use std::time::Duration;

use guesthouse_connector::{
    ConnectorError, IggyConnector, Offset, OutgoingMessage, PartitionId, PublishBatchError, ReceivedMessage,
    TopicAddress,
};
use tokio::time::Instant;

use super::message::again;
use super::record::{Records, Request};
use super::{ReplayError, ReplayInfo, ReplayStatus, ReplayTarget};
use crate::event::{Message, Source, SourceTopic};
use crate::identity::{EventIdentity, ReplayId};

/// Most messages that are published at once.
const BATCH_MAX: u32 = 500;
/// With a bound on the rate, a batch is what that allows in a fifth of a second.
const BATCHES_PER_SECOND: u32 = 5;
/// How often the record is replaced while it runs.
const SAVE_EVERY: Duration = Duration::from_millis(200);
/// Longest wait for a broker that is away, until it is tried again.
const BROKER_WAIT: Duration = Duration::from_millis(500);

/// Why a replay stops before its end.
enum Stop {
    Asked(Request),
    Failed(ReplayError),
}

pub(super) struct Runner {
    connector: Arc<dyn IggyConnector>,
    records: Records,
    info: ReplayInfo,
    source: Arc<SourceTopic>,
    began: Instant,
    /// Messages published since it began.
    published: u64,
    saved: Instant,
}

impl Runner {
    pub(super) fn new(connector: Arc<dyn IggyConnector>, records: Records, info: ReplayInfo) -> Self {
        let source = SourceTopic { stream: info.config.stream.clone(), topic: info.config.topic.clone() };
        let began = Instant::now();
        Self { connector, records, info, source: Arc::new(source), began, published: 0, saved: began }
    }

    pub(super) async fn run(mut self, mut progress: impl FnMut(u64)) -> Result<ReplayInfo, ReplayError> {
        let mut ended = Ok(());
        for at in 0..self.info.partitions.len() {
            ended = self.run_partition(at, &mut progress).await;
            if ended.is_err() {
                break;
            }
        }
        let mut failure = None;
        self.info.status = match ended {
            Ok(()) => ReplayStatus::Finished,
            Err(Stop::Asked(Request::Pause)) => ReplayStatus::Paused,
            Err(Stop::Asked(Request::Cancel)) => ReplayStatus::Cancelled,
            Err(Stop::Failed(error)) => {
                self.info.reason = Some(with_causes(&error));
                failure = Some(error);
                ReplayStatus::Failed
            }
        };
        self.records.write(&self.info)?;
        failure.map_or(Ok(self.info), Err)
    }

    async fn run_partition(&mut self, at: usize, progress: &mut impl FnMut(u64)) -> Result<(), Stop> {
        loop {
            if let Some(request) = self.records.take_request(&self.info.name) {
                return Err(Stop::Asked(request));
            }
            let Some(range) = self.info.partitions.get(at).copied().filter(|range| range.next < range.to)
            else {
                return self.save().await;
            };
            let (partition, left) = (PartitionId(range.partition), range.to - range.next);
            let Some(mut messages) = self.read(partition, Offset(range.next), left).await? else { continue };
            messages.retain(|message| message.offset.0 < range.to);
            let next = messages.last().map_or(range.to, |last| last.offset.0.saturating_add(1));
            let count = messages.len() as u64;
            let (mut published, mut headers_dropped) = (0, 0);
            if !self.info.config.dry_run {
                headers_dropped = self.publish(partition, &messages).await?;
                published = count;
            }
            if let Some(range) = self.info.partitions.get_mut(at) {
                progress(next - range.next);
                range.next = next;
                range.read += count;
                range.published += published;
                range.headers_dropped += headers_dropped;
            }
            if self.saved.elapsed() >= SAVE_EVERY {
                self.save().await?;
            }
            self.keep_rate(published).await;
        }
    }

    /// Reads what comes next; none when the broker is away for now.
    async fn read(
        &self,
        partition: PartitionId,
        from: Offset,
        left: u64,
    ) -> Result<Option<Vec<ReceivedMessage>>, Stop> {
        let of_rate = self.info.config.rate_max.map_or(BATCH_MAX, |rate| rate.get() / BATCHES_PER_SECOND);
        let batch = u64::from(of_rate.clamp(1, BATCH_MAX)).min(left);
        let batch = u32::try_from(batch).unwrap_or(BATCH_MAX);
        match self.connector.read_from(&self.source.address(), partition, from, batch).await {
            Ok(messages) => Ok(Some(messages)),
            Err(error) if error.is_transient() => {
                tracing::warn!(replay = %self.info.name, %error, "the broker is away; waiting for it");
                tokio::time::sleep(BROKER_WAIT).await;
                Ok(None)
            }
            Err(error) => Err(self.failed(error)),
        }
    }

    /// Publishes messages, and says how many of their headers were left out.
    async fn publish(&self, partition: PartitionId, messages: &[ReceivedMessage]) -> Result<u64, Stop> {
        let (topic, handler) = match &self.info.config.target {
            ReplayTarget::Topic(topic) => (topic, None),
            ReplayTarget::Handler(handler) => (&self.info.config.topic, Some(handler.as_str())),
        };
        let to = TopicAddress::new(self.info.config.stream.as_str(), topic.as_str());
        let (mut waiting, mut headers_dropped) = (Vec::with_capacity(messages.len()), 0);
        for message in messages {
            let made = again(message, self.id_of(partition, message), (partition, handler));
            let (outgoing, dropped) = made.map_err(|error| {
                let problem = format!("partition {partition}, offset {}: {error}", message.offset);
                self.failed(ConnectorError::Publish(problem))
            })?;
            waiting.push(outgoing);
            headers_dropped += u64::from(dropped);
        }
        while !waiting.is_empty() {
            waiting = self.publish_some(&to, waiting).await?;
        }
        Ok(headers_dropped)
    }

    /// Publishes messages, and gives back what is not confirmed because the broker is away.
    async fn publish_some(
        &self,
        to: &TopicAddress,
        messages: Vec<OutgoingMessage>,
    ) -> Result<Vec<OutgoingMessage>, Stop> {
        match self.connector.publish_batch(to, messages).await {
            Ok(()) => Ok(Vec::new()),
            Err(PublishBatchError { unpublished, source }) if source.is_transient() => {
                if let Some(request) = self.records.take_request(&self.info.name) {
                    return Err(Stop::Asked(request));
                }
                tracing::warn!(replay = %self.info.name, error = %source, "the broker is away; waiting for it");
                tokio::time::sleep(BROKER_WAIT).await;
                Ok(unpublished)
            }
            Err(PublishBatchError { source, .. }) => Err(self.failed(source)),
        }
    }

    fn id_of(&self, partition: PartitionId, message: &ReceivedMessage) -> ReplayId {
        let source = Source {
            topic: Arc::clone(&self.source),
            partition,
            offset: message.offset,
            message_id: message.id,
            timestamp_micros: message.timestamp_micros,
            origin_timestamp_micros: message.origin_timestamp_micros,
        };
        let message = Message { source, headers: message.headers.clone(), payload: message.payload.clone() };
        ReplayId::of(&self.info.name, EventIdentity::of(&message))
    }

    /// Waits until as much time is over as the messages published so far may take.
    async fn keep_rate(&mut self, published: u64) {
        self.published += published;
        if let Some(rate) = self.info.config.rate_max {
            let due = Duration::from_millis(self.published.saturating_mul(1_000) / u64::from(rate.get()));
            tokio::time::sleep_until(self.began + due).await;
        }
    }

    /// Puts on record how far it is. A full disk is waited for, as a broker that is away is.
    async fn save(&mut self) -> Result<(), Stop> {
        let mut is_told = false;
        loop {
            self.saved = Instant::now();
            let error = match self.records.write(&self.info) {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            if !is_full_disk(&error) {
                return Err(Stop::Failed(error));
            }
            if let Some(request) = self.records.take_request(&self.info.name) {
                return Err(Stop::Asked(request));
            }
            if !std::mem::replace(&mut is_told, true) {
                tracing::warn!(replay = %self.info.name, error = with_causes(&error), "the disk is full; waiting for room");
            }
            tokio::time::sleep(BROKER_WAIT).await;
        }
    }

    fn failed(&self, source: ConnectorError) -> Stop {
        Stop::Failed(ReplayError::Broker { name: self.info.name.clone(), source })
    }
}

fn is_full_disk(error: &ReplayError) -> bool {
    let full = [std::io::ErrorKind::StorageFull, std::io::ErrorKind::QuotaExceeded];
    matches!(error, ReplayError::Record { source, .. } if full.contains(&source.kind()))
}

/// An error with what caused it.
fn with_causes(error: &ReplayError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
