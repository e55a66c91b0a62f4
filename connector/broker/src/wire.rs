//! Iggy's frames as this broker reads and writes them: a header of 256 bytes and a body. The codec crate knows
//! the layout; the rules about what a peer may send stand here.

mod frame;
mod reply;

use bytemuck::checked::try_pod_read_unaligned;
use iggy_binary_protocol::{Command, HEADER_SIZE, Operation, RequestHeader};

pub(crate) use frame::{FrameReader, Readiness};
pub(crate) use reply::{Payload, Refusal, Reply, in_one_line};

/// Largest body of a frame, as on Iggy's server.
pub(crate) const BODY_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Largest body before login, enough for any login.
pub(crate) const STRANGER_BODY_BYTES_MAX: usize = 64 * 1024;

/// A frame that cannot be answered; the connection ends.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FrameError {
    /// The header is not one that a client sends.
    #[error("not a request header of iggy protocol 0.11")]
    NotARequest,
    /// The client left its id empty, so no answer could name it.
    #[error("request header without a client id")]
    NoClient,
    /// The size field is out of bounds. Nothing was reserved for it.
    #[error("frame of {bytes} bytes, expected {HEADER_SIZE} to {bytes_max}")]
    Size {
        /// The size it claims, header included.
        bytes: usize,
        /// The largest that is accepted now, header included.
        bytes_max: usize,
    },
    /// The peer stopped sending in the middle of a frame.
    #[error("connection closed in the middle of a frame")]
    Torn,
    /// The connection failed.
    #[error("cannot read from the connection: {0}")]
    Io(#[from] std::io::Error),
}

/// One request, borrowed from the read buffer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Request<'a> {
    /// Its header, already validated.
    pub(crate) header: RequestHeader,
    /// Its body.
    pub(crate) body: &'a [u8],
}

impl Request<'_> {
    /// Whether the body is what the client computed its checksum over. A zero checksum means none.
    pub(crate) fn is_intact(&self) -> bool {
        let expected = self.header.request_checksum;
        expected == 0 || expected == u128::from(iggy_common::calculate_checksum(self.body))
    }

    /// The command code of a request that has no operation of its own.
    pub(crate) fn code(&self) -> u32 {
        let [a, b, c, d, ..] = self.header.reserved;
        u32::from_le_bytes([a, b, c, d])
    }
}

/// Reads and validates a header. Identity is bound to the connection, so the session and request numbers that
/// a cluster would need are not looked at.
pub(crate) fn parse_header(bytes: &[u8; HEADER_SIZE], body_max: usize) -> Result<RequestHeader, FrameError> {
    let header: RequestHeader = try_pod_read_unaligned(bytes).map_err(|_| FrameError::NotARequest)?;
    if header.command != Command::Request || header.operation == Operation::Reserved {
        return Err(FrameError::NotARequest);
    }
    if header.client == 0 {
        return Err(FrameError::NoClient);
    }
    let size = usize::try_from(header.size).unwrap_or(usize::MAX);
    let bytes_max = HEADER_SIZE + body_max;
    if !(HEADER_SIZE..=bytes_max).contains(&size) {
        return Err(FrameError::Size { bytes: size, bytes_max });
    }
    Ok(header)
}
