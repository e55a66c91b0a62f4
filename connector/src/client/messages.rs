//! Sending messages to, and reading messages from, one partition.

use bytes::Bytes;
use iggy::prelude::{
    Consumer, Identifier, IggyMessage, IggyMessageHeader, IggyTimestamp, MessageClient as _, Partitioning,
    PolledMessages, PollingStrategy, RESYNC_REQUIRED_PARTITION_SENTINEL,
};

use super::fault::Fault;
use super::{Client, Target};
use crate::address::{Offset, PartitionId};
use crate::error::ConnectorError;
use crate::headers::RawHeaders;
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
        let request = self.sdk.send_messages(&to.stream, &to.topic, &partitioning, &mut batch);
        match self.ask(request).await {
            Ok(_confirmations) => Ok(()),
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
        let strategy = PollingStrategy::offset(range.from.0);
        let request = self.sdk.poll_messages(
            &from.stream,
            &from.topic,
            Some(partition.0),
            &reader.0,
            &strategy,
            range.messages_max,
            false,
        );
        match self.ask(request).await {
            Ok(polled) => Ok(read_answer(polled, partition, range.from)),
            Err(fault) if fault.code() == CODE_PARTITION_NOT_OWNED => Ok(Polled::NotOwner),
            Err(fault) => Err(describe_poll(fault, from, partition)),
        }
    }
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

fn read_answer(polled: PolledMessages, partition: PartitionId, start: Offset) -> Polled {
    if polled.messages.is_empty() && polled.partition_id == RESYNC_REQUIRED_PARTITION_SENTINEL {
        return Polled::NotOwner;
    }
    // An answer about no partition in particular is how some servers say "not now".
    let last_offset = (polled.partition_id == partition.0).then_some(Offset(polled.current_offset));
    let messages = polled.messages.into_iter().map(from_sdk);
    Polled::Messages { messages: messages.filter(|message| message.offset >= start).collect(), last_offset }
}

fn from_sdk(message: IggyMessage) -> ReceivedMessage {
    ReceivedMessage {
        id: message.header.id,
        offset: Offset(message.header.offset),
        timestamp_micros: message.header.timestamp,
        origin_timestamp_micros: message.header.origin_timestamp,
        headers: RawHeaders(message.user_headers.unwrap_or_default()),
        payload: message.payload,
    }
}

fn describe_poll(fault: Fault, from: &Target, partition: PartitionId) -> ConnectorError {
    fault.describe(format_args!("polling partition {partition} of {}", from.address))
}
