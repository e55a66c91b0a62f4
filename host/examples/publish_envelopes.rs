//! What envelopes cost: the transport publishes batches of them, and the connector messages of the same size that are
//! ready, in turn. `publish_envelopes EVENTS PAYLOAD_BYTES BATCH ROUNDS` prints one line of JSON.

use std::env;
use std::error::Error;
use std::io::{self, Write as _};
use std::time::{Duration, Instant};

use bytes::Bytes;
use guesthouse::{
    EmbeddedConfig, EventEnvelope, EventTransport as _, IggyConfig, IggyTransport, calculate_partition,
    partition_key,
};
use guesthouse_connector::{Headers, OutgoingMessage, Partitioning, TopicAddress};
use serde_json::{Value, json};
use uuid::Uuid;

/// Batches of each side that are not counted.
const WARM_UP: u64 = 20;

/// Where events of this type go.
const EVENT_TYPE: &str = "bench.published";
const TOPIC: &str = "domain";

type Outcome<T> = Result<T, Box<dyn Error>>;

/// What each side publishes.
struct Load {
    events: u64,
    payload_bytes: usize,
    batch: u64,
    rounds: u64,
}

/// Both sides, over one connection.
struct Rivals {
    transport: IggyTransport,
    to: TopicAddress,
    /// Whose events they are, one after the other.
    tenants: Vec<Uuid>,
    /// What makes an envelope as long as it should be.
    filler: String,
    payload: Bytes,
}

#[tokio::main]
async fn main() -> Outcome<()> {
    let mut arguments = env::args().skip(1);
    let mut next = |name: &str| arguments.next().ok_or_else(|| format!("expected {name}"));
    let load = Load {
        events: next("EVENTS")?.parse()?,
        payload_bytes: next("PAYLOAD_BYTES")?.parse()?,
        batch: next("BATCH")?.parse()?,
        rounds: next("ROUNDS")?.parse()?,
    };
    let one = compare(&load, 1).await?;
    let all = compare(&load, IggyConfig::default().topology.domain_partitions).await?;
    writeln!(io::stdout().lock(), "{}", json!({ "one_partition": one, "all_partitions": all }))?;
    Ok(())
}

/// Measures both sides in turn on a new broker: messages per second of each round.
async fn compare(load: &Load, partitions: u32) -> Outcome<Value> {
    let data = tempfile::tempdir()?;
    let rivals = Rivals::open(data.path().display().to_string(), load, partitions).await?;
    rivals.with_connector(WARM_UP, load.batch).await?;
    rivals.with_transport(WARM_UP, load.batch).await?;
    let batches = load.events / load.rounds / load.batch;
    let (mut connector, mut transport) = (Vec::new(), Vec::new());
    for _ in 0..load.rounds {
        connector.push(rivals.with_connector(batches, load.batch).await?);
        transport.push(rivals.with_transport(batches, load.batch).await?);
    }
    rivals.transport.shutdown().await?;
    Ok(json!({ "connector_per_second": connector, "transport_per_second": transport }))
}

impl Rivals {
    async fn open(data_dir: String, load: &Load, partitions: u32) -> Outcome<Self> {
        let embedded = EmbeddedConfig { data_dir, tcp_port: 0, ..EmbeddedConfig::default() };
        let config = IggyConfig { embedded, ..IggyConfig::default() };
        let partitions_count = config.topology.domain_partitions;
        let tenants = (0..partitions).map(|partition| tenant_of(partition, partitions_count)).collect();
        let to = TopicAddress::new(config.topology.stream_name.as_str(), TOPIC);
        let transport = IggyTransport::new(config).await?;
        let bare = serde_json::to_vec(&envelope(Uuid::nil(), "")?)?.len();
        let filler = "x".repeat(load.payload_bytes.saturating_sub(bare));
        let payload = Bytes::from(vec![b'x'; load.payload_bytes]);
        Ok(Self { transport, to, tenants, filler, payload })
    }

    async fn with_transport(&self, batches: u64, batch: u64) -> Outcome<f64> {
        let mut taken = Duration::ZERO;
        for _ in 0..batches {
            let tenants = self.tenants_of(batch);
            let envelopes: Vec<_> =
                tenants.map(|tenant| envelope(tenant, &self.filler)).collect::<Result<_, _>>()?;
            let started = Instant::now();
            self.transport.publish_batch(envelopes).await?;
            taken += started.elapsed();
        }
        Ok((batches * batch) as f64 / taken.as_secs_f64())
    }

    async fn with_connector(&self, batches: u64, batch: u64) -> Outcome<f64> {
        let mut taken = Duration::ZERO;
        for _ in 0..batches {
            let message = |tenant| OutgoingMessage {
                id: Uuid::new_v4().as_u128(),
                partition: Partitioning::Key(partition_key(tenant)),
                payload: self.payload.clone(),
                headers: Headers::new(),
            };
            let messages = self.tenants_of(batch).map(message).collect();
            let started = Instant::now();
            self.transport.connector().publish_batch(&self.to, messages).await?;
            taken += started.elapsed();
        }
        Ok((batches * batch) as f64 / taken.as_secs_f64())
    }

    fn tenants_of(&self, batch: u64) -> impl Iterator<Item = Uuid> {
        (0..batch).zip(self.tenants.iter().cycle()).map(|(_, tenant)| *tenant)
    }
}

/// A tenant whose events go to this partition.
fn tenant_of(partition: u32, partitions_count: u32) -> Uuid {
    let is_there =
        |tenant: &Uuid| calculate_partition(&partition_key(*tenant), partitions_count) == partition;
    (1..).map(Uuid::from_u128).find(is_there).unwrap_or_default()
}

fn envelope(tenant: Uuid, filler: &str) -> Result<EventEnvelope, serde_json::Error> {
    let event = json!({ "type": "Published", "data": { "text": filler } });
    EventEnvelope::new(tenant, EVENT_TYPE, &event)
}
