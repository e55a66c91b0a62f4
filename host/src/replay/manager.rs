//! All replays of an installation, by their names.

use std::path::PathBuf;
use std::sync::Arc;

use guesthouse_connector::{IggyConnector, PartitionState, TopicAddress};

use super::range;
use super::record::{Records, Request, RunLock};
use super::runner::Runner;
use super::{ReplayConfig, ReplayError, ReplayInfo, ReplayProgress, ReplayStatus, ReplayTarget};

/// Makes replays and looks after them. Any number of processes may, over the same directory.
#[derive(Debug, Clone)]
pub struct ReplayManager {
    connector: Arc<dyn IggyConnector>,
    records: Records,
}

/// A replay that this process may run. Until it is dropped nobody else can.
#[derive(Debug)]
pub struct ActiveReplay {
    manager: ReplayManager,
    info: ReplayInfo,
    lock: RunLock,
}

impl ReplayManager {
    /// Over a connection, with records in a directory that is made when it is needed.
    pub fn new(connector: Arc<dyn IggyConnector>, dir: impl Into<PathBuf>) -> Self {
        Self { connector, records: Records(dir.into()) }
    }

    /// Begins a replay: finds out which offsets it covers, and puts it on record as running. Publishes nothing yet.
    ///
    /// # Errors
    /// When the name is taken or none, the topic, a partition or the target does not exist, or the record cannot be kept.
    pub async fn start(&self, name: &str, config: ReplayConfig) -> Result<ActiveReplay, ReplayError> {
        let lock = self.locked(name)?;
        if self.records.read(name)?.is_some() {
            return Err(ReplayError::Exists(name.to_owned()));
        }
        let broker = |source| ReplayError::Start { name: name.to_owned(), source };
        let topic = TopicAddress::new(config.stream.as_str(), config.topic.as_str());
        let state = self.connector.topic_state(&topic).await.map_err(broker)?;
        self.check_target(&config, state.partitions.len()).await?;
        let mut partitions = Vec::new();
        for partition in chosen(&config, &state.partitions)? {
            let bounds = (config.from, config.to);
            let found = range::resolve(self.connector.as_ref(), &topic, partition, bounds).await;
            let (from, to) = found.map_err(broker)?;
            let partition = partition.partition.0;
            let nothing =
                ReplayProgress { partition, from, to, next: from, read: 0, published: 0, headers_dropped: 0 };
            partitions.push(nothing);
        }
        let status = ReplayStatus::Running;
        let info = ReplayInfo { name: name.to_owned(), config, status, reason: None, partitions };
        self.records.write(&info)?;
        Ok(ActiveReplay { manager: self.clone(), info, lock })
    }

    /// Takes up a replay that is paused, interrupted or failed.
    ///
    /// # Errors
    /// When there is none of that name, it is running, or it has ended for good.
    pub fn resume(&self, name: &str) -> Result<ActiveReplay, ReplayError> {
        let lock = self.locked(name)?;
        let mut info = self.get(name)?;
        // Nobody runs it: the lock is ours.
        if info.status != ReplayStatus::Running && !info.status.can_resume() {
            return Err(ReplayError::Ended { name: name.to_owned(), status: info.status });
        }
        self.records.take_request(name);
        (info.status, info.reason) = (ReplayStatus::Running, None);
        self.records.write(&info)?;
        Ok(ActiveReplay { manager: self.clone(), info, lock })
    }

    /// All replays there are, by name.
    ///
    /// # Errors
    /// When a record cannot be read.
    pub fn list(&self) -> Result<Vec<ReplayInfo>, ReplayError> {
        let unreadable = |source| ReplayError::Record { name: "*".to_owned(), source };
        let names = self.records.names().map_err(unreadable)?;
        names.iter().map(|name| self.get(name)).collect()
    }

    /// What is known of a replay.
    ///
    /// # Errors
    /// When there is none of that name, or its record cannot be read.
    pub fn get(&self, name: &str) -> Result<ReplayInfo, ReplayError> {
        self.records.read(name)?.ok_or_else(|| ReplayError::Unknown(name.to_owned()))
    }

    /// Asks a replay to wait. Whoever runs it does so within a second; it stays on record as paused.
    ///
    /// # Errors
    /// When there is none of that name, or it has ended for good.
    pub fn pause(&self, name: &str) -> Result<(), ReplayError> {
        self.stop(name, Request::Pause, ReplayStatus::Paused)
    }

    /// Gives a replay up for good. Whoever runs it stops within a second.
    ///
    /// # Errors
    /// When there is none of that name, or it has ended for good.
    pub fn cancel(&self, name: &str) -> Result<(), ReplayError> {
        self.stop(name, Request::Cancel, ReplayStatus::Cancelled)
    }

    fn stop(&self, name: &str, request: Request, status: ReplayStatus) -> Result<(), ReplayError> {
        let info = self.get(name)?;
        if matches!(info.status, ReplayStatus::Cancelled | ReplayStatus::Finished) {
            return Err(ReplayError::Ended { name: name.to_owned(), status: info.status });
        }
        match self.records.lock(name)? {
            None => self.records.ask(name, request),
            Some(_lock) => self.records.write(&ReplayInfo { status, ..self.get(name)? }),
        }
    }

    fn locked(&self, name: &str) -> Result<RunLock, ReplayError> {
        self.records.lock(name)?.ok_or_else(|| ReplayError::Running(name.to_owned()))
    }

    /// Messages keep the number of their partition, so the target must have it.
    async fn check_target(&self, config: &ReplayConfig, partitions: usize) -> Result<(), ReplayError> {
        let ReplayTarget::Topic(target) = &config.target else { return Ok(()) };
        let address = TopicAddress::new(config.stream.as_str(), target.as_str());
        let state = self.connector.topic_state(&address).await;
        let state =
            state.map_err(|error| ReplayError::Range(format!("the target cannot be used: {error}")))?;
        if state.partitions.len() < partitions {
            return Err(ReplayError::Range(format!(
                "topic {address} has {} partitions, expected at least the {partitions} of `{}`: messages keep the \
                 number of theirs",
                state.partitions.len(),
                config.topic
            )));
        }
        Ok(())
    }
}

/// The partitions that are asked for.
fn chosen<'a>(
    config: &ReplayConfig,
    partitions: &'a [PartitionState],
) -> Result<Vec<&'a PartitionState>, ReplayError> {
    let find = |number: &u32| {
        partitions.iter().find(|state| state.partition.0 == *number).ok_or_else(|| {
            let (topic, count) = (&config.topic, partitions.len());
            ReplayError::Range(format!(
                "topic `{topic}` has no partition {number}, only {count} counted from 0"
            ))
        })
    };
    if config.partitions.is_empty() {
        return Ok(partitions.iter().collect());
    }
    config.partitions.iter().map(find).collect()
}

impl ActiveReplay {
    /// What is known of it.
    pub fn info(&self) -> &ReplayInfo {
        &self.info
    }

    /// Runs it until it is done, paused or cancelled, and tells `progress` how many more offsets are behind it. A broker
    /// that is away is waited for. Cancelling the future interrupts the replay, which can be resumed.
    ///
    /// # Errors
    /// When the broker refuses a message, or the record cannot be kept; the replay is then on record as failed.
    pub async fn run(self, progress: impl FnMut(u64)) -> Result<ReplayInfo, ReplayError> {
        let Self { manager: ReplayManager { connector, records }, info, lock } = self;
        let ended = Runner::new(connector, records, info).run(progress).await;
        drop(lock);
        ended
    }
}
