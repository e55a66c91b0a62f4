//! Sending messages to, and reading messages from, one partition.

use bytes::Bytes;
use iggy::prelude::{
    Consumer, Identifier, IggyError, IggyMessage, IggyMessageHeader, IggyTimestamp, MessageClient as _,
    Partitioning, RESYNC_REQUIRED_PARTITION_SENTINEL,
};
use iggy_binary_protocol::primitives::polling_strategy::WirePollingStrategy;
use iggy_binary_protocol::requests::messages::PollMessagesRequest;
use iggy_common::BinaryTransport as _;
use iggy_common::wire_conversions::{consumer_to_wire, identifier_to_wire};

use super::fault::Fault;
use super::{Client, Target, batches};
use crate::address::{Offset, PartitionId};
use crate::error::ConnectorError;
use crate::message::{OutgoingMessage, ReceivedMessage};

/// Iggy's code for a partition that another member of the group owns.
const CODE_PARTITION_NOT_OWNED: u32 = 5009;

/// In whose name a partition is read.
#[derive(Clone, Debug)]
pub(crate) struct Reader(Consumer);

/// Which messages of a partition are wanted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Range {
    pub(crate) from: Offset,
    pub(crate) messages_max: u32,
}

/// What a poll brought.
#[derive(Debug)]
pub(crate) enum Polled {
    /// Messages from the wanted offset on, perhaps none.
    Messages {
        messages: Vec<ReceivedMessage>,
        /// The last offset of the partition; zero while it is empty. `None` when the broker could not tell.
        last_offset: Option<Offset>,
    },
    /// The partition belongs to another member of the group.
    NotOwner,
}

impl Reader {
    /// A reader that belongs to no group. It never stores offsets, so all of them may share a name.
    pub(crate) fn alone() -> Self {
        Self(Consumer::default())
    }

    pub(super) fn member(group: &Identifier) -> Self {
        Self(Consumer::group(group.clone()))
    }
}

impl Client {
    /// Publishes messages to one partition in one request; all of them are stored or none. Their payloads are within
    /// the limits.
    pub(crate) async fn send(
        &self,
        to: &Target,
        partition: PartitionId,
        messages: &[&OutgoingMessage],
    ) -> Result<(), ConnectorError> {
        let now = IggyTimestamp::now().as_micros();
        let mut batch: Vec<_> = messages.iter().map(|message| to_sdk(message, now)).collect();
        let partitioning = Partitioning::partition_id(partition.0);
        let request_len = batch.len() as u64;
        let request = self.sdk.send_messages(&to.stream, &to.topic, &partitioning, &mut batch);
        match self.ask(request).await {
            Ok(answer) => {
                // The embedded broker confirms no offsets for what it recognises as sent before.
                if answer.confirmations.is_empty() {
                    self.endpoint.note_repeats(request_len);
                }
                Ok(())
            }
            Err(fault) => {
                Err(fault.describe(format_args!("sending to partition {partition} of {}", to.address)))
            }
        }
    }

    /// Reads a range of one partition. Stores nothing.
    pub(crate) async fn poll(
        &self,
        from: &Target,
        partition: PartitionId,
        reader: &Reader,
        range: Range,
    ) -> Result<Polled, ConnectorError> {
        let request = poll_request(from, partition, reader, range)
            .map_err(|error| describe_poll(Fault::new(error), from, partition))?;
        match self.ask(self.sdk.send_poll_with_response(&request)).await {
            Ok(answer) => self.read_answer(&answer, from, partition, range.from),
            Err(fault) if fault.code() == CODE_PARTITION_NOT_OWNED => Ok(Polled::NotOwner),
            Err(fault) => Err(describe_poll(fault, from, partition)),
        }
    }

    /// Nothing of an answer is used that is not whole, and the connection that brought it is not used again.
    fn read_answer(
        &self,
        answer: &Bytes,
        from: &Target,
        partition: PartitionId,
        start: Offset,
    ) -> Result<Polled, ConnectorError> {
        let answer = batches::read(answer, partition).map_err(|corrupt| {
            self.give_up();
            ConnectorError::Receive(format!("polling partition {partition} of {}: {corrupt}", from.address))
        })?;
        if answer.messages.is_empty() && answer.partition == RESYNC_REQUIRED_PARTITION_SENTINEL {
            return Ok(Polled::NotOwner);
        }
        // An answer about no partition in particular is how some servers say "not now".
        let last_offset = (answer.partition == partition.0).then_some(Offset(answer.last_offset));
        let mut messages = answer.messages;
        messages.retain(|message| message.offset >= start);
        Ok(Polled::Messages { messages, last_offset })
    }
}

fn poll_request(
    from: &Target,
    partition: PartitionId,
    reader: &Reader,
    range: Range,
) -> Result<PollMessagesRequest, IggyError> {
    Ok(PollMessagesRequest {
        consumer: consumer_to_wire(&reader.0)?,
        stream_id: identifier_to_wire(&from.stream)?,
        topic_id: identifier_to_wire(&from.topic)?,
        partition_id: Some(partition.0),
        strategy: WirePollingStrategy::offset(range.from.0),
        count: range.messages_max,
        auto_commit: false,
    })
}

/// A message in the form that the SDK sends.
fn to_sdk(message: &OutgoingMessage, origin_micros: u64) -> IggyMessage {
    let headers = message.headers.encode();
    IggyMessage {
        header: IggyMessageHeader {
            checksum: 0,
            id: message.id,
            offset: 0,
            timestamp: 0,
            origin_timestamp: origin_micros,
            user_headers_length: wire_len(&headers),
            payload_length: wire_len(&message.payload),
            reserved: 0,
        },
        payload: message.payload.clone(),
        user_headers: (!headers.is_empty()).then_some(headers),
    }
}

fn wire_len(bytes: &Bytes) -> u32 {
    u32::try_from(bytes.len()).expect("payloads and headers are within their limits")
}

fn describe_poll(fault: Fault, from: &Target, partition: PartitionId) -> ConnectorError {
    fault.describe(format_args!("polling partition {partition} of {}", from.address))
}
