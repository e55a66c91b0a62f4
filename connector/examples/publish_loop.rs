//! Publishing side by side: Iggy's own client sends batches to a topic of the embedded broker, and so does the connector,
//! in turn; then many tasks publish single messages to a `persisted` topic, beside a file that is synced after each one.
//! `publish_loop MESSAGES PAYLOAD_BYTES BATCH ROUNDS` prints one line of JSON.

use std::env;
use std::error::Error;
use std::fs::File;
use std::io::{self, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use guesthouse_broker::{Broker, BrokerConfig};
use guesthouse_connector::{
    ConnectorConfig, ConnectorMode, Durability, Headers, IggyConnector, OutgoingMessage, PartitionId,
    Partitioning as Place, PublishBatchError, TopicAddress, TopicSpec, connector,
};
use iggy::prelude::{
    AutoLogin, Client as _, Credentials, Identifier, IggyMessage, MessageClient as _, Partitioning,
    TcpClient, TcpClientConfig,
};
use serde_json::{Value, json};
use tokio::task::JoinSet;

const STREAM: &str = "bench";
const PARTITIONS: u32 = 8;
/// Tasks that publish single messages.
const PUBLISHERS: u64 = 64;
/// Batches of each side that are not counted.
const WARM_UP: u64 = 50;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// What each side publishes.
#[derive(Clone, Copy)]
struct Load {
    messages: u64,
    payload_bytes: usize,
    batch: u64,
    rounds: u64,
    spread: Spread,
}

/// Where the messages of a batch go.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Spread {
    /// All of them to one partition.
    One,
    /// Each to the next partition.
    All,
}

/// Both sides, each with a topic of its own.
struct Rivals {
    sdk: TcpClient,
    connector: Arc<dyn IggyConnector>,
    payload: Bytes,
    next_id: u128,
}

#[tokio::main]
async fn main() -> Outcome<()> {
    let mut arguments = env::args().skip(1);
    let mut next = |name: &str| arguments.next().ok_or_else(|| format!("expected {name}"));
    let load = Load {
        messages: next("MESSAGES")?.parse()?,
        payload_bytes: next("PAYLOAD_BYTES")?.parse()?,
        batch: next("BATCH")?.parse()?,
        rounds: next("ROUNDS")?.parse()?,
        spread: Spread::One,
    };
    // Tasks publish, as those of a service do. Whoever waits outside of the runtime is woken across threads each time.
    let one = tokio::spawn(compare(load)).await??;
    let all = tokio::spawn(compare(Load { spread: Spread::All, ..load })).await??;
    let together = tokio::spawn(publish_together(load)).await??;
    let line = json!({ "one_partition": one, "all_partitions": all, "together": together });
    Ok(writeln!(io::stdout().lock(), "{line}")?)
}

/// Measures both sides in turn on a new broker: messages per second of each round.
async fn compare(load: Load) -> Outcome<Value> {
    let data = tempfile::tempdir()?;
    let broker = start_broker(data.path()).await?;
    let mut rivals = Rivals::open(&broker, load.payload_bytes).await?;
    let warm_up = Load { messages: WARM_UP * load.batch, rounds: 1, ..load };
    rivals.with_sdk(warm_up).await?;
    rivals.with_connector(warm_up).await?;
    let (mut sdk, mut ours) = (Vec::new(), Vec::new());
    for _ in 0..load.rounds {
        sdk.push(rivals.with_sdk(load).await?);
        ours.push(rivals.with_connector(load).await?);
    }
    rivals.connector.shutdown().await?;
    broker.shutdown(Duration::from_secs(10)).await?;
    Ok(json!({ "sdk_per_second": sdk, "connector_per_second": ours }))
}

/// Messages per second of each round that are on the disk: one after the other in a file, and from many tasks.
async fn publish_together(load: Load) -> Outcome<Value> {
    let data = tempfile::tempdir()?;
    let broker = start_broker(data.path()).await?;
    let mut rivals = Rivals::open(&broker, load.payload_bytes).await?;
    let (mut file, mut ours) = (Vec::new(), Vec::new());
    for _ in 0..load.rounds {
        file.push(rivals.with_file(load, &data.path().join("file"))?);
        ours.push(rivals.with_tasks(load).await?);
    }
    rivals.connector.shutdown().await?;
    broker.shutdown(Duration::from_secs(10)).await?;
    Ok(json!({ "file_per_second": file, "connector_per_second": ours }))
}

async fn start_broker(data_dir: &Path) -> Outcome<Broker> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let config = BrokerConfig { data_dir: data_dir.to_owned(), address, ..BrokerConfig::default() };
    Ok(Broker::start(config).await?)
}

impl Load {
    fn batches(&self) -> u64 {
        self.messages / self.rounds / self.batch
    }

