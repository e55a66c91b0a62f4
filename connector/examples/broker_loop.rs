//! Sending to the embedded broker and polling from it with Iggy's own client, against writing the same bytes to a file,
//! and against the server that `GUESTHOUSE_TEST_IGGY=user:password@host:port` names if it is set.
//! `broker_loop MIB` brings about so much in each case and prints one line of JSON.

use std::env;
use std::error::Error;
use std::io::{self, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use guesthouse_broker::{Broker, BrokerConfig};
use guesthouse_connector::{ConnectorConfig, ConnectorMode, Durability, TopicSpec, connector};
use iggy::prelude::{
    AutoLogin, Client as _, Consumer, Credentials, Identifier, IggyMessage, MessageClient as _, Partitioning,
    PollingStrategy, TcpClient, TcpClientConfig, TopicClient as _,
};
use serde::Serialize;
use serde_json::{Value, json};

/// Batches of a producer, whatever the budget: enough for a 99th percentile.
const BATCHES_MIN: usize = 100;
/// Batches of all producers when each waits for the disk.
const BATCHES_SYNCED_MAX: usize = 24_000;
const PAYLOADS_BYTES: [usize; 2] = [256, 1_024];
const BATCHES_MESSAGES: [u32; 2] = [100, 1_000];
/// Each has a partition of its own.
const PRODUCERS: [u32; 2] = [1, 8];
/// Senders of single messages to one partition, who share its syncs.
const SENDERS: u32 = 64;
/// How often each side is measured. They take turns, for memory and files that were in use a moment ago are faster.
const ROUNDS: usize = 3;
/// Messages of a poll, at least.
const POLL_MIN: u32 = 100;
const DURABILITIES: [Durability; 2] = [Durability::Replicated, Durability::Persisted];

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// One measurement.
#[derive(Debug, Clone, Copy)]
struct Case {
    payload_bytes: usize,
    batch: u32,
    producers: u32,
    partitions: u32,
    durability: Durability,
    batches: usize,
}

/// What a broker did in a case.
#[derive(Debug, Clone, Serialize)]
struct Side {
    send_per_second: f64,
    poll_per_second: f64,
    /// Of a batch until it was confirmed.
    p50_micros: u128,
    p99_micros: u128,
}

/// Where a broker is and who logs in.
#[derive(Debug, Clone)]
struct Place {
    address: String,
    username: String,
    password: String,
}

#[tokio::main]
async fn main() -> Outcome<()> {
    let mib: usize = env::args().nth(1).ok_or("expected MIB")?.parse()?;
    let outside = env::var("GUESTHOUSE_TEST_IGGY").ok().map(|text| Place::parse(&text)).transpose()?;
    let mut rows = Vec::new();
    for case in cases(mib) {
        let (mut raw, mut ours, mut theirs) = (Vec::new(), Vec::new(), Vec::new());
        for round in 0..ROUNDS {
            raw.push(write_file(case)?);
            ours.push(measure_ours(case, round).await?);
            if let Some(place) = &outside {
                theirs.push(measure(place, case, round).await?);
            }
        }
        rows.push(json!({
            "payload_bytes": case.payload_bytes, "batch": case.batch, "producers": case.producers,
            "partitions": case.partitions,
            "persisted": case.durability == Durability::Persisted, "raw_mb_per_second": median(raw, |rate| *rate),
            "ours": median(ours, |side| side.send_per_second),
            "outside": median(theirs, |side| side.send_per_second),
        }));
    }
    Ok(writeln!(io::stdout().lock(), "{}", Value::from(rows))?)
}

fn cases(mib: usize) -> Vec<Case> {
    let mut cases = Vec::new();
    for durability in DURABILITIES {
        let most = match durability {
            Durability::Persisted => BATCHES_SYNCED_MAX,
            Durability::Replicated => usize::MAX,
        };
        let mut add = |payload_bytes: usize, batch: u32, producers: u32, partitions| {
            let all = (mib << 20) / (payload_bytes * batch as usize) / producers as usize;
            let batches = all.max(BATCHES_MIN).min(most / producers as usize);
            cases.push(Case { payload_bytes, batch, producers, partitions, durability, batches });
        };
        for payload_bytes in PAYLOADS_BYTES {
            for batch in BATCHES_MESSAGES {
                for producers in PRODUCERS {
                    add(payload_bytes, batch, producers, producers);
                }
            }
            add(payload_bytes, 1, SENDERS, 1);
        }
    }
    cases
}

/// The limit: one thread that writes batches of the same size to a file, and syncs each if the case does. Megabytes per
/// second.
fn write_file(case: Case) -> Outcome<f64> {
    let bytes = vec![b'x'; case.payload_bytes * case.batch as usize];
    let mut file = tempfile::tempfile()?;
    let started = Instant::now();
    for _ in 0..case.batches {
        file.write_all(&bytes)?;
        if case.durability == Durability::Persisted {
            file.sync_data()?;
        }
    }
    Ok(per_second(bytes.len() * case.batches, started) / 1e6)
}

async fn measure_ours(case: Case, round: usize) -> Outcome<Side> {
    let data = tempfile::tempdir()?;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let config = BrokerConfig { data_dir: data.path().to_owned(), address, ..BrokerConfig::default() };
    let broker = Broker::start(config).await?;
    let side = measure(&Place::of(&broker), case, round).await?;
    broker.shutdown(Duration::from_secs(30)).await?;
    Ok(side)
}

/// Sends with all producers at once, each to a partition of its own, and then polls everything with one consumer.
async fn measure(place: &Place, case: Case, round: usize) -> Outcome<Side> {
    let stream = format!("bench-{}", std::process::id());
    let Case { payload_bytes, batch, producers, durability, .. } = case;
    let topic = format!("t-{payload_bytes}-{batch}-{producers}-{durability:?}-{round}");
    make_topic(place, &stream, &topic, case).await?;
    let (stream, topic) = (Identifier::named(&stream)?, Identifier::named(&topic)?);
    let mut clients = Vec::new();
    for _ in 0..case.producers {
        clients.push(place.connect().await?);
    }
    let started = Instant::now();
    let mut producers = tokio::task::JoinSet::new();
    for (client, number) in clients.into_iter().zip(0..) {
        producers.spawn(send(client, (stream.clone(), topic.clone()), case, number));
    }
    let mut times = Vec::new();
    while let Some(sent) = producers.join_next().await {
        times.extend(sent??);
    }
    let messages = case.producers as usize * case.batches * case.batch as usize;
    let send_per_second = per_second(messages, started);
    let client = place.connect().await?;
    let started = Instant::now();
    let polled = poll(&client, (&stream, &topic), case).await?;
    let poll_per_second = per_second(messages, started);
    if polled != messages {
        return Err(format!("polled {polled} of {messages} messages").into());
    }
    // So that the next one gets its memory back, and the system never writes gigabytes of earlier cases meanwhile.
    client.delete_topic(&stream, &topic).await?;
    times.sort_unstable();
    Ok(Side {
        send_per_second,
        poll_per_second,
        p50_micros: percentile(&times, 50),
        p99_micros: percentile(&times, 99),
    })
}

async fn make_topic(place: &Place, stream: &str, topic: &str, case: Case) -> Outcome<()> {
    let mut config = ConnectorConfig { mode: ConnectorMode::Remote, ..ConnectorConfig::default() };
    config.remote.addresses = vec![place.address.clone()];
    config.remote.username = place.username.clone();
    config.remote_password = Some(place.password.clone().into());
    let connector = connector(config.mode);
    connector.connect(&config).await?;
    let spec = TopicSpec { durability: case.durability, ..TopicSpec::new(topic, case.partitions, 1) };
    connector.ensure_topics(stream, &[spec]).await?;
    Ok(connector.shutdown().await?)
}

/// Answers how long each batch took until it was confirmed.
async fn send(
    client: TcpClient,
    (stream, topic): (Identifier, Identifier),
    case: Case,
    number: u32,
) -> Outcome<Vec<Duration>> {
    let payload = Bytes::from(vec![b'x'; case.payload_bytes]);
    let to = Partitioning::partition_id(number % case.partitions);
    let mut times = Vec::with_capacity(case.batches);
    // An id that was sent before would be taken for a repetition.
    let mut id = u128::from(number) << u32::BITS;
    for _ in 0..case.batches {
        let mut messages = Vec::with_capacity(case.batch as usize);
        for _ in 0..case.batch {
            id += 1;
            messages.push(IggyMessage::builder().id(id).payload(payload.clone()).build()?);
        }
        let started = Instant::now();
        client.send_messages(&stream, &topic, &to, &mut messages).await?;
        times.push(started.elapsed());
    }
    Ok(times)
}

/// Answers how many messages there are.
async fn poll(client: &TcpClient, (stream, topic): (&Identifier, &Identifier), case: Case) -> Outcome<usize> {
    let consumer = Consumer::new(Identifier::numeric(1)?);
    let mut polled = 0;
    for partition in 0..case.partitions {
        let mut next = 0;
        loop {
            let strategy = PollingStrategy::offset(next);
            let reply = client
                .poll_messages(
                    stream,
                    topic,
                    Some(partition),
                    &consumer,
                    &strategy,
                    case.batch.max(POLL_MIN),
                    false,
                )
                .await?;
            let Some(last) = reply.messages.last() else { break };
            next = last.header.offset + 1;
            polled += reply.messages.len();
        }
    }
    Ok(polled)
}

impl Place {
    fn of(broker: &Broker) -> Self {
        let root = broker.root_credentials();
        Self {
            address: broker.address().to_string(),
            username: root.username.clone(),
            password: secrecy::ExposeSecret::expose_secret(&root.password).to_owned(),
        }
    }

    fn parse(text: &str) -> Outcome<Self> {
        let (user, address) = text.rsplit_once('@').ok_or("expected user:password@host:port")?;
        let (username, password) = user.split_once(':').ok_or("expected user:password@host:port")?;
        Ok(Self { address: address.into(), username: username.into(), password: password.into() })
    }

    async fn connect(&self) -> Outcome<TcpClient> {
        let credentials = Credentials::UsernamePassword(self.username.clone(), self.password.clone().into());
        let client = TcpClient::create(Arc::new(TcpClientConfig {
            server_address: self.address.clone(),
            auto_login: AutoLogin::Enabled(credentials),
            nodelay: true,
            ..TcpClientConfig::default()
        }))?;
        client.connect().await?;
        Ok(client)
    }
}

/// The round in the middle by this value; nothing of none.
fn median<T>(mut rounds: Vec<T>, value: impl Fn(&T) -> f64) -> Option<T> {
    rounds.sort_by(|a, b| value(a).total_cmp(&value(b)));
    let middle = rounds.len() / 2;
    rounds.into_iter().nth(middle)
}

fn per_second(count: usize, started: Instant) -> f64 {
    count as f64 / started.elapsed().as_secs_f64()
}

/// In microseconds. The times are in order.
fn percentile(times: &[Duration], percent: usize) -> u128 {
    times.get(times.len() * percent / 100).map_or(0, Duration::as_micros)
}
