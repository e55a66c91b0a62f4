//! The bare loop that the bench compares the host with: Iggy's own client reads a topic of the embedded broker,
//! poll by poll, and touches each payload. `poll_loop EVENTS PAYLOAD_BYTES PARTITIONS` prints one line of JSON.

use std::env;
use std::error::Error;
use std::io::{self, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use guesthouse_broker::{Broker, BrokerConfig};
use iggy::prelude::{
    AutoLogin, Client as _, Consumer, Credentials, Identifier, IggyMessage, MessageClient as _, Partitioning,
    PollingStrategy, StreamClient as _, TcpClient, TcpClientConfig, TopicClient as _, TopicCreateOptions,
};

/// Messages of one request, written or read.
const BATCH: u32 = 1_000;
const STREAM: &str = "bench";
const TOPIC: &str = "events";

type Outcome<T> = Result<T, Box<dyn Error>>;

/// What is read.
struct Load {
    events: u64,
    payload_bytes: usize,
    partitions: u32,
}

/// A topic and an open client.
struct Reader {
    client: TcpClient,
    stream: Identifier,
    topic: Identifier,
}

#[tokio::main]
async fn main() -> Outcome<()> {
    let load = Load::from_arguments()?;
    let data = tempfile::tempdir()?;
    let broker = start_broker(data.path()).await?;
    let reader = Reader::open(&broker).await?;
    reader.fill(&load).await?;

    let started = Instant::now();
    let (events, touched) = reader.read_all(&load).await?;
    let seconds = started.elapsed().as_secs_f64();
    if events != load.events {
        return Err(format!("read {events} events of {}", load.events).into());
    }
    writeln!(
        io::stdout().lock(),
        "{{\"events\":{events},\"payload_bytes\":{},\"seconds\":{seconds:.6},\"touched\":{touched}}}",
        load.payload_bytes
    )?;
    broker.shutdown(Duration::from_secs(10)).await?;
    Ok(())
}

async fn start_broker(data_dir: &Path) -> Outcome<Broker> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let config = BrokerConfig { data_dir: data_dir.to_owned(), address, ..BrokerConfig::default() };
    Ok(Broker::start(config).await?)
}

impl Load {
    fn from_arguments() -> Outcome<Self> {
        let mut arguments = env::args().skip(1);
        let mut next = |name: &str| arguments.next().ok_or_else(|| format!("expected {name}"));
        Ok(Self {
            events: next("EVENTS")?.parse()?,
            payload_bytes: next("PAYLOAD_BYTES")?.parse()?,
            partitions: next("PARTITIONS")?.parse()?,
        })
    }

    /// The events of one partition; the first ones take what is left over.
    fn share_of(&self, partition: u32) -> u64 {
        let partitions = u64::from(self.partitions);
        self.events / partitions + u64::from(u64::from(partition) < self.events % partitions)
    }
}

impl Reader {
    async fn open(broker: &Broker) -> Outcome<Self> {
        let root = broker.root_credentials();
        let credentials = Credentials::UsernamePassword(root.username.clone(), root.password.clone());
        let config = TcpClientConfig {
            server_address: broker.address().to_string(),
            auto_login: AutoLogin::Enabled(credentials),
            nodelay: true,
            ..TcpClientConfig::default()
        };
        let client = TcpClient::create(Arc::new(config))?;
        client.connect().await?;
        Ok(Self { client, stream: Identifier::named(STREAM)?, topic: Identifier::named(TOPIC)? })
    }

    async fn fill(&self, load: &Load) -> Outcome<()> {
        self.client.create_stream(STREAM).await?;
        let options =
            TopicCreateOptions { partitions_count: Some(load.partitions), ..TopicCreateOptions::default() };
        self.client.create_topic(&self.stream, TOPIC, &options).await?;
        let payload = Bytes::from(vec![b'x'; load.payload_bytes]);
        for partition in 0..load.partitions {
            let to = Partitioning::partition_id(partition);
            let mut left = load.share_of(partition);
            while left > 0 {
                let count = left.min(u64::from(BATCH));
                let message = || IggyMessage::builder().payload(payload.clone()).build();
                let mut messages = (0..count).map(|_| message()).collect::<Result<Vec<_>, _>>()?;
                self.client.send_messages(&self.stream, &self.topic, &to, &mut messages).await?;
                left -= count;
            }
        }
        Ok(())
    }

    /// Reads every partition to its end, in turn. Tells how many events there were and the sum of their first bytes
    /// and lengths, which keeps the reading honest.
    async fn read_all(&self, load: &Load) -> Outcome<(u64, u64)> {
        let consumer = Consumer::default();
        let mut positions = vec![0; usize::try_from(load.partitions)?];
        let (mut events, mut touched) = (0, 0);
        while events < load.events {
            for (partition, next) in (0..load.partitions).zip(&mut positions) {
                let from = PollingStrategy::offset(*next);
                let polled = self
                    .client
                    .poll_messages(&self.stream, &self.topic, Some(partition), &consumer, &from, BATCH, false)
                    .await?;
                for message in &polled.messages {
                    *next = message.header.offset + 1;
                    let first = message.payload.first().copied().unwrap_or_default();
                    touched += u64::from(first) + u64::try_from(message.payload.len())?;
                }
                events += u64::try_from(polled.messages.len())?;
            }
        }
        Ok((events, touched))
    }
}