    /// The partitions of one batch and how many messages go to each.
    fn shares(&self) -> Vec<(u32, u64)> {
        let partitions = match self.spread {
            Spread::One => 1,
            Spread::All => PARTITIONS,
        };
        let (all, partitions_count) = (self.batch, u64::from(partitions));
        let share = |partition: u32| {
            all / partitions_count + u64::from(u64::from(partition) < all % partitions_count)
        };
        (0..partitions).map(|partition| (partition, share(partition))).collect()
    }
}

impl Rivals {
    async fn open(broker: &Broker, payload_bytes: usize) -> Outcome<Self> {
        let root = broker.root_credentials();
        let address = broker.address().to_string();
        let credentials = Credentials::UsernamePassword(root.username.clone(), root.password.clone());
        let sdk = TcpClient::create(Arc::new(TcpClientConfig {
            server_address: address.clone(),
            auto_login: AutoLogin::Enabled(credentials),
            nodelay: true,
            ..TcpClientConfig::default()
        }))?;
        sdk.connect().await?;
        let mut config = ConnectorConfig { mode: ConnectorMode::Remote, ..ConnectorConfig::default() };
        config.remote.addresses = vec![address];
        config.remote.username = root.username.clone();
        config.remote_password = Some(root.password.clone());
        let connector = connector(config.mode);
        connector.connect(&config).await?;
        let [sdk_topic, topic, mut persisted] =
            ["sdk", "connector", "persisted"].map(|name| TopicSpec::new(name, PARTITIONS, 1));
        persisted.durability = Durability::Persisted;
        connector.ensure_topics(STREAM, &[sdk_topic, topic, persisted]).await?;
        Ok(Self { sdk, connector, payload: Bytes::from(vec![b'x'; payload_bytes]), next_id: 1 })
    }

    /// One request for each partition of a batch, one after the other, as Iggy's client sends them.
    async fn with_sdk(&mut self, load: Load) -> Outcome<f64> {
        let (stream, topic) = (Identifier::named(STREAM)?, Identifier::named("sdk")?);
        let shares = load.shares();
        let started = Instant::now();
        for _ in 0..load.batches() {
            for (partition, count) in &shares {
                let mut messages = self.sdk_messages(*count)?;
                let to = Partitioning::partition_id(*partition);
                self.sdk.send_messages(&stream, &topic, &to, &mut messages).await?;
            }
        }
        Ok(per_second(load, started))
    }

    async fn with_connector(&mut self, load: Load) -> Outcome<f64> {
        let topic = TopicAddress::new(STREAM, "connector");
        let shares = load.shares();
        let started = Instant::now();
        for _ in 0..load.batches() {
            let mut messages = Vec::new();
            for (partition, count) in &shares {
                self.add_messages(*partition, *count, &mut messages);
            }
            self.connector.publish_batch(&topic, messages).await?;
        }
        Ok(per_second(load, started))
    }

    /// A message from each task at a time, all to one partition.
    async fn with_tasks(&mut self, load: Load) -> Outcome<f64> {
        let each = load.messages / load.rounds / PUBLISHERS;
        let mut shares = Vec::new();
        for _ in 0..PUBLISHERS {
            let mut messages = Vec::new();
            self.add_messages(0, each, &mut messages);
            shares.push(messages);
        }
        let mut publishers = JoinSet::new();
        let started = Instant::now();
        for messages in shares {
            let connector = Arc::clone(&self.connector);
            publishers.spawn(async move {
                let topic = TopicAddress::new(STREAM, "persisted");
                for message in messages {
                    connector.publish_batch(&topic, vec![message]).await?;
                }
                Ok::<_, PublishBatchError>(())
            });
        }
        while let Some(publisher) = publishers.join_next().await {
            publisher??;
        }
        Ok((PUBLISHERS * each) as f64 / started.elapsed().as_secs_f64())
    }

    /// As many payloads as one of the tasks publishes, each written to a file and synced before the next.
    fn with_file(&self, load: Load, path: &Path) -> Outcome<f64> {
        let each = load.messages / load.rounds / PUBLISHERS;
        let mut file = File::create(path)?;
        let started = Instant::now();
        for _ in 0..each {
            file.write_all(&self.payload)?;
            file.sync_data()?;
        }
        Ok(each as f64 / started.elapsed().as_secs_f64())
    }

    fn sdk_messages(&mut self, count: u64) -> Outcome<Vec<IggyMessage>> {
        let mut messages = Vec::new();
        for _ in 0..count {
            let id = self.take_id();
            messages.push(IggyMessage::builder().id(id).payload(self.payload.clone()).build()?);
        }
        Ok(messages)
    }

    fn add_messages(&mut self, partition: u32, count: u64, messages: &mut Vec<OutgoingMessage>) {
        for _ in 0..count {
            messages.push(OutgoingMessage {
                id: self.take_id(),
                partition: Place::Partition(PartitionId(partition)),
                payload: self.payload.clone(),
                headers: Headers::new(),
            });
        }
    }

    fn take_id(&mut self) -> u128 {
        self.next_id += 1;
        self.next_id
    }
}

fn per_second(load: Load, started: Instant) -> f64 {
    (load.batches() * load.batch) as f64 / started.elapsed().as_secs_f64()
}
