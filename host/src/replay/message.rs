//! A message on its way again.

use guesthouse_connector::{
    HeaderError, Headers, OutgoingMessage, PartitionId, Partitioning, ReceivedMessage,
};

use crate::codec::{FOR_HANDLER, REPLAYS};
use crate::identity::ReplayId;

/// The message to publish for one that was read: payload and headers as they are, and what says that it comes again.
/// It goes to the partition of the same number, so that the order of each partition is kept.
///
/// # Errors
/// When the headers leave no room for ours.
pub(super) fn again(
    message: &ReceivedMessage,
    id: ReplayId,
    (partition, handler): (PartitionId, Option<&str>),
) -> Result<OutgoingMessage, HeaderError> {
    let mut headers = Headers::new();
    let mut replays: u32 = 0;
    for entry in message.headers.entries() {
        let (name, key) = (entry.name(), entry.key());
        if name == REPLAYS {
            replays = entry.value().to_string().parse().unwrap_or(0);
        } else if name != FOR_HANDLER && !headers.has(&key) {
            headers.insert(key, entry.value().to_value())?;
        }
    }
    headers.insert(REPLAYS, replays.saturating_add(1))?;
    if let Some(handler) = handler {
        headers.insert(FOR_HANDLER, handler)?;
    }
    Ok(OutgoingMessage {
        id: id.as_u128(),
        partition: Partitioning::Partition(partition),
        payload: message.payload.clone(),
        headers,
    })
}
