//! A message on its way again.

use guesthouse_connector::{
    HeaderError, Headers, OutgoingMessage, PartitionId, Partitioning, ReceivedMessage,
};

use crate::codec::{CarriedHeaders, FOR_HANDLER, REPLAYS, carry};
use crate::identity::ReplayId;

/// The message to publish for one that was read, and how many of its headers found no room or could not be read: payload
/// and headers as they are, and what says that it comes again. It goes to the partition of the same number, so that the
/// order of each partition is kept.
///
/// # Errors
/// When the name of the handler fits into no header.
pub(super) fn again(
    message: &ReceivedMessage,
    id: ReplayId,
    (partition, handler): (PartitionId, Option<&str>),
) -> Result<(OutgoingMessage, u32), HeaderError> {
    let replays = message.headers.get(REPLAYS).and_then(|value| value.to_string().parse().ok());
    let mut ours = Headers::new();
    ours.insert(REPLAYS, replays.unwrap_or(0_u32).saturating_add(1))?;
    if let Some(handler) = handler {
        ours.insert(FOR_HANDLER, handler)?;
    }
    let CarriedHeaders { headers, dropped } =
        carry(ours, &message.headers, |name| name != REPLAYS && name != FOR_HANDLER);
    let outgoing = OutgoingMessage {
        id: id.as_u128(),
        partition: Partitioning::Partition(partition),
        payload: message.payload.clone(),
        headers,
    };
    Ok((outgoing, dropped))
}
