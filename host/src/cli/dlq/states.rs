//! Reads and writes the records of what became of dead letters.

use anyhow::{Context, bail};
use guesthouse_connector::{ConnectorError, IggyConnector, Offset, TopicAddress, TopicSpec};

use crate::config::Config;
use crate::dead_letter::{LetterState, LetterStates, RECORDS, StateRecord};

/// Records of one read. Each names up to a page of letters, in some 20 kB.
const PAGE: u32 = 200;

/// The states of dead letters, as far as they were read.
pub(super) struct States<'a> {
    connector: &'a dyn IggyConnector,
    pub(super) topic: TopicAddress,
    spec: Option<TopicSpec>,
    next: Offset,
    pub(super) known: LetterStates,
    /// Messages of the topic that are no records.
    pub(super) unreadable: u64,
}

impl<'a> States<'a> {
    /// Nothing is read yet.
    pub(super) fn open(connector: &'a dyn IggyConnector, config: &Config) -> Self {
        let name = config.dead_letters.states_topic();
        let spec = config.topology.iter().find(|spec| spec.name == name).cloned();
        let topic = TopicAddress::new(config.connector.stream_name.as_str(), name);
        Self { connector, topic, spec, next: Offset(0), known: LetterStates::default(), unreadable: 0 }
    }

    /// Reads what was written since the last time. Where there is no topic, nobody has written anything.
    pub(super) async fn refresh(&mut self) -> anyhow::Result<()> {
        loop {
            let page = match self.connector.read_from(&self.topic, RECORDS, self.next, PAGE).await {
                Err(ConnectorError::Topology(_)) => return Ok(()),
                page => {
                    page.with_context(|| format!("cannot read the states of dead letters of {}", self.topic))?
                }
            };
            let Some(last) = page.last() else { return Ok(()) };
            self.next = last.offset.next();
            for message in &page {
                match StateRecord::read(message) {
                    Ok(record) => self.known.apply(&record),
                    Err(_) => self.unreadable += 1,
                }
            }
        }
    }

    /// Sees to it that there is a topic to write to: hosts make it when they start, and this one may be older.
    pub(super) async fn make_topic(&self) -> anyhow::Result<()> {
        let Some(spec) = &self.spec else { bail!("topic {} is not configured", self.topic) };
        let made = self.connector.ensure_topics(&self.topic.stream, std::slice::from_ref(spec)).await;
        made.with_context(|| {
            format!("cannot make topic {}, which keeps the states of dead letters", self.topic)
        })
    }

    /// Gives letters a state, and waits until the broker confirms it.
    pub(super) async fn write(
        &mut self,
        state: LetterState,
        letters: impl IntoIterator<Item = u128>,
    ) -> anyhow::Result<()> {
        let message = StateRecord::new(state, letters).message();
        let written = self.connector.publish_batch(&self.topic, vec![message]).await;
        written.map_err(|error| error.source).with_context(|| format!("cannot write to {}", self.topic))?;
        self.refresh().await
    }
}
