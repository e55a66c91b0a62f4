//! A dead letter on its way back to where it came from.

use guesthouse_connector::{
    HeaderError, Headers, OutgoingMessage, PartitionId, Partitioning, ReceivedMessage, TopicAddress,
};

use super::headers::starts_as_ours;
use super::{DECODE_STEP, LetterSummary};
use crate::codec::{CarriedHeaders, FOR_HANDLER, HOPS, REPLAYS, carry};
use crate::identity::ReplayId;

/// Says which dead letter a message was.
pub(super) const REPLAY_OF: &str = "gh-replay-of";

/// The event of a dead letter on its way back.
#[derive(Debug)]
pub(crate) struct EventAgain {
    /// Where it goes.
    pub(crate) topic: TopicAddress,
    /// The message.
    pub(crate) message: OutgoingMessage,
    /// How many headers of the dead letter found no room beside ours, or could not be read.
    pub(crate) headers_dropped: u32,
}

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
    /// A header would not say for whom it is.
    #[error("its handler or its id cannot be named in a header: {0}")]
    Header(#[from] HeaderError),
}

/// The message that brings the event of a dead letter back to the partition it came from, for the handler alone that gave
/// it up. The same dead letter gives the same message, until it was replayed once more: a broker drops what
/// it has seen lately, and who replays a letter again wants it to come.
///
/// # Errors
/// When it does not hold the event, or does not say where it came from.
pub(crate) fn again(
    message: &ReceivedMessage,
    letter: &LetterSummary,
    replays_before: u32,
) -> Result<EventAgain, NotAgain> {
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
    let mut ours = Headers::new();
    let replays = letter.replays.and_then(|replays| u32::try_from(replays).ok()).unwrap_or_default();
    ours.insert(REPLAYS, replays.saturating_add(1))?;
    ours.insert(REPLAY_OF, letter.id.as_str())?;
    if let Some(handler) = letter.handler.as_deref().filter(|handler| *handler != DECODE_STEP) {
        ours.insert(FOR_HANDLER, handler)?;
    }
    let CarriedHeaders { headers, dropped } =
        carry(ours, &message.headers, |name| name == HOPS || !starts_as_ours(name));
    let message = OutgoingMessage {
        id: ReplayId::of_dead_letter(message.id, replays_before).as_u128(),
        partition,
        payload: message.payload.clone(),
        headers,
    };
    Ok(EventAgain { topic: TopicAddress::new(stream, topic), message, headers_dropped: dropped })
}
