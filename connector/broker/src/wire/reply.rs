//! What goes back to a client: a reply with a payload, a reply with an error code, or the end of its session.

use std::error::Error;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use iggy_binary_protocol::consensus::RESULT_COUNT_LEN;
use iggy_binary_protocol::version::{IGGY_PROTOCOL_VERSION, IGGY_PROTOCOL_VERSION_MIN};
use iggy_binary_protocol::{
    Command, EvictionHeader, EvictionReason, HEADER_SIZE, Operation, ReplyHeader, RequestHeader, WireEncode,
    WireError,
};
use iggy_common::IggyErrorDiscriminants as Code;

use crate::data_dir::DataDirGone;
use crate::log::{AppendError, LogError};
use crate::open_files;
use crate::password::HashError;
use crate::store::{PartitionKey, StoreError};

/// Size of a frame without a body.
#[expect(clippy::cast_possible_truncation, reason = "it is 256")]
const HEADER_BYTES: u32 = HEADER_SIZE as u32;

/// What a successful command answers with.
#[derive(Debug, Default)]
pub(crate) struct Payload {
    head: Bytes,
    /// Stored records, sent as they are without another copy.
    records: Bytes,
}

impl Payload {
    /// Answers with nothing but success.
    pub(crate) fn empty() -> Self {
        Self::default()
    }

    /// Answers with one encoded response.
    pub(crate) fn of(response: &impl WireEncode) -> Self {
        Self { head: response.to_bytes(), records: Bytes::new() }
    }

    /// Answers with one encoded response, or nothing when there is none.
    pub(crate) fn of_option(response: Option<&impl WireEncode>) -> Self {
        response.map_or_else(Self::empty, Self::of)
    }

    /// Answers with a response that stored records follow.
    pub(crate) fn with_records(response: &impl WireEncode, records: Bytes) -> Self {
        Self { head: response.to_bytes(), records }
    }
}

