//! Reads the dead letter topic from its beginning, partition by partition and page by page, with the state of each letter.

use std::collections::VecDeque;
use std::io;

use anyhow::Context;
use guesthouse_connector::{IggyConnector, Offset, PartitionId, ReceivedMessage, TopicAddress};

use super::Console;
use super::states::States;
use crate::cli::progress::Progress;
use crate::config::Config;
use crate::dead_letter::DeadLetter;

/// Most messages of one page.
const PAGE_MAX: u64 = 500;
/// Messages of the first page, while nothing is known about their size.
const PAGE_FIRST: u64 = 64;
/// Most bytes of one page, as far as the pages before tell.
const PAGE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// A dead letter and its message.
pub(super) struct FoundLetter {
    pub(super) message: ReceivedMessage,
    pub(super) letter: DeadLetter,
}

/// All dead letters that are there when the reading begins. What dies meanwhile is not among them, so that a replay never
/// follows its own tail.
pub(super) struct Letters<'a> {
    connector: &'a dyn IggyConnector,
    topic: TopicAddress,
    /// What is left: a partition, the offset to go on from, and the last one.
    left: VecDeque<(PartitionId, Offset, Offset)>,
    pub(super) states: States<'a>,
    /// Messages that are no dead letters.
    unreadable: u64,
    page_messages: u64,
    progress: Progress,
}

impl<'a> Letters<'a> {
    /// Finds out how much there is.
    pub(super) async fn open(
        connector: &'a dyn IggyConnector,
        config: &Config,
        what: &'static str,
    ) -> anyhow::Result<Self> {
        let topic =
            TopicAddress::new(config.connector.stream_name.as_str(), config.dead_letters.topic.as_str());
        let state = connector.topic_state(&topic).await;
        let state = state.with_context(|| format!("cannot read the dead letters of {topic}"))?;
        let total = state.partitions.iter().map(|partition| partition.messages_count).sum();
        let ends = state.partitions.iter();
        let ends = ends.filter_map(|state| Some((state.partition, Offset(0), state.last_offset?)));
        Ok(Self {
            connector,
            topic,
            left: ends.collect(),
            states: States::open(connector, config),
            unreadable: 0,
            page_messages: PAGE_FIRST,
            progress: Progress::start(what, total),
        })
    }

    /// The next letters, at least one unless the page held none; `None` behind the last page.
    pub(super) async fn next_page(&mut self) -> anyhow::Result<Option<Vec<FoundLetter>>> {
        let Some((partition, from, last)) = self.left.pop_front() else { return Ok(None) };
        let messages_max = u32::try_from(self.page_messages).unwrap_or(u32::MAX);
        let page = self.connector.read_from(&self.topic, partition, from, messages_max).await;
        let page = page.with_context(|| format!("cannot read the dead letters of {}", self.topic))?;
        if let Some(next) = page.last().map(|message| message.offset.next()).filter(|next| *next <= last) {
            self.left.push_front((partition, next, last));
        }
        self.progress.add(page.len() as u64);
        self.page_messages = messages_of_next_page(&page).unwrap_or(self.page_messages);
        // Another command may have dealt with some of them since the page before.
        self.states.refresh().await?;
        let mut letters = Vec::with_capacity(page.len());
        for message in page.into_iter().take_while(|message| message.offset <= last) {
            match DeadLetter::read(message.clone(), partition) {
                Ok(mut letter) => {
                    letter.summary.state = self.states.known.state(message.id);
                    letters.push(FoundLetter { message, letter });
                }
                Err(_) => self.unreadable += 1,
            }
        }
        Ok(Some(letters))
    }

    /// Tells how many messages were left out.
    pub(super) fn report_unreadable(&self, console: &mut Console<'_>) -> io::Result<()> {
        if self.unreadable > 0 {
            writeln!(console.err, "left out {} messages that are no dead letters", self.unreadable)?;
        }
        let states = &self.states;
        if states.unreadable > 0 {
            let (topic, count) = (&states.topic, states.unreadable);
            writeln!(
                console.err,
                "left out {count} messages of {topic} that say nothing about dead letters"
            )?;
        }
        Ok(())
    }
}

/// As many messages as fit into a page if they are like these; `None` when these are none.
fn messages_of_next_page(page: &[ReceivedMessage]) -> Option<u64> {
    let bytes = page.iter().map(|message| (message.payload.len() + message.headers.0.len()) as u64);
    let average = bytes.sum::<u64>().checked_div(page.len() as u64)?;
    Some(PAGE_BYTES_MAX.checked_div(average).unwrap_or(PAGE_MAX).clamp(1, PAGE_MAX))
}
