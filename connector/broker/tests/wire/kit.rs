//! A broker in a directory of its own, and a client that can send anything.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::BytesMut;
use guesthouse_broker::{Broker, BrokerConfig, Limits};
use iggy_binary_protocol::requests::messages::{PollMessagesRequest, RawMessage, SendMessagesEncoder};
use iggy_binary_protocol::requests::streams::CreateStreamRequest;
use iggy_binary_protocol::requests::topics::CreateTopicRequest;
use iggy_binary_protocol::requests::users::LoginRegisterRequest;
use iggy_binary_protocol::responses::messages::{PollMessagesResponse, PollMessagesResponseHeader};
use iggy_binary_protocol::version::IGGY_PROTOCOL_VERSION;
use iggy_binary_protocol::{
    ClientVersionInfo, Command, HEADER_SIZE, Operation, ReplyHeader, RequestHeader, WireConsumer, WireEncode,
    WireIdentifier, WireName, WireOptions, WirePartitioning, WirePollingStrategy,
};
use secrecy::ExposeSecret;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Nothing here takes longer unless it hangs.
pub(crate) const HANG: Duration = Duration::from_secs(20);

/// A directory that outlives the brokers in it.
pub(crate) struct House {
    pub(crate) dir: TempDir,
}

impl House {
    pub(crate) fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn config(&self) -> BrokerConfig {
        BrokerConfig {
            data_dir: self.dir.path().join("data"),
            address: "127.0.0.1:0".parse().unwrap(),
            ..BrokerConfig::default()
        }
    }

    pub(crate) async fn open(&self) -> Broker {
        Broker::start(self.config()).await.unwrap()
    }

    pub(crate) async fn open_with(&self, limits: Limits) -> Broker {
        Broker::start(BrokerConfig { limits, ..self.config() }).await.unwrap()
    }
}

pub(crate) async fn shut(broker: Broker) {
    broker.shutdown(HANG).await.unwrap();
}

/// One frame from the broker.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) header: [u8; HEADER_SIZE],
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn command(&self) -> u8 {
        self.header[60]
    }

    pub(crate) fn status(&self) -> u32 {
        u32::from_le_bytes(self.header[216..220].try_into().unwrap())
    }

    /// The reason of an eviction.
    pub(crate) fn reason(&self) -> u8 {
        assert_eq!(self.command(), Command::Eviction as u8, "{self:?}");
        self.header[255]
    }

    /// The body of a reply that must be a success.
    pub(crate) fn ok(self) -> Vec<u8> {
        assert_eq!(self.command(), Command::Reply as u8, "{:?}", self.header);
        assert_eq!(self.status(), 0);
        self.body
    }
}

/// A client without a client's manners.
pub(crate) struct Raw {
    pub(crate) stream: TcpStream,
    pub(crate) header: RequestHeader,
}

impl Raw {
    pub(crate) async fn dial(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).await.unwrap())
    }

    pub(crate) fn over(stream: TcpStream) -> Self {
        let header = RequestHeader { command: Command::Request, client: 7, ..RequestHeader::default() };
        Self { stream, header }
    }

    /// Connects and logs in.
    pub(crate) async fn enter(broker: &Broker) -> Self {
        let mut raw = Self::dial(broker.address()).await;
        let root = broker.root_credentials();
        let body = login_body(&root.username, root.password.expose_secret());
        let reply = raw.ask(Operation::Register, &body).await.ok();
        raw.header.session = u64::from_le_bytes(reply[8..16].try_into().unwrap());
        assert_ne!(raw.header.session, 0);
        raw
    }

    /// The bytes of a request.
    pub(crate) fn frame(&mut self, operation: Operation, code: u32, body: &[u8]) -> Vec<u8> {
        let mut header = self.header;
        header.operation = operation;
        header.size = u32::try_from(HEADER_SIZE + body.len()).unwrap();
        header.reserved[..4].copy_from_slice(&code.to_le_bytes());
        if operation == Operation::Register {
            header.session = 0;
        } else {
            self.header.request += 1;
            header.request = self.header.request;
        }
        [bytemuck::bytes_of(&header), body].concat()
    }

    /// Sends a request with an operation of its own.
    pub(crate) async fn ask(&mut self, operation: Operation, body: &[u8]) -> Answer {
        let frame = self.frame(operation, 0, body);
        self.exchange(&frame).await
    }

    /// Sends a request that has only a code.
    pub(crate) async fn read(&mut self, code: u32, body: &[u8]) -> Answer {
        let frame = self.frame(Operation::NonReplicated, code, body);
        self.exchange(&frame).await
    }

    pub(crate) async fn exchange(&mut self, frame: &[u8]) -> Answer {
        self.stream.write_all(frame).await.unwrap();
        self.answer().await.expect("the broker answers")
    }

    /// The next frame; `None` when the broker closed the connection.
    pub(crate) async fn answer(&mut self) -> Option<Answer> {
        timeout(HANG, async {
            let mut header = [0; HEADER_SIZE];
            self.stream.read_exact(&mut header).await.ok()?;
            let size = u32::from_le_bytes(header[48..52].try_into().unwrap()) as usize;
            let mut body = vec![0; size - HEADER_SIZE];
            self.stream.read_exact(&mut body).await.ok()?;
            Some(Answer { header, body })
        })
        .await
        .expect("an answer or the end of the connection in time")
    }

    pub(crate) async fn create_stream(&mut self, name: &str) {
        let request =
            CreateStreamRequest { name: WireName::new(name).unwrap(), options: WireOptions::empty() };
        self.ask(Operation::CreateStream, &request.to_bytes()).await.ok();
    }

    pub(crate) async fn create_topic(&mut self, stream: &str, name: &str, partitions_count: u32) {
        let request = CreateTopicRequest {
            stream_id: named(stream),
            partitions_count,
            name: WireName::new(name).unwrap(),
            options: WireOptions::empty(),
        };
        self.ask(Operation::CreateTopic, &request.to_bytes()).await.ok();
    }

    pub(crate) async fn send(&mut self, to: (&str, &str, u32), messages: &[(u128, &str)]) -> Answer {
        self.ask(Operation::SendMessages, &send_body(to, messages)).await
    }

    /// All messages of a partition as (offset, payload).
    pub(crate) async fn contents(&mut self, of: (&str, &str, u32)) -> Vec<(u64, String)> {
        let request = PollMessagesRequest {
            consumer: WireConsumer::consumer(WireIdentifier::numeric(1)),
            ..poll(of, WirePollingStrategy::first(), u32::MAX)
        };
        let body = self.read(100, &request.to_bytes()).await.ok();
        messages_of(&body).1
    }
}

