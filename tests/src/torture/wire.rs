//! Iggy's frames as a proxy sees them: where one ends, what a request asks for, and which answer belongs to it.

use std::io;
use std::mem::offset_of;

use bytes::{BufMut, Bytes, BytesMut};
use iggy_binary_protocol::codes::POLL_MESSAGES_CODE;
use iggy_binary_protocol::requests::consumer_offsets::StoreConsumerOffsetRequest;
use iggy_binary_protocol::{
    Command, HEADER_SIZE, Operation, ReplyHeader, RequestHeader, WireDecode, WireIdentifier,
};
use tokio::io::{AsyncRead, AsyncReadExt};

/// Largest frame that is passed on, header included.
const FRAME_BYTES_MAX: usize = 128 << 20;

/// What a request asks for, as far as a proxy cares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Messages for a topic.
    Publish {
        /// Its name.
        topic: String,
    },
    /// Progress of a group.
    Store {
        /// Name of the topic.
        topic: String,
        /// Number of the partition.
        partition: u32,
        /// The offset up to which all is settled.
        offset: u64,
    },
    /// Messages to read.
    Poll,
    /// Membership of a group.
    Join,
    /// Anything else.
    Other,
}

/// Cuts a byte stream into frames.
#[derive(Debug)]
pub struct Frames<R> {
    source: R,
    buffer: BytesMut,
}

impl<R: AsyncRead + Unpin> Frames<R> {
    /// The frames of a stream.
    pub fn new(source: R) -> Self {
        Self { source, buffer: BytesMut::new() }
    }

    /// The next whole frame, or nothing when the stream ends. Cancelling loses nothing.
    ///
    /// # Errors
    /// When the stream breaks, ends within a frame, or carries something else.
    pub async fn next(&mut self) -> io::Result<Option<Bytes>> {
        loop {
            if let Some(size) = self.size()?
                && self.buffer.len() >= size
            {
                return Ok(Some(self.buffer.split_to(size).freeze()));
            }
            if self.source.read_buf(&mut self.buffer).await? == 0 {
                let torn = !self.buffer.is_empty();
                return if torn { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(None) };
            }
        }
    }

    fn size(&self) -> io::Result<Option<usize>> {
        if self.buffer.len() < HEADER_SIZE {
            return Ok(None);
        }
        let size = u32_at(&self.buffer, offset_of!(RequestHeader, size)) as usize;
        if !(HEADER_SIZE..=FRAME_BYTES_MAX).contains(&size) {
            return Err(io::Error::other(format!("a frame of {size} bytes")));
        }
        Ok(Some(size))
    }
}

/// Reads what a request asks for.
pub fn request(frame: &[u8]) -> Request {
    let body = &frame[HEADER_SIZE..];
    let operation = frame[offset_of!(RequestHeader, operation)];
    let code = u32_at(frame, offset_of!(RequestHeader, reserved));
    let known = match operation {
        op if op == Operation::SendMessages as u8 => publish(body),
        op if op == Operation::StoreConsumerOffset as u8 => store(body),
        op if op == Operation::JoinConsumerGroup as u8 => Some(Request::Join),
        op if op == Operation::NonReplicated as u8 && code == POLL_MESSAGES_CODE => Some(Request::Poll),
        _ => None,
    };
    known.unwrap_or(Request::Other)
}

/// The number that a request carries and its answer repeats.
pub fn request_number(frame: &[u8]) -> u64 {
    u64_at(frame, offset_of!(RequestHeader, request))
}

/// The number of the request that a frame answers; none for a farewell.
pub fn answered_number(frame: &[u8]) -> Option<u64> {
    let is_reply = frame[offset_of!(ReplyHeader, command)] == Command::Reply as u8;
    is_reply.then(|| u64_at(frame, offset_of!(ReplyHeader, request)))
}

/// Whether an answer says that the request was carried out.
pub fn is_success(frame: &[u8]) -> bool {
    u32_at(frame, offset_of!(ReplyHeader, status)) == 0
}

/// The answer of a broker that refuses a request with an error code.
pub fn refusal(of: &[u8], code: u32) -> Bytes {
    let mut frame = BytesMut::zeroed(HEADER_SIZE);
    let size = u32::try_from(HEADER_SIZE).expect("it is 256");
    put(&mut frame, offset_of!(ReplyHeader, size), &size.to_le_bytes());
    put(&mut frame, offset_of!(ReplyHeader, command), &[Command::Reply as u8]);
    let same = |from: usize, bytes: usize| &of[from..from + bytes];
    put(&mut frame, offset_of!(ReplyHeader, client), same(offset_of!(RequestHeader, client), 16));
    let checksum = same(offset_of!(RequestHeader, request_checksum), 16);
    put(&mut frame, offset_of!(ReplyHeader, request_checksum), checksum);
    put(&mut frame, offset_of!(ReplyHeader, request), same(offset_of!(RequestHeader, request), 8));
    put(&mut frame, offset_of!(ReplyHeader, operation), same(offset_of!(RequestHeader, operation), 1));
    put(&mut frame, offset_of!(ReplyHeader, status), &code.to_le_bytes());
    frame.freeze()
}

/// The same frame with some bits of one byte turned over.
pub fn corrupted(frame: &[u8], at: usize, bits: u8) -> Bytes {
    let mut bytes = BytesMut::with_capacity(frame.len());
    bytes.put_slice(frame);
    bytes[at] ^= bits;
    bytes.freeze()
}

fn publish(body: &[u8]) -> Option<Request> {
    let after_length = body.get(4..)?;
    let (_, stream_bytes) = WireIdentifier::decode(after_length).ok()?;
    let (topic, _) = WireIdentifier::decode(&after_length[stream_bytes..]).ok()?;
    Some(Request::Publish { topic: name(topic) })
}

fn store(body: &[u8]) -> Option<Request> {
    let (request, _) = StoreConsumerOffsetRequest::decode(body).ok()?;
    Some(Request::Store {
        topic: name(request.topic_id),
        partition: request.partition_id?,
        offset: request.offset,
    })
}

fn name(identifier: WireIdentifier) -> String {
    match identifier {
        WireIdentifier::Numeric(number) => number.to_string(),
        WireIdentifier::String(name) => name.as_str().to_owned(),
    }
}

fn put(frame: &mut BytesMut, at: usize, bytes: &[u8]) {
    frame[at..at + bytes.len()].copy_from_slice(bytes);
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}
