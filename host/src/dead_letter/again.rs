//! A dead letter on its way back to where it came from.

use guesthouse_connector::{
    HeaderError, Headers, OutgoingMessage, PartitionId, Partitioning, ReceivedMessage, TopicAddress,
};

use super::headers::OURS;
use super::{DECODE_STEP, LetterSummary};
use crate::codec::{FOR_HANDLER, HOPS, REPLAYS};
use crate::identity::ReplayId;

/// Says which dead letter a message was.
pub(super) const REPLAY_OF: &str = "gh-replay-of";

/// Why a dead letter cannot go back.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotAgain {
    /// It does not say where it came from.
    #[error("it does not say where it came from: header `{0}` is missing or no number")]
    NoSource(&'static str),
    /// The event was too large to be kept in it.
    #[error(
        "it only names its event, which was too large or empty; see `guesthouse replay` for the source's range"
    )]
    Reference,
    /// Its headers leave no room.
    #[error("its headers leave no room: {0}")]
    Header(#[from] HeaderError),
}

/// The message that brings the event of a dead letter back to the partition it came from, for the handler alone that gave
/// it up; and the topic. The same dead letter gives the same message, until it was replayed once more: a broker drops what
/// it has seen lately, and who replays a letter again wants it to come.
///
/// # Errors
/// When it does not hold the event, or does not say where it came from.
pub(crate) fn again(
    message: &ReceivedMessage,
    letter: &LetterSummary,
    replays_before: u32,
) -> Result<(TopicAddress, OutgoingMessage), NotAgain> {
    if letter.payload_is_reference {
        return Err(NotAgain::Reference);
    }
    let source = &letter.source;
    let stream = source.stream.as_deref().ok_or(NotAgain::NoSource("gh-stream"))?;
    let topic = source.topic.as_deref().ok_or(NotAgain::NoSource("gh-topic"))?;
    let partition = source.partition.and_then(|partition| u32::try_from(partition).ok());
    let partition = match (partition, &letter.tenant) {
        (Some(partition), _) => Partitioning::Partition(PartitionId(partition)),
        // Whoever moved it did not know; events of a tenant are kept together.
        (None, Some(tenant)) => Partitioning::Key(tenant.clone()),
        (None, None) => return Err(NotAgain::NoSource("gh-partition")),
    };
    let mut headers = Headers::new();
    for entry in message.headers.entries() {
        let (name, key) = (entry.name(), entry.key());
        let ours = name.get(..OURS.len()).is_some_and(|start| start.eq_ignore_ascii_case(OURS));
        if (!ours || name == HOPS) && !headers.has(&key) {
            headers.insert(key, entry.value().to_value())?;
        }
    }
    let replays = letter.replays.and_then(|replays| u32::try_from(replays).ok()).unwrap_or_default();
    headers.insert(REPLAYS, replays.saturating_add(1))?;
    headers.insert(REPLAY_OF, letter.id.as_str())?;
    if let Some(handler) = letter.handler.as_deref().filter(|handler| *handler != DECODE_STEP) {
        headers.insert(FOR_HANDLER, handler)?;
    }
    let outgoing = OutgoingMessage {
        id: ReplayId::of_dead_letter(message.id, replays_before).as_u128(),
        partition,
        payload: message.payload.clone(),
        headers,
    };
    Ok((TopicAddress::new(stream, topic), outgoing))
}