/// Why a command was not carried out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    /// One of Iggy's error codes says it all.
    #[error("{0:?}")]
    Code(Code),
    /// The session ends.
    #[error("session ended: {0:?}")]
    Evict(EvictionReason),
    /// The client speaks another protocol version.
    #[error("client speaks protocol {0}, expected 0.11.0")]
    Protocol(iggy_binary_protocol::ProtocolVersion),
    /// A batch could not be appended.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// A log could not be read or written.
    #[error(transparent)]
    Log(#[from] LogError),
    /// A partition cannot be opened, and does not serve.
    #[error(
        "partition {}/{}/{} is offline: {reason}; put its files right and start the broker again",
        key.stream_id, key.topic_id, key.partition_id
    )]
    Offline {
        /// Which one.
        key: PartitionKey,
        /// Why.
        reason: String,
    },
    /// The data directory is not at its place.
    #[error(transparent)]
    DataDirGone(#[from] DataDirGone),
    /// A password could not be hashed.
    #[error(transparent)]
    Hash(#[from] HashError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<Code> for Refusal {
    fn from(code: Code) -> Self {
        Self::Code(code)
    }
}

impl From<WireError> for Refusal {
    fn from(_: WireError) -> Self {
        Self::Code(Code::InvalidFormat)
    }
}

impl Refusal {
    /// The code that the client gets to see.
    fn code(&self) -> Code {
        match self {
            Self::Code(code) => *code,
            Self::Evict(_) | Self::Protocol(_) => Code::Unauthenticated,
            Self::Append(AppendError::InvalidBatch(_)) => Code::InvalidBatchChecksum,
            Self::Append(AppendError::InvalidMessage(_)) => Code::InvalidMessageChecksum,
            Self::Append(AppendError::LargePayload(_)) => Code::TooBigMessagePayload,
            Self::Append(AppendError::LargeHeaders(_)) => Code::TooBigUserHeaders,
            Self::Append(_) | Self::DataDirGone(_) => Code::CannotAppendMessage,
            // The code is all that a client gets, and it may not have asked for messages.
            Self::Log(error) if open_files::explain(error).is_some() => Code::CannotOpenPartitionLogFile,
            Self::Log(_) => Code::CannotReadMessage,
            Self::Offline { .. } => Code::CannotOpenPartitionLogFile,
            Self::Hash(_) | Self::Store(_) => Code::IoError,
        }
    }

    /// Whether the fault lies with this machine and not with the client.
    pub(crate) fn is_our_fault(&self) -> bool {
        match self {
            // A segment that is gone is told once, by its partition.
            Self::Append(error) => matches!(error, AppendError::Write(_) | AppendError::Refusing { .. }),
            Self::Log(_) | Self::Offline { .. } | Self::Hash(_) | Self::Store(_) => true,
            // Said once, when the directory went.
            Self::DataDirGone(_) | Self::Code(_) | Self::Evict(_) | Self::Protocol(_) => false,
        }
    }
}

/// An error and its causes, and what to do where no more files can be opened.
pub(crate) fn in_one_line(error: &(dyn Error + 'static)) -> String {
    let mut line = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        line.push_str(": ");
        line.push_str(&cause.to_string());
        next = cause.source();
    }
    if let Some(advice) = open_files::explain(error) {
        line.push_str("; ");
        line.push_str(&advice);
    }
    line
}

/// A whole frame, ready to be written.
#[derive(Debug)]
pub(crate) struct Reply {
    frame: BytesMut,
    records: Bytes,
}

impl Reply {
    /// Frames the outcome of `request`.
    pub(crate) fn new(request: &RequestHeader, session: u64, outcome: Result<Payload, Refusal>) -> Self {
        match outcome {
            Ok(payload) => Self::success(request, session, payload),
            Err(Refusal::Evict(reason)) => {
                Self::eviction(&EvictionHeader::new(0, 0, 0, request.client, reason))
            }
            Err(Refusal::Protocol(_)) => Self::eviction(&EvictionHeader::incompatible_protocol(
                0,
                0,
                0,
                request.client,
                IGGY_PROTOCOL_VERSION,
                IGGY_PROTOCOL_VERSION_MIN,
            )),
            Err(refusal) => Self::error(request, session, refusal.code()),
        }
    }

    /// Ends the session of `client` without being asked, as the last frame of a connection.
    pub(crate) fn farewell(client: u128, reason: EvictionReason) -> Self {
        Self::eviction(&EvictionHeader::new(0, 0, 0, client, reason))
    }

    /// The bytes of the frame, in order.
    pub(crate) fn into_buf(self) -> impl Buf {
        self.frame.chain(self.records)
    }

    fn success(request: &RequestHeader, session: u64, payload: Payload) -> Self {
        let is_result_framed =
            request.operation.is_result_framed() || request.operation == Operation::Register;
        let result_len = if is_result_framed { RESULT_COUNT_LEN } else { 0 };
        let size = HEADER_SIZE + result_len + payload.head.len() + payload.records.len();
        let Ok(size) = u32::try_from(size) else {
            return Self::error(request, session, Code::TooBigMessagePayload);
        };
        let header = ReplyHeader { size, ..reply_header(request, session) };
        let mut frame = BytesMut::with_capacity(HEADER_SIZE + result_len + payload.head.len());
        frame.put_slice(bytemuck::bytes_of(&header));
        frame.put_bytes(0, result_len);
        frame.put_slice(&payload.head);
        Self { frame, records: payload.records }
    }

    fn error(request: &RequestHeader, session: u64, code: Code) -> Self {
        let header = ReplyHeader { status: code as u32, ..reply_header(request, session) };
        Self::of_header(bytemuck::bytes_of(&header))
    }

    fn eviction(header: &EvictionHeader) -> Self {
        Self::of_header(bytemuck::bytes_of(header))
    }

    fn of_header(bytes: &[u8]) -> Self {
        Self { frame: BytesMut::from(bytes), records: Bytes::new() }
    }
}

/// A reply header that echoes what the request said, with an empty body. One node has no log positions to
/// report, so the session number stands for them.
fn reply_header(request: &RequestHeader, session: u64) -> ReplyHeader {
    ReplyHeader {
        command: Command::Reply,
        size: HEADER_BYTES,
        client: request.client,
        request: request.request,
        request_checksum: request.request_checksum,
        operation: request.operation,
        op: session,
        commit: session,
        ..Default::default()
    }
}
