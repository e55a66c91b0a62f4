//! Reads the dead letter topic from its beginning, partition by partition.

use anyhow::Context;
use guesthouse_connector::{IggyConnector, Offset, ReceivedMessage, TopicAddress};

use crate::cli::progress::Progress;
use crate::config::Config;
use crate::dead_letter::DeadLetter;

/// Messages of one read.
const PAGE: u32 = 1_000;

/// Whether reading goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flow {
    GoOn,
    Enough,
}

/// Shows every dead letter that is there now, with its message, to `visit`, until it has enough, and counts the messages that are
/// no dead letters.
pub(super) async fn read_all(
    connector: &dyn IggyConnector,
    config: &Config,
    mut visit: impl FnMut(ReceivedMessage, DeadLetter) -> Flow,
) -> anyhow::Result<u64> {
    let topic = TopicAddress::new(config.connector.stream_name.as_str(), config.dead_letters.topic.as_str());
    let cannot_read = || format!("cannot read the dead letters of {topic}");
    let state = connector.topic_state(&topic).await.with_context(cannot_read)?;
    let total = state.partitions.iter().map(|partition| partition.messages_count).sum();
    let mut progress = Progress::start("reading dead letters", total);
    let mut unreadable = 0;
    for partition in state.partitions {
        let Some(last) = partition.last_offset else { continue };
        let mut next = Offset(0);
        while next <= last {
            let page = connector.read_from(&topic, partition.partition, next, PAGE).await;
            let page = page.with_context(cannot_read)?;
            let Some(last_read) = page.last().map(|message| message.offset) else { break };
            next = last_read.next();
            progress.add(page.len() as u64);
            for message in page {
                let Ok(letter) = DeadLetter::read(message.clone(), partition.partition) else {
                    unreadable += 1;
                    continue;
                };
                if visit(message, letter) == Flow::Enough {
                    return Ok(unreadable);
                }
            }
        }
    }
    Ok(unreadable)
}
