//! Reads frames from a byte stream, with a buffer that grows with what has arrived and not with what a header
//! claims.

use bytes::{Buf, BytesMut};
use iggy_binary_protocol::{HEADER_SIZE, RequestHeader};
use tokio::io::{AsyncRead, AsyncReadExt};

use super::{FrameError, Request, parse_header};

/// The least that is reserved for a read, so that a small frame takes one system call.
const READ_BYTES_MIN: usize = 8 * 1024;
/// The most that is reserved before any of it has arrived; after that, as much again as has arrived.
const READ_BYTES_MAX: usize = 64 * 1024;
/// A buffer that grew beyond this for a large frame is not kept.
const KEPT_BYTES_MAX: usize = 1024 * 1024;

/// What [`FrameReader::ready`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Readiness {
    /// The first bytes of a frame are here.
    Frame,
    /// The peer closed the connection between two frames.
    Closed,
}

/// Cuts a byte stream into requests.
#[derive(Debug, Default)]
pub(crate) struct FrameReader {
    buffer: BytesMut,
    /// Bytes at the front of the buffer that belong to the request handed out last.
    taken: usize,
}

impl FrameReader {
    /// Waits until a frame begins or the peer closes. Cancelling loses nothing.
    pub(crate) async fn ready(
        &mut self,
        source: &mut (impl AsyncRead + Unpin),
    ) -> Result<Readiness, FrameError> {
        self.release();
        if self.buffer.is_empty() && self.fill(source, 1).await? == 0 {
            return Ok(Readiness::Closed);
        }
        Ok(Readiness::Frame)
    }

    /// Reads the header of the next frame. Its body may have `body_max` bytes; a larger claim is refused before
    /// anything is reserved for it. Cancelling loses nothing.
    pub(crate) async fn header(
        &mut self,
        source: &mut (impl AsyncRead + Unpin),
        body_max: usize,
    ) -> Result<RequestHeader, FrameError> {
        self.release();
        self.require(source, HEADER_SIZE).await?;
        let bytes = self.buffer.first_chunk::<HEADER_SIZE>().ok_or(FrameError::Torn)?;
        parse_header(bytes, body_max)
    }

    /// Reads the rest of the frame whose header was read last. After an error or a cancellation the stream is of
    /// no more use.
    pub(crate) async fn body(
        &mut self,
        source: &mut (impl AsyncRead + Unpin),
        header: RequestHeader,
    ) -> Result<Request<'_>, FrameError> {
        let size = usize::try_from(header.size).map_err(|_| FrameError::NotARequest)?;
        self.require(source, size).await?;
        self.taken = size;
        let body = self.buffer.get(HEADER_SIZE..size).ok_or(FrameError::Torn)?;
        Ok(Request { header, body })
    }

    fn release(&mut self) {
        self.buffer.advance(std::mem::take(&mut self.taken));
        if self.buffer.is_empty() && self.buffer.capacity() > KEPT_BYTES_MAX {
            self.buffer = BytesMut::new();
        }
    }

    async fn require(
        &mut self,
        source: &mut (impl AsyncRead + Unpin),
        bytes: usize,
    ) -> Result<(), FrameError> {
        while self.buffer.len() < bytes {
            let missing = bytes - self.buffer.len();
            if self.fill(source, missing).await? == 0 {
                return Err(FrameError::Torn);
            }
        }
        Ok(())
    }

    /// Reads once and answers how many bytes came.
    async fn fill(
        &mut self,
        source: &mut (impl AsyncRead + Unpin),
        missing: usize,
    ) -> Result<usize, FrameError> {
        let most = self.buffer.len().max(READ_BYTES_MAX);
        self.buffer.reserve(missing.clamp(READ_BYTES_MIN, most));
        Ok(source.read_buf(&mut self.buffer).await?)
    }
}