pub(crate) fn named(name: &str) -> WireIdentifier {
    WireIdentifier::named(name).unwrap()
}

pub(crate) fn login_body(username: &str, password: &str) -> Vec<u8> {
    login_body_of(IGGY_PROTOCOL_VERSION, username, password)
}

pub(crate) fn login_body_of(protocol_version: u32, username: &str, password: &str) -> Vec<u8> {
    let request = LoginRegisterRequest {
        version_info: ClientVersionInfo {
            protocol_version,
            sdk_name: WireName::new("kit").unwrap(),
            sdk_version: WireName::new("1").unwrap(),
        },
        username: WireName::new(username).unwrap(),
        password: password.into(),
        client_context: None,
    };
    request.to_bytes().to_vec()
}

pub(crate) fn send_body(to: (&str, &str, u32), messages: &[(u128, &str)]) -> BytesMut {
    let raw: Vec<RawMessage<'_>> = messages
        .iter()
        .map(|(id, payload)| RawMessage {
            id: *id,
            origin_timestamp: 5,
            headers: None,
            payload: payload.as_bytes(),
        })
        .collect();
    let mut body = BytesMut::new();
    let partitioning = WirePartitioning::PartitionId(to.2);
    SendMessagesEncoder::encode(&mut body, &named(to.0), &named(to.1), &partitioning, &raw).unwrap();
    body
}

pub(crate) fn poll(of: (&str, &str, u32), strategy: WirePollingStrategy, count: u32) -> PollMessagesRequest {
    PollMessagesRequest {
        consumer: WireConsumer::consumer(named("kit")),
        stream_id: named(of.0),
        topic_id: named(of.1),
        partition_id: Some(of.2),
        strategy,
        count,
        auto_commit: false,
    }
}

/// The head of a poll reply and its messages as (offset, payload).
pub(crate) fn messages_of(body: &[u8]) -> (PollMessagesResponseHeader, Vec<(u64, String)>) {
    let reply = PollMessagesResponse::decode(body).unwrap();
    let text = |payload: &[u8]| String::from_utf8(payload.to_vec()).unwrap();
    let messages = reply.messages.map(|message| {
        let message = message.unwrap();
        (message.offset, text(message.payload))
    });
    let messages: Vec<_> = messages.collect();
    assert_eq!(messages.len(), reply.header.messages_count as usize);
    (reply.header, messages)
}

/// Bytes from the hexadecimal digits in a text.
pub(crate) fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u32> = text.chars().filter_map(|digit| digit.to_digit(16)).collect();
    digits.chunks(2).map(|pair| u8::try_from(pair[0] * 16 + pair[1]).unwrap()).collect()
}

/// The reply header of an answer.
pub(crate) fn reply_header(answer: &Answer) -> ReplyHeader {
    bytemuck::checked::pod_read_unaligned(&answer.header)
}
